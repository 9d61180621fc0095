"""The claims of an experiment with their computed verdicts, and how an effect is written down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from repro.experiments.types import Claim, Experiment
from repro.report.format import fixed, percent, signed
from repro.statistics.contrast import ClaimResult, evaluate_claims
from repro.statistics.verdict import boundary

RATES = ("accuracy", "greedy", "truncated", "unparsed")


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
        unit = "rounds" if self.claim.metric.startswith("time_per_step") else "seeds"
        parts = [f"level {percent(self.result.level, 2)} %"] if self.result.level is not None else []
        parts.append(f"{self.result.n_seeds} {unit}" + ("" if self.result.paired else ", not paired"))
        return ", ".join(parts)


def verdicts(experiment: Experiment, records: Sequence[dict[str, Any]], timing: dict[str, Any] | None) -> list[Verdict]:
    """One verdict per claim, in the experiment's order; all are computed by `repro.statistics`."""
    results = {r.claim: r for r in evaluate_claims(experiment.claims, records, timing)}
    return [Verdict(claim, results[claim.id]) for claim in experiment.claims]


def is_rate(metric: str) -> bool:
    """Whether a metric (`accuracy`, `pass@8:aime24`) is a rate, printed in percent."""
    name = metric.partition(":")[0]
    return name in RATES or name.startswith("pass@")


def effect(claim: Claim, result: ClaimResult) -> str:
    """The oriented effect with its interval, in points for rates and as a factor for ratios."""
    if result.estimate is None:
        return fixed(None)
    if claim.contrast == "ratio":
        unit, write = "x", lambda v: fixed(v, 2)
    elif is_rate(claim.metric):
        unit, write = " points", lambda v: signed(None if v is None else 100 * v, 2)
    else:
        unit, write = "", lambda v: signed(v, 4)
    text = write(result.estimate) + unit
    return text if result.lo is None or result.hi is None else f"{text} [{write(result.lo)}, {write(result.hi)}]"


def question(claim: Claim, display: dict[str, str]) -> str:
    """What is tested, in short: `accuracy: TBRM n=4 - GRPO n=4 > 0`."""
    arm, against = display.get(claim.arm, claim.arm), display.get(claim.against, claim.against)
    first, second = (arm, against) if claim.better == "higher" else (against, arm)
    limit = boundary(claim.kind, claim.margin, claim.contrast)
    metric = claim.metric.replace("_", " ").replace(":", ", ")
    if claim.contrast == "ratio":
        return f"{metric}: ({first}) / ({second}) > {fixed(limit, 2)}"
    unit = f"{fixed(100 * limit, 2)} points" if is_rate(claim.metric) else fixed(limit, 4)
    return f"{metric}: ({first}) - ({second}) > {unit}"
