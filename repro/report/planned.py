"""What the planner predicts for shapes that are not run: peak memory by component and FLOPs, one table per model.

Everything here comes from a plan record (`repro.training.planner.plan_trial`), and every heading says *predicted*.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from repro.errors import InputError
from repro.experiments.types import Experiment
from repro.report.format import MISSING, csv_text, fixed, markdown_table, percent, size
from repro.report.latex import latex_table
from repro.statistics.costs import flops_per_prompt, stage1_flops

Record = dict[str, Any]
# Parts of a peak, in the order of tables and stacks. All that a reference, a critic or a judge keeps is one part.
PARTS = (
    "parameters", "gradients", "optimizer", "activations", "temporaries", "reference", "critic", "judge", "kv_cache",
    "other",
)  # fmt: skip
_COMPANIONS = ("reference", "critic", "judge")
_VISIBLE = 2**20 // 20  # bytes that do not print as 0.0 MiB


@dataclass(frozen=True)
class PlannedRow:
    """One arm on one planned model. Bytes of one process; FLOPs of one training prompt over all processes."""

    name: str  # of the `Planned` entry
    arm: str
    display: str
    model: str
    peak: int
    phase: str  # in which the peak falls
    parts: dict[str, int]  # of the peak, keys from PARTS; they add up to it
    kv_cache: int  # while sampling, whether or not the peak is there
    logits: int  # largest logits tensor alive at once
    flops: float  # per training prompt, stage 1 included
    stage1_flops: float | None  # of it stage 1; None without such a stage
    peak_ratio: float  # over the first arm of the same model
    flops_ratio: float
    left_out: tuple[str, ...]


def planned_rows(experiment: Experiment, plan: Record | None) -> list[PlannedRow]:
    """The plan record's rows in the experiment's order; [] without a record.

    `InputError` for a record of another kind or experiment, or of another definition of this one.
    """
    if plan is None or plan["status"] != "done":
        return []
    if plan["kind"] != "plan" or plan["experiment"] != experiment.id:
        raise InputError(f"{plan['id']} is not a plan record of {experiment.id}")
    _check_definition(experiment, plan)
    rows: list[PlannedRow] = []
    for planned in experiment.planned:
        found = {row["arm"]: row for row in plan["plan"]["rows"] if row["name"] == planned.name}
        own = [found[arm] for arm in planned.arms if arm in found]
        rows += [_row(experiment, row, own[0], plan["id"]) for row in own]
    return rows


def _check_definition(experiment: Experiment, plan: Record) -> None:
    """A plan of other arms or models must not stand under this experiment's names."""
    known = {planned.name: planned for planned in experiment.planned}
    for row, config in zip(plan["plan"]["rows"], plan["config"]["rows"], strict=True):
        planned = known.get(row["name"])
        what = f"{plan['id']} plans {row['arm']} at {row['name']}"
        if planned is None or row["arm"] not in planned.arms:
            raise InputError(f"{what}, which {experiment.id} does not have: run the experiment again to plan anew")
        if config.get("arm") != row["arm"] or config.get("base") != dict(planned.base):
            raise InputError(f"{what} with another model or arm than {experiment.id} has: run it again to plan anew")


def _row(experiment: Experiment, row: Record, first: Record, where: str) -> PlannedRow:
    try:
        peak, flops = row["peak"], flops_per_prompt(row)
        return PlannedRow(
            name=row["name"],
            arm=row["arm"],
            display=experiment.arm(row["arm"]).display,
            model=row["model"],
            peak=peak["total"],
            phase=peak["phase"],
            parts=parts(peak["components"]),
            kv_cache=row["kv_cache"],
            logits=row["logits"],
            flops=flops,
            stage1_flops=None if row.get("stage1") is None else stage1_flops(row) / row["step"]["prompts"],
            peak_ratio=peak["total"] / first["peak"]["total"],
            flops_ratio=flops / flops_per_prompt(first),
            left_out=tuple(row.get("left_out", ())),
        )
    except (KeyError, TypeError, ZeroDivisionError) as error:
        raise InputError(f"{where}: the row of {row['arm']} at {row['name']} is not a plan ({error!r})") from error


def parts(components: dict[str, int]) -> dict[str, int]:
    """Bytes by part of a peak, parts of 0 left out: `gradients/critic` belongs to the critic, `buffers` to other."""
    sums = dict.fromkeys(PARTS, 0)
    for name, part in components.items():
        kind, _, owner = name.partition("/")
        key = owner if owner in _COMPANIONS else kind
        sums[key if key in sums else "other"] += part
    return {name: value for name, value in sums.items() if value}


