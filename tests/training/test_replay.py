"""Replay: half of the groups restart inside a completion of the other half, as ids, within the length limit."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from transformers import AutoModelForCausalLM

from repro.errors import InputError, TrialError
from repro.methods.base import Needs
from repro.sampling.uniforms import Draw
from repro.store.record import strip_measured
from repro.training import arguments, sampled
from repro.training import setup as trial_setup
from repro.training import trainer as trainer_module
from repro.training.prompt_order import batch_rows
from repro.training.trial import run_trial

from .fakes import Picked, Restarting
from .helpers import TRAIN, coin, make_trainer, reward_by_text, trial_config

LIMIT = TRAIN.max_completion


@pytest.fixture
def run(base, tmp_path, monkeypatch):
    """One batch of 16 rows, two prompts in groups of four: the trainer, its method and its micro-batches."""
    batches, roll_out = [], trainer_module.roll_out
    monkeypatch.setattr(trainer_module, "roll_out", lambda *a: batches.append(roll_out(*a)) or batches[-1])
    method = Restarting(n=4, beta=0.1, entropies=True)
    trainer = make_trainer(base, "", tmp_path / "run", method=method, steps=1, completions_per_step=16)
    reward_by_text(trainer)
    trainer.train()
    (micros, health) = batches[0]
    return trainer, method, micros, health


def ids_of(padded, mask) -> list[list[int]]:
    return [row[here.bool()].tolist() for row, here in zip(padded, mask, strict=True)]


def test_a_replayed_group_continues_its_prompt_and_the_kept_tokens(run):
    trainer, method, micros, _ = run
    (fresh,), (starts,), (batch,) = method.fresh, method.starts, method.batches
    assert len(fresh.rewards) == 8 and fresh.replayed is None and fresh.group_size == batch.group_size == 4
    assert batch.replayed.tolist() == ([False] * 4 + [True] * 4) * 2
    prompts = [p for micro in micros for p in ids_of(micro["prompt_ids"], micro["prompt_mask"])]
    rows = batch_rows(3, 0, len(trainer.prompts), 2)
    first = ids_of(fresh.completion_ids, fresh.mask)
    whole = ids_of(batch.completion_ids, batch.mask)
    assert starts[:, 1].max() > 0
    for prompt, (row, (named, kept)) in enumerate(zip(rows, starts.tolist(), strict=True)):
        start = trainer.prompt_ids[row]
        here = slice(8 * prompt, 8 * prompt + 4)
        assert prompts[here] == [start] * 4 and whole[here] == first[4 * prompt : 4 * prompt + 4]
        prefix = first[4 * prompt + named][:kept]
        again = slice(8 * prompt + 4, 8 * prompt + 8)
        assert prompts[again] == [start + prefix] * 4
        assert all(0 < len(ids) <= LIMIT - kept for ids in whole[again])


def test_prefix_and_continuation_are_graded_together(run):
    trainer, method, micros, _ = run
    (batch,) = method.batches
    ends = set(trainer.eos_token_ids)
    prompts = [p for micro in micros for p in ids_of(micro["prompt_ids"], micro["prompt_mask"])]
    rows = batch_rows(3, 0, len(trainer.prompts), 2).repeat(8)
    for place, ids in enumerate(ids_of(batch.completion_ids, batch.mask)):
        answer = [*prompts[place][len(trainer.prompt_ids[rows[place]]) :], *ids]
        text = trainer.processing_class.decode([token for token in answer if token not in ends])
        assert batch.rewards[place] == float(coin([text], None)[0].value == "c")
        assert bool(batch.truncated[place]) == (answer[-1] not in ends)
        assert answer[-1] in ends or len(answer) == LIMIT


def test_fresh_rows_are_those_of_a_trainer_without_replay(base, run, tmp_path):
    _, method, _, _ = run
    other = Picked(n=4)
    trainer = make_trainer(base, "", tmp_path / "other", method=other, steps=1)
    reward_by_text(trainer)
    trainer.train()
    assert torch.equal(other.batches[0].completion_ids, method.fresh[0].completion_ids)
    assert torch.equal(other.batches[0].rewards, method.fresh[0].rewards)


def test_scores_are_those_of_the_whole_row(base, run):
    """Rows of very different prompts are packed for scoring; plain logits of one unpadded row know nothing of it."""
    trainer, method, micros, _ = run
    (batch,) = method.batches
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    place = 0
    for micro in micros:
        prompts, completions = (
            ids_of(micro[name], micro[mask])
            for name, mask in (("prompt_ids", "prompt_mask"), ("completion_ids", "mask"))
        )
        for row, (prompt, ids) in enumerate(zip(prompts, completions, strict=True)):
            with torch.no_grad():
                log_probs = (
                    model(input_ids=torch.tensor([prompt + ids])).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
                )
            expected = log_probs.gather(1, torch.tensor(ids)[:, None])[:, 0]
            assert torch.allclose(micro["ref_logps"][row, : len(ids)], expected, atol=1e-5)
            assert not micro["ref_logps"][row, len(ids) :].any()
            entropy = -(log_probs.exp() * log_probs).sum(-1)
            assert torch.allclose(batch.entropies[place, : len(ids)], entropy, atol=1e-5)
            place += 1
    assert place == 16


def test_tokens_flops_and_figures(run):
    trainer, method, micros, health = run
    (batch,), (fresh,) = method.batches, method.fresh
    phases = trainer.timer.to_json()
    assert phases["generate"]["tokens"] == phases["update"]["tokens"] == int(batch.mask.sum())
    assert phases["generate"]["calls"] == 2
    prompts = torch.cat([micro["prompt_mask"].sum(1) for micro in micros])
    assert phases["generate"]["flops"] == trainer.forward_flops.generate(prompts, batch.mask.sum(1))
    assert health["reward"] == float(fresh.rewards.mean()) and health["length"] == float(
        fresh.mask.sum(1).float().mean()
    )
    assert health["replayed_reward"] == float(batch.rewards[batch.replayed].mean())
    assert health["replayed_length"] == float(batch.mask[batch.replayed].sum(1).float().mean())


def test_every_row_has_noise_of_its_own(base, run, tmp_path, monkeypatch):
    drawn = []
    generate = sampled.generate
    monkeypatch.setattr(sampled, "generate", lambda m, p, draws, **k: drawn.append(draws) or generate(m, p, draws, **k))
    trainer = make_trainer(base, "", tmp_path / "more", method=Restarting(n=4), steps=1, completions_per_step=16)
    trainer.train()
    fresh, again = drawn
    assert fresh == [Draw(3, "rollout", 0, trainer.prompts[r].id, i) for r in batch_rows(3, 0, 24, 2) for i in range(4)]
    assert again == [dataclasses.replace(draw, stream="replay") for draw in fresh]


def test_prompts_follow_the_order_of_half_as_many_a_batch(base, tmp_path):
    trainer = make_trainer(base, "", tmp_path, method=Restarting(n=2), steps=7, completions_per_step=8)
    order = list(trainer._get_train_sampler())
    assert len(order) == 7 * 8 * 2  # asked for once per micro-step
    for batch in range(7):
        rows = order[16 * batch : 16 * batch + 8]
        assert rows == [int(row) for row in batch_rows(3, batch, 24, 2) for _ in range(4)]


@pytest.mark.parametrize("bad", [[[4, 0]], [[-1, 0]], [[0, -1]], [[0, LIMIT]], [[0, 0], [0, 0]]])
def test_a_restart_beyond_a_completion_is_refused(base, tmp_path, bad):
    method = Restarting(n=4)
    method.replay_from = lambda batch: torch.tensor(bad)
    trainer = make_trainer(base, "", tmp_path, method=method, steps=1)
    with pytest.raises(ValueError, match="replay_from"):
        trainer.train()


def test_sizes_that_hold_no_pair_of_groups_are_one_clear_line(base, tmp_path, monkeypatch):
    settings = dataclasses.replace(TRAIN, completions_per_step=12)
    assert arguments.split_plan(settings, Needs(), 4) == (4, 3, 3)
    with pytest.raises(
        InputError, match="12 rows per process are not a multiple of 8: with replay .* two groups of n=4"
    ):
        arguments.split_plan(settings, Needs(replay=True), 4)
    # A trial is refused before its base is even looked for.
    monkeypatch.setattr(trial_setup, "create", lambda method: Restarting(n=4))
    monkeypatch.setattr(trial_setup, "ensure_base", lambda *args: pytest.fail("the base was made"))
    with pytest.raises(InputError, match="change completions_per_step") as caught:
        run_trial(trial_config(base, completions_per_step=12), tmp_path)
    assert "\n" not in str(caught.value)


def as_bytes(record) -> str:
    return json.dumps(strip_measured(record), sort_keys=True)


def test_trials_repeat_and_resume_to_the_bit(base, tmp_path, monkeypatch, coin_rewards):
    monkeypatch.setattr(trial_setup, "create", lambda method: Restarting(n=2, beta=0.1, selected=True))
    config = trial_config(base)  # four steps of two prompts
    first, second = (run_trial(config, tmp_path / name) for name in "ab")
    assert as_bytes(first) == as_bytes(second)
    assert first["cost"]["prompts"] == 8 and first["curve"][-1]["prompts"] == 8
    assert first["cost"]["completions"] == 32 and first["health"][3]["loss"] != 0
    calls, loss = [], Restarting.loss

    def broken(method, micro):
        calls.append(1)
        value, metrics = loss(method, micro)
        return value * (float("nan") if len(calls) == 6 else 1), metrics  # two micro-batches a step

    with monkeypatch.context() as patch:
        patch.setattr(Restarting, "loss", broken)
        with pytest.raises(TrialError, match="in step 3"):
            run_trial(config, tmp_path / "c")
    again = run_trial(config, tmp_path / "c")
    assert again["cost"]["resumed"] == 1 and as_bytes(again) == as_bytes(first)
