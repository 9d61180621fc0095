"""What `repro evaluate` says of one model on one task: every metric of every set with its 95 % interval, and the files.

The interval is that of the tables: two-level bootstrap over seeds and questions, over the questions alone with one
seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from repro.errors import InputError
from repro.statistics.contrast import arm_interval
from repro.store.config import TrialConfig
from repro.store.records import adopt, record_path
from repro.store.workspace import Workspace

Record = dict[str, Any]
_FIRST = ("accuracy", "greedy", "accuracy_lenient")
_LAST = ("truncated", "unparsed")


@dataclass(frozen=True)
class Measured:
    """A metric's mean over questions and seeds, a fraction; `lo` and `hi` None where it has no interval."""

    estimate: float
    lo: float | None
    hi: float | None


@dataclass(frozen=True)
class Set:
    questions: int
    samples: int  # of each question
    metrics: dict[str, Measured]


@dataclass(frozen=True)
class Evaluated:
    """One model on one task, over its seeds."""

    id: str  # evaluate@1a2b3c4d
    model: str  # the arm
    digest: str  # of the model's files, or hub id and commit
    task: str
    template: str  # its sha256
    scale: str
    seeds: list[int]
    records: list[dict[str, Any]]  # {"seed", "file", "key"}
    sets: dict[str, Set]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def evaluated(configs: Sequence[TrialConfig], records: Mapping[str, Record], workspace: Workspace) -> list[Evaluated]:
    """One entry per task with a finished trial, in the order of `configs`; `records`: done ones by trial id."""
    found = []
    for name in dict.fromkeys((config.experiment_id, config.arm) for config in configs):
        own = [c for c in configs if (c.experiment_id, c.arm) == name and c.id in records]
        if own:
            found.append(_evaluated(own, [records[config.id] for config in own], workspace))
    return found


def _evaluated(configs: list[TrialConfig], records: list[Record], workspace: Workspace) -> Evaluated:
    first, named = configs[0], [adopt(r, c) for r, c in zip(records, configs, strict=True)]
    ((name, outcome),) = named[0]["outcomes"].items()
    metrics = [key.partition("/")[2] for key in named[0]["metrics"]]
    measured = {metric: _measured(named, first.arm, name, metric) for metric in sorted(metrics, key=_place)}
    return Evaluated(
        id=first.experiment_id,
        model=first.arm,
        digest=named[0]["hashes"]["base"],
        task=first.task["name"],
        template=named[0]["hashes"]["template"],
        scale=first.scale,
        seeds=[config.seed for config in configs],
        records=[{"seed": r["seed"], "file": str(record_path(workspace, r)), "key": r["key"]} for r in records],
        sets={name: Set(len(outcome["questions"]), len(outcome["samples"][0]), measured)},
    )


def _measured(records: list[Record], arm: str, name: str, metric: str) -> Measured:
    try:
        found = arm_interval(records, arm, metric)  # as in the tables and on the leaderboard, draw by draw
    except InputError:  # one number per set, such as the mismatch of an engine
        found = None
    if found is None:
        return Measured(fmean(record["metrics"][f"{name}/{metric}"] for record in records), None, None)
    return Measured(found.estimate, found.lo, found.hi)


def _place(metric: str) -> tuple[int, str, int]:
    """Accuracies first, then pass@k and votes by number, then the shares of what could not be read."""
    if metric in _FIRST:
        return _FIRST.index(metric), "", 0
    rule, _, count = metric.partition("@")
    if count.isdigit():
        return len(_FIRST), {"pass": ""}.get(rule, rule), int(count)
    return len(_FIRST) + 1 + (metric in _LAST), metric, 0
