"""The sequence behind `repro run`: inputs, trials, timing pass, plans, report, comparison with what is published.

Base models are built by the first trial that needs one, under a lock, so the command line itself never loads torch for
them; the timing pass runs in this process, with nothing beside it, once all trials have ended.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repro.errors import InputError, ReproError, TrialError
from repro.experiments import registry
from repro.experiments.plan import current, identity, published_bundle, to_adopt, trial_records
from repro.experiments.planned import claimed_shapes, covers, describe_plan, plan_record
from repro.experiments.registry import Selection
from repro.experiments.resolve import UNCHANGED, Changes, resolve, variant_of
from repro.experiments.types import Experiment
from repro.store.config import TrialConfig, experiment_id
from repro.store.lock import machine
from repro.store.published import read_bundle
from repro.store.records import adopt, load_records, newest, write_record
from repro.store.workspace import Workspace
from repro.tasks import catalogue

if TYPE_CHECKING:
    from repro.report import Report

Record = dict[str, Any]


@dataclass(frozen=True)
class Finished:
    """One experiment at the end of a run."""

    name: str  # experiment id with scale and variant
    report: Report
    comparison: list[str]  # lines of text; empty where there is nothing to compare with
    records: list[Record]


def check_inputs(configs: Sequence[TrialConfig], data_dir: Path | None) -> None:
    """Load every real data set the trials need, so that a missing or malformed file is found before anything runs.

    InputError too where a task runs model-written code and it cannot be locked in.
    """
    from repro import tasks
    from repro.tasks import sandbox

    needed: dict[tuple[str, str], tuple[str, dict[str, Any], set[str]]] = {}

    def need(name: str, options: dict[str, Any], splits: set[str]) -> None:
        needed.setdefault((name, repr(options)), (name, options, set()))[2].update(splits)

    for config in configs:
        if config.tabular:
            continue
        own = (config.task["name"], config.task.get("options", {}))
        need(*own, {"rl"} if config.trains else set())
        for one in config.evaluation.sets:
            need(*(own if one.task is None else (one.task, one.options)), {one.split})
    for name, options, splits in needed.values():
        task = tasks.load(name, options, data_dir)
        if task.executes:
            sandbox.require()
        for split in sorted(splits):
            if split not in task.splits:
                raise InputError(f"task {name} has no split {split!r}: it has {', '.join(task.splits)}")
            if not catalogue.TASKS[name].generated:
                task.prompts(split)


def share_finished(configs: Sequence[TrialConfig], records: Sequence[Record], workspace: Workspace) -> None:
    """Give finished trials of other experiment ids that are the same trial a record under this command's ids."""
    for record, config in to_adopt(configs, records):
        write_record(workspace, adopt(record, config))


def known_records(selection: Selection, changes: Changes, workspace: Workspace) -> tuple[list[Record], Record | None]:
    """Every trial record of the experiment as defined now, also of arms and seeds not selected; and its timing."""
    _, stored, records = _stored(selection, changes, workspace)
    return records, timing_record(stored, records)


def _stored(selection: Selection, changes: Changes, workspace: Workspace):
    """(variant, all stored records of the experiment id, those of trials as they are defined today)."""
    variant = variant_of(selection.experiment, selection.scale, changes)
    stored, _ = load_records(workspace, experiment_id(selection.experiment.id, selection.scale, variant))
    configs = stored_configs(selection.experiment, selection.scale, stored, changes, variant)
    return variant, stored, current(configs, stored)


def stored_configs(
    experiment: Experiment,
    scale: str,
    stored: Sequence[Record],
    changes: Changes = UNCHANGED,
    variant: str | None = None,
) -> list[TrialConfig]:
    """Today's config of every trial that has a record; arms the experiment no longer has are left out."""
    arms = {arm.id for arm in experiment.arms}
    trials = sorted({(r["arm"], r["seed"]) for r in trial_records(stored) if r["arm"] in arms})
    of_arm = {
        arm: resolve(experiment, scale, arm, 0, changes, variant) for arm in dict.fromkeys(arm for arm, _ in trials)
    }
    return [replace(of_arm[arm], seed=seed) for arm, seed in trials]


def timing_record(stored: Sequence[Record], records: Sequence[Record]) -> Record | None:
    """The finished timing record that belongs to the trials in `records` and covers most arms; of several, the last.

    It belongs to them if it timed some of their arms, each with the config of that arm's trials, whatever the seed:
    seconds of an older definition must not stand beside results of today's.
    """
    known = {(record["arm"], _seedless(record["config"])) for record in records}
    arms = {arm for arm, _ in known}

    def belongs(timing: Record) -> bool:
        shared = {(arm, config) for arm, config in _timed_configs(timing) if arm in arms}
        return bool(shared) and shared <= known

    timings = [r for r in stored if r["kind"] == "timing" and r["status"] == "done" and belongs(r)]
    return max(timings, key=lambda r: (len(timed_arms(r)), str(r["provenance"].get("finished"))), default=None)


def timed_arms(timing: Record | None) -> set[str]:
    return set() if timing is None else set(timing["timing"].get("prompts_equal", {}))


def _timed_configs(timing: Record) -> set[tuple[str, str | None]]:
    """(arm, identity of the config that was timed); None for an arm whose config the record does not hold."""
    configs = timing["config"].get("arms", {})
    return {(arm, _seedless(configs[arm]) if arm in configs else None) for arm in timed_arms(timing)}


def _seedless(config: Record) -> str:
    return identity({**config, "seed": 0})


