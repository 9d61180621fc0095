"""What a step costs, by records: seconds by round, predicted bytes, planned bytes and FLOPs; or the reason why not."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from repro.statistics.trial_metrics import Missing

STEP_TIMES = {"time_per_step": True, "online_time_per_step": False}  # metric -> whether the share of stage 1 counts


def rounds(timing: dict | None, arm: str, held_equal: str, offline: bool = True) -> np.ndarray:
    """Seconds of each round of the arm, float (rounds,); `held_equal`: "prompts_equal" or "completions_equal".

    `offline` adds the step's share of an offline stage; records from before there was one have none.
    """
    if timing is None or timing["status"] != "done":
        raise Missing("no timing record")
    table = timing["timing"].get(held_equal) or {}
    entries = table.get(arm, {}).get("rounds", [])
    if not entries:
        raise Missing(f"the timing record has no rounds of {arm} with {held_equal.replace('_', ' ')}")
    return np.array([round_seconds(entry, offline) for entry in entries], dtype=float)


def round_seconds(entry: dict[str, Any], offline: bool = True) -> float:
    """Seconds of one timed step, with its share of stage 1 unless `offline` is false."""
    return entry["seconds"] + (entry.get("stage1_seconds", 0.0) if offline else 0.0)


def predicted_peak(chosen: dict[int, dict]) -> float:
    """Predicted training peak in bytes: a function of the configuration, so the same for every seed."""
    totals = {(record["cost"].get("predicted_peak") or {}).get("total") for record in chosen.values()} - {None}
    arm = next(iter(chosen.values()))["arm"]
    if not totals:
        raise Missing(f"{arm} has no predicted peak")
    if len(totals) > 1:
        raise Missing(f"the predicted peaks of {arm} differ between seeds: run it again")
    return float(totals.pop())


def planned(plan: dict | None, arm: str, name: str, what: str) -> float:
    """`planned_peak` (bytes) or `planned_flops` (per training prompt) of the plan record's row of `arm` on `name`."""
    if plan is None or plan["status"] != "done":
        raise Missing("no plan record")
    rows = [row for row in plan["plan"]["rows"] if row["name"] == name and row["arm"] == arm]
    if len(rows) != 1:
        raise Missing(f"the plan record has {len(rows) or 'no'} rows of {arm} at {name}: plan again")
    try:
        value = float(rows[0]["peak"]["total"] if what == "planned_peak" else flops_per_prompt(rows[0]))
    except (KeyError, TypeError, ValueError, ZeroDivisionError):  # records may come from outside
        value = math.nan
    if not value > 0 or math.isinf(value):
        raise Missing(f"the plan record's row of {arm} at {name} has no usable {what.replace('_', ' ')}: plan again")
    return value


def flops_per_prompt(row: dict[str, Any]) -> float:
    """FLOPs that one training prompt of a step costs, its share of stage 1 over the whole run included."""
    return (row["step"]["flops"] + stage1_flops(row)) / row["step"]["prompts"]


def stage1_flops(row: dict[str, Any]) -> float:
    """The share of stage 1 in one step's FLOPs; 0 without such a stage."""
    return 0.0 if row.get("stage1") is None else row["stage1"]["flops"] / row["run"]["steps"]
