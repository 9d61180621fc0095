"""Bar figures, each with its CSV: accuracy with intervals and the seeds as dots; cost as stacked bars."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from repro.experiments.types import Arm, Experiment
from repro.report import style
from repro.report.blocks import Block, blocks
from repro.report.format import csv_text, write_text
from repro.report.interval import accuracy_interval
from repro.report.summary import STEP_PHASES, ArmSummary, set_names, summarise, timing_rounds, trials

Record = dict[str, Any]
MODES = (
    ("prompts_equal", "Seconds per step\n(equal prompts)"),
    ("completions_equal", "Seconds per step\n(equal completions)"),
)


def accuracy_bars(experiment: Experiment, records: Sequence[Record], stem: Path) -> list[Path]:
    """Test accuracy per arm and set: bar = mean, line = 95 % two-level interval, dot = one seed.

    One panel per set, those of several tasks under one another; [] without outcomes.
    """
    done = [r for r in trials(records, experiment) if r["status"] == "done"]
    sets = set_names(done)
    if not sets:
        return []
    parts = blocks(experiment, done)
    across = min(len(sets), 3)
    down = -(-len(sets) // across)
    lines = [part for part in parts for _ in range(down)]  # the rows of panels
    heights = [0.45 + 0.24 * len({r["arm"] for r in part.records}) for part in lines]
    several = len(parts) > 1
    rows: list[list[Any]] = []
    with style.styled():
        figure = style.new_figure(style.COLUMN if across < 2 else style.PAGE, 0.35 + sum(heights))
        # Arms are the same in all panels of one task.
        axes = figure.subplots(
            len(lines), across, sharey="row" if several else True, squeeze=False, height_ratios=heights
        )
        for i, part in enumerate(parts):
            own = axes[i * down : (i + 1) * down]
            for axis, name in zip(own.flat, sets, strict=False):
                rows += _accuracies(axis, part, name)
                titles = [part.title] * several + [name] * (len(sets) > 1)
                axis.set_title(", ".join(titles))
            for axis in own.flat[len(sets) :]:
                axis.set_axis_off()
            for line in own if several else own[:1]:
                arms = _present(part)
                line[0].set_yticks(range(len(arms)), [arm.display for arm in arms])
                line[0].invert_yaxis()
        figure.supxlabel("Test accuracy (%); line: 95 % interval, dots: seeds", fontsize=8)
        paths = style.save(figure, stem)
    header = ["set", "arm", "what", "accuracy_percent", "lo_percent", "hi_percent"]
    return [*paths, write_text(stem.with_name(f"{stem.name}.csv"), csv_text(header, rows))]


def _present(part: Block) -> list[Arm]:
    return [arm for arm in part.experiment.arms if any(r["arm"] == arm.id for r in part.records)]


def _accuracies(axis, part: Block, name: str) -> list[list[Any]]:
    """The bars of one task on one set."""
    styles = style.arm_style(part.experiment)
    rows: list[list[Any]] = []
    for y, arm in enumerate(_present(part)):
        own = [r for r in part.records if r["arm"] == arm.id]
        values = [100 * r["metrics"][f"{name}/accuracy"] for r in own]
        lo, hi = (None if v is None else 100 * v for v in accuracy_interval(own, name))
        mean = fmean(values)
        axis.barh(y, mean, 0.7, color=styles[arm.id]["color"], edgecolor="black", linewidth=0.5)
        at = [y + (k - (len(values) - 1) / 2) * 0.4 / len(values) for k in range(len(values))]
        axis.plot(values, at, "o", color="white", markeredgecolor="black", markeredgewidth=0.5, markersize=2.5,
                  zorder=5)  # fmt: skip
        if lo is not None:
            for colour, width in (("white", 2.2), ("black", 1.2)):  # the rim shows on a dark bar
                axis.hlines(y, lo, hi, color=colour, linewidth=width, zorder=4)
        rows += [[name, arm.id, "mean", mean, lo, hi]]
        rows += [[name, arm.id, f"seed{r['seed']}", v, None, None] for r, v in zip(own, values, strict=True)]
    axis.set_xlim(left=0)
    axis.xaxis.set_major_locator(style.ticks(6))
    axis.grid(axis="y", visible=False)
    return rows


def cost_bars(experiment: Experiment, records: Sequence[Record], timing: Record | None, stem: Path) -> list[Path]:
    """Time of a training step by phase (timing record, mean round) and predicted peak memory by component.

    One row of panels per task.
    """
    parts = [(part, _trained(part, timing)) for part in blocks(experiment, records)]
    unit, factor = _memory_unit([row for _, summaries in parts for row in summaries])
    heights = [max(len(summaries), 1) for _, summaries in parts]
    several = len(parts) > 1
    rows = []
    with style.styled():
        figure = style.new_figure(style.PAGE, 1.15 + 0.26 * sum(heights) + 0.7 * (len(parts) - 1))
        axes = figure.subplots(len(parts), 3, sharey="row" if several else True, squeeze=False, height_ratios=heights)
        memory = [_memory_parts(summaries, factor) for _, summaries in parts]
        names = list(dict.fromkeys(name for named in memory for name in _part_names(named)))
        memory_looks = dict(zip(names, style.PART_LOOKS, strict=False))
        for line, (part, summaries), stacks in zip(axes, parts, memory, strict=True):
            panels = [(mode, title, _phase_parts(summaries, timing, mode)) for mode, title in MODES]
            panels.append(("predicted_memory", f"Predicted peak memory\n({unit})", stacks))
            for axis, (what, title, parts_of) in zip(line, panels, strict=True):
                _stack(axis, summaries, parts_of, memory_looks if what == "predicted_memory" else style.PHASE_LOOKS)
                if part is parts[-1][0]:
                    axis.set_xlabel(title)
                rows += [[what, arm, name, value] for arm, named in parts_of.items() for name, value in named.items()]
            line[0].set_yticks(range(len(summaries)), [row.display for row in summaries])
            line[0].invert_yaxis()
            if several:
                line[0].set_ylabel(part.title)
        _legends(figure, axes)
        paths = style.save(figure, stem)
    note = ["figure", "arm", "part", f"value (seconds; memory in {unit})"]
    return [*paths, write_text(stem.with_name(f"{stem.name}.csv"), csv_text(note, rows))]


def _trained(part: Block, timing: Record | None) -> list[ArmSummary]:
    rows = summarise(part.experiment, part.records, timing, intervals=False)
    return [row for row in rows if row.method != "none"]


def _memory_parts(summaries: list[ArmSummary], factor: float) -> dict[str, dict[str, float]]:
    return {
        row.arm: {k: v / factor for k, v in row.predicted_components.items() if v} for row in summaries if row.seeds
    }


def _phase_parts(summaries: list[ArmSummary], timing: Record | None, mode: str) -> dict[str, dict[str, float]]:
    parts = {}
    for row in summaries:
        rounds = timing_rounds(timing, mode, row.arm)
        if not rounds:
            continue
        named = {p: fmean(r["phases"].get(p, 0.0) for r in rounds) for p in STEP_PHASES}
        rest = fmean(r["seconds"] for r in rounds) - sum(named.values())
        named = {"stage1": fmean(r.get("stage1_seconds", 0.0) for r in rounds), **named}
        parts[row.arm] = {k: v for k, v in named.items() if v > 0} | (
            {"other": rest} if rest > 1e-9 else {}
        )  # less is rounding
    return parts


def _memory_unit(summaries: list[ArmSummary]) -> tuple[str, float]:
    largest = max((row.predicted_peak or 0 for row in summaries), default=0)
    return ("GiB", 2.0**30) if largest >= 2**30 else ("MiB", 2.0**20)


def _part_names(parts: dict[str, dict[str, float]]) -> list[str]:
    return list(dict.fromkeys(name for named in parts.values() for name in named))


def _stack(axis, summaries: list[ArmSummary], parts, looks) -> None:
    order = [name for name in [*looks, *_part_names(parts)] if name in _part_names(parts)]
    left = dict.fromkeys(parts, 0.0)
    for name in dict.fromkeys(order):
        colour, hatch = looks.get(name, (style.GREY, ""))
        at = [(i, row.arm) for i, row in enumerate(summaries) if parts.get(row.arm, {}).get(name)]
        axis.barh(
            [i for i, _ in at],
            [parts[arm][name] for _, arm in at],
            0.7,
            left=[left[arm] for _, arm in at],
            color=colour,
            hatch=hatch,
            edgecolor="black",
            linewidth=0.4,
            label="stage 1 (share)" if name == "stage1" else name.replace("_", " "),
        )
        for _, arm in at:
            left[arm] += parts[arm][name]
    axis.grid(axis="y", visible=False)
    axis.xaxis.set_major_locator(style.ticks(4))
    axis.set_xlim(left=0)
    for i, row in enumerate(summaries):
        if row.arm not in parts:
            axis.text(
                0.02,
                i,
                "not measured" if row.seeds else "not run",
                va="center",
                fontsize=style.SMALLEST_FONT,
                transform=axis.get_yaxis_transform(),
            )


def _legends(figure, axes) -> None:
    times, memory = {}, {}
    for axis in axes[:, :2].flat:
        times |= dict(zip(*reversed(axis.get_legend_handles_labels()), strict=True))
    for axis in axes[:, 2]:
        memory |= dict(zip(*reversed(axis.get_legend_handles_labels()), strict=True))
    if times:
        figure.legend(
            times.values(), times.keys(), loc="outside upper left", ncols=4, handlelength=1.2, columnspacing=1.0
        )
    if memory:
        figure.legend(
            memory.values(), memory.keys(), loc="outside upper right", ncols=2, handlelength=1.2, columnspacing=1.0
        )
