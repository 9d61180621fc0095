"""Stage 1: sampled once, kept in chunks, shared by arms, never lost and never sampled twice."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from repro.errors import InputError
from repro.methods.configs import build, to_json
from repro.sampling import vllm_backend
from repro.sampling.transformers_backend import generate
from repro.store.record import check_record, strip_measured
from repro.tasks.chain import ChainTask
from repro.tasks.outcome import Outcome
from repro.training import checkpoints, evaluate, rollout, sampled, stage1
from repro.training import setup as trial_setup
from repro.training.setup import Setup
from repro.training.stage1 import chunk_rows, sample
from repro.training.tokenizer import load_tokenizer
from repro.training.trial import run_trial

from .helpers import coin, make_trainer, trial_config

CHUNKS = 6  # 24 prompts x 4 samples in chunks of 16


def astar(base, arm="astar-po", method=None, **train):
    """A whole trial of A*-PO with `method` over its settings."""
    chosen = to_json("astar-po", build("astar-po", {"samples": 4, **(method or {})}))
    return dataclasses.replace(trial_config(base, "astar-po", **train), arm=arm, method=chosen)


def setup_of(config) -> Setup:
    return Setup(config, None, lambda event: None)


def stage_of(config, root, emit=lambda event: None):
    setup = setup_of(config)
    return sample(setup, load_tokenizer(setup.base.folder), root, emit)


def as_bytes(record) -> str:
    return json.dumps(strip_measured(record), sort_keys=True)


@pytest.fixture
def drawn(monkeypatch):
    """Rows of every chunk that is sampled while the test runs."""
    chunks, draw = [], stage1.Sampler.draw
    monkeypatch.setattr(stage1.Sampler, "draw", lambda self, rows: chunks.append(rows) or draw(self, rows))
    return chunks


def test_what_is_recorded(base, tmp_path, coin_rewards):
    record = run_trial(astar(base), tmp_path)
    check_record(record)
    facts, cost, phase = record["stage1"], record["cost"]["stage1"], record["cost"]["phases"]["stage1"]
    stage = stage_of(astar(base), tmp_path)
    assert stage.rewards.shape == (24, 4) and set(stage.rewards.unique().tolist()) == {0.0, 1.0}
    assert (facts["prompts"], facts["samples"], facts["kept"]) == (24, 4, 24)
    assert facts["mean_reward"] == pytest.approx(float(stage.rewards.mean()))
    assert facts["all_wrong"] == pytest.approx(float((stage.rewards.sum(1) == 0).float().mean()))
    by_hand = 0.5 * torch.log(torch.exp(stage.rewards.double() / 0.5).mean(1))
    assert facts["mean_value"] == pytest.approx(float(by_hand.mean()), abs=1e-6)
    assert torch.allclose(stage.prompt_values.double(), by_hand, atol=1e-6)
    assert cost["completions"] == 96 and cost["tokens"] == phase["tokens"] > 0 and phase["calls"] == CHUNKS
    assert cost["seconds"] == phase["seconds"] > 0 and phase["flops"] > 0 and cost["reused"] is False
    training = sum(
        c["seconds"] for name, c in record["cost"]["phases"].items() if name not in ("evaluate", "checkpoint")
    )
    assert record["cost"]["train_seconds"] == pytest.approx(training)


def test_a_method_without_the_stage_records_none(base, tmp_path):
    record = run_trial(trial_config(base, "grpo", steps=1), tmp_path)
    assert "stage1" not in record and "stage1" not in record["cost"] and "stage1" not in record["cost"]["phases"]
    assert not (tmp_path / "stage1").exists()


def test_arms_share_it_and_each_is_charged_its_recorded_cost(base, tmp_path, coin_rewards, drawn):
    first = run_trial(astar(base), tmp_path)
    assert len(drawn) == CHUNKS
    other = run_trial(astar(base, "mean", {"beta1": "mean", "beta2": 0.01}), tmp_path)
    assert len(drawn) == CHUNKS, "sampled again"
    assert other["stage1"]["key"] == first["stage1"]["key"] and other["key"] != first["key"]
    assert other["stage1"]["mean_value"] != first["stage1"]["mean_value"]
    assert other["cost"]["stage1"] == {**first["cost"]["stage1"], "reused": True}
    charged = [record["cost"]["phases"]["stage1"]["seconds"] for record in (first, other)]
    assert charged[0] == charged[1] > 0 and other["cost"]["train_seconds"] > charged[1]
    alone = run_trial(astar(base, "mean", {"beta1": "mean", "beta2": 0.01}), tmp_path / "alone")
    assert as_bytes(alone) == as_bytes(other), "whoever sampled it, the trial is the same"


KEEP = [
    {"method": {"beta1": "max"}}, {"method": {"beta2": 0.5}}, {"method": {"epochs": 2}}, {"method": {"n": 2}},
    {"train": {"steps": 2}}, {"train": {"learning_rate": 0.1}},
]  # fmt: skip
CHANGE = [
    {"method": {"samples": 2}}, {"seed": 1}, {"train": {"temperature": 0.5}}, {"train": {"max_completion": 6}},
    {"train": {"precision": "bf16"}}, {"batch": 8}, {"task": {"rl": 12}}, {"task": {"terms": [3]}},
]  # fmt: skip


def changed(base, change):
    config = astar(base, method=change.get("method"), **change.get("train", {}))
    task = {**config.task, "options": {**config.task["options"], **change.get("task", {})}}
    evaluation = dataclasses.replace(config.evaluation, batch=change.get("batch", config.evaluation.batch))
    return dataclasses.replace(config, seed=change.get("seed", 0), task=task, evaluation=evaluation)


def test_the_key_names_what_decides_the_rewards_and_nothing_else(base):
    key = stage1.content_hash(stage1._identity(setup_of(astar(base))))
    keys = [stage1.content_hash(stage1._identity(setup_of(changed(base, change)))) for change in KEEP + CHANGE]
    assert set(keys[: len(KEEP)]) == {key}
    assert len({key, *keys}) == 1 + len(CHANGE)


@pytest.mark.parametrize("after", [0, 1, 4])
def test_a_kill_after_some_chunks_costs_only_the_rest(base, tmp_path, coin_rewards, monkeypatch, after):
    whole = run_trial(astar(base), tmp_path / "whole")
    calls, draw = [], stage1.Sampler.draw

    def killed(self, rows):
        calls.append(rows)
        if len(calls) > after:
            raise KeyboardInterrupt
        return draw(self, rows)

    with monkeypatch.context() as patch:
        patch.setattr(stage1.Sampler, "draw", killed)
        with pytest.raises(KeyboardInterrupt):
            run_trial(astar(base), tmp_path / "killed")
    stored = sorted((tmp_path / "killed" / "stage1").rglob("*.json"))
    assert len(stored) == after
    before = {path: json.loads(path.read_text())["cost"]["seconds"] for path in stored}
    generated = []
    monkeypatch.setattr(evaluate, "generate", lambda *a, **k: generated.append(1) or generate(*a, **k))
    monkeypatch.setattr(stage1.Sampler, "draw", lambda self, rows: calls.append(rows) or draw(self, rows))
    calls.clear()
    again = run_trial(astar(base), tmp_path / "killed")
    assert len(calls) == CHUNKS - after
    assert as_bytes(again) == as_bytes(whole)
    found = sorted((tmp_path / "killed" / "stage1").rglob("*.json"))
    seconds = {path: json.loads(path.read_text())["cost"]["seconds"] for path in found}
    assert len(found) == CHUNKS and all(seconds[path] == before[path] for path in before)
    assert again["cost"]["stage1"]["seconds"] == pytest.approx(sum(seconds.values()))
    assert again["cost"]["stage1"]["reused"] is False


@pytest.mark.parametrize("damage", ["torn", "flipped", "another", "list"])
def test_a_damaged_chunk_is_sampled_again(base, tmp_path, coin_rewards, drawn, damage):
    whole = stage_of(astar(base), tmp_path)
    paths = sorted((tmp_path / "stage1").rglob("*.json"))
    text = paths[2].read_text()
    content = json.loads(text)
    flipped = {"0": "1", "1": "0"}[content["rewards"][0]] + content["rewards"][1:]
    shorter = {
        name: value for name, value in {**content, "rewards": content["rewards"][:-1]}.items() if name != "sha256"
    }
    broken = {
        "torn": text[: len(text) // 2],
        "flipped": json.dumps({**content, "rewards": flipped}),
        "another": json.dumps({**shorter, "sha256": stage1.content_hash(shorter)}),  # whole, but of another size
        "list": "[]",
    }
    paths[2].write_text(broken[damage])
    drawn.clear()
    again = stage_of(astar(base), tmp_path)
    assert len(drawn) == 1 and drawn[0] == chunk_rows(setup_of(astar(base)))[2]
    assert torch.equal(again.rewards, whole.rewards)


def test_a_kill_in_stage_2_does_not_charge_stage_1_twice(base, tmp_path, coin_rewards, monkeypatch, drawn):
    whole = run_trial(astar(base), tmp_path / "whole")
    drawn.clear()
    seal, sealed = checkpoints.seal, []

    def killed(folder, state):
        seal(folder, state)
        sealed.append(state)
        if len(sealed) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "seal", killed)
        with pytest.raises(KeyboardInterrupt):
            run_trial(astar(base), tmp_path / "killed")
    assert sealed[-1]["timer"]["stage1"]["calls"] == CHUNKS == len(drawn)
    again = run_trial(astar(base), tmp_path / "killed")
    assert len(drawn) == CHUNKS and again["cost"]["resumed"] == 1
    assert as_bytes(again) == as_bytes(whole)
    assert again["cost"]["phases"]["stage1"] == sealed[-1]["timer"]["stage1"]
    assert again["cost"]["stage1"]["reused"] is False, "it is this trial's own"


def test_two_trials_at_once_sample_once(base, tmp_path, coin_rewards, drawn):
    results, events, barrier = {}, [], threading.Barrier(2)

    def work(name, method):
        torch.set_num_threads(1)
        config = astar(base, name, method)
        setup = setup_of(config)
        tokenizer = load_tokenizer(setup.base.folder)
        barrier.wait()
        results[name] = sample(setup, tokenizer, tmp_path, events.append)

    threads = [threading.Thread(target=work, args=(str(b), {"beta1": b})) for b in (0.25, 1.0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(drawn) == CHUNKS
    one, two = results["0.25"], results["1.0"]
    assert torch.equal(one.rewards, two.rewards) and not torch.equal(one.prompt_values, two.prompt_values)
    assert sorted(stage.cost["reused"] for stage in (one, two)) == [False, True]
    assert one.cost["seconds"] == two.cost["seconds"]
    assert any("waiting" in event["message"] for event in events)


def test_of_several_processes_the_first_samples_and_the_others_read(base, tmp_path, coin_rewards, drawn, monkeypatch):
    first = stage_of(astar(base), tmp_path / "first")
    drawn.clear()
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(stage1, "POLL_SECONDS", 0.02)
    found = []
    thread = threading.Thread(target=lambda: found.append(stage_of(astar(base), tmp_path / "second")))
    thread.start()
    time.sleep(0.5)
    assert thread.is_alive() and not found
    shutil.copytree(tmp_path / "first" / "stage1", tmp_path / "second" / "stage1")
    thread.join(60)
    assert torch.equal(found[0].rewards, first.rewards) and not drawn


def test_an_engine_samples_where_training_uses_one(base, tmp_path, coin_rewards, monkeypatch):
    """The engine's place is taken by the base itself; it gets the base's folder and the training's lengths."""
    asked = []

    @contextlib.contextmanager
    def engine(folder, *, max_length, dtype, memory):
        asked.append((folder, max_length, dtype, memory))
        model = setup_of(astar(base)).base_model()
        yield type("Engine", (), {"generate": staticmethod(lambda *a, **k: generate(model, *a, **k))})

    monkeypatch.setattr(vllm_backend, "Engine", engine)
    monkeypatch.setattr(trial_setup, "require", lambda: None)
    plain = stage_of(astar(base), tmp_path)
    other = stage_of(astar(base, backend="vllm"), tmp_path)
    assert asked == [(Path(base), 16 + 12, "float32", 0.4)]
    assert torch.equal(other.rewards, plain.rewards) and other.facts["key"] != plain.facts["key"]


