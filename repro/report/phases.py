"""What a training step costs, phase by phase: seconds, tokens, model FLOPs, utilisation, and memory at its borders.

Seconds, tokens and FLOPs are medians over the rounds of the timing record with prompts held equal; stage 1 is the share
that a step is charged. Memory is the largest over the arm's trials. Utilisation is model FLOPs (no padding, no
recomputation) per second over the peak rate of the device of the timing record.

Not covered: records from before tokens and FLOPs were kept per phase; they give no rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from repro.experiments.types import Experiment
from repro.report.format import MISSING, count, csv_text, fixed, markdown_table, percent, seconds, size
from repro.report.latex import latex_table
from repro.report.summary import STEP_PHASES, timing_rounds
from repro.statistics.costs import round_seconds

Record = dict[str, Any]
WHOLE = "whole step"
MODE = "prompts_equal"


@dataclass(frozen=True)
class PhaseRow:
    """One phase of one arm's step, or the whole step. None means: not measured, or nothing of the kind."""

    arm: str
    display: str
    phase: str
    seconds: float
    tokens: float | None
    tokens_per_second: float | None
    flops: float | None
    utilisation: float | None  # fraction of the device's peak rate
    peak_allocated: int | None  # bytes on the accelerator
    peak_reserved: int | None
    host_rss: int | None  # bytes


def phase_rows(experiment: Experiment, chosen: Sequence[Record], timing: Record | None) -> list[PhaseRow]:
    """A row per arm and phase, and one per arm for the whole step; [] unless the rounds hold FLOPs."""
    rate = (device(timing) or {}).get("flops")
    rows = []
    for arm in experiment.arms:
        rounds = [r for r in timing_rounds(timing, MODE, arm.id) if "flops" in r]
        done = [r for r in chosen if r["arm"] == arm.id and r["status"] == "done"]
        names = [name for name in ("stage1", *STEP_PHASES) if any(_seconds(r, name) > 0 for r in rounds)]
        for name in [*names, WHOLE] if rounds else []:
            rows.append(_row(arm.id, arm.display, name, rounds, done, rate))
    return rows


def _row(arm: str, display: str, name: str, rounds: list[Record], done: list[Record], rate: float | None) -> PhaseRow:
    spent = [_seconds(r, name) for r in rounds]
    flops, tokens = ([_counted(r, name, what) for r in rounds] for what in ("flops", "tokens"))
    tokens = tokens if any(flops) else [0] * len(rounds)  # what the model does not see has no rate worth a number
    peaks = {key: _largest(done, name, key) for key in ("peak_allocated", "peak_reserved", "host_rss")}
    return PhaseRow(
        arm=arm,
        display=display,
        phase=name,
        seconds=median(spent),
        tokens=median(tokens) or None,
        tokens_per_second=_rate(tokens, spent),
        flops=median(flops) or None,
        utilisation=None if not rate or (found := _rate(flops, spent)) is None else found / rate,
        **peaks,
    )


def _seconds(entry: Record, name: str) -> float:
    if name == WHOLE:
        return round_seconds(entry)
    return entry.get("stage1_seconds", 0.0) if name == "stage1" else entry["phases"].get(name, 0.0)


def _counted(entry: Record, name: str, what: str) -> float:
    """Tokens or FLOPs of a phase in one round. Tokens of a whole step are those it samples, not those it rereads."""
    amounts = entry.get(what) or {}
    if name != WHOLE:
        return amounts.get(name, 0)
    sampled = ("stage1", "generate", "extra_rollouts")
    return sum(v for k, v in amounts.items() if k in ("stage1", *STEP_PHASES) and (what == "flops" or k in sampled))


def _rate(amounts: list[float], spent: list[float]) -> float | None:
    """Median over rounds of amount per second; None where there is nothing to count."""
    rates = [amount / second for amount, second in zip(amounts, spent, strict=True) if amount and second]
    return median(rates) if rates else None


def _largest(done: list[Record], name: str, key: str) -> int | None:
    values = [
        cost[key]
        for record in done
        for phase, cost in record["cost"]["phases"].items()
        if cost.get(key) and (phase == name or (name == WHOLE and phase in ("stage1", *STEP_PHASES)))
    ]
    return max(values, default=None)


def device(timing: Record | None) -> dict[str, Any] | None:
    """{"name", "flops" (peak FLOP/s), "how"} of the timing record; None in older ones."""
    return None if timing is None or timing["status"] != "done" else timing["timing"].get("device")


# Field, heading, how it is printed. A memory column stands only where something was measured.
_COLUMNS = (
    ("seconds", "Seconds", seconds),
    ("tokens", "Tokens", count),
    ("tokens_per_second", "Tokens/s", count),
    ("flops", "Model GFLOPs", lambda v: MISSING if v is None else fixed(v / 1e9, 3 if v < 1e10 else 1)),
    ("utilisation", "Utilisation %", percent),
    ("peak_allocated", "Peak allocated, measured", size),
    ("peak_reserved", "Peak reserved, measured", size),
    ("host_rss", "Host memory, measured", size),
)


def _table(rows: Sequence[PhaseRow]) -> tuple[list[str], list[list[str]]]:
    shown = [column for column in _COLUMNS if any(getattr(row, column[0]) is not None for row in rows)]
    header = ["Arm", "Phase", *[title for _, title, _ in shown]]
    cells = []
    for row in rows:
        values = [write(getattr(row, name)) for name, _, write in shown]
        cells.append([row.display, _words(row.phase), *values])
    return header, cells


def _words(phase: str) -> str:
    return "stage 1" if phase == "stage1" else phase.replace("_", " ")


def phases_section(rows: Sequence[PhaseRow], where: dict[str, Any] | None) -> list[str]:
    """Blocks of Markdown under one heading; [] without rows."""
    if not rows:
        return []
    notes = [
        "One training step with prompts held equal, alone on its machine: medians over the rounds of the timing "
        "record. Time between phases is in the whole step only, whose tokens are the sampled ones; stage 1 is the "
        "share that a step is charged. FLOPs are those of the model on real tokens: no padding, no recomputation."
    ]
    if where and where.get("flops"):
        notes.append(
            f"Utilisation: FLOPs per second over {where['flops'] / 1e9:,.0f} GFLOP/s, the peak of {where['name']} "
            f"({where['how']})."
        )
    if any(row.host_rss for row in rows):
        notes.append("Memory: largest over the arm's trials; host memory is the resident size at the phase's borders.")
    return ["## Cost per phase\n", markdown_table(*_table(rows), numbers_from=2), "\n".join(notes) + "\n"]


def phases_csv(rows: Sequence[PhaseRow]) -> str:
    """One row per arm and phase, full precision: seconds, tokens, FLOPs, a fraction, bytes."""
    header = list(asdict(rows[0]))
    return csv_text(header, [list(asdict(row).values()) for row in rows])


def phases_latex(rows: Sequence[PhaseRow], title: str, name: str) -> str:
    header, cells = _table(rows)
    return latex_table(header, cells, f"{title}. Cost per phase of one training step, prompts held equal.", name, 2)
