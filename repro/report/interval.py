"""Intervals of the report: accuracy of an arm, and the A/A rows that show the noise floor (`repro.statistics`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from repro.experiments.types import Experiment
from repro.statistics.contrast import aa_row, arm_interval

Record = dict[str, Any]


@dataclass(frozen=True)
class NoiseRow:
    """An arm against itself: every other seed against the rest. Accuracies as fractions."""

    arm: str
    display: str
    first: tuple[int, ...]  # seeds
    second: tuple[int, ...]
    estimate: float
    lo: float
    hi: float


def accuracy_interval(done: Sequence[Record], set_name: str | None = None) -> tuple[float | None, float | None]:
    """95 % two-level interval of one arm's accuracy on one set, or of the mean over sets; (None, None) without any."""
    metric = "accuracy" if set_name is None else f"accuracy:{set_name}"
    found = arm_interval(done, done[0]["arm"], metric) if done else None
    return (None, None) if found is None else (found.lo, found.hi)


def noise_floor(experiment: Experiment, chosen: Sequence[Record]) -> list[NoiseRow]:
    """One A/A row per arm with enough seeds; `chosen` sorted by arm and seed."""
    rows = []
    for arm in experiment.arms:
        found = aa_row(chosen, arm.id)
        if found is not None:
            seeds = tuple(r["seed"] for r in chosen if r["arm"] == arm.id and r["status"] == "done")
            rows.append(NoiseRow(arm.id, arm.display, seeds[0::2], seeds[1::2], found.estimate, found.lo, found.hi))
    return rows
