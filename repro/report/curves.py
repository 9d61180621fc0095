"""Figures over the course of training: learning curves and the health panel, each with the CSV of what it draws.

Lines are means over the seeds whose trial is done, bands their range (smallest to largest seed). What is drawn per
training step is smoothed by a trailing mean; the CSV holds the smoothed values that are drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from matplotlib.figure import Figure

from repro.experiments.types import Experiment
from repro.report import style
from repro.report.blocks import Block, blocks
from repro.report.format import csv_text, write_text

Record = dict[str, Any]
SMOOTHING = 5  # training steps
Point = tuple[float, float, float, float, int]  # x, mean, smallest, largest, seeds

# Column of the record's `health`, title, factor to the unit of the title.
HEALTH = (
    ("reward", "Training reward", 1),
    ("zero_variance_groups", "Zero-variance groups (%)", 100),
    ("truncated", "Truncated (%)", 100),
    ("unparsed", "Unparsed answers (%)", 100),
    ("entropy", "Entropy (nats/token)", 1),
    ("kl", "KL to base (nats/token)", 1),
    ("clip_fraction", "Clip fraction (%)", 100),
    ("grad_norm", "Gradient norm", 1),
)
FROM_ZERO = ("zero_variance_groups", "truncated", "unparsed", "clip_fraction")


def over_seeds(series: Sequence[Sequence[tuple[float, float | None]]]) -> list[Point]:
    """Mean and range over seeds at every x that a seed has; None values are left out."""
    at: dict[float, list[float]] = {}
    for one in series:
        for x, y in one:
            if y is not None:
                at.setdefault(x, []).append(y)
    return [(x, fmean(ys), min(ys), max(ys), len(ys)) for x, ys in sorted(at.items())]


def smooth(series: Sequence[tuple[float, float | None]], width: int = SMOOTHING) -> list[tuple[float, float | None]]:
    """Trailing mean over `width` steps; missing values stay missing and do not count."""
    out = []
    for i, (x, y) in enumerate(series):
        window = [v for _, v in series[max(0, i - width + 1) : i + 1] if v is not None]
        out.append((x, fmean(window) if y is not None and window else None))
    return out


def curve_split(records: Sequence[Record]) -> str:
    """The split behind the records' learning curves; "held-out" where they differ."""
    splits = {r["config"].get("evaluation", {}).get("curve") or "dev" for r in records if r["curve"]}
    return splits.pop() if len(splits) == 1 else "held-out" if splits else "dev"


def learning_curves(experiment: Experiment, records: Sequence[Record], stem: Path) -> list[Path]:
    """Held-out accuracy and training reward against sampled completions; a row of panels per task."""

    def dev(record: Record):
        return [(p["completions"], 100 * p["dev_accuracy"]) for p in record["curve"] if p["dev_accuracy"] is not None]

    def reward(record: Record):
        train = record["config"]["train"]["completions_per_step"]
        return smooth([(h["step"] * train, h["reward"]) for h in record["health"]])

    split = curve_split(records)
    panels = [
        (f"{split}_accuracy", f"{split.capitalize()} accuracy (%)", dev),
        ("reward", f"Training reward (trailing mean of {SMOOTHING} steps)", reward),
    ]
    parts = blocks(experiment, records)
    several = len(parts) > 1
    rows = []
    with style.styled():
        figure = style.new_figure(style.PAGE, 0.7 + 1.8 * len(parts))
        for line, part in zip(figure.subplots(len(parts), 2, squeeze=False), parts, strict=True):
            rows += _panels(part, line, panels)
            if several:
                line[0].set_ylabel(part.title)
        apart = ", stage 1 not counted" if any(r.get("stage1") for r in records) else ""
        figure.supxlabel(f"Sampled completions{apart} (line: mean, band: range over seeds)", fontsize=8)
        arm_legend(figure)
        paths = style.save(figure, stem)
    return [*paths, _csv(stem, rows, "completions")]


def health_panel(experiment: Experiment, records: Sequence[Record], stem: Path) -> list[Path]:
    """Eight figures of one training run's health in one panel each; two rows of panels per task."""

    def series(column: str, factor: float) -> Callable[[Record], list]:
        def read(record: Record):
            points = [(h["step"], None if h.get(column) is None else factor * h[column]) for h in record["health"]]
            return smooth(points)

        return read

    panels = [(column, title, series(column, factor)) for column, title, factor in HEALTH]
    parts = blocks(experiment, records)
    rows = []
    with style.styled():
        figure = style.new_figure(style.PAGE, 0.5 + 3.1 * len(parts))
        axes = figure.subplots(2 * len(parts), 4, sharex=True)
        for i, part in enumerate(parts):
            own = axes[2 * i : 2 * i + 2]
            rows += _panels(part, own.flat, panels)
            if len(parts) > 1:
                for line in own:
                    line[0].set_ylabel(part.title)
        figure.supxlabel(
            f"Training step (line: mean, trailing over {SMOOTHING} steps; band: range over seeds)", fontsize=8
        )
        arm_legend(figure)
        paths = style.save(figure, stem)
    return [*paths, _csv(stem, rows, "step")]


def _panels(part: Block, axes, panels) -> list[list[Any]]:
    """Draw one line per arm of one task into each panel; returns the rows of the CSV."""
    experiment = part.experiment
    done = [r for r in part.records if r["status"] == "done"]
    styles = style.arm_style(experiment)
    rows = []
    for axis, (column, title, read) in zip(axes, panels, strict=True):
        axis.set_title(title)
        for arm in experiment.arms:
            points = over_seeds([read(r) for r in done if r["arm"] == arm.id])
            if not points:
                continue
            x, mean, low, high, _ = (list(v) for v in zip(*points, strict=True))
            look = styles[arm.id]
            few = len(points) <= 20
            axis.plot(x, mean, color=look["color"], linestyle=look["linestyle"], label=arm.display,
                      marker=look["marker"] if few else None, markersize=3)  # fmt: skip
            axis.fill_between(x, low, high, color=look["color"], alpha=0.15, linewidth=0)
            rows += [[column, arm.id, *point] for point in points]
        if not axis.lines:
            _empty(axis)
        axis.xaxis.set_major_locator(style.ticks(4, integer=True))
        lowest = min((y for line in axis.lines for y in line.get_ydata()), default=0)
        highest = max((y for line in axis.lines for y in line.get_ydata()), default=0)
        if column == "grad_norm" and lowest > 0 and highest > 50 * lowest:
            axis.set_yscale("log")  # TBRM's loss starts near 1e5
        else:
            axis.yaxis.set_major_locator(style.ticks(5))
        if column in FROM_ZERO:
            axis.set_ylim(bottom=0)
    return rows


def _empty(axis) -> None:
    axis.text(0.5, 0.5, "no data", ha="center", va="center", transform=axis.transAxes, fontsize=style.SMALLEST_FONT)


def arm_legend(figure: Figure, columns: int = 5) -> None:
    """One legend above all panels, each arm once."""
    seen = {}
    for axis in figure.get_axes():
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            seen.setdefault(label, handle)
    if seen:
        figure.legend(
            seen.values(), seen.keys(), loc="outside upper center", ncols=min(len(seen), columns), handlelength=2.6
        )


def _csv(stem: Path, rows: list[list[Any]], x: str) -> Path:
    header = ["figure", "arm", x, "mean", "smallest_seed", "largest_seed", "seeds"]
    return write_text(stem.with_name(f"{stem.name}.csv"), csv_text(header, rows))
