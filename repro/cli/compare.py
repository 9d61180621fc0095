"""Compare one arm, a new method or a stored one, with the stored arms of an experiment: paired, ranked, with its cost.

Only the arm itself is run, on the base, prompts and seeds of the stored arms; trials that are done are not run again,
and between two stored arms nothing is. It is held against the best-ranked stored core arm, or --against. Its steps are
timed here beside those of that arm. Leaderboards and published files stay as they are (repro leaderboard add).

What differs in settings is said; what cannot be compared (other questions, base model or scale, bandits) is refused
with exit code 2. --dry-run says all this, and what would run, and starts nothing. Exit code 1: a trial or the timing
failed; what could be compared is shown all the same.

JSON keys: dry_run, comparisons [{experiment, scale, arm, metric, against, because, seeds, to_run, estimated_seconds,
refused {arm: why}, absent [arms without records], notes; and unless dry_run: rank, of, p_best, evidence, rivals [{arm,
display, core, evidence, seeds, questions, score, rival_score, difference, lo, hi, p_improvement, word, reason,
needed_seeds, settled_by_seeds, spread {mean, seeds, between_seeds, of_questions}, notes}], left_out {arm: why}, cost
{rival, step {completions_equal, prompts_equal}, timed_on, memory, memory_kind, why}, sentence}], refused {experiment:
why}, failures. Scores are shares of 1.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from repro.cli.common import (
    GPU_SCALES,
    add_changes,
    add_json,
    add_root,
    add_scale,
    changes,
    data_dir,
    duration,
    jobs,
    print_json,
)
from repro.errors import InputError, TrialError
from repro.experiments import registry
from repro.store.lock import machine

Record = dict[str, Any]
METRICS = ("accuracy", "greedy", "accuracy_lenient", "pass@K", "majority@N", "best@N", "weighted@N")

if TYPE_CHECKING:
    from repro.cli.comparison import Match, Result
    from repro.cli.progress import Progress
    from repro.experiments.plan import Plan
    from repro.store.workspace import Workspace


def add_arguments(parser) -> None:
    add = parser.add_argument
    add("arm", metavar="ARM", help="an arm of the experiment, a method, or a Python file with a plug-in")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--experiment", metavar="NAME", help="table1, table1@smoke")
    which.add_argument("--all-experiments", action="store_true", help="every experiment in which it can be compared")
    add(
        "--against",
        metavar="ARM",
        help="the stored arm to hold it against, on that arm's task (default: the best-ranked core arm)",
    )
    add("--metric", default="accuracy", metavar="NAME", help="greedy, pass@8 …; pass@8:SET for one set of questions")
    add("--dry-run", action="store_true", help="say what would run and with what it is paired; start nothing")
    add_scale(parser)
    add("--seeds", type=int, metavar="N", help="number of seeds (default: those of the stored arm)")
    add("--jobs", type=int, metavar="N", help="trials side by side (default: by cores)")
    add_changes(parser)
    add("--data-dir", metavar="DIR", help="folder of public data files (else REPRO_DATA_DIR, else the hub)")
    add("--unsafe-code", action="store_true", help="run model-written code without a sandbox, and record it so")
    add("--force", action="store_true", help="run even what is planned not to fit the memory")
    add_root(parser)
    add_json(parser)


def main(args) -> int:
    from repro.report.standings import is_ranked
    from repro.store.records import load_records
    from repro.store.workspace import Workspace

    if not is_ranked(args.metric.partition(":")[0]):
        raise InputError(f"--metric {args.metric}: use {', '.join(METRICS)}, or NAME:SET for one set of questions")
    if args.unsafe_code:
        os.environ["REPRO_UNSAFE_CODE"] = "1"  # trials run in processes of their own, which inherit it
    workspace, data = Workspace(args.root), data_dir(args)
    records, problems = load_records(workspace)
    for problem in problems:
        print(f"repro: {problem}", file=sys.stderr)
    matches, refused = matched(args, records)
    plan = left_to_run(args, matches, records)
    failures: list[str] = []
    results: list[Result] = []
    if not args.dry_run:
        if plan.to_run:
            matches, refused = with_hashes(args, matches, refused, data)
            plan = left_to_run(args, matches, records)
            failures += run(args, matches, records, workspace, plan, data)
            records, _ = load_records(workspace)
        for match in matches:
            try:
                results += finished(args, match, records, workspace, data, failures)
            except InputError as error:
                if args.experiment:
                    raise
                refused[match.name] = str(error)
    show(args, matches, results, plan, refused, failures)
    for failure in failures:
        print(f"repro: {failure}", file=sys.stderr)
    return 1 if failures else 0


def show(args, matches, results, plan, refused, failures) -> None:
    from repro.cli.comparison_json import match_json, result_json
    from repro.cli.comparison_text import dry, not_compared, summary, told

    if args.json:
        made = matches if args.dry_run else results
        shown = [(match_json if args.dry_run else result_json)(one, plan, args.metric) for one in made]
        print_json({"dry_run": args.dry_run, "comparisons": shown, "refused": refused, "failures": failures})
        return
    parts = [dry(one, plan) for one in matches] if args.dry_run else [told(one) for one in results]
    parts += not_compared(refused) + ([summary(results)] if len(results) > 1 else [])
    if parts:
        print("\n\n".join(parts))


def matched(args, records: list[Record]) -> tuple[list[Match], dict[str, str]]:
    """(comparisons, experiment -> why there is none). InputError if there is no comparison at all."""
    from repro import plugins
    from repro.cli import opponents
    from repro.cli.comparison import prepare
    from repro.methods.catalogue import METHODS

    is_file = args.arm.endswith(".py") or os.sep in args.arm
    if is_file:
        args.methods.insert(0, args.arm)
    altered = changes(args)
    arm = altered.methods[0] if is_file else args.arm
    if arm not in METHODS and arm in plugins.installed("method"):
        plugins.add("method", arm)

    def match(name: str) -> Match:
        found = opponents.find(arm, name, args.scale, altered, records, args.against)
        return prepare(found, args.against, args.seeds, args.metric)

    if args.experiment:
        return [match(args.experiment)], {}
    return _each(match, [name for name in registry.experiments() if not name.endswith("-tuning")])


def _each(match, names: list[str]) -> tuple[list, dict[str, str]]:
    """`match` of every name that it does not refuse, and the refusals; InputError if it refuses all."""
    from repro.cli.comparison_text import reasons

    found, refused = [], {}
    for name in names:
        try:
            found.append(match(name))
        except InputError as error:
            refused[name] = str(error)
    if not found:
        raise InputError("nothing can be compared: " + "; ".join(reasons(refused)))
    return found, refused


def with_hashes(args, matches: list[Match], refused: dict[str, str], data) -> tuple[list[Match], dict[str, str]]:
    """The comparisons again, now that base model and questions of the arm's trials are known, before any training."""
    from repro.cli import pipeline
    from repro.cli.comparison import prepare
    from repro.launch.identify import trial_hashes

    known = {match.name: match for match in matches}

    def checked(name: str) -> Match:
        match = known[name]
        if not match.to_run:
            return match
        pipeline.check_inputs(match.to_run, data)
        print(f"{name}: looking at base model and questions", file=sys.stderr)
        hashes = trial_hashes(match.to_run[0], data)
        return prepare(match.opponents, args.against, args.seeds, args.metric, hashes)

    if args.experiment:
        return [checked(name) for name in known], refused
    found, more = _each(checked, list(known))
    return found, refused | more


