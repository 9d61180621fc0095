"""One trial from config to record: repeatable to the bit, whole, cached, and honest about failure."""

from __future__ import annotations

import dataclasses
import json

import pytest

from repro.errors import InputError, TrialError
from repro.methods.tbrm import Tbrm
from repro.store.config import EvaluationSet
from repro.store.record import check_record, strip_measured
from repro.store.records import load_records
from repro.store.workspace import Workspace
from repro.training import checkpoints
from repro.training import trainer as trainer_module
from repro.training.trial import run_trial

from .helpers import trial_config


def as_bytes(record) -> str:
    return json.dumps(strip_measured(record), sort_keys=True)


def stored(root) -> list[dict]:
    records, problems = load_records(Workspace(root))
    assert not problems
    return records


@pytest.mark.parametrize("name", ["grpo", "ppo", "tbrm", "astar-po", "rebel"])
def test_two_runs_of_one_trial_agree_to_the_bit(base, tmp_path, coin_rewards, name):
    config = trial_config(base, name)
    first, second = (run_trial(config, tmp_path / run) for run in "ab")
    assert first["status"] == "done"
    assert as_bytes(first) == as_bytes(second)
    assert as_bytes(stored(tmp_path / "a")[0]) == as_bytes(first)
    assert (
        len(first["health"]) == 4 and first["health"][3]["kl"] != 0
    )  # it has trained: there was something to agree on


def test_another_seed_is_another_trial(base, tmp_path, coin_rewards):
    first, second = (run_trial(trial_config(base, "tbrm", seed=seed), tmp_path) for seed in (0, 1))
    assert first["key"] != second["key"]
    assert first["outcomes"]["chain"]["samples"] != second["outcomes"]["chain"]["samples"]
    assert first["outcomes"]["chain"]["questions"] == second["outcomes"]["chain"]["questions"]


def test_the_record_is_complete(base, tmp_path, coin_rewards):
    """TBRM with one rollout per prompt, which TRL refuses; three steps, so the last curve point is off the rhythm."""
    record = run_trial(trial_config(base, "tbrm", steps=3), tmp_path)
    check_record(record)
    assert record["error"] is None and record["config"]["method"]["n"] == 1
    assert [point["step"] for point in record["curve"]] == [0, 2, 3]
    assert [point["completions"] for point in record["curve"]] == [0, 16, 24]
    assert [point["prompts"] for point in record["curve"]] == [0, 16, 24]
    assert [point["updates"] for point in record["curve"]] == [0, 2, 3]
    assert all(0 <= point["dev_accuracy"] <= 1 for point in record["curve"])
    assert [row["step"] for row in record["health"]] == [1, 2, 3]
    assert {len(row) for row in record["outcomes"]["chain"]["samples"]} == {2}
    assert len(record["outcomes"]["chain"]["greedy"]) == 16
    assert {"chain/accuracy", "chain/greedy", "chain/pass@1", "chain/pass@2", "chain/truncated"} <= set(
        record["metrics"]
    )
    assert set(record["hashes"]["prompts"]) == {"rl", "dev", "chain"}
    cost = record["cost"]
    assert (cost["completions"], cost["prompts"], cost["updates"], cost["resumed"]) == (24, 24, 3, 0)
    assert cost["predicted_peak"]["total"] > 0 and cost["train_seconds"] > 0 and cost["evaluate_seconds"] > 0
    assert record["samples"] and {"prompt", "completion", "gold", "outcome"} <= set(record["samples"][0])


def test_the_learning_curve_can_be_that_of_test_questions(base, tmp_path, coin_rewards):
    plain = trial_config(base, "tbrm", steps=1)
    evaluation = dataclasses.replace(plain.evaluation, curve="test", dev_questions=16)
    config = dataclasses.replace(plain, evaluation=evaluation)
    record = run_trial(config, tmp_path)
    assert record["hashes"]["prompts"]["dev"] == record["hashes"]["prompts"]["chain"]  # all 16 test questions
    assert [point["step"] for point in record["curve"]] == [0, 1]
    wrong = dataclasses.replace(config, evaluation=dataclasses.replace(evaluation, curve="exam"))
    with pytest.raises(InputError, match="evaluation.curve=exam: task chain has base, rl, dev, test"):
        run_trial(wrong, tmp_path)


