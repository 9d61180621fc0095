"""How the metrics of bandit trials and their effects are written for people."""

from __future__ import annotations

import re

from repro.statistics.bandits import BANDIT, ESTIMATOR, TOLERANCE

F_NAMES = {"pass": "max", "mean": "mean", "majority": "majority"}
ESTIMATOR_NAMES = {
    ("mean", "unbiased", "plain"): "Mean gradient",
    ("mean", "unbiased", "matched"): "Mean gradient, matched scale",
    ("pass", "unbiased", "plain"): "max@k, leave-one-out",
    ("pass", "biased", "plain"): "max@k, centred (inferred)",
    ("pass", "naive", "plain"): "max@k, naive",
}


def of_bandits(metric: str) -> bool:
    """Whether a metric belongs to bandit trials."""
    return metric.partition(":")[0] in (BANDIT, ESTIMATOR)


def words(metric: str) -> str:
    """`bandit:max@4@100` as `max@4 after 100 steps`, `estimator:variance:pass@3` as `variance, f = max, k = 3`."""
    kind, _, detail = metric.partition(":")
    if kind == ESTIMATOR:
        what, _, case = detail.partition(":")
        f, _, k = case.partition("@")
        if what == "tolerance":
            return f"{TOLERANCE:g}"
        if what == "bounded_variance":
            return "variance, rewards of 0 and 1"
        return f"{'' if k else 'largest '}{what}, f = {F_NAMES.get(f, f)}" + (f", k = {k}" if k else "")
    name, _, at = detail.rpartition("@")
    if name == "reward_at_kl":
        return f"mean reward at {nats(at)} of KL"
    return f"{name.replace('_', ' ')} after {at} steps" if name else f"{detail} of the estimator"


def nats(amount: str) -> str:
    """`1 nat`, `2 nats`."""
    return f"{amount} nat{'s' * (amount != '1')}"


def arm_name(display: str, metric: str) -> str:
    """An arm's name in a claim: of enumerated moments, which have a k and f of their own, the variant alone."""
    kind, _, detail = metric.partition(":")
    if kind == ESTIMATOR and ":" in detail:
        return re.sub(r"^max@k, |, k=\d+$", "", display)
    return display


def number(value: float | None, metric: str) -> str:
    """A signed effect. An enumerated moment is exact and may be tiny, so it has significant digits."""
    if value is None:
        return "–"
    return f"{value:+.3g}" if metric.startswith(f"{ESTIMATOR}:") else f"{value:+.4f}"