def left_to_run(args, matches: list[Match], records: list[Record]) -> Plan:
    from repro.cli.comparison import estimated
    from repro.cli.opponents import published
    from repro.experiments.plan import plan

    configs = [config for match in matches for config in match.to_run]
    stored = [r for one in matches if one.to_run for r in published(one.opponents.experiment.id, one.opponents.scale)]
    workers = jobs(args, configs)
    made = plan(configs, records, (), stored, workers)
    for match in matches:
        made = estimated(match, made, workers)
    return made


def run(args, matches: list[Match], records: list[Record], workspace: Workspace, made: Plan, data) -> list[str]:
    """Run what is left; returns one line per trial that failed. Bad input that every failure shares is raised."""
    from repro.cli import pipeline
    from repro.cli.progress import Progress
    from repro.launch.local import run_trials

    configs = [config for match in matches for config in match.to_run]
    workspace.prepare()
    os.environ["REPRO_COMMAND"] = args.command_line
    pipeline.share_finished(configs, records, workspace)
    if not args.force and any(config.scale in GPU_SCALES for config in configs):
        from repro.cli.cost import refuse_what_cannot_fit

        refuse_what_cannot_fit(configs, args.jobs)
    progress: Progress = Progress(configs, made)
    progress.note(
        f"{len(configs)} trials to run, {made.jobs} at a time, estimated time: {duration(made.estimated_seconds)}"
    )
    try:
        with progress, machine(alone=False):
            run_trials(configs, workspace.root, made.jobs, data, progress.event)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"interrupted; finished trials and checkpoints are kept in {workspace.root}: the same command goes on"
        ) from None
    failed = progress.messages
    if failed and set(progress.kinds.values()) == {"input"} and len(set(failed.values())) == 1:
        raise InputError(next(iter(failed.values())))
    return [text if text.startswith(trial) else f"{trial}: {text}" for trial, text in failed.items()]


def finished(
    args, match: Match, records: list[Record], workspace: Workspace, data, failures: list[str]
) -> list[Result]:
    """Time and judge; [] where no trial of the arm is done. A timing that fails is added to the failures."""
    from repro.cli.comparison import arrived, finish
    from repro.cli.retiming import time_beside
    from repro.statistics.trial_metrics import Missing

    match = arrived(match, records)
    if not match.arm.trials:
        return []

    def tell(text: str) -> None:
        print(f"{match.name}: {text}", file=sys.stderr)

    os.environ["REPRO_COMMAND"] = args.command_line
    try:
        timing = time_beside(match, records, workspace, data, tell)
    except TrialError as error:
        timing = None, "time per step: the timing failed"
        failures.append(f"{match.name}: {error}")
    try:
        return [finish(match, args.metric, timing)]
    except Missing as reason:
        raise InputError(f"{match.name}: {reason}") from None