def time_arms(
    selection: Selection, changes: Changes, workspace: Workspace, data_dir: Path | None, emit: Callable[[dict], None]
) -> str | None:
    """The timing pass over every trained arm that has a finished trial; returns what went wrong, or None.

    Left out where the experiment shows no step time, where a timing record covers these arms already, and where
    training takes several processes or a vLLM engine.
    """
    if "time_per_step" not in selection.experiment.metrics:
        return None
    records, timing = known_records(selection, changes, workspace)
    variant = variant_of(selection.experiment, selection.scale, changes)
    configs: dict[str, TrialConfig] = {}
    for record in records:
        if record["status"] == "done" and record["config"]["method"]["name"] != "none" and record["arm"] not in configs:
            configs[record["arm"]] = resolve(
                selection.experiment, selection.scale, record["arm"], record["seed"], changes, variant
            )
    if not configs or set(configs) <= timed_arms(timing):
        return None
    if not interleaved(configs):
        return None  # the time claims say that they were not timed
    try:
        time_configs(configs, workspace, data_dir, emit)
    except TrialError as error:
        return f"timing pass failed: {error}"
    return None


def interleaved(configs: Mapping[str, TrialConfig]) -> bool:
    """Whether steps of these arms can take turns in one process."""
    return all(c.train.processes == 1 and c.train.backend == "transformers" for c in configs.values())


def time_configs(
    configs: dict[str, TrialConfig], workspace: Workspace, data_dir: Path | None, emit: Callable[[dict], None]
) -> Record:
    """Time the steps of these arms in this process, with nothing beside it. `TrialError` if a step fails."""
    from repro.launch.process import environment

    os.environ.update(environment())  # before torch is imported: one thread, no telemetry
    from repro.training.timing import run_timing

    with machine(alone=True):
        return run_timing(configs, workspace.root, data_dir, emit)


def plan_shapes(selection: Selection, changes: Changes, workspace: Workspace, jobs: int | None = None) -> str | None:
    """Plan the shapes on which claims rest and keep them as the plan record; returns what went wrong, or None.

    Left out at smoke, where no arm of a planned model has a finished trial, and where a current record covers them.
    """
    experiment, scale = selection.experiment, selection.scale
    if scale == "smoke" or not experiment.planned:
        return None
    variant, stored, records = _stored(selection, changes, workspace)
    finished = {record["arm"] for record in records if record["status"] == "done"}
    shapes = claimed_shapes(experiment, scale, changes, finished)
    if not shapes or covers(plan_record(stored, experiment, changes), shapes):
        return None
    from repro.cli.cost import planned
    from repro.store import provenance

    started = provenance.collect(os.environ.get("REPRO_COMMAND", ""))
    try:
        rows = planned(shapes, {}, jobs)
    except ReproError as error:
        return f"planning failed: {error}"
    write_record(workspace, describe_plan(selection, variant, shapes, rows, provenance.finish(started)))
    return None


def finish(selection: Selection, changes: Changes, workspace: Workspace) -> Finished | None:
    """Write the experiment's tables and figures into the workspace and compare with the published records.

    None if no trial has left a record.
    """
    from repro.report import report
    from repro.report.compare import compare_with_published

    variant, stored, records = _stored(selection, changes, workspace)
    if not records:
        return None
    experiment, name = selection.experiment, experiment_id(selection.experiment.id, selection.scale, variant)
    timing, plan = timing_record(stored, records), plan_record(stored, experiment, changes)
    made = report(experiment, records, timing, workspace.root, name.removeprefix(experiment.id), plan=plan)
    bundle = None if variant else published_bundle(name)
    comparison = compare_with_published(records, read_bundle(bundle)) if bundle else []
    return Finished(name, made, comparison, records)


@dataclass(frozen=True)
class Stored:
    """What a report of one experiment id rests on."""

    experiment: Experiment
    records: list[Record]
    timing: Record | None
    plan: Record | None
    suffix: str  # scale and variant, as table and file names have them

    def compile(self) -> Report:
        """What `report_stored` says, without writing anything."""
        from repro.report.build import compile_report

        return compile_report(self.experiment, self.records, self.timing, self.suffix, self.plan)


def select_stored(name: str, stored: Sequence[Record]) -> Stored:
    """What counts for the experiment id `name` (`table1@smoke-1a2b3c4d`) among its stored records.

    Records of the experiment as registered today come first; if there is none (an older definition, or a variant, whose
    changes are known only to its records), the newest record of every trial counts. Methods that were plugged into a
    variant are arms as its records have them: no plug-in is looked for.
    """
    if not trial_records(stored):
        raise InputError(f"no records of {name} can be read: run it first, or name another folder with --root")
    experiment = registry.get(stored[0]["experiment"])
    scale, variant = stored[0]["scale"], stored[0]["variant"]
    if variant is not None:
        experiment = registry.with_recorded(experiment, trial_records(stored))
    records = []
    if variant is None and scale in experiment.scales:
        records = current(stored_configs(experiment, scale, stored), stored)
    arms = {arm.id for arm in experiment.arms}
    records = records or newest(r for r in trial_records(stored) if r["arm"] in arms)
    plan = plan_record(stored, experiment if variant is None else None)
    return Stored(experiment, records, timing_record(stored, records), plan, name.removeprefix(experiment.id))


def report_stored(name: str, workspace: Workspace, stored: Sequence[Record]) -> Report:
    """Tables and figures of one experiment id from stored records alone."""
    from repro.report import report

    chosen = select_stored(name, stored)
    return report(chosen.experiment, chosen.records, chosen.timing, workspace.root, chosen.suffix, plan=chosen.plan)
