"""What stands behind the rows of a ranking: the records of their trials, each held against its line.

All that a row prints is computed again: names, settings, cost, hardware and commit as `repro.report.entries` does it,
and of the scores the one that is ranked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from statistics import fmean
from typing import Any

import numpy as np

from repro.errors import InputError
from repro.experiments import registry
from repro.experiments.plan import identity
from repro.experiments.resolve import resolve
from repro.report.boards import Trial
from repro.report.entries import recomputed, timings_of
from repro.statistics.scores import arm_scores
from repro.store.details import Details
from repro.store.record import Record

_ROUNDED = 2e-6  # scores in lines are rounded


@dataclass(frozen=True)
class Evidence:
    """What a detail file says of some trials."""

    records: dict[str, Record]  # by their hash
    timings: dict[str, Record]  # by experiment id
    problem: InputError | None = None  # why it cannot be read


Place = tuple[Details, str]  # a file; a damaged copy beside one leaderboard says nothing of another's


def read_evidence(trials: Sequence[Trial]) -> dict[Place, Evidence]:
    """What each detail file says of those of the trials that name it. Every file is read once."""
    wanted: dict[Place, set[str]] = {}
    for trial in trials:
        wanted.setdefault((trial.details, trial.entry.detail), set()).add(trial.entry.record)
    found: dict[Place, Evidence] = {}
    for (details, detail), hashes in wanted.items():
        try:
            records = details.records({detail: hashes}, timings=True)
            found[details, detail] = Evidence(records, timings_of(records.values()))
        except InputError as problem:
            found[details, detail] = Evidence({}, {}, problem)
    return found


def seed_scores(arm: list[Trial], evidence: dict[Place, Evidence], metric: str, only: str) -> list[np.ndarray]:
    """One (S, Q) array per set, seeds in order. `InputError` where a record does not say what its line says.

    `only`: the one set that counts; empty for all.
    """
    chosen: dict[int, Any] = {}
    for trial in arm:
        chosen[trial.entry.seed] = _confirmed(trial, evidence[trial.details, trial.entry.detail])
    scores, _ = arm_scores(chosen, f"{metric}:{only}" if only else metric)
    for place, trial in enumerate(arm):
        if abs(fmean(part[place].mean() for part in scores) - trial.entry.score(metric, only)) > _ROUNDED:
            raise InputError(f"the line of seed {trial.entry.seed} has another {metric} than its outcomes (edited)")
    return scores


def as_registered(trial: Trial, evidence: dict[Place, Evidence]) -> bool:
    """Whether a trial of a registered arm was made under the settings that its experiment has for the arm today."""
    entry = trial.entry
    try:
        config = resolve(registry.get(entry.experiment), entry.scale, entry.arm, entry.seed).to_json()
    except InputError:  # a scale that it does not have
        return False
    return identity(config) == identity(evidence[trial.details, entry.detail].records[entry.record]["config"])


def _confirmed(trial: Trial, evidence: Evidence) -> Record:
    """The trial's record, which says what the line says."""
    entry, record = trial.entry, evidence.records.get(trial.entry.record)
    if evidence.problem:
        raise evidence.problem
    if record is None:
        raise InputError(f"the record of seed {entry.seed} is not in its detail file (edited)")
    computed = recomputed(entry, record, evidence.timings)
    names = [item.name for item in fields(entry) if getattr(entry, item.name) != getattr(computed, item.name)]
    if names:
        raise InputError(f"the line of seed {entry.seed} has another {', '.join(names)} than its record (edited)")
    return record
