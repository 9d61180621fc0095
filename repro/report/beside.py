"""What one arm costs beside another, as ratios: seconds per step from one timing record, memory from their records.

Seconds are only taken from a record that timed both arms in one process on one machine, round next to round. Memory is
measured if both trials ran on the same accelerator, else predicted; both follow from the configuration.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from repro.report.rivals import Arm
from repro.report.summary import measured_peak
from repro.statistics.bootstrap import cost_ratio_draws, percentile_interval
from repro.statistics.costs import predicted_peak, rounds
from repro.statistics.effect import generator
from repro.statistics.pairwise import LEVEL
from repro.statistics.trial_metrics import Missing
from repro.statistics.verdict import MINIMUM_SEEDS

Record = Mapping[str, Any]
HELD_EQUAL = ("completions_equal", "prompts_equal")


@dataclass(frozen=True)
class Ratio:
    """arm / rival. `lo`, `hi`: 95 %, None with fewer than 5 rounds."""

    ratio: float
    lo: float | None
    hi: float | None
    rounds: int


@dataclass(frozen=True)
class Cost:
    """Of the arm beside `rival`. What is None or absent: `why` says why."""

    rival: str | None
    step: Mapping[str, Ratio]  # HELD_EQUAL -> seconds per step, the share of stage 1 included
    timed_on: str | None  # machine of the timing record
    memory: float | None
    memory_kind: str | None  # "predicted" or "measured"
    why: tuple[str, ...]


def cost(timing: Record | None, arm: Arm, rival: Arm, untimed: str = "") -> Cost:
    """`timing`: a record that has both arms, or None, and then `untimed` says why."""
    why, step = [], {}
    if timing is None:
        why.append(untimed)
    else:
        for held_equal in HELD_EQUAL:
            try:
                step[held_equal] = _ratio(timing, arm.id, rival.id, held_equal)
            except Missing as reason:
                why.append(str(reason))
    memory = kind = None
    peaks = [measured_peak(one.first) for one in (arm, rival)]
    machines = {one.first["provenance"].get("measured_on") for one in (arm, rival)}
    if None not in peaks and len(machines) == 1:
        memory, kind = peaks[0] / peaks[1], "measured"
    else:
        try:
            memory, kind = predicted_peak(dict(arm.trials)) / predicted_peak(dict(rival.trials)), "predicted"
        except Missing as reason:
            why.append(f"memory: {reason}")
    timed_on = None if timing is None else timing["provenance"].get("measured_on")
    return Cost(rival.id, step, timed_on, memory, kind, tuple(why))


def _ratio(timing: Record, arm: str, rival: str, held_equal: str) -> Ratio:
    one, two = (rounds(dict(timing), name, held_equal) for name in (arm, rival))
    count = min(len(one), len(two))
    one, two = one[:count], two[:count]
    ratio = float(np.exp(np.log(one / two).mean()))
    if count < MINIMUM_SEEDS:
        return Ratio(ratio, None, None, count)
    lo, hi = percentile_interval(cost_ratio_draws(one, two, generator(f"{arm}/{rival}/{held_equal}")), LEVEL)
    return Ratio(ratio, lo, hi, count)
