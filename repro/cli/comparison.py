"""The sequence behind `repro compare`: who meets whom, what is left to run, the run, the timing, the result.

Nothing here writes anything but trials and a timing record of the workspace: no leaderboard, no published folder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import TYPE_CHECKING, Any

from repro.cli.opponents import BOTH, STORED, YOURS, Candidate, Kept, Opponents
from repro.cli.retiming import cost_reference
from repro.errors import InputError
from repro.experiments import registry
from repro.experiments.plan import estimate, identity, wall_time
from repro.report.beside import Cost, cost
from repro.report.comparable import draft, obstacles
from repro.report.rivals import Arm, Field, meet, notes
from repro.statistics.scores import Missing
from repro.store.config import TrialConfig
from repro.store.provenance import collect

if TYPE_CHECKING:
    from repro.experiments.plan import Plan

Record = dict[str, Any]


@dataclass(frozen=True)
class Match:
    """One comparison as it is decided before anything runs."""

    opponents: Opponents
    arm: Arm  # its trials are those that need not run
    draft: Mapping[str, Any]  # a trial of it: one that is done, else what is known of it beforehand
    rivals: tuple[Arm, ...]  # that can be compared
    refused: tuple[tuple[str, str], ...]  # (stored arm, why it cannot be compared)
    against: str
    because: str  # why this one
    seeds: tuple[int, ...]
    to_run: tuple[TrialConfig, ...]

    @property
    def name(self) -> str:
        return self.opponents.name

    @property
    def rival(self) -> Arm:
        return {one.id: one for one in self.rivals}[self.against]

    @property
    def notes(self) -> dict[str, list[str]]:
        """Rival -> in what the arm and it differ, as far as it is known; the one it is held against first."""
        arm = replace(self.arm, trials={0: self.draft})
        ordered = sorted(self.rivals, key=lambda one: one.id != self.against)
        return {one.id: notes(self.opponents.experiment, arm, one) for one in ordered}


@dataclass(frozen=True)
class Result:
    """One comparison at its end."""

    match: Match
    field: Field
    cost: Cost


def prepare(
    opponents: Opponents,
    against: str | None,
    seeds: int | None,
    metric: str,
    hashes: Mapping[str, Any] | None = None,
) -> Match:
    """Who is compared with whom, on which seeds, and what is left to run. `hashes`: of the arm's trials, once known.

    Raises InputError where no stored arm can be compared, or not the one that is asked for.
    """
    name, candidate = opponents.name, opponents.arm
    own = _own(candidate, hashes)
    mine = own.trials[min(own.trials)] if own else draft(candidate.config, collect(""), hashes)
    rivals, refused = _comparable(opponents, mine)
    _check_against(opponents, against, rivals, refused)
    chosen, because = _chosen(opponents, against, rivals, metric)
    wanted = _seeds(opponents, own, rivals[chosen], seeds)
    trials = {seed: own.trials[seed] for seed in wanted if seed in own.trials} if own else {}
    to_run = tuple(opponents.configs(seed for seed in wanted if seed not in trials))
    arm = Arm(candidate.id, candidate.display, candidate.core, own.evidence if own else "new", trials)
    if not wanted:
        raise InputError(
            f"{name}: {candidate.id} and {chosen} have no seed in common: give --seeds N to run {candidate.id}"
        )
    return Match(opponents, arm, mine, tuple(rivals.values()), tuple(refused.items()), chosen, because, wanted, to_run)


def _own(candidate: Candidate, hashes: Mapping[str, Any] | None) -> Kept | None:
    """The arm's own finished trials: those of `hashes`, else the published ones, else the workspace's."""
    fitting = [one for one in candidate.kept if hashes is None or _agree(next(iter(one.trials.values())), hashes)]
    return fitting[0] if fitting else None


def _agree(record: Record, hashes: Mapping[str, Any]) -> bool:
    return all(record["hashes"].get(name) == hashes.get(name) for name in ("base", "template", "prompts"))


def _comparable(opponents: Opponents, mine: Mapping[str, Any]) -> tuple[dict[str, Arm], dict[str, str]]:
    """(rivals that can be compared, why each of the others cannot)."""
    rivals, refused = {}, {}
    for one in opponents.rivals:
        problems = [obstacles(mine, next(iter(kept.trials.values()))) for kept in one.kept]
        good = [kept for kept, found in zip(one.kept, problems, strict=True) if not found]
        if good:
            kept = max(good, key=lambda kept: len(kept.trials))
            rivals[one.id] = Arm(one.id, one.display, one.core, kept.evidence, kept.trials)
        else:
            refused[one.id] = ", ".join(problems[0])
    return rivals, refused


def _check_against(
    opponents: Opponents, against: str | None, rivals: Mapping[str, Arm], refused: Mapping[str, str]
) -> None:
    """InputError unless there is somebody to compare with, and `against` is one of them."""
    name, arm = opponents.name, opponents.arm.id
    ids = [one.id for one in opponents.experiment.arms]
    if against == arm:
        raise InputError(f"--against {against}: that is the arm itself: name another one")
    if against is not None and against not in ids:
        raise InputError(f"--against: {name} has no arm {against!r}: {registry.suggest(against, ids)}")
    if against in refused:
        remedy = _remedy(refused[against], opponents, against)
        raise InputError(f"{name}: {arm} cannot be compared with {against}: {refused[against]}{remedy}")
    if against is not None and against not in rivals:
        raise InputError(
            f"{name}: {against} has no stored record with these settings: run it first, {opponents.run(against)}"
        )
    if not rivals and refused:
        why = ", ".join(dict.fromkeys(refused.values()))
        raise InputError(f"{name}: no stored arm can be compared with {arm}: {why}{_remedy(why, opponents, None)}")
    if not rivals:
        raise InputError(f"{name} has no stored records with these settings: run its arms first, {opponents.run()}")


def _remedy(why: str, opponents: Opponents, against: str | None) -> str:
    """Weights that differ though the recipe is the same come of another processor: the stored arm can be run here."""
    if "other weights here" not in why:
        return ""
    return f"; another processor rounds differently: make records of it here, {opponents.run(against)}"


def _chosen(opponents: Opponents, against: str | None, rivals: Mapping[str, Arm], metric: str) -> tuple[str, str]:
    """(arm to hold the new one against, why it)."""
    if against is not None:
        return against, "you named it"
    scores = {}
    for one in rivals.values():
        try:
            scores[one.id] = one.score(metric)
        except Missing:
            continue
    if not scores:
        raise InputError(f"{opponents.name}: no stored arm has the metric {metric!r}")
    core = {name: score for name, score in scores.items() if rivals[name].core}
    best = max(core or scores, key=lambda name: scores[name])
    kind = "core arm" if core else "arm"
    return best, f"the best-ranked stored {kind} by {metric}"


def _seeds(opponents: Opponents, own: Kept | None, rival: Arm, seeds: int | None) -> tuple[int, ...]:
    """--seeds, else those of the arm it is held against. Of a published arm only those that it has: nothing is run."""
    if seeds is not None:
        if not 1 <= seeds <= registry.MOST_SEEDS:
            raise InputError(f"--seeds must be from 1 to {registry.MOST_SEEDS}, not {seeds}")
        first = registry.settings(opponents.experiment, opponents.scale).first_seed
        return tuple(range(first, first + seeds))
    if own is not None and own.evidence != YOURS:
        return tuple(sorted(own.trials.keys() & rival.trials.keys()))
    return tuple(sorted(rival.trials))


def estimated(match: Match, plan: Plan, jobs: int) -> Plan:
    """The plan with the time of an arm that never ran taken from the trained arms it is compared with."""
    own = {config.id for config in match.to_run}
    guesses = [
        estimate(replace(config, arm=rival.id), [{**record, "arm": rival.id} for record in rival.trials.values()])
        for config in match.to_run[:1]
        for rival in match.rivals
        if rival.trained and config.trains
    ]
    known = [seconds for seconds in guesses if seconds is not None]
    if not known:
        return plan
    trials = tuple(
        replace(trial, estimated_seconds=fmean(known)) if trial.id in own and trial.estimated_seconds is None else trial
        for trial in plan.trials
    )
    left = [trial.estimated_seconds for trial in trials if trial.status != "cached"]
    return replace(plan, trials=trials, estimated_seconds=None if None in left else wall_time(left, jobs))


def arrived(match: Match, records: Sequence[Record]) -> Match:
    """The match with those of the arm's trials that are done by now; `records`: of the workspace.

    InputError if they show that it cannot be compared with the arm it is held against.
    """
    wanted = {identity(config.to_json()): config.seed for config in match.to_run}
    done = dict(match.arm.trials)
    for record in records:
        if record["kind"] == "trial" and record["status"] == "done":
            seed = wanted.get(identity(record["config"]))
            if seed is not None and (not match.draft["hashes"] or _agree(record, match.draft["hashes"])):
                done.setdefault(seed, record)
    if not done:
        return match
    arm = replace(match.arm, trials=dict(sorted(done.items())))
    arm = replace(arm, evidence=_evidence(match, arm))
    rivals, refused = _comparable(match.opponents, arm.first)
    if match.against not in rivals:
        raise InputError(f"{match.name}: {arm.id} cannot be compared with {match.against}: {refused[match.against]}")
    return replace(match, arm=arm, draft=arm.first, rivals=tuple(rivals.values()), refused=tuple(refused.items()))


def _evidence(match: Match, arm: Arm) -> str:
    if not match.arm.trials:
        return YOURS
    return BOTH if match.arm.evidence == STORED and len(arm.trials) > len(match.arm.trials) else match.arm.evidence


def finish(match: Match, metric: str, timing: tuple[Record | None, str]) -> Result:
    """The result of a match that has `arrived`; `timing`: of `repro.cli.retiming`. `Missing` without a common score."""
    field = meet(match.opponents.experiment, match.arm, match.rivals, metric)
    reference = cost_reference(match)
    record, why = timing
    found = cost(record, match.arm, reference, why) if reference else Cost(None, {}, None, None, None, (why,))
    return Result(match, field, found)
