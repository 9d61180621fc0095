"""The leaderboard in the terminal: plain text, so that a name or a text from outside is never more than that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from repro.cli.common import columns
from repro.report.format import MISSING, chance, percent, seconds, size
from repro.report.standings import Group, Row


def text(groups: Sequence[Group], papers: Mapping[str, list[dict[str, Any]]], left_out: int) -> str:
    """All groups, and after the last one of an experiment what its paper reports."""
    if not groups:
        return "the leaderboard has no trials yet: repro leaderboard add"
    parts = []
    for place, group in enumerate(groups):
        parts.append(_group(group))
        last = place + 1 == len(groups) or groups[place + 1].experiment != group.experiment
        if last and papers[group.experiment]:
            parts.append(_reported(papers[group.experiment]))
    parts.append(
        "interval: 95 %, over seeds and questions; P(best): among the rows shown, imported ones aside, paired by "
        "seed and question; times of different hardware are not comparable; stored: ships with the project, "
        "yours: in your workspace, imported: neither"
    )
    if left_out:
        parts.append(f"{left_out} lines are left out: their detail files are not here")
    return "\n\n".join(parts)


def _group(group: Group) -> str:
    header = (
        "rank", "arm", f"{group.metric} %", "95 % interval", "P(best)", "seeds", "time/step", "training", "peak memory",
        "evidence", "hardware",
    )  # fmt: skip
    title = f"{group.experiment}, scale {group.scale}, task {', '.join(group.tasks)}"
    lines = [title, columns([header, *(_cells(row, group.experiment) for row in group.rows)])]
    lines += [f"  {problem}" for problem in group.problems]
    if group.more:
        lines.append(f"  and {group.more} more: --top {len(group.rows) + group.more}")
    return "\n".join(line for line in lines if line)


def _cells(row: Row, experiment: str) -> tuple[str, ...]:
    variant = "" if row.experiment == experiment else f" of {row.experiment}"
    peak = f"{size(row.measured_peak)}" if row.measured_peak else f"{size(row.predicted_peak)} (predicted)"
    return (
        str(row.rank),
        (row.display if f"{row.display},".startswith(f"{row.arm},") else f"{row.display} ({row.arm})") + variant,
        percent(row.estimate),
        f"{percent(row.lo)} to {percent(row.hi)}",
        chance(row.p_best),
        str(len(row.seeds)),
        seconds(row.step_seconds),
        seconds(row.train_seconds),
        MISSING if not (row.measured_peak or row.predicted_peak) else peak,
        row.evidence + (", uncommitted changes" if row.dirty else ""),
        "; ".join(row.hardware),
    )


def _reported(rows: list[dict[str, Any]]) -> str:
    first = rows[0]
    head = f"reported by the paper, not measured here and not ranked: {first['paper']} (arXiv {first['arxiv']}), mean %"
    cells = [(r["source"], r["model"], r["method"], f"{r['mean_percent']:.2f}", r["evidence"]) for r in rows]
    return f"{head}\n{columns(cells)}"