def test_updates_and_prompts_of_a_group_method(base, tmp_path, coin_rewards):
    record = run_trial(trial_config(base, "grpo-minibatches", steps=2, eval_every=1), tmp_path)
    assert [point["prompts"] for point in record["curve"]] == [0, 2, 4]  # 8 completions in groups of 4
    assert [point["updates"] for point in record["curve"]] == [0, 2, 4]
    assert (record["cost"]["completions"], record["cost"]["prompts"], record["cost"]["updates"]) == (16, 4, 4)


def test_the_base_arm_is_evaluated_and_not_trained(base, tmp_path):
    record = run_trial(trial_config(base, "none", steps=0, eval_every=0), tmp_path)
    assert record["curve"] == record["health"] == []
    assert set(record["hashes"]["prompts"]) == {"chain"}
    assert record["cost"]["predicted_peak"] is None and set(record["cost"]["phases"]) == {"evaluate"}
    assert (record["cost"]["completions"], record["cost"]["updates"]) == (0, 0)


def test_at_learning_rate_zero_a_trained_arm_equals_the_base(base, tmp_path):
    """The same questions and the same draws for every arm: without updates there is no difference left."""
    still = run_trial(trial_config(base, "grpo", learning_rate=0.0, steps=1), tmp_path)
    untrained = run_trial(trial_config(base, "none", steps=0, eval_every=0), tmp_path)
    assert still["outcomes"] == untrained["outcomes"]


def test_a_finished_trial_is_not_run_again(base, tmp_path, monkeypatch):
    config = trial_config(base, "grpo", steps=1)
    first = run_trial(config, tmp_path)
    monkeypatch.setattr(trainer_module, "roll_out", lambda *args: pytest.fail("trained again"))
    events = []
    again = run_trial(dataclasses.replace(config, arm="renamed"), tmp_path, emit=events.append)  # no arm in the key
    assert as_bytes(again) == as_bytes(first)
    assert [event["event"] for event in events] == ["cached"]


def test_events(base, tmp_path):
    events = []
    run_trial(trial_config(base, "grpo"), tmp_path, emit=events.append)
    assert events[0]["event"] == "started" and events[-1]["event"] == "done"
    steps = [event for event in events if event["event"] == "step"]
    assert [(event["step"], event["total"]) for event in steps] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert all(event["id"] == "unit/grpo/seed0" for event in events)
    assert all(event["reward"] is not None and event["accuracy"] is not None for event in steps)


# -- failure -----------------------------------------------------------------------------------------------------------


