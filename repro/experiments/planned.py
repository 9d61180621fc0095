"""Which shapes are planned: rows of an arm on a model, and the record that keeps those on which claims rest. No torch.

A record of kind "plan" belongs to an experiment id as the timing record does. Its rows are of the experiment as
registered; of a variant only where `--set` alone makes it, at the rows' own scale.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from repro.experiments import registry
from repro.experiments.registry import Selection
from repro.experiments.resolve import NAMES, OPERATIONAL, UNCHANGED, Changes, flatten, resolve, variant_of
from repro.experiments.types import Experiment, Planned
from repro.store.config import TrialConfig, experiment_id
from repro.store.key import content_hash

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Shape:
    """One row to plan. `name`: of the `Planned` entry it comes from; None for an arm on its scale's own model."""

    name: str | None
    config: TrialConfig


def planned_config(
    experiment: Experiment, planned: Planned, arm: str, changes: Changes = UNCHANGED, seed: int | None = None
) -> TrialConfig:
    """The config of one arm of a `Planned` entry, with what the command line changes, but for the model."""
    here = registry.settings(experiment, planned.scale)
    arms = {name: dict(parts) for name, parts in here.arms.items()}
    for name, train in planned.arms_train.items():
        own = arms.setdefault(name, {})
        own["train"] = {**own.get("train", {}), **train}
    scale = replace(here, base=planned.base, train={**here.train, **planned.train}, arms=arms)
    altered = replace(experiment, scales={**experiment.scales, planned.scale: scale})
    own_seed = here.first_seed if seed is None else seed
    return resolve(altered, planned.scale, arm, own_seed, replace(changes, model=None))


def selected_shapes(selection: Selection, changes: Changes, configs: Sequence[TrialConfig]) -> list[Shape]:
    """What `repro plan` shows of a selection: every trained arm once, on each model that the scale plans it for.

    An arm that no `Planned` entry of the scale lists has its scale's own model; `--model` names the only one.
    """
    first: dict[str, TrialConfig] = {}
    for config in configs:
        if config.trains and not config.tabular:
            first.setdefault(config.arm, config)
    rows = []
    for arm, config in first.items():
        entries = [] if changes.model else [p for p in selection.experiment.planned if p.scale == selection.scale]
        found = [
            Shape(p.name, planned_config(selection.experiment, p, arm, changes, config.seed))
            for p in entries
            if arm in p.arms
        ]
        rows += found or [Shape(None, config)]
    return rows


def claimed_shapes(experiment: Experiment, scale: str, changes: Changes, finished: Iterable[str]) -> list[Shape]:
    """The rows of the plan record at `scale`: every `Planned` entry of which some arm has a finished trial, whole."""
    finished, entries = set(finished), experiment.planned
    if variant_of(experiment, scale, changes) is None:
        changes = UNCHANGED
    else:
        # A variant of another scale, or of another model, says nothing about these shapes.
        entries = [planned for planned in entries if planned.scale == scale and not (changes.model or changes.task)]
    return [
        Shape(planned.name, planned_config(experiment, planned, arm, changes))
        for planned in entries
        if finished.intersection(planned.arms)
        for arm in planned.arms
    ]


def shape_identity(config: Mapping[str, Any]) -> str:
    """Hash of what decides a config's plan. Unlike a result it depends on the processes, and not on seed or sets."""
    kept = {name: value for name, value in config.items() if name not in (*NAMES, "seed", "scale", "evaluation")}
    flat = flatten(kept)
    return content_hash({k: v for k, v in flat.items() if k == "train.processes" or k not in OPERATIONAL})


def covers(record: Record | None, shapes: Iterable[Shape]) -> bool:
    """True if `record` has a row of today's config for each of `shapes`."""
    return record is not None and {_named(s.name, s.config.to_json()) for s in shapes} <= _rows_of(record)


def plan_record(
    stored: Iterable[Record], experiment: Experiment | None = None, changes: Changes = UNCHANGED
) -> Record | None:
    """The plan record among `stored` that has most rows; of several, the last. None if there is none.

    With `experiment`, only one whose rows all have today's configs: bytes of an older definition must not stand beside
    results of today's.
    """
    found = [r for r in stored if r["kind"] == "plan" and r["status"] == "done"]
    if experiment is not None and found:
        arms = [arm.id for arm in experiment.arms]
        today = claimed_shapes(experiment, found[0]["scale"], changes, arms)
        known = {_named(shape.name, shape.config.to_json()) for shape in today}
        found = [record for record in found if _rows_of(record) <= known]
    return max(found, key=lambda r: (len(r["plan"]["rows"]), str(r["provenance"].get("finished"))), default=None)


def describe_plan(
    selection: Selection, variant: str | None, shapes: Sequence[Shape], rows: Sequence[Mapping], provenance: Mapping
) -> dict[str, Any]:
    """The record of planned `rows`, one per entry of `shapes`. Its key follows from its content."""
    from repro.store.record import SCHEMA  # loads numpy

    folder = experiment_id(selection.experiment.id, selection.scale, variant)
    configs = [shape.config.to_json() for shape in shapes]
    named = [{**row, "name": shape.name} for shape, row in zip(shapes, rows, strict=True)]
    return {
        "schema": SCHEMA, "kind": "plan", "key": content_hash({"plan": named, "configs": configs}),
        "id": f"{folder}/plan/seed0", "experiment": selection.experiment.id, "scale": selection.scale,
        "variant": variant, "arm": "plan", "seed": 0, "status": "done", "error": None,
        "config": {"rows": configs}, "hashes": {}, "data": [], "metrics": {}, "outcomes": {}, "curve": [],
        "health": [], "samples": [], "cost": {}, "plan": {"rows": named}, "provenance": dict(provenance), "base": {},
    }  # fmt: skip


def _rows_of(record: Record) -> set[tuple[str | None, str, str]]:
    names = [row["name"] for row in record["plan"]["rows"]]
    return {_named(name, config) for name, config in zip(names, record["config"]["rows"], strict=False)}


def _named(name: str | None, config: Mapping[str, Any]) -> tuple[str | None, str, str]:
    return name, config["arm"], shape_identity(config)
