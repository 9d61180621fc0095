"""The result of `repro compare` as JSON; its keys are named in `repro.cli.compare`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from repro.cli.comparison_text import sentence
from repro.experiments.plan import wall_time
from repro.report.rivals import Meeting

if TYPE_CHECKING:
    from repro.cli.comparison import Match, Result
    from repro.experiments.plan import Plan


def match_json(match: Match, plan: Plan, metric: str) -> dict[str, Any]:
    """What is decided before anything runs."""
    own = {config.id for config in match.to_run}
    left = [trial.estimated_seconds for trial in plan.trials if trial.id in own]
    return {
        "experiment": match.name,
        "scale": match.opponents.scale,
        "arm": match.arm.id,
        "metric": metric,
        "against": match.against,
        "because": match.because,
        "seeds": list(match.seeds),
        "to_run": [config.id for config in match.to_run],
        "estimated_seconds": None if None in left else wall_time(left, plan.jobs),
        "refused": dict(match.refused),
        "absent": list(match.opponents.absent),
        "notes": match.notes[match.against],
    }


def result_json(result: Result, plan: Plan, metric: str) -> dict[str, Any]:
    field = result.field
    return match_json(result.match, plan, metric) | {
        "rank": field.rank,
        "of": len(field.meetings) + 1,
        "p_best": field.p_best,
        "evidence": field.arm.evidence,
        "rivals": [_meeting(one) for one in field.meetings],
        "left_out": dict(field.left_out),
        "cost": asdict(result.cost),
        "sentence": sentence(result),
    }


def _meeting(one: Meeting) -> dict[str, Any]:
    found = one.difference
    return {
        "arm": one.rival.id,
        "display": one.rival.display,
        "core": one.rival.core,
        "evidence": one.rival.evidence,
        "seeds": list(one.seeds),
        "questions": one.questions,
        "score": one.score,
        "rival_score": one.rival_score,
        "difference": found.estimate,
        "lo": found.lo,
        "hi": found.hi,
        "p_improvement": found.p_improvement,
        "word": one.word,
        "reason": one.reason,
        "needed_seeds": one.needed,
        "settled_by_seeds": one.by_seeds,
        "spread": asdict(found.spread),
        "notes": list(one.notes),
    }
