"""From stored records to a result per claim: estimate, interval, P(improvement), verdict, reason.

Metrics of a claim (`:set` picks one evaluation set, otherwise the mean over all sets but "dev" is meant):
accuracy, greedy, pass@k, truncated, unparsed from the per-question outcomes; majority@N, best@N, weighted@N and
verifier_accuracy from the scored pools of samples, per question too; verifier_auc, joint@N, joint_majority@N, one
number per set and seed, so their interval holds the choice of seeds only; time_per_step[:completions_equal] from the
rounds of the timing record, prompts held equal unless named otherwise; predicted_peak, exact; measured_peak (bytes on
CUDA, sampling engine and evaluation apart); last_reward (mean over the last 10 generation batches).
`against_metric` gives the rival a metric of its own; both sides may then be the same arm.

Sample efficiency is written `weighted@efficiency[:set]`, with `against_metric` in the same form (the rival's rule):
how many times fewer samples the arm needs, by its rule, to reach the best accuracy of the rival by the rival's rule, on
the curves of mean accuracy over N (`repro.statistics.efficiency`; contrast ratio, better higher). Its interval comes
from whole curves: each resample of seeds and questions is the same for every N and both arms, and the factor is
computed from the resampled curves. The seed part of each curve has the tails of Student's t as everywhere, the factor
itself is then read off as it is: its percentiles are not corrected again. A resampled curve that never reaches the
target counts by the floor of that module, so both ends of the interval are always finite. Where the rival is at its
best with so few samples that the claimed factor could not show, the claim is inconclusive and says so.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from repro.errors import InputError
from repro.statistics.aggregate import probability_of_improvement
from repro.statistics.bootstrap import (
    RESAMPLES,
    cost_ratio_draws,
    difference_draws,
    percentile_interval,
    ratio_draws,
)
from repro.statistics.efficiency import compare_curves, efficiency_draws, samples_to_reach
from repro.statistics.holm import ALPHA, holm_levels, p_value, step_down
from repro.statistics.intervals import Interval, aa_interval, accuracy_interval
from repro.statistics.scores import EFFICIENCY, Missing, arm_curves, arm_scores, by_seed, predicted_peak, rounds
from repro.statistics.verdict import MINIMUM_SEEDS, Verdict, boundary, no_verdict_reason, oriented, verdict
from repro.store.outcomes import RULES


@dataclass(frozen=True)
class ClaimResult:
    """`estimate`, `lo`, `hi` are the effect in favour of the claim's arm (see `repro.statistics.verdict.oriented`).

    None stands for "not available": all three if nothing could be compared, `lo`, `hi` and `level` for an exact claim
    or with a single seed.
    """

    claim: str
    estimate: float | None
    lo: float | None
    hi: float | None
    level: float | None  # of the interval, e.g. 0.99
    p_improvement: float | None  # a random seed (or round) of the arm does better than one of the rival
    verdict: Verdict
    reason: str  # why there is no verdict, or why it is inconclusive; else ""
    n_seeds: int  # seeds per arm (rounds for time_per_step)
    paired: bool = True  # seeds paired


@dataclass(frozen=True)
class _Contrast:
    estimate: float
    draws: np.ndarray | None  # (R,) of the effect; None: exact, or a single seed
    p_improvement: float | None
    count: int
    unit: str = "seeds"
    paired: bool = True
    exact: bool = False
    ceiling: float | None = None  # no effect can be larger, whatever the arm does


def evaluate_claim(
    claim: Any,
    records: Iterable[dict],
    timing: dict | None = None,
    *,
    level: float = 1 - ALPHA,
    resamples: int = RESAMPLES,
) -> ClaimResult:
    """One claim by itself, at `level`. `claim` has the fields of `repro.experiments.types.Claim`.

    `records` are the trial records of one experiment at one scale; `timing` is its timing record.
    """
    records = list(records)
    try:
        contrast = _contrast(claim, records, timing, resamples)
    except Missing as missing:
        return _not_run(claim, str(missing))
    return _judge(claim, contrast, _scale(records, timing), level)


def evaluate_claims(
    claims: Sequence[Any], records: Iterable[dict], timing: dict | None = None, *, resamples: int = RESAMPLES
) -> list[ClaimResult]:
    """All claims of one experiment, in the order given, at Holm's levels (see `repro.statistics.holm`)."""
    records = list(records)
    scale = _scale(records, timing)
    results: list[ClaimResult | None] = [None] * len(claims)
    tested: list[tuple[int, _Contrast]] = []
    for index, claim in enumerate(claims):
        try:
            contrast = _contrast(claim, records, timing, resamples)
        except Missing as missing:
            results[index] = _not_run(claim, str(missing))
            continue
        unjudged = contrast.draws is None or no_verdict_reason(scale, contrast.count) or _limited(claim, contrast)
        if contrast.exact or unjudged:
            results[index] = _judge(claim, contrast, scale, 1 - ALPHA)
        else:
            tested.append((index, contrast))
    p_values = [
        p_value(contrast.draws, boundary(claims[index].kind, claims[index].margin, claims[index].contrast))
        for index, contrast in tested
    ]
    judged = [
        _judge(claims[index], contrast, scale, level)
        for (index, contrast), level in zip(tested, holm_levels(p_values), strict=True)
    ]
    kept = step_down(p_values, [result.verdict in ("supported", "contradicted") for result in judged])
    for (index, _), result, keep in zip(tested, judged, kept, strict=True):
        if not keep and result.verdict != "inconclusive":
            reason = "a claim with stronger evidence is undecided (Holm's step-down)"
            result = dataclasses.replace(result, verdict="inconclusive", reason=reason)
        results[index] = result
    return results


