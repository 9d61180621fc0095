"""From stored records to a result per claim: estimate, interval, P(improvement), verdict, reason.

Metrics of a claim (`:set` picks one evaluation set, otherwise the mean over all sets but "dev" is meant):
accuracy, greedy, pass@k, truncated, unparsed from the per-question outcomes; majority@N, best@N, weighted@N and
verifier_accuracy from the scored pools of samples, per question too; verifier_auc, joint@N, joint_majority@N, one
number per set and seed, so their interval holds the choice of seeds only; kl and kl_token (nats per response and per
token, to the base), per question, over the sets that have them; time_per_step[:completions_equal] from the rounds of
the timing record, prompts held equal unless named otherwise, a step's share of stage 1 included, and
online_time_per_step without it; predicted_peak, exact; planned_peak:NAME (bytes) and planned_flops:NAME (per training
prompt, stage 1 included) from the plan record, exact and without seeds; measured_peak (bytes on CUDA, sampling engine
and evaluation apart), last_reward, token_share and generalisation_gap of whole trials
(`repro.statistics.trial_metrics`); bandit:NAME and estimator:NAME of trials on bandits (`repro.statistics.bandits`).
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
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from repro.statistics.bootstrap import RESAMPLES, percentile_interval
from repro.statistics.effect import Contrast, contrast_of, generator
from repro.statistics.holm import ALPHA, holm_levels, p_value, step_down
from repro.statistics.intervals import Interval, aa_interval, accuracy_interval
from repro.statistics.scores import arm_scores, by_seed
from repro.statistics.trial_metrics import Missing
from repro.statistics.verdict import MINIMUM_SEEDS, Verdict, boundary, no_verdict_reason, verdict


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
    n_seeds: int  # seeds per arm (rounds for a time per step, 0 for a planned claim)
    paired: bool = True  # seeds paired


def evaluate_claim(
    claim: Any,
    records: Iterable[dict],
    timing: dict | None = None,
    *,
    plan: dict | None = None,
    level: float = 1 - ALPHA,
    resamples: int = RESAMPLES,
) -> ClaimResult:
    """One claim by itself, at `level`. `claim` has the fields of `repro.experiments.types.Claim`.

    `records` are the trial records of one experiment at one scale; `timing` and `plan` are its records of these kinds.
    """
    records = list(records)
    try:
        contrast = contrast_of(claim, records, timing, plan, resamples)
    except Missing as missing:
        return _not_run(claim, str(missing))
    return _judge(claim, contrast, _scale(records, timing, plan), level)


def evaluate_claims(
    claims: Sequence[Any],
    records: Iterable[dict],
    timing: dict | None = None,
    *,
    plan: dict | None = None,
    resamples: int = RESAMPLES,
) -> list[ClaimResult]:
    """All claims of one experiment, in the order given, at Holm's levels (see `repro.statistics.holm`)."""
    records = list(records)
    scale = _scale(records, timing, plan)
    results: list[ClaimResult | None] = [None] * len(claims)
    tested: list[tuple[int, Contrast]] = []
    for index, claim in enumerate(claims):
        try:
            contrast = contrast_of(claim, records, timing, plan, resamples)
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
    return interval(scores, generator(f"{interval.__name__}/{arm}/{metric}"), level, resamples)


def _judge(claim: Any, contrast: Contrast, scale: str, level: float) -> ClaimResult:
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


def _limited(claim: Any, contrast: Contrast) -> bool:
    """Whether the claimed effect lies beyond what could show: such a claim is not tested, and takes no Holm level."""
    return contrast.ceiling is not None and contrast.ceiling < boundary(claim.kind, claim.margin, claim.contrast)


def _not_run(claim: Any, reason: str) -> ClaimResult:
    return ClaimResult(claim.id, None, None, None, None, None, "not run", reason, 0)


def _scale(records: list[dict], *others: dict | None) -> str:
    scales = {record["scale"] for record in [*records, *(other for other in others if other)]}
    return "smoke" if "smoke" in scales else next(iter(scales), "")
