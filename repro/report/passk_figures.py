"""Figures of pass@k, each with its CSV: over k at evaluation, over training, and over the k that was trained for.

Lines are means over the seeds whose trial is done, bands and error bars their range (smallest to largest seed). A
figure is left out, without a word, where the records lack what it shows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator

from repro.report import style
from repro.report.curves import arm_legend, over_seeds
from repro.report.format import csv_text, write_text
from repro.report.passk import METHODS, ArmPass, Panel

MOST_LINES = 8  # core arms of one panel: with more (a tuning grid) lines cannot be told apart


def drawable(panels: Sequence[Panel]) -> list[Panel]:
    """Panels whose core arms were trained and can be told apart."""
    return [panel for panel in panels if panel.trained and len(panel.core) <= MOST_LINES]


def pass_curves(panels: Sequence[Panel], stem: Path) -> list[Path]:
    """pass@k against k before and after training, and below it the difference to the base, seed by seed.

    A ring stands where a trained arm falls behind the base.
    """
    panels = drawable(panels)
    if not panels:
        return []
    table: list[list[Any]] = []
    compared = any(panel.base is not None for panel in panels)
    with style.styled():
        figure = style.new_figure(style.PAGE, 4.6 if compared else 3.0)
        axes = figure.subplots(1 + compared, len(panels), squeeze=False, sharex="col")
        for column, panel in zip(axes.T, panels, strict=True):
            styles = style.arm_style(panel.experiment)
            for one in panel.core:
                table += _over_k(column, panel, one, styles[one.arm.id])
            sizes_axis(column[-1], panel.sizes)
            column[0].set_title(panel.title)
            for axis in column:
                axis.yaxis.set_major_locator(style.ticks(6))
        for axis, what in zip(axes[:, 0], ("pass@k (%)", "Difference to the base (points)"), strict=False):
            axis.set_ylabel(what)
        ring = "; ring: from here on the base is ahead" if any((row[-1] or 1) > 1 for row in table) else ""
        figure.supxlabel(f"Samples k (line: mean, band: range over seeds{ring})", fontsize=8)
        arm_legend(figure)
        paths = style.save(figure, stem)
    header = [
        "task", "set", "arm", "k", "pass_percent", "smallest_seed", "largest_seed", "seeds", "difference_points",
        "smallest_difference", "largest_difference", "base_ahead_from_k",
    ]  # fmt: skip
    return [*paths, write_text(stem.with_name(f"{stem.name}.csv"), csv_text(header, table))]


def _over_k(column: Sequence[Axes], panel: Panel, one: ArmPass, look: dict) -> list[list[Any]]:
    behind = panel.crossing(one)
    rows = []
    for k in sorted(one.passes):
        values = [100 * v for v in one.pass_at(k)]
        gaps = [100 * v for v in panel.gaps(one, k)]
        place = [panel.task, panel.set, one.arm.id, k]
        extent = [fmean(gaps), min(gaps), max(gaps)] if gaps else [None] * 3
        rows.append([*place, fmean(values), min(values), max(values), len(values), *extent, behind])
    bold = 2.0 if one is panel.base else None
    for axis, first in zip(column, (4, 8), strict=False):
        shown = [row for row in rows if row[first] is not None]
        x, mean, low, high = ([row[i] for row in shown] for i in (3, first, first + 1, first + 2))
        axis.plot(x, mean, color=look["color"], linestyle=look["linestyle"], linewidth=bold, marker=look["marker"],
                  markersize=3, label=one.arm.display)  # fmt: skip
        axis.fill_between(x, low, high, color=look["color"], alpha=0.15, linewidth=0)
    if behind is not None and behind > rows[0][3]:
        k, height = _crossing_point(panel.base, one, behind)
        for axis, y in zip(column, (height, 0.0), strict=False):
            axis.plot(k, y, marker="o", markersize=9, markerfacecolor="none", markeredgecolor=look["color"],
                      markeredgewidth=1.2, linestyle="none", zorder=4)  # fmt: skip
    return rows


def _crossing_point(base: ArmPass, one: ArmPass, behind: int) -> tuple[float, float]:
    """Where the two curves meet just before `behind`, both straight between sizes on the logarithmic axis."""
    last = max(k for k in one.passes if k < behind and k in base.passes)
    (y0, z0), (y1, z1) = ((fmean(one.pass_at(k)), fmean(base.pass_at(k))) for k in (last, behind))
    share = (y0 - z0) / ((y0 - z0) + (z1 - y1))
    return 2 ** (math.log2(last) + share * math.log2(behind / last)), 100 * (y0 + share * (y1 - y0))


def sizes_axis(axis: Axes, sizes: Sequence[int]) -> None:
    """A log axis labelled with the sizes."""
    axis.set_xscale("log", base=2)
    axis.xaxis.set_major_locator(FixedLocator(sizes))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")


def objective_curves(panels: Sequence[Panel], stem: Path) -> list[Path]:
    """pass@1 and pass@k on the dev split over training: one row each, one column per task."""
    # The dev split is the task's: its sets of questions share one curve.
    by_task = {panel.task: panel for panel in reversed(drawable(panels))}
    shown = [panel for panel in reversed(by_task.values()) if any(any(one.curve) for one in panel.trained)]
    if not shown:
        return []
    table: list[list[Any]] = []
    with style.styled():
        both = any(point[2] is not None for p in shown for one in p.trained for seed in one.curve for point in seed)
        figure = style.new_figure(style.PAGE, 4.2 if both else 2.6)
        axes = figure.subplots(1 + both, len(shown), squeeze=False, sharex="col")
        for column, panel in zip(axes.T, shown, strict=True):
            styles = style.arm_style(panel.experiment)
            column[0].set_title(panel.heading)
            ks = _dev_ks(panel)[: 1 + both]
            for axis, which, k in zip(column, (1, 2), ks, strict=False):
                for one in panel.trained:
                    table += _over_training(axis, panel, one, which, k, styles[one.arm.id])
                if panel is shown[0] or _dev_ks(panel) != _dev_ks(shown[0]):
                    axis.set_ylabel(f"Dev pass@{k} (%)")
                axis.xaxis.set_major_locator(style.ticks(4, integer=True))
                axis.yaxis.set_major_locator(style.ticks(5))
        figure.supxlabel("Sampled completions (line: mean, band: range over seeds)", fontsize=8)
        arm_legend(figure)
        paths = style.save(figure, stem)
    header = ["task", "arm", "k", "completions", "pass_percent", "smallest_seed", "largest_seed", "seeds"]
    return [*paths, write_text(stem.with_name(f"{stem.name}.csv"), csv_text(header, table))]


def _dev_ks(panel: Panel) -> tuple[int, int]:
    return 1, max(one.dev_k for one in panel.trained)


def _over_training(axis: Axes, panel: Panel, one: ArmPass, which: int, k: int, look: dict) -> list[list[Any]]:
    series = [[(p[0], None if p[which] is None else 100 * p[which]) for p in seed] for seed in one.curve]
    points = over_seeds(series)
    if not points:
        return []
    x, mean, low, high, _ = (list(v) for v in zip(*points, strict=True))
    axis.plot(x, mean, color=look["color"], linestyle=look["linestyle"], label=one.arm.display,
              marker=look["marker"] if len(x) <= 20 else None, markersize=3)  # fmt: skip
    axis.fill_between(x, low, high, color=look["color"], alpha=0.15, linewidth=0)
    return [[panel.task, one.arm.id, k, *point] for point in points]


def k_ablation(panels: Sequence[Panel], stem: Path) -> list[Path]:
    """pass@k at a few k against the k that was trained for; dashed: the mean objective, dotted: the base."""
    shown = [(panel, found) for panel in panels if (found := k_families(panel))]
    if not shown:
        return []
    table: list[list[Any]] = []
    across = max(len(panel.marked) for panel, _ in shown)
    with style.styled():
        figure = style.new_figure(style.PAGE, 0.8 + 1.8 * len(shown))
        axes = figure.subplots(len(shown), across, squeeze=False)
        for line, (panel, families) in zip(axes, shown, strict=True):
            styles = style.arm_style(panel.experiment)
            for axis, k in zip(line, panel.marked, strict=False):
                table += _against_k(axis, panel, families, k, styles)
            for axis in line[len(panel.marked) :]:
                axis.set_axis_off()
            line[0].set_ylabel(f"{panel.title}\npass@k (%)" if len(shown) > 1 else "pass@k (%)")
        figure.supxlabel("k of the training objective (point: mean, bar: range over seeds)", fontsize=8)
        arm_legend(figure)
        paths = style.save(figure, stem)
    header = ["task", "set", "line", "arm", "training_k", "k", "pass_percent", "smallest_seed", "largest_seed", "seeds"]
    return [*paths, write_text(stem.with_name(f"{stem.name}.csv"), csv_text(header, table))]


def k_families(panel: Panel) -> dict[str, list[ArmPass]]:
    """Arms that differ in k only (and in n with it), by the display of the one that is drawn for all; mean left out.

    The same method, settings and number of sampled completions, with at least two values of k.
    """
    families: dict[str, list[ArmPass]] = {}
    for one in panel.arms.values():
        if one.method["name"] in METHODS and one.objective != "mean":
            rest = {name: value for name, value in one.method.items() if name not in ("k", "n")}
            budget = one.train["steps"] * one.train["completions_per_step"]
            families.setdefault(repr((sorted(rest.items(), key=str), budget)), []).append(one)
    found = {}
    for arms in families.values():
        # Of several arms with one k (k of n = k, and of a multiple of k) the first stands for it.
        by_k = {one.k: one for one in reversed(arms)}
        if len(by_k) > 1:
            named = next((one for one in arms if one.arm.core), arms[0])
            found[named.arm.id] = [by_k[k] for k in sorted(by_k)]
    return found


def _against_k(
    axis: Axes, panel: Panel, families: dict[str, list[ArmPass]], k: int, styles: dict[str, dict]
) -> list[list[Any]]:
    rows = []
    for name, arms in families.items():
        known = [one for one in arms if k in one.passes]
        values = [[100 * v for v in one.pass_at(k)] for one in known]
        x, mean = [one.k for one in known], [fmean(v) for v in values]
        bars = [[m - min(v) for m, v in zip(mean, values, strict=True)],
                [max(v) - m for m, v in zip(mean, values, strict=True)]]  # fmt: skip
        look, what = styles[name], style.objective(panel.arms[name].arm)
        axis.errorbar(x, mean, bars, color=look["color"], linestyle=look["linestyle"], marker=look["marker"],
                      markersize=4, linewidth=1.3, elinewidth=0.8, label=_family_name(what))  # fmt: skip
        rows += [
            [panel.task, panel.set, name, one.arm.id, one.k, k, fmean(v), min(v), max(v), len(v)]
            for one, v in zip(known, values, strict=True)
        ]
    mean_arm = next((one for one in panel.core if one.objective == "mean"), None)
    for one in (mean_arm, panel.base):
        if one is not None and k in one.passes:
            values = [100 * v for v in one.pass_at(k)]
            look = styles[one.arm.id]
            axis.axhline(fmean(values), color=look["color"], linestyle=look["linestyle"], linewidth=1.1,
                         label=one.arm.display)  # fmt: skip
            rows.append([panel.task, panel.set, "reference", one.arm.id, one.k, k, fmean(values), min(values),
                         max(values), len(values)])  # fmt: skip
    sizes_axis(axis, sorted({one.k for arms in families.values() for one in arms}))
    axis.margins(x=0.12)
    axis.autoscale_view()  # a level just inside the view would else lie on its edge
    axis.yaxis.set_major_locator(style.ticks(5))
    axis.set_title(f"pass@{k}")
    return rows


def _family_name(what: tuple[str, str] | str) -> str:
    """`pass@k`, `pass@k, biased`, `pkpo`: the objective, whatever its k."""
    if isinstance(what, str):
        return what
    objective, variant = what
    return f"{objective}@k" + ("" if variant == "unbiased" else f", {variant}")
