"""KL to the base on the samples of an evaluation set: against plain log-probabilities, and 0 where it must be."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest
import torch
from transformers import AutoModelForCausalLM

from repro.errors import InputError
from repro.store.config import EvaluationSet, LoraSettings
from repro.store.record import check_record
from repro.training import trial as trial_module
from repro.training.evaluate import sampled_logps
from repro.training.kl import kl_to_base, nothing
from repro.training.trial import run_trial

from .helpers import make_trainer, trial_config


def load(base, noise=0.0, dtype=torch.float32):
    """The base, its weights moved by noise."""
    model = AutoModelForCausalLM.from_pretrained(base, dtype=dtype).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += noise * torch.randn(parameter.shape, generator=generator)
    return model


SAMPLES = [
    ([3, 4, 5, 6], [7, 8, 9]), ([3, 4, 5, 6], [10]), ([5, 6], [4, 4, 4, 4, 4, 4]), ([5, 6], []),
    ([9, 8, 7, 6, 5], [3, 11]), ([9, 8, 7, 6, 5], [12, 3, 8, 9]),
]  # fmt: skip


@pytest.mark.parametrize("temperature", [1.0, 0.6])
@pytest.mark.parametrize("rows", [1, 4, 99])
def test_it_is_the_mean_of_the_log_ratios(base, temperature, rows):
    policy, reference = load(base, 0.1), load(base)
    found = kl_to_base(policy, reference, SAMPLES, 2, temperature=temperature, rows=rows)
    prompts, completions = map(list, zip(*SAMPLES, strict=True))
    ours, theirs = (sampled_logps(model, prompts, completions, temperature) for model in (policy, reference))
    ratios = [[a - b for a, b in zip(*pair, strict=True)] for pair in zip(ours, theirs, strict=True)]
    sums = [sum(row) for row in ratios]
    means = [sum(row) / len(row) if row else 0.0 for row in ratios]
    assert found["sequence"] == pytest.approx(
        [(a + b) / 2 for a, b in zip(sums[::2], sums[1::2], strict=True)], abs=1e-5
    )
    assert found["token"] == pytest.approx(
        [(a + b) / 2 for a, b in zip(means[::2], means[1::2], strict=True)], abs=1e-5
    )
    assert max(map(abs, found["sequence"])) > 0.01


def test_many_positions_are_scored_in_parts(base, monkeypatch):
    policy, reference = load(base, 0.1), load(base)
    whole = kl_to_base(policy, reference, SAMPLES, 2, temperature=1.0, rows=99)
    monkeypatch.setattr("repro.training.kl.POSITIONS", 3)
    parts = kl_to_base(policy, reference, SAMPLES, 2, temperature=1.0, rows=99)
    assert parts["sequence"] == pytest.approx(whole["sequence"], abs=1e-6)


def test_a_policy_that_equals_its_base_is_at_exactly_zero(base, tmp_path):
    """Also behind the trainer's patched head, which the base does not have."""
    policy = make_trainer(base, "grpo", tmp_path).model.eval()
    assert kl_to_base(policy, load(base), SAMPLES, 2, temperature=0.7, rows=3) == nothing(3)
    moved = kl_to_base(policy, load(base, 0.1), SAMPLES, 2, temperature=0.7, rows=3)
    assert all(value != 0 for value in moved["token"])


def test_on_its_own_samples_the_estimate_is_the_exact_divergence(base):
    """One-token completions: the mean over all tokens, weighted by pi, is KL(pi || pi_ref), and positive."""
    policy, reference = load(base, 0.2), load(base)
    prompt, count = [3, 4, 5], policy.config.vocab_size
    found = kl_to_base(policy, reference, [(prompt, [t]) for t in range(count)], 1, temperature=1.0, rows=8)
    with torch.no_grad():
        ours, theirs = (
            torch.log_softmax(model(torch.tensor([prompt])).logits[0, -1].double(), -1) for model in (policy, reference)
        )
    exact = float((ours.exp() * (ours - theirs)).sum())
    assert exact > 0.01
    assert float((ours.exp() * torch.tensor(found["sequence"])).sum()) == pytest.approx(exact, rel=1e-4)


def with_kl(config, **changes):
    sets = (EvaluationSet(n=2, kl=True, **changes),)
    return dataclasses.replace(config, evaluation=dataclasses.replace(config.evaluation, sets=sets))


@pytest.mark.parametrize("lora", [None, LoraSettings(rank=2)])
def test_a_trained_arm_records_it(base, tmp_path, coin_rewards, monkeypatch, lora):
    given, measure = [], trial_module.kl.kl_to_base

    def spy(policy, reference, samples, n, **options):
        given.append((samples, n, options))
        return measure(policy, reference, samples, n, **options)

    monkeypatch.setattr(trial_module.kl, "kl_to_base", spy)
    record = run_trial(with_kl(trial_config(base, "tbrm", learning_rate=1e-2, lora=lora)), tmp_path)
    check_record(json.loads(json.dumps(record)))
    entry, metrics = record["outcomes"]["chain"]["kl"], record["metrics"]
    assert len(entry["sequence"]) == len(entry["token"]) == 16 == len(record["outcomes"]["chain"]["questions"])
    assert metrics["chain/kl"] == pytest.approx(sum(entry["sequence"]) / 16) and metrics["chain/kl"] > 1e-4
    assert metrics["chain/kl_token"] == pytest.approx(sum(entry["token"]) / 16)
    ((samples, n, options),) = given
    assert n == 2 and len(samples) == 32 and options["temperature"] == 1.0 and options["rows"] == 4
    assert samples[0][0] == samples[1][0] != samples[2][0]
    plain = run_trial(trial_config(base, "tbrm", learning_rate=1e-2, lora=lora), tmp_path)
    assert "kl" not in plain["outcomes"]["chain"] and plain["key"] != record["key"]
    assert plain["outcomes"]["chain"]["samples"] == record["outcomes"]["chain"]["samples"]
    extra = record["cost"]["phases"]["evaluate"]["flops"] - plain["cost"]["phases"]["evaluate"]["flops"]
    assert extra > 0


def test_without_updates_and_for_the_base_it_is_zero(base, tmp_path, coin_rewards, monkeypatch):
    still = run_trial(with_kl(trial_config(base, "grpo", learning_rate=0.0, steps=1)), tmp_path)
    monkeypatch.setattr(trial_module.kl, "kl_to_base", lambda *a, **k: pytest.fail("the base needs no forward pass"))
    untrained = run_trial(with_kl(trial_config(base, "none", steps=0, eval_every=0)), tmp_path)
    for record in (still, untrained):
        assert record["outcomes"]["chain"]["kl"] == nothing(16)
        assert record["metrics"]["chain/kl"] == record["metrics"]["chain/kl_token"] == 0


@pytest.mark.parametrize("change", [{"token": [0.0] * 15}, {"sequence": [math.nan] * 16}, {"sequence": None}])
def test_a_record_with_a_broken_entry_is_refused(base, tmp_path, change):
    record = run_trial(with_kl(trial_config(base, "none", steps=0, eval_every=0)), tmp_path)
    record["outcomes"]["chain"]["kl"].update(change)
    with pytest.raises(InputError, match="one finite (token|sequence) KL per question"):
        check_record(record)
