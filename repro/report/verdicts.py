"""The claims of an experiment with their computed verdicts, and how an effect is written down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from repro.experiments.types import Claim, Experiment
from repro.report import bandit_words
from repro.report.format import fixed, percent, signed
from repro.statistics.bandits import BANDIT, UNIT
from repro.statistics.contrast import ClaimResult, evaluate_claims
from repro.statistics.costs import STEP_TIMES
from repro.statistics.trial_metrics import TRIAL_RATES
from repro.statistics.verdict import boundary
from repro.store.outcomes import KL

RATES = (
    "accuracy", "accuracy_lenient", "greedy", "truncated", "unparsed", "verifier_accuracy", "verifier_auc",
    "verifier_auc_within", *TRIAL_RATES,
)  # fmt: skip
RULES = ("pass@", "majority@", "best@", "weighted@", "joint@", "joint_majority@")
NAMES = {  # where a metric's own name says too little
    "accuracy_lenient": "accuracy, last number", "kl": "KL per response", "kl_token": "KL per token",
    "planned_peak": "predicted peak memory", "planned_flops": "predicted FLOPs per prompt",
}  # fmt: skip
CONSTANT = "estimator:tolerance"
EFFICIENCY = "@efficiency"  # "weighted@efficiency[:set]", see `repro.statistics.contrast`


@dataclass(frozen=True)
class Verdict:
    """A claim beside its result. The effect is oriented: large means in favour of `claim.arm`."""

    claim: Claim
    result: ClaimResult

    @property
    def effect(self) -> str:
        """`+2.31 points [+0.52, +4.10]`, `1.41x [1.38, 1.44]`; a dash when there is no estimate."""
        return effect(self.claim, self.result)

    @property
    def sample(self) -> str:
        """What the effect rests on: `level 97.5 %, 5 seeds`, or `exact`."""
        if self.result.estimate is None:
            return ""
        if self.claim.kind == "exact":
            return "exact"
        name = self.claim.metric.partition(":")[0]
        unit = "rounds" if name in STEP_TIMES else UNIT if name == BANDIT else "seeds"
        parts = [f"level {percent(self.result.level, 2)} %"] if self.result.level is not None else []
        parts.append(f"{self.result.n_seeds} {unit}" + ("" if self.result.paired else ", not paired"))
        return ", ".join(parts)


def verdicts(
    experiment: Experiment,
    records: Sequence[dict[str, Any]],
    timing: dict[str, Any] | None,
    plan: dict[str, Any] | None = None,
) -> list[Verdict]:
    """One verdict per claim, in the experiment's order; all are computed by `repro.statistics`."""
    results = {r.claim: r for r in evaluate_claims(experiment.claims, records, timing, plan=plan)}
    return [Verdict(claim, results[claim.id]) for claim in experiment.claims]


def is_rate(metric: str) -> bool:
    """Whether a metric (`accuracy`, `pass@8:aime24`) is a rate, printed in percent."""
    name = metric.partition(":")[0]
    return name in RATES or (name.startswith(RULES) and not name.endswith(EFFICIENCY))


def effect(claim: Claim, result: ClaimResult) -> str:
    """The oriented effect with its interval, in points for rates and as a factor for ratios."""
    if result.estimate is None:
        return fixed(None)
    if claim.contrast == "ratio":
        unit, write = "x", lambda v: fixed(v, 2)
    elif bandit_words.of_bandits(claim.metric):
        unit, write = "", lambda v: bandit_words.number(v, claim.metric)
    elif is_rate(claim.metric):
        unit, write = " points", lambda v: signed(None if v is None else 100 * v, 2)
    else:
        unit, write = _unit(claim.metric), lambda v: signed(v, 4)
    text = write(result.estimate) + unit
    return text if result.lo is None or result.hi is None else f"{text} [{write(result.lo)}, {write(result.hi)}]"


def question(claim: Claim, display: dict[str, str]) -> str:
    """What is tested, in short: `accuracy: TBRM n=4 - GRPO n=4 > 0`."""
    arm, against = (bandit_words.arm_name(display.get(name, name), claim.metric) for name in (claim.arm, claim.against))
    limit = boundary(claim.kind, claim.margin, claim.contrast)
    rival_metric = getattr(claim, "against_metric", None) or claim.metric
    if claim.metric.partition(":")[0].endswith(EFFICIENCY):
        (rule, where), (rival, _) = _efficiency(claim.metric), _efficiency(rival_metric)
        return f"samples for equal accuracy{where}: ({against}) by {rival} / ({arm}) by {rule} > {fixed(limit, 2)}"
    if rival_metric != claim.metric:
        return _two_metrics(claim, rival_metric, arm, against, limit)
    first, second = (arm, against) if claim.better == "higher" else (against, arm)
    metric = _words(claim.metric)
    if claim.contrast == "ratio":
        return f"{metric}: ({first}) / ({second}) > {fixed(limit, 2)}"
    unit = f"{fixed(100 * limit, 2)} points" if is_rate(claim.metric) else fixed(limit, 4) + _unit(claim.metric)
    return f"{metric}: ({first}) - ({second}) > {unit}"


def _two_metrics(claim: Claim, rival_metric: str, arm: str, against: str, limit: float) -> str:
    """`majority@64 of (GRPO^V) - accuracy of (GRPO) > 0.00 points`."""
    one, two = _of(claim.metric, arm), _of(rival_metric, against)
    first, second = (one, two) if claim.better == "higher" else (two, one)
    if claim.contrast == "ratio":
        return f"{first} / {second} > {fixed(limit, 2)}"
    rates = is_rate(claim.metric) and is_rate(rival_metric)
    return f"{first} - {second} > {f'{fixed(100 * limit, 2)} points' if rates else fixed(limit, 4)}"


def _of(metric: str, arm: str) -> str:
    return _words(metric) if metric == CONSTANT else f"{_words(metric)} of ({arm})"


def _efficiency(metric: str) -> tuple[str, str]:
    """`weighted@efficiency:easy-to-hard` as ("weighted", ", easy-to-hard")."""
    name, _, where = metric.partition(":")
    return name.removesuffix(EFFICIENCY), f", {where}" if where else ""


def _words(metric: str) -> str:
    """A metric for people: `weighted@64:easy-to-hard` becomes `weighted@64, easy-to-hard`."""
    if bandit_words.of_bandits(metric):
        return bandit_words.words(metric)
    name, _, where = metric.partition(":")
    return NAMES.get(name, name.replace("_", " ")) + (f", {where.replace('_', ' ')}" if where else "")


def _unit(metric: str) -> str:
    return " nats" if metric.partition(":")[0] in KL else ""
