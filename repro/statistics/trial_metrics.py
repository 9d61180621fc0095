"""Metrics of a whole trial: one number per seed, from the record's cost, health and outcomes.

- `measured_peak`: bytes on CUDA, largest over the training phases; sampling engine and evaluation apart;
- `last_reward`: mean training reward over the last 10 generation batches;
- `token_share`: mean over the batches of the share of completion tokens with a weight in the loss; 1 for a method that
  selects no tokens;
- `generalisation_gap`: `last_reward` less the accuracy on the evaluation sets, both of sampled completions: how much
  better the policy is on the prompts that it was trained on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from repro.store.outcomes import question_scores

_NOT_TRAINING = ("base", "stage1", "generate", "extra_rollouts", "evaluate")
_LAST = 10  # generation batches behind "last_reward"


class Missing(Exception):
    """The contrast cannot be computed; the message is the reason shown beside "not run"."""


def _measured_peak(record: dict[str, Any]) -> float:
    phases = record["cost"].get("phases", {})
    peaks = [cost.get("peak_allocated") for name, cost in phases.items() if name not in _NOT_TRAINING]
    peaks = [peak for peak in peaks if peak is not None]
    if not peaks:
        raise Missing(f"{record['arm']} has no measured peak (it is measured on CUDA only)")
    return float(max(peaks))


def _last_reward(record: dict[str, Any]) -> float:
    rewards = [point["reward"] for point in record["health"][-_LAST:] if point.get("reward") is not None]
    if not rewards:
        raise Missing(f"{record['arm']} has no training reward")
    return float(np.mean(rewards))


def _token_share(record: dict[str, Any]) -> float:
    if not record["health"]:
        raise Missing(f"{record['arm']} is not trained")
    return float(np.mean([point.get("token_share", 1.0) for point in record["health"]]))


def _generalisation_gap(record: dict[str, Any]) -> float:
    means = [question_scores(entry, "accuracy").mean() for name, entry in record["outcomes"].items() if name != "dev"]
    if not means:
        raise Missing(f"{record['arm']} was evaluated on no set but dev")
    return _last_reward(record) - float(np.mean(means))


TRIAL_METRICS: dict[str, Callable[[dict[str, Any]], float]] = {
    "measured_peak": _measured_peak,
    "last_reward": _last_reward,
    "token_share": _token_share,
    "generalisation_gap": _generalisation_gap,
}
TRIAL_RATES = ("token_share", "generalisation_gap")  # fractions