def arm_interval(
    records: Iterable[dict], arm: str, metric: str = "accuracy", *, level: float = 0.95, resamples: int = RESAMPLES
) -> Interval | None:
    """`arm`'s mean of a per-question metric with its interval; None without a usable record."""
    return _one_arm(accuracy_interval, records, arm, metric, level, resamples)


def aa_row(
    records: Iterable[dict], arm: str, metric: str = "accuracy", *, level: float = 0.95, resamples: int = RESAMPLES
) -> Interval | None:
    """The A/A row: every other seed of `arm` against its other seeds; None with fewer than 4 seeds."""
    return _one_arm(aa_interval, records, arm, metric, level, resamples)


def _one_arm(
    interval: Callable[..., Any], records: Iterable[dict], arm: str, metric: str, level: float, resamples: int
) -> Interval | None:
    try:
        chosen = by_seed(list(records), arm)
        scores, _ = arm_scores(chosen, metric)
    except Missing:
        return None
    return interval(scores, _generator(f"{interval.__name__}/{arm}/{metric}"), level, resamples)


def _contrast(claim: Any, records: list[dict], timing: dict | None, resamples: int) -> _Contrast:
    rng = _generator(claim.id)
    name, _, detail = claim.metric.partition(":")
    against_metric = claim.against_metric or claim.metric
    if name in ("time_per_step", "predicted_peak") and against_metric != claim.metric:
        raise InputError(f"claim {claim.id}: {name} can only be compared with itself, not with {against_metric}")
    if name == "time_per_step":
        return _cost(claim, timing, detail or "prompts_equal", rng, resamples)
    one, two = by_seed(records, claim.arm), by_seed(records, claim.against)
    if name == "predicted_peak":
        effect = _effect(claim, predicted_peak(one), predicted_peak(two))
        return _Contrast(effect, None, None, min(len(one), len(two)), exact=True)
    shared = sorted(set(one) & set(two))
    paired = set(one) == set(two) or len(shared) >= MINIMUM_SEEDS
    if paired:
        one, two = ({seed: chosen[seed] for seed in shared} for chosen in (one, two))
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
    return _Contrast(estimate, draws, improvement, count, paired=paired)