# -- values by row, the filter, one grader ----------------------------------------------------------------------------


def test_two_prompts_with_one_text_have_a_value_each(base, tmp_path, coin_rewards):
    setup = setup_of(astar(base, method={"samples": 16}))
    setup.rl = [setup.rl[0], dataclasses.replace(setup.rl[0], id=setup.rl[0].id + 1)]
    setup.config = dataclasses.replace(
        setup.config, train=dataclasses.replace(setup.config.train, completions_per_step=2)
    )
    stage = sample(setup, load_tokenizer(base), tmp_path, lambda event: None)
    assert not torch.equal(stage.rewards[0], stage.rewards[1])
    assert stage.prompt_values[0] != stage.prompt_values[1]


def rewards_by_prompt(monkeypatch, right: set[int]) -> None:
    """Completions of the prompts at these rows are right, all others wrong."""

    def check(task, texts, prompts):
        known = [prompt.id for prompt in task.prompts("rl")]
        return [Outcome.CORRECT if p.id in known and known.index(p.id) in right else Outcome.WRONG for p in prompts]

    monkeypatch.setattr(ChainTask, "check", check)


def test_the_filter_drops_all_wrong_prompts_only(base, tmp_path, monkeypatch):
    right = {0, 2, 3, 7, 8, 11, 15, 16, 20, 23}
    rewards_by_prompt(monkeypatch, right)
    used = []
    roll_out = rollout.sample
    monkeypatch.setattr(rollout, "sample", lambda t, rows, step: used.extend(rows) or roll_out(t, rows, step))
    record = run_trial(astar(base, method={"filter_wrong": True}, eval_every=0), tmp_path)
    assert record["stage1"]["kept"] == len(right) and record["stage1"]["all_wrong"] == pytest.approx(14 / 24)
    assert set(used) == right and len(used) == 4 * 8
    used.clear()
    run_trial(astar(base, "unfiltered", eval_every=0), tmp_path)
    assert len(set(used)) == 24


