"""Figure of difficulty levels, with its CSV: what each objective gains where, and where it has a signal at all.

Dots are means over the seeds whose trial is done, lines their range. Signal is the share of groups whose samples have
an advantage other than 0. A task without levels has no row.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from matplotlib.axes import Axes

from repro.report import style
from repro.report.curves import arm_legend
from repro.report.format import csv_text, write_text
from repro.report.passk import ArmPass, Panel
from repro.report.passk_figures import drawable

WIDTH = 0.7  # of one level's dots, of 1


def level_dots(panels: Sequence[Panel], stem: Path) -> list[Path]:
    """One row per task: pass@1 and pass@k per level, and the share of groups with signal early and late in training."""
    shown = [panel for panel in drawable(panels) if panel.levels]
    if not shown:
        return []
    table: list[list[Any]] = []
    with style.styled():
        figure = style.new_figure(style.PAGE, 1.0 + 1.9 * len(shown))
        axes = figure.subplots(len(shown), 3, squeeze=False)
        for line, panel in zip(axes, shown, strict=True):
            styles = style.arm_style(panel.experiment)
            for axis, k in zip(line, panel.marked[:2], strict=False):
                axis.set_title(f"pass@{k} (%)")
                table += _pass_dots(axis, panel, k, styles)
            if len(panel.marked) < 2:
                line[1].set_axis_off()
            line[2].set_title("Groups with signal (%)")
            table += _signal_dots(line[2], panel, styles)
            if len(shown) > 1:
                line[0].set_ylabel(panel.title)
            for axis in line:
                _level_axis(axis, panel.levels)
        figure.supxlabel(
            "Level (left, middle: mean and range over seeds; right: first tenth of the steps open, last tenth filled,\n"
            "bar: expected at the base's solve rates)",
            fontsize=8,
        )
        arm_legend(figure)
        paths = style.save(figure, stem)
    header = ["task", "set", "level", "arm", "what", "percent", "smallest_seed", "largest_seed", "seeds"]
    return [*paths, write_text(stem.with_name(f"{stem.name}.csv"), csv_text(header, table))]


def _places(arms: Sequence[ArmPass]) -> dict[str, float]:
    """Where an arm's dots stand beside the middle of a level."""
    step = WIDTH / len(arms)
    return {one.arm.id: (i - (len(arms) - 1) / 2) * step for i, one in enumerate(arms)}


def _pass_dots(axis: Axes, panel: Panel, k: int, styles: dict[str, dict]) -> list[list[Any]]:
    places = _places(panel.core)
    rows = []
    for one in panel.core:
        look, at, means = styles[one.arm.id], [], []
        for x, level in enumerate(panel.levels):
            values = one.pass_at(k, level)
            if values is None:
                continue
            values = [100 * v for v in values]
            at.append(x + places[one.arm.id])
            means.append(fmean(values))
            axis.vlines(at[-1], min(values), max(values), color=look["color"], linewidth=1.0)
            what = [level, one.arm.id, f"pass@{k}", means[-1], min(values), max(values), len(values)]
            rows.append([panel.task, panel.set, *what])
        axis.plot(at, means, color=look["color"], marker=look["marker"], markersize=4.5, linestyle="none",
                  label=one.arm.display)  # fmt: skip
    axis.set_ylim(bottom=0)
    return rows


def _signal_dots(axis: Axes, panel: Panel, styles: dict[str, dict]) -> list[list[Any]]:
    places = _places(panel.trained)
    rows = []
    for one in panel.trained:
        look, colour = styles[one.arm.id], styles[one.arm.id]["color"]
        for x, level in enumerate(panel.levels):
            at = x + places[one.arm.id]
            ends = [None if v is None else 100 * v for v in one.signal.get(level, (None, None))]
            if None not in ends:
                axis.plot([at, at], ends, color=colour, linewidth=0.8)
            for what, value, fill in zip(("signal_first", "signal_last"), ends, ("white", colour), strict=True):
                if value is not None:
                    axis.plot([at], [value], marker=look["marker"], markersize=4.5, color=colour, linestyle="none",
                              markerfacecolor=fill, zorder=3)  # fmt: skip
                    rows.append([panel.task, panel.set, level, one.arm.id, what, value, None, None, len(one.seeds)])
            chance = panel.expected(one, level)
            if chance is not None:
                axis.plot([at], [100 * chance], marker="_", markersize=9, color="black", linestyle="none", zorder=4)
                what = [level, one.arm.id, "signal_expected", 100 * chance, None, None, len(panel.base.seeds)]
                rows.append([panel.task, panel.set, *what])
    axis.set_ylim(bottom=0)
    return rows


def _level_axis(axis: Axes, levels: Sequence[str]) -> None:
    axis.set_xticks(range(len(levels)), levels)
    axis.set_xlim(-0.5, len(levels) - 0.5)
    axis.grid(axis="x", visible=False)
    for x in range(1, len(levels)):
        axis.axvline(x - 0.5, color="#dddddd", linewidth=0.5)
    axis.yaxis.set_major_locator(style.ticks(5))
