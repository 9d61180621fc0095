"""Figure of what the planner predicts: the peak of every arm as a stack of its parts, one panel per model, with CSV."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from repro.report import style
from repro.report.format import csv_text, fixed, write_text
from repro.report.planned import PARTS, PlannedRow

_UNITS = (("TiB", 2.0**40), ("GiB", 2.0**30), ("MiB", 2.0**20))


def memory_stacks(rows: Sequence[PlannedRow], stem: Path) -> list[Path]:
    """Stacked bars, the total beside them. Panels have axes of their own: models differ in size."""
    models = list(dict.fromkeys(row.name for row in rows))
    by_model = {name: [row for row in rows if row.name == name] for name in models}
    across = min(len(models), 2)
    lines = [models[i : i + across] for i in range(0, len(models), across)]
    heights = [max(len(by_model[name]) for name in line) for line in lines]
    unit, factor = next((u for u in _UNITS if max(row.peak for row in rows) >= u[1]), _UNITS[-1])
    table: list[list[Any]] = []
    with style.styled():
        width = style.PAGE if across > 1 else style.COLUMN
        figure = style.new_figure(width, 0.75 + sum(0.5 + 0.24 * n for n in heights))
        axes = figure.subplots(len(lines), across, squeeze=False, gridspec_kw={"height_ratios": heights})
        for line, names in zip(axes, lines, strict=True):
            for axis, name in zip(line, names, strict=False):
                table += _stack(axis, by_model[name], factor)
                axis.set_ylim(max(len(by_model[other]) for other in names) - 0.4, -0.6)  # bars of one width in a line
                axis.set_title(f"{name} ({by_model[name][0].model})")
            for axis in line[len(names) :]:
                axis.set_axis_off()
        figure.supxlabel(f"Predicted peak memory ({unit}), one process; number: total", fontsize=8)
        _legend(figure, rows, 5 if across > 1 else 3)
        paths = style.save(figure, stem)
    header = ["model", "arm", "peak_phase", "part", f"predicted_{unit}"]
    return [*paths, write_text(stem.with_name(f"{stem.name}.csv"), csv_text(header, table))]


def _stack(axis, rows: list[PlannedRow], factor: float) -> list[list[Any]]:
    table, left = [], [0.0] * len(rows)
    for part in PARTS:
        colour, hatch = style.PLANNED_LOOKS[part]
        at = [i for i, row in enumerate(rows) if row.parts.get(part)]
        sizes = [rows[i].parts[part] / factor for i in at]
        axis.barh(at, sizes, 0.7, left=[left[i] for i in at], color=colour, hatch=hatch, edgecolor="black",
                  linewidth=0.4)  # fmt: skip
        for i, value in zip(at, sizes, strict=True):
            left[i] += value
            table.append([rows[i].name, rows[i].arm, rows[i].phase, part, value])
    largest = max(left)
    for i, total in enumerate(left):
        digits = 0 if largest >= 100 else 1
        axis.text(total + 0.015 * largest, i, fixed(total, digits), va="center", fontsize=style.SMALLEST_FONT)
    axis.set_xlim(0, 1.14 * largest)
    axis.set_yticks(range(len(rows)), [row.display for row in rows])
    axis.grid(axis="y", visible=False)
    axis.xaxis.set_major_locator(style.ticks(5))
    return table


def _legend(figure, rows: Sequence[PlannedRow], columns: int) -> None:
    from matplotlib.patches import Patch

    # A few bytes of buffers are in the CSV and in the stack, but not to be seen.
    used = [part for part in PARTS if any(row.parts.get(part, 0) >= row.peak / 1000 for row in rows)]
    words = {"kv_cache": "KV cache"}
    patches = [
        Patch(facecolor=colour, hatch=hatch, edgecolor="black", linewidth=0.4, label=words.get(part, part))
        for part in used
        for colour, hatch in [style.PLANNED_LOOKS[part]]
    ]
    figure.legend(handles=patches, loc="outside upper center", ncols=columns, handlelength=1.4, columnspacing=1.2)
