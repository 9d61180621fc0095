"""Contrasts of bandit trials: paired bandit by bandit, or exact moments of an estimator."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from repro.errors import InputError
from repro.experiments.types import Claim
from repro.statistics.bootstrap import MANY, difference_draws, percentile_interval
from repro.statistics.contrast import evaluate_claim, evaluate_claims

P = 400
CLAIM = Claim(
    id="F", paper="", sentence="", evidence="", kind="direction", metric="bandit:mean_reward@100", arm="new",
    against="old", contrast="difference", better="higher", margin=0.0, paper_supports="",
)  # fmt: skip
REFERENCE = [
    {"objective": "pass", "k": k, "bias": bias, "bias_fewer": 0.0, "variance": 1 / k}
    for k, bias in ((2, 0.0), (3, 1e-15))
]


def record(arm, gain=0.0, seed=0, scale="micro", **bandit):
    luck = np.random.default_rng(seed).normal(size=P)  # common to all arms
    own = np.random.default_rng([seed, *arm.encode()]).normal(size=P, scale=0.1)
    payload = {
        "values": {"mean_reward@100": (luck + own + gain).tolist(), "reward_at_kl@2": [None] * 10 + [1.0] * (P - 10)},
        "reference": REFERENCE,
        "bounded_variance": 2.0 if arm == "new" else 1.0,
        **bandit,
    }
    return {
        "kind": "trial", "key": f"{arm}{seed}", "id": f"figure1/{arm}/seed{seed}", "experiment": "figure1",
        "scale": scale, "variant": None, "arm": arm, "seed": seed, "status": "done",
        "config": {"train": {}, "base": {"kind": "tabular"}, "evaluation": {}}, "hashes": {}, "outcomes": {},
        "bandit": payload,
    }  # fmt: skip


def both(gain=0.0, **more):
    return [record("new", gain, **more), record("old", **more)]


def test_bandits_take_the_place_of_seeds_and_are_paired():
    result = evaluate_claim(CLAIM, both(0.05))
    assert (result.verdict, result.n_seeds, result.paired) == ("supported", P, True)
    assert result.estimate == pytest.approx(0.05, abs=0.02)
    assert result.hi - result.lo < 0.05, "unpaired, the common luck would make it ten times as wide"
    assert evaluate_claim(CLAIM, both(-0.05)).verdict == "contradicted"
    assert evaluate_claim(replace(CLAIM, better="lower"), both(-0.05)).verdict == "supported"


def test_more_seeds_are_more_bandits():
    result = evaluate_claim(CLAIM, [*both(0.05), *both(0.05, seed=1)])
    assert result.n_seeds == 2 * P and result.verdict == "supported"
    uneven = evaluate_claim(CLAIM, [*both(0.05), record("new", seed=1)])
    assert uneven.n_seeds == P, "a seed that one arm lacks is left out"


def test_smoke_and_missing_values_give_no_verdict():
    assert evaluate_claim(CLAIM, both(0.05, scale="smoke")).verdict == "not run"
    late = replace(CLAIM, metric="bandit:mean_reward@1000")
    assert "mean_reward@1000" in evaluate_claim(late, both()).reason
    other = [record("new"), {**record("old"), "bandit": {"values": {"mean_reward@100": [0.0] * 3}}}]
    assert "different numbers" in evaluate_claim(CLAIM, other).reason
    plain = record("old")
    del plain["bandit"]
    assert "not run on a bandit" in evaluate_claim(CLAIM, [record("new"), plain]).reason


def test_bandits_that_never_reach_a_value_are_left_out_up_to_a_limit():
    claim = replace(CLAIM, metric="bandit:reward_at_kl@2")
    assert evaluate_claim(claim, both()).n_seeds == P - 10
    few = record("old", values={"reward_at_kl@2": [None] * 30 + [1.0] * (P - 30)})
    assert f"only {P - 30} of {P} bandits" in evaluate_claim(claim, [record("new"), few]).reason


def test_a_ratio_of_means():
    values = {"variance": [3.0] * P}, {"variance": [1.0] * P}
    records = [record("new", values=values[0]), record("old", values=values[1])]
    claim = replace(CLAIM, metric="bandit:variance", contrast="ratio", kind="threshold", margin=2.0)
    result = evaluate_claim(claim, records)
    assert (result.estimate, result.lo, result.verdict) == (3.0, 3.0, "supported")


@pytest.mark.parametrize(
    ("metric", "against_metric", "better", "contrast", "effect", "verdict"),
    [
        ("estimator:bounded_variance", None, "higher", "ratio", 2.0, "supported"),
        ("estimator:bounded_variance", None, "lower", "difference", -1.0, "contradicted"),
        ("estimator:variance:pass@3", None, "lower", "difference", 0.0, "contradicted"),
        ("estimator:bias:pass", "estimator:tolerance", "lower", "difference", 1e-12 - 1e-15, "supported"),
        ("estimator:bias:pass@2", "estimator:tolerance", "higher", "difference", -1e-12, "contradicted"),
    ],
)
def test_moments_are_exact(metric, against_metric, better, contrast, effect, verdict):
    claim = replace(CLAIM, kind="exact", metric=metric, against_metric=against_metric, better=better, contrast=contrast)
    (result,) = evaluate_claims([claim], both())
    assert result.estimate == pytest.approx(effect, rel=1e-9, abs=1e-18)
    assert (result.verdict, result.lo, result.level) == (verdict, None, None)


@pytest.mark.parametrize(
    "claim",
    [
        replace(CLAIM, metric="estimator:bounded_variance"),
        replace(CLAIM, kind="exact", metric="estimator:variance:pass"),
        replace(CLAIM, kind="exact", metric="estimator:variance:max@3"),
        replace(CLAIM, kind="exact", metric="estimator:speed:pass@3"),
        replace(CLAIM, against_metric="accuracy"),
        replace(CLAIM, metric="bandit"),
    ],
)
def test_a_wrong_claim_is_bad_input(claim):
    with pytest.raises(InputError, match="F"):
        evaluate_claim(claim, both())


def test_many_seeds_are_resampled_as_few_are():
    """Above MANY another algorithm resamples; both agree with the standard error of a mean."""
    for count in (MANY, MANY + 1):
        gaps = np.random.default_rng(count).normal(size=(count, 1))
        lo, hi = percentile_interval(difference_draws(gaps, np.zeros_like(gaps), np.random.default_rng(0)), 0.95)
        assert hi - lo == pytest.approx(2 * 1.984 * gaps.std(ddof=1) / count**0.5, rel=0.04)
