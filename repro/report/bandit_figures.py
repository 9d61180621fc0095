"""Figures of trials on bandits, each with the CSV of what it draws: learning in three panels, final results and the
estimators' variance against k.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator

from repro.report import style
from repro.report.bandit import PAPER_K, BanditArm, Value
from repro.report.bandit_words import ESTIMATOR_NAMES
from repro.report.format import csv_text, write_text

BANDED = (
    ("mean", "unbiased", "plain"),
    ("pass", "unbiased", "plain"),
    ("pass", "biased", "plain"),
)  # the paper's three
MOST_SHARE = 0.95  # of the bandits must have reached a KL for its mean to be drawn
LEAST_VARIANCE = 1e-3  # a signal that hardly ever comes has a variance without end on a logarithmic axis
# Power of k and distance from the estimator's line, of the grey lines that show the claimed order.
GUIDES = {("pass", "naive", "plain"): (1, 0.45), ("mean", "unbiased", "plain"): (-1, 0.3)}
_CI = 1.96  # standard errors of a 95 % interval


def panels(arms: Sequence[BanditArm], stem: Path) -> list[Path]:
    """Mean reward against steps, mean reward against KL, best of k against steps, for the paper's k.

    Lines are means over bandits, bands reach from their 10th to their 90th percentile.
    """
    own = [arm for arm in arms if arm.k == PAPER_K] or [arm for arm in arms if arm.k == arms[0].k]
    rows: list[list[Any]] = []
    with style.styled():
        figure = style.new_figure(style.PAGE, 2.9)
        left, middle, right = figure.subplots(1, 3)
        for arm in own:
            for axis, name in ((left, "mean_reward"), (right, "max")):
                curve = _over_steps(arm, name)
                _line(axis, arm, curve)
                rows += [[name, arm.arm, *point] for point in curve]
            curve = _over_kl(arm)
            _line(middle, arm, curve)
            rows += [["mean_reward_by_kl", arm.arm, *point] for point in curve]
        for axis, title, x in (
            (left, "Mean reward against steps", "Learning step"),
            (middle, "Mean reward against KL", "KL to the initial policy (nats)"),
            (right, f"max@{own[0].k} against steps", "Learning step"),
        ):
            axis.set_title(title)
            axis.set_xlabel(x)
            axis.yaxis.set_major_locator(style.ticks(6))
        for axis in (left, right):
            axis.set_xscale("log")
            axis.set_xlim(1, own[0].payloads[0]["steps"][-1])
            axis.xaxis.set_major_formatter(_plain)
        middle.set_xlim(left=0)
        middle.xaxis.set_major_locator(style.ticks(5, integer=True))
        figure.supxlabel("Line: mean over bandits; band: 10th to 90th percentile", fontsize=style.SMALLEST_FONT)
        _legend(figure, 3)
        paths = style.save(figure, stem)
    return [*paths, _csv(stem, ["panel", "arm", "x", "mean", "low_10", "high_90"], rows)]


def k_figure(arms: Sequence[BanditArm], stem: Path) -> list[Path]:
    """Final mean reward, max@k and KL against the k of training; whiskers are 95 % intervals over bandits."""
    plain = [arm for arm in arms if arm.estimator[2] == "plain"]
    samples = sorted({arm.k for arm in plain})
    quantities = (("mean_reward", "Final mean reward"), ("max", "Final max@k, own k"), ("kl", "Final KL (nats)"))
    rows: list[list[Any]] = []
    with style.styled():
        figure = style.new_figure(style.PAGE, 2.75)
        for axis, (name, title) in zip(figure.subplots(1, 3), quantities, strict=True):
            axis.set_title(title)
            rows += _by_k(axis, plain, name, lambda arm, name=name: arm.at(name, max(arm.steps)))
            axis.yaxis.set_major_locator(style.ticks(6))
            _k_axis(axis, samples)
        _legend(figure, 4)
        paths = style.save(figure, stem)
    return [*paths, _csv(stem, ["quantity", "arm", "k", "mean", "standard_error"], rows)]


def variance_figure(arms: Sequence[BanditArm], stem: Path) -> list[Path]:
    """Total variance of one estimate at the uniform policy against k: Gaussian rewards, and rewards of 0 and 1.

    What lies below LEAST_VARIANCE leaves the panel.
    """
    plain = [arm for arm in arms if arm.estimator[2] == "plain"]
    samples = sorted({arm.k for arm in plain})
    settings: tuple[tuple[str, str, Callable[[BanditArm], Value]], ...] = (
        ("gaussian", "Gaussian rewards", lambda arm: arm.values["variance"]),
        ("bounded", "Rewards of 0 and 1, half of each", lambda arm: Value(arm.bounded_variance, None, 1)),
    )
    rows: list[list[Any]] = []
    with style.styled():
        figure = style.new_figure(style.PAGE * 0.75, 2.9)
        for axis, (name, title, read) in zip(figure.subplots(1, 2), settings, strict=True):
            axis.set_title(title)
            axis.set_yscale("log")
            rows += _by_k(axis, plain, name, read)
            _k_axis(axis, samples)
            for arm in plain:
                if arm.k == samples[0] and arm.estimator in GUIDES:
                    _guide(axis, samples, read(arm).mean, *GUIDES[arm.estimator])
            axis.set_ylim(bottom=max(LEAST_VARIANCE, axis.get_ylim()[0]))
        figure.get_axes()[0].set_ylabel("Total variance of one estimate")
        _legend(figure, 2)
        paths = style.save(figure, stem)
    return [*paths, _csv(stem, ["rewards", "arm", "k", "variance", "standard_error"], rows)]


def _over_steps(arm: BanditArm, name: str) -> list[tuple[float, ...]]:
    """(step, mean, low, high) from step 1: a logarithmic axis has no 0."""
    columns = [arm.mean_curve(name, part) for part in ("mean", "low", "high")]
    points = zip(arm.payloads[0]["steps"], *columns, strict=True)
    return [point for point in points if point[0] > 0]


def _over_kl(arm: BanditArm) -> list[tuple[float, ...]]:
    columns = [arm.by_kl(part, MOST_SHARE) for part in ("mean", "low", "high")]
    return [(mean[0], mean[1], low[1], high[1]) for mean, low, high in zip(*columns, strict=True)]


def _line(axis, arm: BanditArm, points: Sequence[tuple[float, ...]]) -> None:
    if not points:
        return
    colour, line, _ = style.KSAMPLE_LOOKS[arm.estimator]
    x, mean, low, high = zip(*points, strict=True)
    axis.plot(x, mean, color=colour, linestyle=line, label=ESTIMATOR_NAMES[arm.estimator], zorder=3)
    if arm.estimator in BANDED:
        axis.fill_between(x, low, high, color=colour, alpha=0.08, linewidth=0, zorder=1)
        for edge in (low, high):
            axis.plot(x, edge, color=colour, linestyle=line, linewidth=0.5, alpha=0.7, zorder=2)


def _by_k(axis, arms: Sequence[BanditArm], name: str, read: Callable[[BanditArm], Value]) -> list[list[Any]]:
    """One line per estimator; returns the rows of the CSV."""
    rows = []
    for estimator, label in ESTIMATOR_NAMES.items():
        own = sorted((arm for arm in arms if arm.estimator == estimator), key=lambda arm: arm.k)
        if not own:
            continue
        colour, line, marker = style.KSAMPLE_LOOKS[estimator]
        found = [read(arm) for arm in own]
        whiskers = [_CI * (value.error or 0.0) for value in found]
        x, y = [arm.k for arm in own], [value.mean for value in found]
        axis.plot(x, y, color=colour, linestyle=line, marker=marker, markersize=4, label=label)
        axis.errorbar(x, y, whiskers, color=colour, linestyle="none", elinewidth=0.8)
        rows += [[name, arm.arm, arm.k, value.mean, value.error] for arm, value in zip(own, found, strict=True)]
    return rows


def _k_axis(axis, samples: Sequence[int]) -> None:
    axis.set_xscale("log", base=2)
    axis.xaxis.set_major_locator(FixedLocator(samples))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.xaxis.set_major_formatter(_plain)
    axis.set_xlabel("Samples k per update")


def _guide(axis, samples: Sequence[int], start: float, power: int, distance: float) -> None:
    """A line of k^power, below the estimator's."""
    y = [distance * start * (k / samples[0]) ** power for k in samples]
    axis.plot(samples, y, color=style.GREY, linewidth=0.8, zorder=1)
    axis.annotate(
        "~ k" if power > 0 else "~ 1/k", (samples[-1], y[-1]), xytext=(3, 0), textcoords="offset points",
        fontsize=style.SMALLEST_FONT, color="#666666", va="center",
    )  # fmt: skip


def _plain(value: float, _: int) -> str:
    return f"{value:g}"


def _legend(figure: Figure, columns: int) -> None:
    """One legend above all panels, each estimator once."""
    seen = {}
    for axis in figure.get_axes():
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            seen.setdefault(label, handle)
    figure.legend(seen.values(), seen.keys(), loc="outside upper center", ncols=columns, handlelength=2.6)


def _csv(stem: Path, header: list[str], rows: list[list[Any]]) -> Path:
    return write_text(stem.with_name(f"{stem.name}.csv"), csv_text(header, rows))
