"""One claim as a number: which records it compares, its estimate and its bootstrap draws.

The metrics are listed in `repro.statistics.contrast`, which turns these effects into verdicts.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from repro.errors import InputError
from repro.statistics.aggregate import probability_of_improvement
from repro.statistics.bandits import BANDIT, ESTIMATOR, UNIT, moment, paired_values
from repro.statistics.bootstrap import RESAMPLES, cost_ratio_draws, difference_draws, ratio_draws
from repro.statistics.costs import STEP_TIMES, planned, predicted_peak, rounds
from repro.statistics.efficiency import compare_curves, efficiency_draws, samples_to_reach
from repro.statistics.scores import EFFICIENCY, arm_curves, arm_scores, by_seed
from repro.statistics.trial_metrics import Missing
from repro.statistics.verdict import MINIMUM_SEEDS, oriented
from repro.store.outcomes import RULES

PLANNED = ("planned_peak", "planned_flops")


@dataclass(frozen=True)
class Contrast:
    estimate: float
    draws: np.ndarray | None  # (R,) of the effect; None: exact, or a single seed
    p_improvement: float | None
    count: int
    unit: str = "seeds"
    paired: bool = True
    exact: bool = False
    ceiling: float | None = None  # no effect can be larger, whatever the arm does


def contrast_of(
    claim: Any, records: list[dict], timing: dict | None, plan: dict | None, resamples: int = RESAMPLES
) -> Contrast:
    """The effect of one claim. Raises `Missing` where records lack what it needs, `InputError` for a wrong claim."""
    rng = generator(claim.id)
    _require_signal(claim, records)
    name, _, detail = claim.metric.partition(":")
    against_metric = claim.against_metric or claim.metric
    if name in (*STEP_TIMES, *PLANNED, "predicted_peak") and against_metric != claim.metric:
        raise InputError(f"claim {claim.id}: {name} can only be compared with itself, not with {against_metric}")
    if name in STEP_TIMES:
        return _cost(claim, timing, detail or "prompts_equal", rng, resamples)
    if name in PLANNED:
        return _planned(claim, plan, name, detail)
    one, two = by_seed(records, claim.arm), by_seed(records, claim.against)
    if name == "predicted_peak":
        effect = _effect(claim, predicted_peak(one), predicted_peak(two))
        return Contrast(effect, None, None, min(len(one), len(two)), exact=True)
    shared = sorted(set(one) & set(two))
    paired = set(one) == set(two) or len(shared) >= MINIMUM_SEEDS
    if paired:
        one, two = ({seed: chosen[seed] for seed in shared} for chosen in (one, two))
    if name == BANDIT:
        return _bandits(claim, one, two, rng, resamples)
    if name == ESTIMATOR:
        return _estimators(claim, one, two)
    if EFFICIENCY in (name.partition("@")[2], against_metric.partition(":")[0].partition("@")[2]):
        return _efficiency(claim, one, two, rng, resamples, paired)
    (arm, questions), (rival, others) = arm_scores(one, claim.metric), arm_scores(two, against_metric)
    if np.size(arm[0][0]) != np.size(rival[0][0]) and claim.metric != against_metric:
        raise InputError(f"claim {claim.id}: {claim.metric} and {against_metric} are not of one kind")
    if questions != others:
        raise _different_questions(claim)
    arm_means, rival_means = _means(arm), _means(rival)
    count = min(len(one), len(two))
    draws = None
    if count > 1 or np.size(arm[0][0]) > 1:
        first, second = (arm, rival) if claim.better == "higher" else (rival, arm)
        draw = difference_draws if claim.contrast == "difference" else ratio_draws
        draws = draw(first, second, rng, resamples, paired)
    improvement = probability_of_improvement(arm_means, rival_means)
    if claim.better == "lower":
        improvement = 1 - improvement
    estimate = _effect(claim, arm_means.mean(), rival_means.mean())
    return Contrast(estimate, draws, improvement, count, paired=paired)


def _require_signal(claim: Any, records: list[dict]) -> None:
    """`Missing` where the arm of the claim's floor scores too little at a scale at which that means: no signal."""
    floor = claim.floor
    if floor is None or not records or records[0]["scale"] not in floor.scales:
        return
    scores, _ = arm_scores(by_seed(records, floor.arm), "accuracy")
    mean = _means(scores).mean()
    if mean < floor.accuracy:
        raise Missing(f"no signal: {floor.arm} scores {100 * mean:.1f} %, less than {100 * floor.accuracy:g} %")


def _planned(claim: Any, plan: dict | None, what: str, name: str) -> Contrast:
    """Exact and without seeds: both numbers follow from the configuration alone."""
    if claim.kind != "exact" or not name:
        raise InputError(f"claim {claim.id}: {what} names a planned model ({what}:1.5B) and needs kind exact")
    return Contrast(
        _effect(claim, planned(plan, claim.arm, name, what), planned(plan, claim.against, name, what)),
        None, None, 0, exact=True,
    )  # fmt: skip


