"""Show what an experiment is (table1), or the resolved config of an arm (table1/tbrm-n4, table1/tbrm-n4/seed0).

JSON keys: of an experiment id, title, paper, summary, metrics, arms [{id, display, method, core}], scales
{scale: {task, base, seeds, train, evaluation, arms}}, claims [the fields of a claim], ledger [{where, paper, ours,
why}], tuning {arm: {learning_rates, parameter, values}}, planned [{name, arms, base, scale}]; of an arm id, config.
"""

from __future__ import annotations

import dataclasses
import json
import textwrap
from typing import Any

from repro.cli.common import add_changes, add_json, add_scale, changes, columns, print_json
from repro.errors import InputError
from repro.experiments import registry
from repro.experiments.resolve import flatten, resolve_selection
from repro.experiments.types import Experiment


def add_arguments(parser) -> None:
    parser.add_argument("id", metavar="ID", help="an experiment or an arm of it")
    add_scale(parser)
    add_changes(parser)
    add_json(parser)


def main(args) -> int:
    if "/" not in args.id:
        if args.sets or args.task or args.model or args.methods:
            raise InputError(f"--set, --task, --model and --method show with an arm: {args.id}/ARM")
        name, _, scale = args.id.partition("@")
        experiment = registry.get(name)
        scale = scale or args.scale
        shown = [scale] if scale else list(experiment.scales)
        for one in shown:
            registry.settings(experiment, one)
        print_json(describe(experiment, shown)) if args.json else print(text(experiment, shown))
        return 0
    config = first_config(args.id, args.scale, changes(args))
    if args.json:
        print_json({"id": config.id, "config": config.to_json()})
    else:
        print(config.id)
        print(columns([(name, json.dumps(value)) for name, value in flatten(config.to_json()).items()]))
    return 0


def first_config(pattern: str, scale: str | None, altered):
    """The resolved config that an id names: of the arm's first seed unless the id names a seed."""
    selections = registry.select([pattern], scale, methods=altered.methods)
    configs = [config for selection in selections for config in resolve_selection(selection, altered)]
    if len({config.arm for config in configs}) > 1:
        raise InputError(f"{pattern!r} names {len({c.arm for c in configs})} arms: name one, such as {configs[0].arm}")
    return configs[0]


def describe(experiment: Experiment, scales: list[str]) -> dict[str, Any]:
    return {
        "id": experiment.id,
        "title": experiment.title,
        "paper": experiment.paper,
        "summary": experiment.summary,
        "metrics": list(experiment.metrics),
        "arms": [{"id": a.id, "display": a.display, "method": a.method, "core": a.core} for a in experiment.arms],
        "scales": {name: dataclasses.asdict(experiment.scales[name]) for name in scales},
        "claims": [dataclasses.asdict(claim) for claim in experiment.claims],
        "ledger": [dataclasses.asdict(line) for line in experiment.ledger],
        "tuning": {
            arm: {"learning_rates": list(g.learning_rates), "parameter": g.parameter, "values": list(g.values)}
            for arm, g in experiment.tuning.items()
        },
        "planned": [
            {"name": p.name, "arms": list(p.arms), "base": dict(p.base), "scale": p.scale} for p in experiment.planned
        ],
    }


def text(experiment: Experiment, scales: list[str]) -> str:
    """The experiment for people: arms, settings per scale, claims with what the paper supports, deviation ledger."""
    paper = f"  (paper: {experiment.paper})" if experiment.paper else ""
    parts = [f"{experiment.id}: {experiment.title}{paper}", _wrap(experiment.summary, "")]
    parts.append("arms (* core)")
    parts.append(columns([(arm.id, "*" if arm.core else " ", arm.display, arm.method) for arm in experiment.arms]))
    for name in scales:
        scale = experiment.scales[name]
        train = ", ".join(f"{field}={value}" for field, value in scale.train.items())
        base = scale.base.get("id") or scale.base.get("path") or scale.base["kind"]
        parts.append(f"scale {name}: task {scale.task['name']}, base {base}, {scale.seeds} seeds")
        parts.append(_wrap(train, "  "))
        special = {arm: {**of.get("method", {}), **of.get("train", {})} for arm, of in scale.arms.items()}
        rows = [(arm, ", ".join(f"{k}={v}" for k, v in of.items())) for arm, of in special.items() if of]
        if len(rows) <= 12:
            parts.append(columns(rows, "    "))
    for planned in experiment.planned:
        model = planned.base.get("id") or planned.base.get("path") or planned.base["kind"]
        parts.append(f"planned {planned.name}: {', '.join(planned.arms)} on {model} at scale {planned.scale}")
    for claim in experiment.claims:
        rival = f" by {claim.against_metric}" if claim.against_metric else ""
        contrast = f"{claim.metric}: {claim.arm} vs {claim.against}{rival}, margin {claim.margin:g}"
        parts.append(f"claim {claim.id} ({claim.kind}, {contrast})")
        parts.append(_wrap(f"{claim.sentence} {claim.evidence}. The paper's own numbers: {claim.paper_supports}", "  "))
    if experiment.ledger:
        parts.append("where we differ from the paper, and what it does not state")
    for line in experiment.ledger:
        parts.append(_wrap(f"- {line.where}: paper: {line.paper}; ours: {line.ours}; because: {line.why}", "  "))
    return "\n".join(part for part in parts if part)


def _wrap(words: str, indent: str) -> str:
    return textwrap.fill(words, 110, initial_indent=indent, subsequent_indent=indent + "  ", break_long_words=False)
