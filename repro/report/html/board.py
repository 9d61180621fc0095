"""The page of all arms: rows of plain data from any source, and how their columns are written and sorted.

A row is a dict. It needs `experiment`, `arm`, `display`, `scale` and `evidence`; every other key of COLUMNS may be
missing or None, which prints as a dash, and a column that no row fills is left out. Numbers are in base units: rates as
fractions, seconds, bytes. Further keys: `metric`, what `estimate` is ("accuracy" prints in percent, anything else as a
plain number); `lo` and `hi`, its 95 % interval; `link`, a page relative to the report's root.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from repro.experiments.twins import TUNING_SUFFIX
from repro.report.build import Report
from repro.report.format import MISSING, chance, count, fixed, percent, seconds, size
from repro.report.standings import Group

Row = dict[str, Any]
ACCURACY = "accuracy"


@dataclass(frozen=True)
class Column:
    key: str
    title: str
    text: Callable[[Any], str] = str
    number: bool = False  # sorted by value, aligned to the right
    choices: bool = False  # few different values: the page offers them as a filter


COLUMNS = (
    Column("rank", "Rank", number=True),
    Column("display", "Arm"),
    Column("experiment", "Experiment", choices=True),
    Column("method", "Method", choices=True),
    Column("task", "Task", choices=True),
    Column("scale", "Scale", choices=True),
    Column("evidence", "Evidence", choices=True),
    Column("metric", "Metric"),
    Column("estimate", "Estimate [95 %]", number=True),
    Column("p_best", "P(best)", chance, number=True),
    Column("greedy", "Greedy %", percent, number=True),
    Column("step_seconds", "Time/step, equal prompts", seconds, number=True),
    Column("train_seconds", "Training time", seconds, number=True),
    Column("predicted_peak", "Peak memory, predicted", size, number=True),
    Column("measured_peak", "Peak memory, measured", size, number=True),
    Column("completions", "Completions", count, number=True),
    Column("seeds", "Seeds", number=True),
    Column("hardware", "Hardware", choices=True),
    Column("status", "Status"),
)


def rows_of(report: Report, evidence: str, hardware: str, link: str) -> list[Row]:
    """The arms of one report; none of a tuning grid, whose arms are scored on the questions they were chosen by."""
    if report.experiment.id.endswith(TUNING_SUFFIX):
        return []
    rewards = {arm.arm: arm.at("mean_reward", arm.steps[-1]).mean for arm in report.bandits}
    tabular = report.experiment.tabular
    return [
        {
            "experiment": report.name,
            "arm": row.arm,
            "display": row.display,
            "method": row.method,
            "task": row.task,
            "scale": report.scale,
            "evidence": evidence,
            "metric": "mean reward" if tabular else ACCURACY,
            "estimate": rewards.get(row.arm) if tabular else row.accuracy,
            "lo": row.lo,
            "hi": row.hi,
            "greedy": row.metrics.get("greedy"),
            "step_seconds": row.step_seconds_prompts,
            "train_seconds": row.train_seconds,
            "predicted_peak": row.predicted_peak,
            "measured_peak": row.measured_peak,
            "completions": row.completions or None,
            "seeds": len(row.seeds),
            "hardware": hardware,
            "status": row.status,
            "link": link,
        }
        for row in report.rows
    ]


def ranked(rows: Iterable[Row]) -> list[Row]:
    """The rows with `rank`, from 1 for the highest estimate within an experiment of one origin; in that order.

    Equal estimates share a rank.
    """
    result = []
    for _, group in groupby(rows, key=lambda row: (row["experiment"], row["evidence"])):
        known = sorted(group, key=lambda row: (row.get("estimate") is None, -(row.get("estimate") or 0.0)))
        estimates = [row["estimate"] for row in known if row.get("estimate") is not None]
        for row in known:
            own = row.get("estimate")
            result.append({"rank": None if own is None else 1 + sum(one > own for one in estimates), **row})
    return result


def standing(group: Group) -> list[Row]:
    """The rows of one group of the leaderboard."""
    return [
        {
            "experiment": row.experiment,
            "arm": row.arm,
            "display": row.display,
            "method": row.method,
            "task": ", ".join(group.tasks),
            "scale": group.scale,
            "evidence": row.evidence,
            "metric": group.metric,
            "rank": row.rank,
            "estimate": row.estimate,
            "lo": row.lo,
            "hi": row.hi,
            "p_best": row.p_best,
            "step_seconds": row.step_seconds,
            "train_seconds": row.train_seconds,
            "predicted_peak": row.predicted_peak,
            "measured_peak": row.measured_peak,
            "completions": row.completions or None,
            "seeds": len(row.seeds),
            "hardware": "; ".join(row.hardware),
        }
        for row in group.rows
    ]


def merged(reports: Sequence[Row], groups: Sequence[Group]) -> list[Row]:
    """The ranked rows of reports, each replaced by the leaderboard's where it has the arm; imported arms are added.

    What only a report knows of an arm (link, greedy accuracy, status) stays. An arm that the leaderboard lacks has no
    rank beside others of its experiment and evidence that it has: two rankings must not mix.
    """
    known = {_arm(row): row for row in reports}
    board = [{**known.get(_arm(row), {}), **_filled(row)} for group in groups for row in standing(group)]
    listed, kinds = {_arm(row) for row in board}, {_arm(row)[:2] for row in board}
    rest = [row | {"rank": None} if _arm(row)[:2] in kinds else row for row in reports if _arm(row) not in listed]
    order = {name: place for place, name in enumerate(dict.fromkeys(row["experiment"] for row in reports))}
    return sorted([*board, *rest], key=lambda row: order.get(row["experiment"], len(order)))


def _arm(row: Row) -> tuple[str, str, str]:
    return row["experiment"], row["evidence"], row["arm"]


def _filled(row: Row) -> Row:
    return {key: value for key, value in row.items() if value is not None}


def table(rows: Sequence[Row]) -> dict[str, Any]:
    """Columns, cells (text, value to sort by, whether it is missing) and filters of the page."""
    columns = [c for c in COLUMNS if any(row.get(c.key) is not None for row in rows)]
    return {
        "columns": columns,
        "rows": [{"link": row.get("link"), "cells": [_cell(row, column) for column in columns]} for row in rows],
        "filters": [
            (column, values)
            for column in columns
            if column.choices and len(values := list(dict.fromkeys(_text(row, column) for row in rows))) > 1
        ],
    }


def _cell(row: Row, column: Column) -> dict[str, Any]:
    value = row.get(column.key)
    return {"column": column, "text": _text(row, column), "value": value if column.number else None}


def _text(row: Row, column: Column) -> str:
    value = row.get(column.key)
    if value is None:
        return MISSING
    if column.key != "estimate":
        return column.text(value)
    write = percent if row.get("metric", ACCURACY) == ACCURACY else lambda v: fixed(v, 3)
    unit = " %" if write is percent else ""
    lo, hi = row.get("lo"), row.get("hi")
    return f"{write(value)}{unit}" + ("" if lo is None or hi is None else f" [{write(lo)}, {write(hi)}]")