def _bandits(
    claim: Any, one: dict[int, dict], two: dict[int, dict], rng: np.random.Generator, resamples: int
) -> Contrast:
    """Paired bandit by bandit: all arms met the same rewards and uniforms, so a bandit takes the place of a seed."""
    shared = sorted(set(one) & set(two))
    if not shared:
        raise Missing(f"{claim.arm} and {claim.against} have no seed in common: run both again")
    arm, rival = paired_values(claim, *({seed: chosen[seed] for seed in shared} for chosen in (one, two)))
    first, second = (arm, rival) if claim.better == "higher" else (rival, arm)
    draw = difference_draws if claim.contrast == "difference" else ratio_draws
    draws = draw(first[:, None], second[:, None], rng, resamples) if len(arm) > 1 else None
    effect = _effect(claim, arm.mean(), rival.mean())
    return Contrast(effect, draws, probability_of_improvement(first, second), len(arm), unit=UNIT)


def _estimators(claim: Any, one: dict[int, dict], two: dict[int, dict]) -> Contrast:
    """Exact and the same for every seed: moments of two estimators follow from their formulas."""
    if claim.kind != "exact":
        raise InputError(f"claim {claim.id}: {claim.metric} has no error and needs kind exact")
    metrics = claim.metric, claim.against_metric or claim.metric
    arm, rival = (
        moment(claim, next(iter(chosen.values())), metric) for chosen, metric in zip((one, two), metrics, strict=True)
    )
    return Contrast(_effect(claim, arm, rival), None, None, min(len(one), len(two)), exact=True)


def _efficiency(
    claim: Any, one: dict[int, dict], two: dict[int, dict], rng: np.random.Generator, resamples: int, paired: bool
) -> Contrast:
    """The sample-efficiency factor of `one` over `two`, on the curves of both (see the module's docstring)."""
    (rule, only), (rival_rule, rival_only) = (
        _efficiency_rule(claim, metric) for metric in (claim.metric, claim.against_metric or claim.metric)
    )
    if (claim.contrast, claim.better) != ("ratio", "higher") or only != rival_only:
        raise InputError(f"claim {claim.id}: {EFFICIENCY} needs contrast ratio, better higher, and one set for both")
    sizes, arm, questions = arm_curves(one, rule, only)
    rival_sizes, rival, others = arm_curves(two, rival_rule, only)
    if questions != others:
        raise _different_questions(claim)
    if sizes != rival_sizes:
        raise Missing(f"{claim.arm} and {claim.against} have different sizes N: run both again")
    estimate, improvement = compare_curves(sizes, arm, rival)
    count, draws = min(len(one), len(two)), None
    if count > 1 or arm[0].shape[1] > 1:
        draws = efficiency_draws(sizes, arm, rival, rng, resamples, paired)
    # A rival at its best with few samples leaves nothing to save: no arm could then show a large factor.
    mean = np.mean([item.mean(axis=(0, 1)) for item in rival], axis=0, keepdims=True)
    ceiling = float(samples_to_reach(sizes, mean, mean.max())[0] / sizes[0])
    return Contrast(estimate, draws, improvement, count, paired=paired, ceiling=ceiling)


def _efficiency_rule(claim: Any, metric: str) -> tuple[str, str]:
    """Rule and set of `weighted@efficiency:set`; the set is "" for the mean over all."""
    name, _, only = metric.partition(":")
    rule, _, word = name.partition("@")
    if word != EFFICIENCY or rule not in RULES:
        known = ", ".join(f"{rule}@{EFFICIENCY}" for rule in RULES)
        raise InputError(f"claim {claim.id}: {metric} is not an efficiency: use {known}, for the rival too")
    return rule, only


def _different_questions(claim: Any) -> Missing:
    return Missing(f"{claim.arm} and {claim.against} were evaluated on different questions: run both again")


def _cost(claim: Any, timing: dict | None, held_equal: str, rng: np.random.Generator, resamples: int) -> Contrast:
    """Paired ratios over rounds, geometric mean. A difference of costs is not supported: seconds differ by machine."""
    name = claim.metric.partition(":")[0]
    if claim.contrast != "ratio":
        raise InputError(f"claim {claim.id}: {name} needs contrast ratio, not {claim.contrast}")
    arm, rival = (rounds(timing, one, held_equal, STEP_TIMES[name]) for one in (claim.arm, claim.against))
    count = min(len(arm), len(rival))
    arm, rival = arm[:count], rival[:count]
    first, second = (arm, rival) if claim.better == "higher" else (rival, arm)
    estimate = float(np.exp(np.log(first / second).mean()))
    # Fewer rounds give no verdict, and an interval so wide that it would only mislead.
    draws = cost_ratio_draws(first, second, rng, resamples) if count >= MINIMUM_SEEDS else None
    return Contrast(estimate, draws, probability_of_improvement(first, second), count, unit="timing rounds")


def _effect(claim: Any, arm: float, rival: float) -> float:
    try:
        return float(oriented(float(arm), float(rival), claim.contrast, claim.better))
    except ZeroDivisionError:
        raise Missing(f"the ratio of {claim.arm} and {claim.against} is undefined: {claim.metric} is 0") from None


def _means(scores: list[np.ndarray]) -> np.ndarray:
    return np.mean([item.mean(axis=1) for item in scores], axis=0)


def generator(name: str) -> np.random.Generator:
    """The same draws for the same name, on every machine."""
    return np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:16], "big"))
