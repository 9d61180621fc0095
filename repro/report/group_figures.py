"""Pictures of one recorded training group per arm, with the CSV: its tokens, which of them were trained, and how.

The group is the one that the arm's first seed recorded in its first batch (`repro.training.example_group`). What is
drawn is what was trained: a token's weight in the loss and its advantage, nothing is computed anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.patches import Rectangle

from repro.experiments.types import Arm, Experiment
from repro.report import style
from repro.report.blocks import blocks
from repro.report.format import csv_text, write_text

Record = dict[str, Any]
MOST_ROWS, MOST_COLUMNS = 8, 18
TREES = ("tspmo",)  # methods that train every prefix once
_MAP = "RdBu"


def group_pictures(experiment: Experiment, records: Sequence[Record], stem: Path) -> list[Path]:
    """One panel per core arm (rows) and task (columns) with a recorded group: completions as rows of tokens.

    A trained token is coloured by its advantage (blue above 0, red below, white 0), an untrained one is grey. Of a
    method that trains every prefix once the completions are sorted and drawn as a tree: what a completion shares with
    an earlier one is not drawn again.
    """
    shown = [(part, found) for part in blocks(experiment, records) if (found := _groups(part.experiment, part.records))]
    if not shown:
        return []
    table: list[list[Any]] = []
    down = max(len(found) for _, found in shown)
    with style.styled():
        figure = style.new_figure(style.PAGE, 0.5 + 1.55 * down)
        axes = figure.subplots(down, len(shown), squeeze=False)
        for column, (part, found) in zip(axes.T, shown, strict=True):
            for axis, (arm, group) in zip(column, found, strict=False):
                _draw(
                    axis, f"{part.title}: {arm.display}" if len(shown) > 1 else arm.display, group, arm.method in TREES
                )
                table += _cells(part.task, arm.id, group)
            for axis in column[len(found) :]:
                axis.set_axis_off()
        figure.supxlabel(
            "Position in the completion (left: reward; blue: advantage above 0, red: below, grey: not in the loss)",
            fontsize=8,
        )
        paths = style.save(figure, stem)
    header = ["task", "arm", "prompt", "completion", "position", "token", "reward", "advantage", "weight"]
    return [*paths, write_text(stem.with_name(f"{stem.name}.csv"), csv_text(header, table))]


def _groups(experiment: Experiment, records: Sequence[Record]) -> list[tuple[Arm, dict[str, Any]]]:
    """The core arms that recorded a group, with that of their first seed and batch."""
    found = []
    for arm in experiment.core_arms:
        own = sorted((r for r in records if r["arm"] == arm.id and r["status"] == "done"), key=lambda r: r["seed"])
        group = next((p["group"] for r in own[:1] for p in r["health"] if p.get("group")), None)
        if group is not None:
            found.append((arm, group))
    return found


def _cells(task: str, arm: str, group: dict[str, Any]) -> list[list[Any]]:
    rows = zip(group["rewards"], group["tokens"], group["advantages"], group["weights"], strict=True)
    return [
        [task, arm, group["prompt"], i, position, token, reward, advantage, weight]
        for i, (reward, *columns) in enumerate(rows)
        for position, (token, advantage, weight) in enumerate(zip(*columns, strict=True))
    ]


def _draw(axis: Axes, title: str, group: dict[str, Any], tree: bool) -> None:
    rows = range(min(len(group["tokens"]), MOST_ROWS))
    values = {i: list(zip(group["advantages"][i], group["weights"][i], strict=True)) for i in rows}
    limit = max((abs(a) for cells in values.values() for a, w in cells if w), default=0.0) or 1.0
    norm, colours = TwoSlopeNorm(0.0, -limit, limit), colormaps[_MAP]
    owners = _owners(group["tokens"], rows) if tree else {}
    shown: dict[tuple[str, ...], int] = {}
    for place, i in enumerate(sorted(rows, key=lambda i: group["tokens"][i]) if tree else rows):
        axis.text(-0.7, place, f"{group['rewards'][i]:g}", ha="right", va="center", fontsize=style.SMALLEST_FONT)
        tokens = group["tokens"][i][:MOST_COLUMNS]
        start = _branch(axis, tokens, place, shown) if tree else 0
        for position in range(start, len(tokens)):
            # A prefix is trained in the completion in which it came first.
            advantage, weight = values[owners.get(tuple(tokens[: position + 1]), i)][position]
            edge = {"edgecolor": "black" if weight else "#bbbbbb", "linewidth": 0.4}
            face = colours(norm(advantage)) if weight else "#dddddd"
            axis.add_patch(Rectangle((position - 0.46, place - 0.42), 0.92, 0.84, facecolor=face, **edge))
            dark = weight and abs(advantage) > 0.65 * limit
            axis.text(position, place, _short(tokens[position]), ha="center", va="center", parse_math=False,
                      fontsize=style.SMALLEST_FONT, color="white" if dark else "black")  # fmt: skip
    across = min(MOST_COLUMNS, max(map(len, group["tokens"]), default=1))
    axis.set_xlim(-1.4, across - 0.4)
    axis.set_ylim(len(rows) - 0.5, -0.6)
    axis.set_yticks([])
    axis.grid(visible=False)
    axis.set_xticks(range(0, across, 1 + across // 10))
    axis.set_title(title)


def _owners(tokens: list[list[str]], rows: Iterable[int]) -> dict[tuple[str, ...], int]:
    """Prefix -> the first completion that begins with it."""
    owners: dict[tuple[str, ...], int] = {}
    for i in rows:
        for position in range(len(tokens[i])):
            owners.setdefault(tuple(tokens[i][: position + 1]), i)
    return owners


def _branch(axis: Axes, tokens: list[str], place: int, shown: dict[tuple[str, ...], int]) -> int:
    """Where the part of a completion begins that no row above shows, with a line to where it branches off.

    `shown`: prefix -> place of the row that shows it; the new ones are added.
    """
    prefixes = [tuple(tokens[: n + 1]) for n in range(len(tokens))]
    start = next((n for n, prefix in enumerate(prefixes) if prefix not in shown), len(tokens))
    if 0 < start < len(tokens):  # a completion that came before has no part of its own
        above = shown[prefixes[start - 1]]
        axis.plot([start - 1, start - 1, start - 0.5], [above + 0.42, place, place], color="black", linewidth=0.6)
    for prefix in prefixes[start:]:
        shown[prefix] = place
    return start


def _short(token: str) -> str:
    text = {"": "<end>", " ": "_"}.get(token, token)
    return text if len(text) <= 7 else text[:6] + "…"