def test_too_few_prompts_are_one_clear_line_and_no_record(base, tmp_path, monkeypatch):
    rewards_by_prompt(monkeypatch, {1, 2, 3})
    with pytest.raises(
        InputError, match="method.filter_wrong keeps 3 of 24 training prompts, fewer than the 8"
    ) as error:
        run_trial(astar(base, method={"filter_wrong": True}), tmp_path)
    assert "\n" not in str(error.value) and not (tmp_path / "results").exists()
    assert run_trial(astar(base), tmp_path)["stage1"]["kept"] == 24


def test_both_stages_grade_alike(base, tmp_path, monkeypatch):
    """The same completions, some cut off: the trainer's rewards are stage 1's."""
    setup = setup_of(astar(base))
    trainer = make_trainer(base, "astar-po", tmp_path)
    rows = list(range(8))
    end = trainer.eos_token_ids[0]
    solved = [
        trainer.processing_class(prompt.solution or prompt.answer, add_special_tokens=False)["input_ids"]
        for prompt in setup.rl[:8]
    ]
    given = [ids + [end] if row % 2 else ids for row, ids in enumerate(solved)]  # half of them cut off
    given[0], given[1] = given[0][:-1], given[3]  # wrong, with and without an end
    monkeypatch.setattr(sampled, "generate", lambda *a, **k: given)
    monkeypatch.setattr(evaluate, "generate", lambda *a, **k: given)
    trained = rollout.sample(trainer, rows, 0).rewards
    with stage1.Sampler.open(setup, trainer.processing_class) as sampler:
        letters, _ = sampler.draw([(row, 0) for row in rows])
    assert [float(letter) for letter in letters] == trained.tolist()
    assert 0 < trained.sum() < len(rows)


