"""Show what `repro run` would do, at once and without doing it.

JSON keys: trials [{id, arm, seed, status, key, estimated_seconds}] with status "cached", "to run" or "damaged"; cached
and to_run (counts), jobs, estimated_seconds (wall time; null if an arm never ran), problems [unreadable files], cost
(null).
"""

from __future__ import annotations

from repro.cli.common import add_json, add_root, add_selection, columns, duration, jobs, print_json, selected
from repro.experiments.plan import Plan, plan, published_bundle


def add_arguments(parser) -> None:
    add_selection(parser)
    add_root(parser)
    add_json(parser)


def main(args) -> int:
    from repro.store.records import load_records
    from repro.store.workspace import Workspace

    chosen = selected(args)
    records, problems = load_records(Workspace(args.root))
    made = make(args, chosen, records, problems)
    if args.json:
        print_json(made.to_json())
    else:
        print(text(made))
    return 0


def make(args, chosen, records, problems) -> Plan:
    """The plan of a command line's selections; published records serve for the estimate of arms that never ran here."""
    from repro.store.config import experiment_id
    from repro.store.published import read_bundle

    configs = [config for _, own in chosen for config in own]
    known = {(record["experiment"], record["scale"], record["arm"]) for record in records}
    published = []
    for selection, own in chosen:
        bundle = published_bundle(experiment_id(selection.experiment.id, selection.scale))
        if bundle and any((config.experiment, config.scale, config.arm) not in known for config in own):
            published += read_bundle(bundle)
    return plan(configs, records, problems, published, jobs(args, configs))


def text(made: Plan) -> str:
    rows = [("trial", "status", "estimated")]
    for trial in made.trials:
        rows.append((trial.id, trial.status, "" if trial.status == "cached" else duration(trial.estimated_seconds)))
    total = duration(made.estimated_seconds)
    lines = [columns(rows, "")]
    lines += [f"problem: {problem}" for problem in made.problems]
    lines.append(f"{len(made.trials)} trials: {len(made.trials) - len(made.to_run)} cached, {len(made.to_run)} to run")
    lines.append(f"estimated wall time with {made.jobs} at a time: {total} (base model and timing pass not counted)")
    return "\n".join(lines)
