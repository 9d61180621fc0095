"""What a command would run: which trials are cached, which are not, and how long it should take. Loads no torch.

The exact cache key of a trial needs the hashes of its prompts and base model, which take seconds to compute. A plan
instead compares resolved configs with those of the stored records, so it is instant; it is wrong only where data or
weights changed under an unchanged config, and then the run, which uses the key, trains anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from repro.experiments.resolve import NAMES, OPERATIONAL, flatten
from repro.store.config import TrialConfig
from repro.store.key import before, content_hash
from repro.store.project import bundles, published_bundles

Record = Mapping[str, Any]


@dataclass(frozen=True)
class PlannedTrial:
    """One trial of a plan. `key` is known only when it is cached; `estimated_seconds` only if its arm ran before."""

    id: str
    arm: str
    seed: int
    status: str  # "cached" | "to run" | "damaged" (its record cannot be read; it will run again)
    key: str | None
    estimated_seconds: float | None


@dataclass(frozen=True)
class Plan:
    """`estimated_seconds`: wall time of what is left to run with `jobs` workers, or None if some arm never ran."""

    trials: tuple[PlannedTrial, ...]
    jobs: int
    estimated_seconds: float | None
    problems: tuple[str, ...]

    @property
    def to_run(self) -> tuple[PlannedTrial, ...]:
        return tuple(trial for trial in self.trials if trial.status != "cached")

    def to_json(self) -> dict[str, Any]:
        return {
            "trials": [vars(trial) for trial in self.trials],
            "cached": len(self.trials) - len(self.to_run),
            "to_run": len(self.to_run),
            "jobs": self.jobs,
            "estimated_seconds": self.estimated_seconds,
            "problems": list(self.problems),
            "cost": None,
        }


def identity(config: Mapping[str, Any]) -> str:
    """Hash of the part of a config's JSON that decides its result: no names, nothing operational."""
    # A record from before a setting existed is of today's trial where that setting is neutral.
    known = {**config, "evaluation": before(config["evaluation"])} if "evaluation" in config else config
    return content_hash({name: value for name, value in flatten(known).items() if name not in NAMES + OPERATIONAL})


def plan(
    configs: Sequence[TrialConfig],
    records: Iterable[Record],
    problems: Iterable[str] = (),
    published: Iterable[Record] = (),
    jobs: int = 1,
) -> Plan:
    """The plan of `configs` in a workspace that holds `records` (and, unreadable, `problems`).

    `published` records never count as cache; they serve for the estimate where the workspace has no record of an arm.
    """
    own, problems = trial_records(records), tuple(problems)
    done = {identity(record["config"]): record["key"] for record in own if record["status"] == "done"}
    sources = (own, trial_records(published))
    trials = []
    for config in configs:
        key = done.get(identity(config.to_json()))
        file = f"{config.experiment_id}/{config.arm}-seed{config.seed}-"
        damaged = any(file in problem.replace("\\", "/") for problem in problems)
        status = "cached" if key else "damaged" if damaged else "to run"
        seconds = None if key else next((s for source in sources if (s := estimate(config, source)) is not None), None)
        trials.append(PlannedTrial(config.id, config.arm, config.seed, status, key, seconds))
    left = [trial.estimated_seconds for trial in trials if trial.status != "cached"]
    total = None if None in left else wall_time(left, jobs)
    return Plan(tuple(trials), jobs, total, problems)


def estimate(config: TrialConfig, records: Iterable[Record]) -> float | None:
    """Seconds this trial should take by the records of its arm at its scale; training time is scaled by steps."""
    seconds = []
    for record in records:
        same = (record["experiment"], record["scale"], record["arm"]) == (config.experiment, config.scale, config.arm)
        if same and record["status"] == "done":
            cost, steps = record["cost"], record["config"]["train"]["steps"]
            share = config.train.steps / steps if steps else 1.0
            seconds.append(share * cost["train_seconds"] + cost["evaluate_seconds"])
    return fmean(seconds) if seconds else None


def wall_time(seconds: Sequence[float], jobs: int) -> float:
    """Wall time of trials started in order, each on the first free one of `jobs` workers."""
    workers = [0.0] * max(1, jobs)
    for one in seconds:
        first = workers.index(min(workers))
        workers[first] += one
    return max(workers)


def current(configs: Sequence[TrialConfig], records: Iterable[Record]) -> list[Record]:
    """The trial records that belong to `configs`: same id, same config; the done one, else the latest failure.

    Records that an older definition of the experiment left in its folder are thereby never mixed into its table.
    """
    from repro.store.records import newest

    wanted = {config.id: content for config, content in zip(configs, _contents(configs), strict=True)}

    def belongs(record: Record) -> bool:
        config = wanted.get(record["id"])
        # Nearly all are equal as they are, which is told a hundred times faster than two identities are made.
        return config is not None and (config == record["config"] or identity(config) == identity(record["config"]))

    return newest(filter(belongs, trial_records(records)))


def _contents(configs: Sequence[TrialConfig]) -> Iterator[dict[str, Any]]:
    """`to_json` of each; one that differs from the one before in its seed alone takes that one's, with its own seed."""
    previous, content = None, {}
    for config in configs:
        if previous is not None and replace(config, seed=previous.seed) == previous:
            content = {**content, "seed": config.seed}
        else:
            content = config.to_json()
        previous = config
        yield content


def to_adopt(configs: Sequence[TrialConfig], records: Sequence[Record]) -> list[tuple[Record, TrialConfig]]:
    """Finished trials that `configs` share with another experiment id, each with the config that lacks a record.

    `--set tbrm-n4.beta=0.01` leaves the other arms as they are: their trials are cached under `table1`, and must appear
    in the table of the variant as well.
    """
    own = {record["id"] for record in current(configs, records) if record["status"] == "done"}
    done = {identity(r["config"]): r for r in trial_records(records) if r["status"] == "done"}
    pairs = [(done.get(identity(config.to_json())), config) for config in configs if config.id not in own]
    return [(record, config) for record, config in pairs if record is not None]


def trial_records(records: Iterable[Record]) -> list[Record]:
    return [record for record in records if record["kind"] == "trial"]


def published_bundle(experiment: str, folder: Path | None = None) -> Path | None:
    """The project's bundle of an experiment, or that of the checkout `folder`; None if there is none."""
    return (bundles(folder) if folder else published_bundles()).get(experiment)
