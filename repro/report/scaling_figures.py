"""Figures of test-time scaling, each with its CSV: accuracy against N per voting rule, and length budgets beside N.

Bands are 95 % two-level intervals over seeds and questions (see `repro.report.scaling`). A figure is left out, without
a word, where the records lack what it shows.

Differs from the paper: RL^V (arXiv 2505.04842) plots one budget-forced generation per length; here a budget cuts the
samples of one pool.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator

from repro.experiments.types import Arm, Experiment
from repro.report import style
from repro.report.format import csv_text, write_text
from repro.report.scaling import RULE_NAMES, ArmScaling, Scaling, pairs

# Whose samples and scores (0: base method, 1: its ^V form), rule, legend, line style, width, marker, band?
LINES = (
    (1, "pass", "^V: pass@N (ceiling)", "-", 1.0, "", False),
    (0, "majority", "base method: majority", "--", 1.3, "s", True),
    (0, "weighted", "base method: weighted by itself as judge", ":", 1.3, "", False),
    (1, "majority", "^V: majority", (0, (5, 1, 1, 1, 1, 1)), 0.9, "x", False),
    (1, "best", "^V: best-of-N", "-.", 0.9, "^", False),
    (1, "weighted", "^V: weighted", "-", 1.6, "o", True),
)


def scaling_curves(experiment: Experiment, scaling: Scaling, stem: Path) -> list[Path]:
    """Accuracy against N: one row per base method and its ^V form, one column per set."""
    sets = list(scaling)
    rows = [pair for pair in pairs(experiment) if any(arm.id in scaling[name] for arm in pair for name in sets)]
    if not rows:
        return []
    styles = style.arm_style(experiment)
    table: list[list[Any]] = []
    with style.styled():
        figure = style.new_figure(style.PAGE, 0.75 + 1.55 * len(rows))
        axes = figure.subplots(len(rows), len(sets), sharex="col", sharey="col", squeeze=False)
        for line, pair in zip(axes, rows, strict=True):
            for axis, name in zip(line, sets, strict=True):
                table += _curves(axis, pair, scaling[name], name, styles[pair[0].id]["color"])
            line[0].set_ylabel(f"{pair[0].display}\nAccuracy (%)")
        for axis, name in zip(axes[0], sets, strict=True):
            axis.set_title(name)
        for column, name in zip(axes.T, sets, strict=True):
            _sizes_axis(column[-1], sorted({n for one in scaling[name].values() for n in one.sizes}))
        figure.supxlabel("Samples N (band: 95 % interval over seeds and questions)", fontsize=8)
        proxies = [
            Line2D([], [], color=_colour(rule, style.BLACK), linestyle=dashes, linewidth=width, marker=marker,
                   markersize=3, label=label)
            for _, rule, label, dashes, width, marker, _ in LINES
        ]  # fmt: skip
        figure.legend(handles=proxies, loc="outside upper center", ncols=3, handlelength=3.0)
        paths = style.save(figure, stem)
    header = ["set", "arm", "rule", "n", "accuracy_percent", "lo_percent", "hi_percent", "seeds"]
    return [*paths, write_text(stem.with_name(f"{stem.name}.csv"), csv_text(header, table))]


def _curves(axis: Axes, pair: tuple[Arm, Arm], arms: dict[str, ArmScaling], name: str, hue: str) -> list[list[Any]]:
    rows = []
    for who, rule, _, dashes, width, marker, banded in LINES:
        one = arms.get(pair[who].id)
        if one is None:
            continue
        colour = _colour(rule, hue)
        mean = [100 * v for v in one.mean(rule)]
        axis.plot(one.sizes, mean, color=colour, linestyle=dashes, linewidth=width, marker=marker, markersize=3,
                  markeredgewidth=0.8)  # fmt: skip
        bands = [one.band(rule, i) if banded else (None, None) for i in range(len(one.sizes))]
        lows, highs = ([None if v is None else 100 * v for v in side] for side in zip(*bands, strict=True))
        if banded and None not in lows:
            axis.fill_between(one.sizes, lows, highs, color=colour, alpha=0.15, linewidth=0)
        rows += [
            [name, one.arm, rule, *point, len(one.seeds)] for point in zip(one.sizes, mean, lows, highs, strict=True)
        ]
    axis.yaxis.set_major_locator(style.ticks(5))
    return rows


def _colour(rule: str, hue: str) -> str:
    return style.GREY if rule == "pass" else hue


def _sizes_axis(axis: Axes, sizes: Sequence[int]) -> None:
    """A log axis labelled with the sizes; of many, every second one, from the largest down."""
    axis.set_xscale("log", base=2)
    shown = sizes if len(sizes) <= 5 else sizes[::-1][::2][::-1]
    axis.xaxis.set_major_locator(FixedLocator(shown))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")


def budget_curves(experiment: Experiment, scaling: Scaling, stem: Path) -> list[Path]:
    """Sequential x parallel: accuracy against N for each length budget, and early stopping by confidence.

    One row per set. First column: the first base method by majority vote; second: its ^V form by weighted vote; third:
    accuracy against the tokens spent when generation stops once the weighted vote is confident, for every pair.
    """
    known = {name: {arm: one for arm, one in arms.items() if one.budgets is not None} for name, arms in scaling.items()}
    couples = [(a, b) for a, b in pairs(experiment) if any(a.id in arms or b.id in arms for arms in known.values())]
    sets = [name for name, arms in known.items() if any(arm.id in arms for pair in couples for arm in pair)]
    if not sets:
        return []
    shown = list(zip(couples[0], ("majority", "weighted"), strict=True))
    styles = style.arm_style(experiment)
    table: list[list[Any]] = []
    with style.styled():
        figure = style.new_figure(style.PAGE, 0.85 + 1.55 * len(sets))
        axes = figure.subplots(len(sets), 3, squeeze=False, sharex="col")
        for line, name in zip(axes, sets, strict=True):
            arms = known[name]
            for axis, (arm, rule) in zip(line, shown, strict=False):
                if arm.id in arms:
                    table += _fixed_budgets(axis, arms[arm.id], rule, name)
            table += _early(line[2], [arms[a.id] for pair in couples for a in pair if a.id in arms], styles, name)
            line[1].sharey(line[0])  # the third panel has a scale of its own: its lines lie close together
            line[1].tick_params(labelleft=False)
            line[0].set_ylabel(f"{name}\nAccuracy (%)")
            for axis in line:
                axis.yaxis.set_major_locator(style.ticks(5))
        for axis, (arm, rule) in zip(axes[0], shown, strict=False):
            axis.set_title(f"{arm.display}, {RULE_NAMES[rule]}")
        largest = max(one.budgets.sizes[-1] for name in sets for one in known[name].values())
        axes[0, 2].set_title(f"Early stop by confidence, N={largest}")
        sizes = sorted({n for name in sets for one in known[name].values() for n in one.budgets.sizes})
        for axis in axes[-1, :2]:
            _sizes_axis(axis, sizes)
            axis.set_xlabel("Samples N")
        axes[-1, 2].set_xlabel("Tokens per sample")
        axes[-1, 2].xaxis.set_major_locator(style.ticks(5))
        _two_legends(figure, axes)
        paths = style.save(figure, stem)
    header = ["set", "arm", "rule", "budget_tokens", "n", "threshold", "mean_tokens", "accuracy_percent"]
    return [*paths, write_text(stem.with_name(f"{stem.name}.csv"), csv_text(header, table))]


def _fixed_budgets(axis: Axes, one: ArmScaling, rule: str, name: str) -> list[list[Any]]:
    rows = []
    budgets = one.budgets
    # Dark to light blue-yellow: told apart in grey as well, and by people who do not see red or green.
    shades = matplotlib.colormaps["cividis"]
    for i, (limit, accuracy) in enumerate(zip(budgets.tokens, getattr(budgets, rule), strict=True)):
        colour = shades(0.92 * (1 - i / max(len(budgets.tokens) - 1, 1)))
        values = [100 * float(v) for v in accuracy]
        axis.plot(budgets.sizes, values, color=colour, marker=style.MARKERS[i % len(style.MARKERS)], markersize=3,
                  label=f"at most {limit} tokens")  # fmt: skip
        rows += [[name, one.arm, rule, limit, n, None, None, v] for n, v in zip(budgets.sizes, values, strict=True)]
    return rows


def _early(axis: Axes, arms: list[ArmScaling], styles: dict[str, dict], name: str) -> list[list[Any]]:
    rows = []
    for one in arms:
        budgets, look = one.budgets, styles[one.arm]
        accuracy, tokens = ([float(v) for v in side] for side in (100 * budgets.early_accuracy, budgets.early_tokens))
        axis.plot(tokens, accuracy, color=look["color"], linestyle=look["linestyle"], marker=look["marker"],
                  markersize=3, label=one.display)  # fmt: skip
        rows += [
            [name, one.arm, "early", None, budgets.sizes[-1], t, spent, value]
            for t, spent, value in zip(budgets.thresholds, tokens, accuracy, strict=True)
        ]
    return rows


def _two_legends(figure, axes) -> None:
    for columns, place, across in ((axes[:, :2].flat, "outside upper left", 2), (axes[:, 2], "outside upper right", 2)):
        seen: dict[str, Any] = {}
        for axis in columns:
            for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
                seen.setdefault(label, handle)
        if seen:
            figure.legend(seen.values(), seen.keys(), loc=place, ncols=across, handlelength=2.4, columnspacing=1.0)