def _table(rows: Sequence[PlannedRow]) -> tuple[list[str], list[list[str]]]:
    """Header and cells of one model; a part that no arm has gets no column."""
    used = [part for part in PARTS if any(row.parts.get(part, 0) >= _VISIBLE for row in rows)]
    first = rows[0].display
    offline = any(row.stage1_flops is not None for row in rows)
    header = [
        "Arm",
        "Peak memory, predicted",
        "in phase, predicted",
        f"against {first}, predicted",
        *[f"{_words(part)}, predicted" for part in used],
        "KV cache while sampling, predicted",
        "largest logits, predicted",
        "TFLOPs per prompt, predicted",
        *(["of it stage 1 %, predicted"] if offline else []),
        f"FLOPs against {first}, predicted",
    ]
    cells = []
    for row in rows:
        share = None if row.stage1_flops is None else row.stage1_flops / row.flops
        cells.append(
            [
                row.display,
                size(row.peak),
                row.phase.replace("_", " ").replace("stage1", "stage 1"),
                f"{fixed(row.peak_ratio)}x",
                *[size(row.parts.get(part, 0)) if row.parts.get(part) else MISSING for part in used],
                size(row.kv_cache) if row.kv_cache else MISSING,
                size(row.logits) if row.logits else MISSING,
                fixed(row.flops / 1e12, 3 if row.flops < 1e13 else 1),
                *([percent(share)] if offline else []),
                f"{fixed(row.flops_ratio)}x",
            ]
        )
    return header, cells


def _words(part: str) -> str:
    return "KV cache" if part == "kv_cache" else part


def _by_model(rows: Sequence[PlannedRow]) -> dict[str, list[PlannedRow]]:
    models: dict[str, list[PlannedRow]] = {}
    for row in rows:
        models.setdefault(row.name, []).append(row)
    return models


def planned_section(rows: Sequence[PlannedRow], experiment: Experiment) -> list[str]:
    """Blocks of Markdown under one heading; where the experiment plans shapes and there is no record, it says so."""
    heading = "## Predicted at the papers' shapes\n"
    if not rows:
        absent = "Not run: there is no plan record; `repro run` writes one at every scale but smoke.\n"
        return [heading, absent] if experiment.planned else []
    parts_of = [
        heading,
        "Nothing below was measured: the planner ran each phase's own code on fake tensors of these shapes. Memory is "
        "that of one process at its worst moment; the parts add up to the peak. The KV cache is that of all rows "
        "sampled side by side, at full length, and not in the peak unless it falls in sampling; logits are within "
        "activations and temporaries. FLOPs include what is recomputed. A ratio below 1 means that the first arm needs "
        "more.\n",
    ]
    for own in _by_model(rows).values():
        parts_of += [f"### Predicted for {own[0].name} ({own[0].model})\n", markdown_table(*_table(own))]
    return [*parts_of, _left_out(rows)]


def _left_out(rows: Sequence[PlannedRow]) -> str:
    """What no prediction contains, each sentence once, with the arms it is about unless it is about all."""
    about: dict[str, list[str]] = {}
    for row in rows:
        for sentence in row.left_out:
            about.setdefault(sentence, []).append(row.display)
    everyone = {row.display for row in rows}
    lines = []
    for sentence, arms in about.items():
        few = "" if set(arms) == everyone else f" ({', '.join(dict.fromkeys(arms))})"
        lines.append(f"- {sentence.rstrip('.')}{few}.\n")
    return "Left out of what is predicted:\n\n" + "".join(lines) if lines else "Nothing is left out.\n"


def planned_csv(rows: Sequence[PlannedRow]) -> str:
    """One row per arm and model, full precision; bytes, FLOPs, and ratios to the first arm of the model."""
    header = [
        "name", "model", "arm", "display", "predicted_peak_bytes", "predicted_peak_phase",
        *[f"predicted_{part}_bytes" for part in PARTS], "predicted_sampling_kv_cache_bytes", "predicted_logits_bytes",
        "predicted_flops_per_prompt", "predicted_stage1_flops_per_prompt", "predicted_peak_ratio",
        "predicted_flops_ratio",
    ]  # fmt: skip
    cells = [
        [
            row.name, row.model, row.arm, row.display, row.peak, row.phase, *[row.parts.get(part, 0) for part in PARTS],
            row.kv_cache, row.logits, row.flops, row.stage1_flops, row.peak_ratio, row.flops_ratio,
        ]
        for row in rows
    ]  # fmt: skip
    return csv_text(header, cells)


def planned_latex(rows: Sequence[PlannedRow], title: str, name: str) -> str:
    """One table per model, each under its own caption."""
    tables = []
    for number, own in enumerate(_by_model(rows).values()):
        caption = f"{title}. Predicted, not measured: {own[0].name} ({own[0].model})."
        tables.append(latex_table(*_table(own), caption, f"{name}-{number + 1}"))
    return "\n".join(tables)


def planned_json(rows: Sequence[PlannedRow]) -> list[dict[str, Any]]:
    """As `planned_rows`, as plain data; all numbers are predicted."""
    return [{**asdict(row), "left_out": list(row.left_out)} for row in rows]
