"""Figures of the verifier, each with its CSV: what lambda trades, and how well P(Yes) is calibrated.

Bands and intervals are the 95 % two-level bootstrap over seeds and questions (see `repro.report.scaling`). A figure is
left out, without a word, where the records lack what it shows.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator

from repro.experiments.types import Experiment
from repro.report import style
from repro.report.format import csv_text, write_text
from repro.report.scaling import ArmScaling, Interval, Scaling, interval, pairs

FEWEST = 3  # values of lambda, 0 included: with fewer there is no trade-off to see
SET_LOOKS = (
    (style.BLUE, "-", "o"), (style.VERMILLION, "--", "s"), (style.GREEN, "-.", "^"), (style.PURPLE, ":", "D"),
)  # fmt: skip


def lambda_sweep(experiment: Experiment, scaling: Scaling, stem: Path) -> list[Path]:
    """Reasoner, verifier and weighted vote against lambda, one line per set; one row per method that was swept.

    Points: the arms that train their own weights to verify, unbalanced, and the base method as lambda 0.
    """
    swept = {method: by_set for method in _methods(scaling) if (by_set := _sweep(scaling, method))}
    if not swept:
        return []
    table: list[list[Any]] = []
    with style.styled():
        figure = style.new_figure(style.PAGE, 0.55 + 1.75 * len(swept))
        axes = figure.subplots(len(swept), 3, squeeze=False)
        for line, (method, by_set) in zip(axes, swept.items(), strict=True):
            table += _lambda_row(line, method, by_set)
            base = next(iter(by_set.values()))[0.0].display
            line[0].set_ylabel(f"{base}, %")
        seen = {}
        for axis in axes.flat:
            for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
                seen.setdefault(label, handle)
        figure.legend(seen.values(), seen.keys(), loc="outside upper center", ncols=len(seen), handlelength=2.6)
        figure.supxlabel("lambda, log scale; 0: base method (band: 95 % interval over seeds and questions)", fontsize=8)
        paths = style.save(figure, stem)
    header = ["method", "set", "what", "lambda", "arm", "percent", "lo_percent", "hi_percent", "seeds"]
    return [*paths, write_text(stem.with_name(f"{stem.name}.csv"), csv_text(header, table))]


def _methods(scaling: Scaling) -> list[str]:
    """Base methods that have a ^V form in the records."""
    arms = [one for by_arm in scaling.values() for one in by_arm.values()]
    return list(dict.fromkeys(one.method.removesuffix("-v") for one in arms if one.method.endswith("-v")))


def _sweep(scaling: Scaling, method: str) -> dict[str, dict[float, ArmScaling]]:
    """Set -> lambda -> arm, in rising order; only sets with the base method and enough values of lambda."""
    found = {}
    for name, arms in scaling.items():
        points: dict[float, ArmScaling] = {}
        for one in arms.values():
            if one.method == method and one.core:
                points.setdefault(0.0, one)
            elif one.method == f"{method}-v" and one.verifier == "trained" and not one.balanced and one.verify_lambda:
                points.setdefault(float(one.verify_lambda), one)
        if 0.0 in points and len(points) >= FEWEST:
            found[name] = dict(sorted(points.items()))
    return found


def _lambda_row(line, method: str, by_set: dict[str, dict[float, ArmScaling]]) -> list[list[Any]]:
    panels = (
        ("reasoner", "Reasoner: accuracy, N=1", lambda one: _rule(one, "majority", 0)),
        ("verifier", "Verifier: accuracy at 0.5", _verifier),
        ("weighted", "Both: weighted vote, largest N", lambda one: _rule(one, "weighted", -1)),
    )
    values = sorted({value for points in by_set.values() for value in points})
    place = _places(values)
    rows = []
    for axis, (what, title, read) in zip(line, panels, strict=True):
        for (name, points), (colour, dashes, marker) in zip(by_set.items(), _looks(len(by_set)), strict=True):
            read_off = [(value, one, *read(one)) for value, one in points.items()]
            x = [place[value] for value, *_ in read_off]
            y = [100 * mean for _, _, mean, _ in read_off]
            band = [tuple(None if v is None else 100 * v for v in both) for *_, both in read_off]
            axis.plot(x, y, color=colour, linestyle=dashes, marker=marker, markersize=3, label=name)
            if all(lo is not None for lo, _ in band):
                axis.fill_between(x, *zip(*band, strict=True), color=colour, alpha=0.15, linewidth=0)
            rows += [
                [method, name, what, value, one.arm, mean, lo, hi, len(one.seeds)]
                for (value, one, *_), mean, (lo, hi) in zip(read_off, y, band, strict=True)
            ]
        axis.set_title(title)
        axis.xaxis.set_major_locator(FixedLocator([place[value] for value in values]))
        axis.set_xticks([place[value] for value in values], [f"{value:g}" for value in values])
        axis.yaxis.set_major_locator(style.ticks(5))
    return rows


def _rule(one: ArmScaling, rule: str, at: int) -> tuple[float, Interval]:
    return one.mean(rule)[at], one.band(rule, at)


def _verifier(one: ArmScaling) -> tuple[float, Interval]:
    return one.numbers["accuracy"], interval(one.right)


def _places(values: list[float]) -> dict[float, float]:
    """Where each lambda stands on the axis: its logarithm; 0 one median step to the left of the smallest."""
    logs = [math.log10(value) for value in values if value > 0]
    steps = sorted(b - a for a, b in zip(logs, logs[1:], strict=False)) or [1.0]
    left = logs[0] - steps[len(steps) // 2]
    return {value: math.log10(value) if value > 0 else left for value in values}


def _looks(count: int) -> list[tuple[str, str, str]]:
    return [SET_LOOKS[i % len(SET_LOOKS)] for i in range(count)]


def calibration_plot(experiment: Experiment, scaling: Scaling, stem: Path) -> list[Path]:
    """Share of correct samples against P(Yes) in ten bins: ^V arms solid, base methods as judges dashed.

    One panel per set. The area of a mark grows with the share of samples in its bin; samples of all seeds together.
    """
    shown = [arm.id for pair in pairs(experiment) for arm in pair]
    sets = [name for name, arms in scaling.items() if any(arm in arms for arm in shown)]
    if not sets:
        return []
    styles = style.arm_style(experiment)
    table: list[list[Any]] = []
    with style.styled():
        across = min(len(sets), 3)
        down = -(-len(sets) // across)
        figure = style.new_figure(style.COLUMN if across == 1 else style.PAGE, 0.7 + 2.1 * down)
        axes = figure.subplots(down, across, squeeze=False, sharey=True)
        for axis, name in zip(axes.flat, sets, strict=False):
            axis.plot([0, 100], [0, 100], color=style.GREY, linewidth=0.8)
            for one in (scaling[name][arm] for arm in shown if arm in scaling[name]):
                table += _reliability(axis, one, styles[one.arm], name)
            axis.set(xlim=(-3, 103), ylim=(-3, 103), title=name)
        for axis in axes.flat[len(sets) :]:
            axis.set_axis_off()
        for line in axes:
            line[0].set_ylabel("Correct samples (%)")
        seen = {}
        for axis in axes.flat:
            for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
                seen.setdefault(label, handle)
        columns = 2 if across == 1 else min(len(seen), 6)
        figure.legend(seen.values(), seen.keys(), loc="outside upper center", ncols=columns, handlelength=2.6)
        figure.supxlabel("P(Yes), mean of the bin (%); grey: perfect calibration", fontsize=8)
        paths = style.save(figure, stem)
    header = ["set", "arm", "bin", "samples", "mean_p_yes_percent", "correct_percent"]
    return [*paths, write_text(stem.with_name(f"{stem.name}.csv"), csv_text(header, table))]


def _reliability(axis: Axes, one: ArmScaling, look: dict, name: str) -> list[list[Any]]:
    total = sum(count for count, *_ in one.calibration)
    rows = [
        [name, one.arm, k, count, 100 * score, 100 * share]
        for k, (count, score, share) in enumerate(one.calibration)
        if count
    ]
    x, y = [row[4] for row in rows], [row[5] for row in rows]
    axis.plot(x, y, color=look["color"], linestyle=look["linestyle"], linewidth=1.1, label=one.display)
    area = [3 + 60 * row[3] / total for row in rows]
    axis.scatter(x, y, area, color=look["color"], marker=look["marker"], linewidths=0, zorder=3)
    return rows
