"""Who `repro compare` compares: the arm as its trials would run, and the arms of the experiment that have records.

A record belongs to an arm if it is of the trial that the experiment defines today, whatever id it was run under:
published records first, those of the workspace for seeds that are not published. Records of one arm with other base
weights (of another processor) stay apart.
"""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from repro.errors import InputError
from repro.experiments import registry
from repro.experiments.assign import check_assignments
from repro.experiments.plan import identity, published_bundle, trial_records
from repro.experiments.resolve import Changes, resolve, variant_of
from repro.experiments.twins import TUNING_SUFFIX
from repro.experiments.types import Experiment
from repro.methods import catalogue
from repro.methods.configs import SOURCES
from repro.store.config import TrialConfig, experiment_id
from repro.store.published import read_bundle

STORED, YOURS, BOTH = "stored", "yours", "stored and yours"
Record = dict[str, Any]


@dataclass(frozen=True)
class Kept:
    """Finished trials of one arm with one set of hashes: by seed, and where they come from."""

    evidence: str
    trials: dict[int, Record]


@dataclass(frozen=True)
class Candidate:
    """An arm of the experiment, and its records: one `Kept` per base model and questions, published ones first."""

    id: str
    display: str
    core: bool
    config: TrialConfig  # of any seed
    kept: tuple[Kept, ...]


@dataclass(frozen=True)
class Opponents:
    """One experiment at one scale, as one command sees it."""

    experiment: Experiment  # with every method that the command adds
    scale: str
    arm: Candidate
    rivals: tuple[Candidate, ...]  # those with records
    absent: tuple[str, ...]  # arms without
    changed: bool  # the rivals, by --set, --method, --task or --model

    @property
    def name(self) -> str:
        """As people write it: table1, table1@smoke."""
        return experiment_id(self.experiment.id, self.scale)

    def configs(self, seeds: Iterable[int]) -> list[TrialConfig]:
        return [replace(self.arm.config, seed=seed) for seed in seeds]

    def run(self, arm: str | None = None) -> str:
        """The command that makes records of one arm, or of all core arms."""
        scale = "" if self.scale == "micro" else f" --scale {self.scale}"
        same = ", with the same --set, --method, --task and --model" if self.changed else ""
        return f"repro run {self.experiment.id}{f'/{arm}' if arm else ''}{scale}{same}"

    def config(self, arm: str) -> TrialConfig:
        """Of a rival."""
        return {one.id: one.config for one in self.rivals}[arm]


def find(
    arm: str, name: str, scale: str | None, changes: Changes, records: Sequence[Record], against: str | None = None
) -> Opponents:
    """The arm and its rivals in the experiment `name` (table1, table1@smoke); `records`: of the workspace.

    `arm` is an arm of the experiment or a method, which takes the task and the base of the arm `against` if that has
    some of its own. Raises InputError for what is neither, and where nothing can be compared whatever the records say.
    """
    (selection,) = registry.select([name], scale)
    experiment, scale = selection.experiment, selection.scale
    if experiment.id.endswith(TUNING_SUFFIX):
        raise InputError(f"{experiment.id} holds tuning trials on dev questions: compare with what was tuned by it")
    if experiment.tabular:
        raise InputError(f"{experiment.id} runs on bandits: it has no test questions to pair by")
    added = tuple(method for method in changes.methods if method != arm)
    # A plug-in that is called like an arm is refused there, where the arm would stand in for it.
    if arm in SOURCES or (arm in catalogue.METHODS and all(one.id != arm for one in experiment.arms)):
        added = (*added, arm)
    whole = registry.with_methods(experiment, added)
    if all(one.id != arm for one in whole.arms):
        arms = [one.id for one in whole.arms]
        near = difflib.get_close_matches(arm, [*arms, *catalogue.METHODS], n=3, cutoff=0.5)
        raise InputError(
            f"{arm!r} is neither an arm of {experiment.id} nor a method: {registry.suggest(arm, near or arms)} "
            "(--method FILE.py names a plug-in)"
        )
    check_assignments(whole, changes.sets)
    own = _config(experiment, scale, arm, replace(_for_arms(changes, [arm], added), beside=against))
    rivals = [one for one in whole.arms if one.id != arm]
    others = _for_arms(changes, [one.id for one in rivals], added)
    configs = {one.id: resolve(whole, scale, one.id, 0, others) for one in rivals}
    found = _kept({arm: own, **configs}, published(experiment.id, scale), records)
    mine = whole.arm(arm)
    return Opponents(
        experiment=whole,
        scale=scale,
        arm=Candidate(arm, mine.display, mine.core, own, found[arm]),
        rivals=tuple(
            Candidate(one.id, one.display, one.core and one.id not in added, configs[one.id], found[one.id])
            for one in rivals
            if found[one.id]
        ),
        absent=tuple(one.id for one in rivals if not found[one.id]),
        changed=bool(others),
    )


def published(experiment: str, scale: str) -> list[Record]:
    """The published records of an experiment at a scale; [] if there are none."""
    bundle = published_bundle(experiment_id(experiment, scale))
    return read_bundle(bundle) if bundle else []


def _for_arms(changes: Changes, arms: Sequence[str], added: Sequence[str]) -> Changes:
    """The changes without those that concern other arms only."""
    sets = tuple(one for one in changes.sets if any(fnmatch.fnmatchcase(arm, one.arm) for arm in arms))
    return replace(changes, sets=sets, methods=tuple(method for method in added if method in arms))


def _config(experiment: Experiment, scale: str, arm: str, changes: Changes) -> TrialConfig:
    """As `repro run` with these changes resolves it, so that both share trials and tables."""
    whole = registry.with_methods(experiment, changes.methods)
    return resolve(whole, scale, arm, 0, changes, variant_of(whole, scale, changes))


def _kept(
    configs: Mapping[str, TrialConfig], published_records: Sequence[Record], own: Sequence[Record]
) -> dict[str, tuple[Kept, ...]]:
    """Arm -> its records; those of each `Kept` agree in base model, template and prompts."""
    wanted: dict[str, list[str]] = {}
    for arm, config in configs.items():
        wanted.setdefault(_seedless(config.to_json()), []).append(arm)
    sources: dict[tuple[str, str], dict[str, dict[int, Record]]] = {}
    for evidence, records in ((STORED, published_records), (YOURS, own)):
        for record in trial_records(records):
            if record["status"] != "done":
                continue
            for arm in wanted.get(_seedless(record["config"]), ()):
                place = sources.setdefault((arm, repr(sorted(_hashes(record).items()))), {})
                place.setdefault(evidence, {}).setdefault(record["seed"], record)
    found: dict[str, list[Kept]] = {arm: [] for arm in configs}
    for (arm, _), by_source in sources.items():
        # A published seed comes first; the workspace adds others.
        trials = by_source.get(YOURS, {}) | by_source.get(STORED, {})
        more = set(by_source.get(YOURS, {})) - set(by_source.get(STORED, {}))
        evidence = YOURS if STORED not in by_source else BOTH if more else STORED
        found[arm].append(Kept(evidence, dict(sorted(trials.items()))))
    return {arm: tuple(sorted(own, key=lambda one: one.evidence == YOURS)) for arm, own in found.items()}


def _hashes(record: Record) -> dict[str, Any]:
    hashes = record["hashes"]
    return {"base": hashes["base"], "template": hashes["template"], **hashes["prompts"]}


def _seedless(config: Mapping[str, Any]) -> str:
    return identity({**config, "seed": 0})
