"""What a contrast needs from records of bandit trials: values by instance, and exact moments of the arm's estimator.

Metrics of a claim: `bandit:NAME` with the names of a record's `bandit.values` (`bandit:mean_reward@100`,
`bandit:max@4@1000`, `bandit:reward_at_kl@2`, `bandit:variance`), paired bandit by bandit; and, exact,
`estimator:bias:pass@3` and `estimator:variance:pass@3` from the enumerated reference set-up (`estimator:bias:pass` is
the largest over its k), `estimator:bounded_variance` with rewards of 0 and 1, and `estimator:tolerance`, the constant
that an enumerated bias of 0 must stay below.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from repro.errors import InputError
from repro.statistics.trial_metrics import Missing

BANDIT, ESTIMATOR = "bandit", "estimator"
UNIT = "bandits"
TOLERANCE = 1e-12
LEAST_SHARE = 0.95  # of the bandits must have a value in both arms, or the rest would not stand for them


def paired_values(claim: Any, one: dict[int, dict], two: dict[int, dict]) -> tuple[np.ndarray, np.ndarray]:
    """Values (N,) of both arms on the same bandits, those left out that lack one. Records by seed, the same seeds."""
    names = [_detail(claim, metric, BANDIT) for metric in (claim.metric, claim.against_metric or claim.metric)]
    arm, rival = (
        np.concatenate([_row(record, name) for record in chosen.values()])
        for chosen, name in zip((one, two), names, strict=True)
    )
    if arm.shape != rival.shape:
        raise Missing(f"{claim.arm} and {claim.against} ran on different numbers of bandits: run both again")
    both = ~(np.isnan(arm) | np.isnan(rival))
    if both.mean() < LEAST_SHARE:
        raise Missing(f"only {both.sum()} of {both.size} bandits have {names[0]} in both arms")
    return arm[both], rival[both]


def moment(claim: Any, record: dict, metric: str) -> float:
    """One exact number of an arm's estimator."""
    what, _, case = _detail(claim, metric, ESTIMATOR).partition(":")
    if what == "tolerance" and not case:
        return TOLERANCE
    bandit = _bandit(record)
    if what == "bounded_variance" and not case:
        return float(bandit["bounded_variance"])
    objective, _, k = case.partition("@")
    rows = [row for row in bandit["reference"] if row["objective"] == objective and k in ("", str(row["k"]))]
    if what not in ("bias", "variance") or not rows or (what == "variance" and len(rows) > 1):
        raise InputError(f"claim {claim.id}: {metric} is not among the enumerated moments")
    return float(max(row[what] for row in rows))


def _detail(claim: Any, metric: str, kind: str) -> str:
    name, _, detail = metric.partition(":")
    if name != kind or not detail:
        raise InputError(f"claim {claim.id}: {kind} can only be compared with {kind}, not {metric} with {claim.metric}")
    return detail


def _row(record: dict, name: str) -> np.ndarray:
    values = _bandit(record)["values"]
    if name not in values:
        raise Missing(f"{record['arm']} has no {name}: its record has {', '.join(values)}")
    return np.array([np.nan if value is None else value for value in values[name]], dtype=float)


def _bandit(record: dict) -> dict:
    if "bandit" not in record:
        raise Missing(f"{record['arm']} did not run on a bandit")
    return record["bandit"]
