"""Figure of accuracy against time, with its CSV: learning curves over seconds of training, and where each arm ends.

Seconds are steps times the median step of the timing record in the arm's own setting (the one with completions held
equal), so that arms are compared on one machine with nothing beside them; an arm with an offline stage starts after it.

Not covered: evaluation and checkpoints, which are no part of a step; arms that were not timed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

from repro.experiments.types import Arm, Experiment
from repro.report import style
from repro.report.blocks import Block, blocks
from repro.report.curves import arm_legend, curve_split, over_seeds
from repro.report.format import csv_text, write_text
from repro.report.interval import accuracy_interval
from repro.report.summary import set_names, timing_rounds, trials

Record = dict[str, Any]
MODE = "completions_equal"
_UNITS = (("hours", 3600.0, 2 * 3600.0), ("minutes", 60.0, 2 * 60.0), ("seconds", 1.0, 0.0))  # name, length, from


@dataclass(frozen=True)
class Course:
    """One arm over time. Seconds; accuracies in percent."""

    arm: Arm
    offline: float  # stage 1 of the whole run, before the first step
    step: float  # online
    curve: list[tuple[float, float, float, float, int]]  # seconds, mean dev accuracy, smallest, largest, seeds
    end: float  # seconds of the whole run
    accuracy: float  # test
    lo: float | None
    hi: float | None


def tradeoff(experiment: Experiment, records: Sequence[Record], timing: Record | None, stem: Path) -> list[Path]:
    """Two panels per task; [] if no arm was both finished and timed."""
    done = [r for r in trials(records, experiment) if r["status"] == "done"]
    sets = set_names(done)
    known = []
    for part in blocks(experiment, done):
        courses = [course(arm, part.records, timing, sets) for arm in part.experiment.arms]
        if courses := [one for one in courses if one is not None]:
            known.append((part, courses))
    if not known:
        return []
    longest = max(one.end for _, courses in known for one in courses)
    unit, length = next((name, length) for name, length, least in _UNITS if longest >= least)
    table: list[list[Any]] = []
    with style.styled():
        figure = style.new_figure(style.PAGE, 0.8 + 2.0 * len(known))
        axes = figure.subplots(len(known), 2, squeeze=False)
        for line, (part, courses) in zip(axes, known, strict=True):
            table += _draw_task(line, part, courses, sets, length)
            if len(known) > 1:
                line[0].set_ylabel(part.title)
        axes[0, 0].set_title(f"{curve_split(done).capitalize()} accuracy (%) in the course of training")
        axes[0, 1].set_title("Test accuracy (%) at the end")
        offline = "; dotted: stage 1" if any(one.offline for _, courses in known for one in courses) else ""
        what = f"Time in steps, {unit} (left: mean and range over seeds{offline}; right: 95 % interval)"
        figure.supxlabel(what, fontsize=8)
        arm_legend(figure)
        paths = style.save(figure, stem)
    header = ["figure", "arm", "seconds", "accuracy_percent", "lo_percent", "hi_percent", "seeds"]
    return [*paths, write_text(stem.with_name(f"{stem.name}.csv"), csv_text(header, table))]


def _draw_task(line, part: Block, courses: list[Course], sets: Sequence[str], length: float) -> list[list[Any]]:
    """Both panels of one task; the base, which takes no time, is a level on the right."""
    left, right = line
    styles = style.arm_style(part.experiment)
    table: list[list[Any]] = []
    for one in courses:
        table += _draw_course(left, one, styles[one.arm.id], length)
        table += _draw_end(right, one, styles[one.arm.id], length)
    base = [r for r in part.records if r["config"]["method"]["name"] == "none"]
    if base and sets:
        level = 100 * fmean(r["metrics"][f"{name}/accuracy"] for r in base for name in sets)
        right.axhline(level, color=style.GREY, linestyle=":", linewidth=1.0)
        right.annotate("base model", (0.02, level), xycoords=("axes fraction", "data"), va="bottom",
                       fontsize=style.SMALLEST_FONT)  # fmt: skip
        table.append(["end", base[0]["arm"], 0.0, level, None, None, len(base)])
    longest = max(one.end for one in courses)
    for axis in line:
        axis.set_xlim(0, 1.04 * longest / length)
        axis.xaxis.set_major_locator(style.ticks(5))
        axis.yaxis.set_major_locator(style.ticks(5))
    return table


def course(arm: Arm, done: Sequence[Record], timing: Record | None, sets: Sequence[str]) -> Course | None:
    """The arm over time; None if it was not trained, finished and timed."""
    own = [r for r in done if r["arm"] == arm.id]
    rounds = timing_rounds(timing, MODE, arm.id)
    if not arm.trained or not own or not rounds or not sets:
        return None
    steps = own[0]["config"]["train"]["steps"]
    step = median(r["seconds"] for r in rounds)
    offline = steps * median(r.get("stage1_seconds", 0.0) for r in rounds)
    series = [
        [(offline + p["step"] * step, 100 * p["dev_accuracy"]) for p in r["curve"] if p["dev_accuracy"] is not None]
        for r in own
    ]
    lo, hi = (None if v is None else 100 * v for v in accuracy_interval(own))
    mean = 100 * fmean(r["metrics"][f"{name}/accuracy"] for r in own for name in sets)
    return Course(arm, offline, step, over_seeds(series), offline + steps * step, mean, lo, hi)


def _draw_course(axis, one: Course, look: dict, length: float) -> list[list[Any]]:
    rows = []
    if one.curve and one.offline:  # nothing is learnt while the base is sampled
        start = one.curve[0][1]
        axis.plot([0, one.offline / length], [start, start], color=look["color"], linestyle=":", linewidth=1.3)
        rows.append(["stage 1", one.arm.id, one.offline, start, None, None, one.curve[0][4]])
    x, mean, low, high, seeds = (list(v) for v in zip(*one.curve, strict=True)) if one.curve else ([],) * 5
    at = [value / length for value in x]
    axis.plot(at, mean, color=look["color"], linestyle=look["linestyle"], label=one.arm.display,
              marker=look["marker"] if len(at) <= 20 else None, markersize=3)  # fmt: skip
    axis.fill_between(at, low, high, color=look["color"], alpha=0.15, linewidth=0)
    rows += [["curve", one.arm.id, *point] for point in zip(x, mean, low, high, seeds, strict=True)]
    return rows


def _draw_end(axis, one: Course, look: dict, length: float) -> list[list[Any]]:
    at = one.end / length
    if one.lo is not None and one.hi is not None:
        axis.vlines(at, one.lo, one.hi, color=look["color"], linewidth=1.3)
    axis.plot([at], [one.accuracy], marker=look["marker"], markersize=6, color=look["color"], markeredgecolor="black",
              markeredgewidth=0.5, linestyle="none")  # fmt: skip
    return [["end", one.arm.id, one.end, one.accuracy, one.lo, one.hi, None]]