def nan_in_step(monkeypatch, bad: int) -> None:
    """TBRM's loss is NaN in generation batch `bad` (two micro-batches each, counted from 1)."""
    calls, loss = [], Tbrm.loss

    def broken(method, micro):
        calls.append(1)
        value, metrics = loss(method, micro)
        return (value * float("nan") if (len(calls) - 1) // 2 + 1 == bad else value), metrics

    monkeypatch.setattr(Tbrm, "loss", broken)


def test_a_nan_loss_is_recorded_with_its_step(base, tmp_path, coin_rewards, monkeypatch):
    config = trial_config(base, "tbrm")
    whole = run_trial(config, tmp_path / "whole")
    with monkeypatch.context() as patch:
        nan_in_step(patch, 3)
        message = r"^unit/tbrm/seed0: the loss is nan in step 3; lower the learning rate$"
        with pytest.raises(TrialError, match=message) as caught:
            run_trial(config, tmp_path)
    assert caught.value.step == 3
    (record,) = stored(tmp_path)
    assert record["status"] == "failed" and record["error"]["step"] == 3 and "nan" in record["error"]["message"]
    assert "\n" not in record["error"]["message"]
    assert [row["step"] for row in record["health"]] == [1, 2]
    assert record["key"] == whole["key"] and record["metrics"] == {} == record["outcomes"]
    # A failed record is no cache: the next run goes on from the last checkpoint and ends like an undisturbed one.
    again = run_trial(config, tmp_path)
    assert again["cost"]["resumed"] == 1
    assert as_bytes(again) == as_bytes(whole)
    (record,) = stored(tmp_path)
    assert record["status"] == "done"


def test_a_learning_rate_that_explodes_fails_the_trial(base, tmp_path, coin_rewards):
    """The whole path, nothing replaced: huge weights, logits that overflow, a loss that is not finite."""
    with pytest.raises(TrialError) as caught:
        run_trial(trial_config(base, "tbrm", learning_rate=1e30), tmp_path)
    assert caught.value.step == 2
    (record,) = stored(tmp_path)
    assert record["status"] == "failed" and record["error"]["step"] == 2


def test_bad_input_leaves_no_record(base, tmp_path):
    config = trial_config(base, "grpo")
    twice = dataclasses.replace(config.evaluation, sets=(EvaluationSet(n=2), EvaluationSet(n=4)))
    absent = dataclasses.replace(config.evaluation, sets=(EvaluationSet(n=2, split="train"),))
    bad = {
        "names chain twice": dataclasses.replace(config, evaluation=twice),
        "has no split 'train'": dataclasses.replace(config, evaluation=absent),
        "does not exist": dataclasses.replace(config, base={"kind": "folder", "path": str(tmp_path / "nowhere")}),
        "more than max_prompt 3": trial_config(base, "grpo", max_prompt=3),
    }
    for message, broken in bad.items():
        with pytest.raises(InputError, match=message):
            run_trial(broken, tmp_path)
    assert not stored(tmp_path)


# -- checkpoints -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keep", [1, 2])
def test_retention(base, tmp_path, monkeypatch, keep):
    """Newest `keep` while training, none once the record is written; every generation batch is sealed."""
    seen, prune = [], checkpoints.prune

    def spy(root, count):
        prune(root, count)
        seen.append(sorted(path.name for path in root.glob("checkpoint-*")))
        assert all(checkpoints.is_whole(path) for path in root.glob("checkpoint-*"))

    monkeypatch.setattr(checkpoints, "prune", spy)
    record = run_trial(trial_config(base, "ppo", keep_checkpoints=keep, steps=3), tmp_path)
    # Two updates per batch: checkpoints fall on generation boundaries only.
    expected = ["checkpoint-2", "checkpoint-4", "checkpoint-6"]
    assert seen == [expected[max(0, i + 1 - keep) : i + 1] for i in range(3)]
    assert not list((tmp_path / "checkpoints").rglob("*"))
    assert record["cost"]["phases"]["checkpoint"]["calls"] == 3


def test_checkpoints_and_their_number_change_no_result(base, tmp_path, coin_rewards):
    often = run_trial(trial_config(base, "ppo"), tmp_path / "often")
    never = run_trial(trial_config(base, "ppo", checkpoint_every=0), tmp_path / "never")
    assert often["key"] == never["key"] and "checkpoint" not in never["cost"]["phases"]
    often["config"]["train"]["checkpoint_every"] = 0
    assert as_bytes(often) == as_bytes(never)


def test_tracker_files_outlive_the_trial(base, tmp_path, monkeypatch):
    pytest.importorskip("tensorboard")
    monkeypatch.delenv("TENSORBOARD_LOGGING_DIR", raising=False)  # an earlier trial of this process has set it
    run_trial(trial_config(base, "grpo", steps=1, trackers=("tensorboard",)), tmp_path)
    assert list(tmp_path.rglob("events.out.tfevents*"))