def _efficiency(
    claim: Any, one: dict[int, dict], two: dict[int, dict], rng: np.random.Generator, resamples: int, paired: bool
) -> _Contrast:
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
    return _Contrast(estimate, draws, improvement, count, paired=paired, ceiling=ceiling)


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


def _cost(claim: Any, timing: dict | None, held_equal: str, rng: np.random.Generator, resamples: int) -> _Contrast:
    """Paired ratios over rounds, geometric mean. A difference of costs is not supported: seconds differ by machine."""
    if claim.contrast != "ratio":
        raise InputError(f"claim {claim.id}: time_per_step needs contrast ratio, not {claim.contrast}")
    arm, rival = rounds(timing, claim.arm, held_equal), rounds(timing, claim.against, held_equal)
    count = min(len(arm), len(rival))
    arm, rival = arm[:count], rival[:count]
    first, second = (arm, rival) if claim.better == "higher" else (rival, arm)
    estimate = float(np.exp(np.log(first / second).mean()))
    # Fewer rounds give no verdict, and an interval so wide that it would only mislead.
    draws = cost_ratio_draws(first, second, rng, resamples) if count >= MINIMUM_SEEDS else None
    return _Contrast(estimate, draws, probability_of_improvement(first, second), count, unit="timing rounds")


def _judge(claim: Any, contrast: _Contrast, scale: str, level: float) -> ClaimResult:
    lo = hi = None
    if contrast.draws is not None and not contrast.exact:
        lo, hi = percentile_interval(contrast.draws, level)
    reason = no_verdict_reason(scale, MINIMUM_SEEDS if contrast.exact else contrast.count, contrast.unit)
    word: Verdict = "not run"
    if reason is None and (contrast.exact or lo is not None):
        low, high = (contrast.estimate, contrast.estimate) if contrast.exact else (lo, hi)
        word = verdict(claim.kind, low, high, claim.margin, claim.contrast)
        if _limited(claim, contrast):
            word = "inconclusive"
            reason = (
                f"{claim.against} is at its best with {contrast.ceiling:g} times the fewest samples: no more can show"
            )
        elif word == "inconclusive":
            reason = f"the interval contains {boundary(claim.kind, claim.margin, claim.contrast):g}"
    return ClaimResult(
        claim=claim.id,
        estimate=contrast.estimate,
        lo=lo,
        hi=hi,
        level=None if lo is None else level,
        p_improvement=contrast.p_improvement,
        verdict=word,
        reason=reason or "",
        n_seeds=contrast.count,
        paired=contrast.paired,
    )


def _limited(claim: Any, contrast: _Contrast) -> bool:
    """Whether the claimed effect lies beyond what could show: such a claim is not tested, and takes no Holm level."""
    return contrast.ceiling is not None and contrast.ceiling < boundary(claim.kind, claim.margin, claim.contrast)


def _not_run(claim: Any, reason: str) -> ClaimResult:
    return ClaimResult(claim.id, None, None, None, None, None, "not run", reason, 0)


def _effect(claim: Any, arm: float, rival: float) -> float:
    try:
        return float(oriented(float(arm), float(rival), claim.contrast, claim.better))
    except ZeroDivisionError:
        raise Missing(f"the ratio of {claim.arm} and {claim.against} is undefined: {claim.metric} is 0") from None


def _means(scores: list[np.ndarray]) -> np.ndarray:
    return np.mean([item.mean(axis=1) for item in scores], axis=0)


def _scale(records: list[dict], timing: dict | None) -> str:
    scales = {record["scale"] for record in [*records, *([timing] if timing else [])]}
    return "smoke" if "smoke" in scales else next(iter(scales), "")


def _generator(name: str) -> np.random.Generator:
    return np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:16], "big"))
