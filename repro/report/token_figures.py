"""Figures of what token selection does, each with its CSV: accuracy against the share of trained tokens, training
against held-out accuracy, and the tokens of one recorded group.

A figure is left out, without a word, where the records lack what it shows: only methods that select tokens record
their share, and a group.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from repro.experiments.types import Experiment
from repro.report import style
from repro.report.blocks import Block, blocks
from repro.report.curves import arm_legend, curve_split, over_seeds, smooth
from repro.report.format import csv_text, write_text
from repro.report.interval import accuracy_interval
from repro.report.summary import ArmSummary, summarise

Record = dict[str, Any]
METRIC = "token_share"
MOST_ARMS = 6  # panels in a row


def selects(record: Record) -> bool:
    """Whether the record's method counted the tokens that it trained."""
    return any(METRIC in point for point in record.get("health", ()))


def share_scatter(experiment: Experiment, records: Sequence[Record], stem: Path) -> list[Path]:
    """Accuracy with its 95 % interval against the share of completion tokens in the loss (log), one panel per task."""
    parts = [part for part in blocks(experiment, records) if any(selects(r) for r in part.records)]
    if not parts:
        return []
    table: list[list[Any]] = []
    with style.styled():
        figure = style.new_figure(style.PAGE, 3.6)
        axes = figure.subplots(1, len(parts), squeeze=False)[0]
        for axis, part in zip(axes, parts, strict=True):
            table += _draw_shares(axis, part)
            axis.set_title(part.title)
        axes[0].set_ylabel("Test accuracy (%)")
        figure.supxlabel("Completion tokens in the loss, % (mean over training; bars: 95 % interval)", fontsize=8)
        arm_legend(figure, 3)  # variants have long names
        paths = style.save(figure, stem)
    header = ["task", "arm", "token_share_percent", "accuracy_percent", "lo_percent", "hi_percent", "seeds"]
    return [*paths, write_text(stem.with_name(f"{stem.name}.csv"), csv_text(header, table))]


def _draw_shares(axis: Axes, part: Block) -> list[list[Any]]:
    styles, rows = style.arm_style(part.experiment), []
    for row in summarise(part.experiment, part.records, None, intervals=False):
        if row.accuracy is None:
            continue
        own = [r for r in part.records if r["arm"] == row.arm and r["status"] == "done"]
        low, high = (None if v is None else 100 * v for v in accuracy_interval(own))
        share = _share(row)
        look, mean = styles[row.arm], 100 * row.accuracy
        rows.append([part.task, row.arm, share, mean, low, high, len(row.seeds)])
        if share is None:
            axis.axhline(mean, color=look["color"], linestyle=look["linestyle"], linewidth=1.0, label=row.display)
            continue
        if low is not None and high is not None:
            axis.vlines(share, low, high, color=look["color"], linewidth=1.1)
        fill = look["color"] if row.core else "white"
        axis.plot([share], [mean], color=look["color"], marker=look["marker"], markersize=6, markerfacecolor=fill,
                  linestyle="none", label=row.display)  # fmt: skip
    axis.set_xscale("log")
    axis.set_xlim(None, 130)
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.yaxis.set_major_locator(style.ticks(5))
    return rows


def _share(row: ArmSummary) -> float | None:
    return None if METRIC not in row.metrics else 100 * row.metrics[METRIC]


def train_and_test(experiment: Experiment, records: Sequence[Record], stem: Path) -> list[Path]:
    """Training reward and dev accuracy of every core arm in one panel each: where they part, the arm over-fits."""
    done = [r for r in records if r["status"] == "done" and r["health"]]
    parts = [part for part in blocks(experiment, records) if any(selects(r) for r in part.records)]
    rows = [
        (part, [arm for arm in part.experiment.core_arms if any(r["arm"] == arm.id for r in done)]) for part in parts
    ]
    rows = [(part, arms) for part, arms in rows if 0 < len(arms) <= MOST_ARMS]
    if not rows:
        return []
    held_out = curve_split(done)
    table: list[list[Any]] = []
    across = max(len(arms) for _, arms in rows)
    with style.styled():
        figure = style.new_figure(style.PAGE, 0.8 + 1.7 * len(rows))
        axes = figure.subplots(len(rows), across, squeeze=False, sharex="row", sharey="row")
        for line, (part, arms) in zip(axes, rows, strict=True):
            styles = style.arm_style(part.experiment)
            for axis, arm in zip(line, arms, strict=False):
                own = [r for r in done if r["arm"] == arm.id]
                for what, name, look in (("training", "training prompts", "-"), (held_out, "held-out questions", "--")):
                    points = over_seeds([_series(r, what) for r in own])
                    x, mean, low, high, _ = (list(v) for v in zip(*points, strict=True)) if points else ([],) * 5
                    axis.plot(x, mean, color="black" if what == held_out else styles[arm.id]["color"], linestyle=look,
                              label=name)  # fmt: skip
                    axis.fill_between(x, low, high, color=styles[arm.id]["color"], alpha=0.15, linewidth=0)
                    table += [[part.task, arm.id, what, *point] for point in points]
                axis.set_title(arm.display)
                axis.xaxis.set_major_locator(style.ticks(3, integer=True))
            for axis in line[len(arms) :]:
                axis.set_axis_off()
            line[0].set_ylabel(f"{part.title}\naccuracy (%)")
        figure.supxlabel(
            "Training step (coloured: training prompts, trailing mean of 5 steps; black: held-out questions; "
            "band: range over seeds)",
            fontsize=8,
        )
        paths = style.save(figure, stem)
    header = ["task", "arm", "questions", "step", "accuracy_percent", "smallest_seed", "largest_seed", "seeds"]
    return [*paths, write_text(stem.with_name(f"{stem.name}.csv"), csv_text(header, table))]


def _series(record: Record, what: str) -> list[tuple[float, float | None]]:
    if what != "training":
        return [(p["step"], 100 * p["dev_accuracy"]) for p in record["curve"] if p["dev_accuracy"] is not None]
    return smooth([(h["step"], None if h["reward"] is None else 100 * h["reward"]) for h in record["health"]])