# -- a real kill -------------------------------------------------------------------------------------------------------

SCRIPT = """
import json, sys, time
from pathlib import Path
import torch
torch.set_num_threads(1)
from repro.store.config import TrialConfig
from repro.tasks.chain import ChainTask
from repro.training import stage1, trial
from repro.training.tokenizer import load_tokenizer
from tests.training.helpers import coin
ChainTask.check = lambda task, texts, prompts: coin(texts, prompts)
draw = stage1.Sampler.draw
stage1.Sampler.draw = lambda self, rows: (time.sleep(0.3), draw(self, rows))[1]
trial.run_trial(TrialConfig.from_json(json.loads(Path(sys.argv[1]).read_text())), Path(sys.argv[2]))
"""


@pytest.mark.slow
def test_sigkill_in_stage_1(base, tmp_path, monkeypatch, drawn):
    monkeypatch.setattr(ChainTask, "check", lambda task, texts, prompts: coin(texts, prompts))
    whole = run_trial(astar(base), tmp_path / "whole")
    (tmp_path / "trial.json").write_text(json.dumps(astar(base).to_json()))
    killed = tmp_path / "killed"
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "trial.json"), str(killed)],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        patience = time.monotonic() + 120
        while len(list(killed.rglob("stage1/*/?????.json"))) < 2:
            assert process.poll() is None and time.monotonic() < patience
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    kept = len(list(killed.rglob("stage1/*/?????.json")))
    assert 2 <= kept < CHUNKS
    drawn.clear()
    again = run_trial(astar(base), killed)
    assert len(drawn) == CHUNKS - kept
    assert as_bytes(again) == as_bytes(whole)
