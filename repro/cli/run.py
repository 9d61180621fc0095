"""Run trials, time the arms, and write tables, figures and verdicts. Issued again, it runs only what is missing.

At small and paper scale nothing starts that, as planned, does not fit this card's memory; --force starts it.

JSON keys: root, statuses {trial id: "done" | "cached" | "failed"}, failures {trial id: message},
reports [the keys of `repro report --json`], comparison {experiment id: [lines]}.
"""

from __future__ import annotations

import os
import sys

from repro.cli.common import (
    GPU_SCALES,
    add_json,
    add_root,
    add_selection,
    changes,
    data_dir,
    duration,
    jobs,
    print_json,
    selected,
)
from repro.errors import InputError
from repro.store.lock import machine


def add_arguments(parser) -> None:
    add_selection(parser)
    parser.add_argument(
        "--data-dir", metavar="DIR", help="folder of public data files (else REPRO_DATA_DIR, else the hub)"
    )
    parser.add_argument(
        "--unsafe-code", action="store_true", help="run model-written code without a sandbox, and record it so"
    )
    parser.add_argument("--force", action="store_true", help="run even what is planned not to fit the memory")
    add_root(parser)
    add_json(parser)


def main(args) -> int:
    from repro.cli.plan import make
    from repro.store.records import load_records
    from repro.store.workspace import Workspace

    if args.unsafe_code:
        os.environ["REPRO_UNSAFE_CODE"] = "1"  # trials run in processes of their own, which inherit it
    chosen, altered, data = selected(args), changes(args), data_dir(args)
    configs = [config for _, group in chosen for config in group]
    workers = jobs(args, configs)
    workspace = Workspace(args.root).prepare()

    from repro.cli import pipeline

    pipeline.check_inputs(configs, data)
    os.environ["REPRO_COMMAND"] = args.command_line
    records, problems = load_records(workspace)
    for problem in problems:
        print(f"repro: {problem}", file=sys.stderr)
    pipeline.share_finished(configs, records, workspace)
    made = make(args, chosen, records, problems)
    if not args.force and any(config.scale in GPU_SCALES for config in configs):
        from repro.cli.cost import refuse_what_cannot_fit

        left = {trial.id for trial in made.to_run}
        refuse_what_cannot_fit([config for config in configs if config.id in left], args.jobs)
    try:
        progress = _run(chosen, altered, configs, workspace, workers, data, made)
        troubles = _time(chosen, altered, workspace, data, progress)
        troubles += _plan(chosen, altered, workspace, args.jobs)
        pipeline.share_finished(configs, load_records(workspace)[0], workspace)  # two arms may be one trial
        ends = [pipeline.finish(selection, altered, workspace) for selection, _ in chosen]
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"interrupted; finished trials and checkpoints are kept in {workspace.root}: the same command goes on"
        ) from None
    _print(args, [one for one in ends if one is not None], progress)
    return exit_code(progress, troubles)


def _run(chosen, altered, configs, workspace, workers, data, made):
    from repro.launch.local import run_trials

    progress = _progress(chosen, altered, configs, workspace, made)
    with progress:
        progress.note(
            f"{len(made.trials)} trials, {len(made.trials) - len(made.to_run)} cached, {workers} at a time, "
            f"estimated time: {duration(made.estimated_seconds)}"
        )
        with machine(alone=False):
            run_trials(configs, workspace.root, workers, data, progress.event)
    return progress


def _progress(chosen, altered, configs, workspace, made):
    from repro.cli.progress import LiveProgress, Progress

    if not sys.stderr.isatty():
        return Progress(configs, made)
    return LiveProgress(configs, made, LiveTables(chosen, altered, workspace))


class LiveTables:
    """The live tables of a run; the stored records are read again only when another trial has ended."""

    def __init__(self, chosen, altered, workspace):
        self.chosen, self.altered, self.workspace = chosen, altered, workspace
        self.active: frozenset[str] | None = None
        self.records: list[list[dict]] = []

    def __call__(self, running: dict[str, str]):
        from rich.console import Group

        from repro.cli.pipeline import known_records
        from repro.report.console import live_table

        active = frozenset(running)
        if self.active is None or self.active - active:
            self.records = [known_records(selection, self.altered, self.workspace)[0] for selection, _ in self.chosen]
        self.active = active
        tables = []
        for (selection, configs), records in zip(self.chosen, self.records, strict=True):
            ours = {f"{c.arm}/seed{c.seed}": running[c.id] for c in configs if c.id in running}
            arms, seeds = list(selection.arms), sorted({config.seed for config in configs})
            name = configs[0].experiment_id
            tables.append(live_table(selection.experiment, records, arms, seeds, ours, name))
        return Group(*tables)


def _time(chosen, altered, workspace, data, progress) -> list[str]:
    from repro.cli.pipeline import time_arms

    troubles = []
    for selection, configs in chosen:
        if all(progress.ended.get(config.id) == "failed" for config in configs):
            continue
        name = configs[0].experiment_id
        said: list[str] = []

        def emit(event: dict, name=name, said=said) -> None:
            if not said:
                said.append(name)
                progress.note(f"{name}: timing the arms' steps, interleaved, with nothing beside them")

        trouble = time_arms(selection, altered, workspace, data, emit)
        if trouble:
            troubles.append(f"{name}: {trouble}")
    return troubles


def _plan(chosen, altered, workspace, workers) -> list[str]:
    from repro.cli.pipeline import plan_shapes

    found = [(configs[0].experiment_id, plan_shapes(one, altered, workspace, workers)) for one, configs in chosen]
    return [f"{name}: {trouble}" for name, trouble in found if trouble]


def _print(args, finished, progress) -> None:
    from repro.report.console import final, to_json

    if args.json:
        print_json(
            {
                "root": str(args.root),
                "statuses": progress.ended,
                "failures": progress.messages,
                "reports": [to_json(one.report) for one in finished],
                "comparison": {one.name: one.comparison for one in finished},
            }
        )
        return
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else 160)
    for one in finished:
        console.print(final(one.report))
        for line in one.comparison:
            console.print(line, markup=False, highlight=False)


def exit_code(progress, troubles: list[str]) -> int:
    """1 if a trial, the timing pass or a plan failed; bad input that every failure shares is raised as such."""
    if progress.messages and set(progress.kinds.values()) == {"input"} and len(set(progress.messages.values())) == 1:
        raise InputError(next(iter(progress.messages.values())))
    for trial, message in progress.messages.items():
        print(f"repro: {message if message.startswith(trial) else f'{trial}: {message}'}", file=sys.stderr)
    for trouble in troubles:
        print(f"repro: {trouble}", file=sys.stderr)
    return 1 if progress.messages or troubles else 0
