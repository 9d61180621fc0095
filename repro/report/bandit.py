"""What the report says about trials on bandits: numbers by arm from stored records alone.

A value is a mean over all bandits of all seeds, with its standard error over bandits. Curves of several seeds are
averaged, their percentiles too. Reward and KL are those of the policy, computed exactly; KL is in nats.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from repro.experiments.types import Experiment

Record = dict[str, Any]
PAPER_K = 4  # the k of the paper's figure


@dataclass(frozen=True)
class Value:
    """Mean over bandits and its standard error; `count`: bandits behind it."""

    mean: float
    error: float | None
    count: int


@dataclass(frozen=True)
class BanditArm:
    """One arm with at least one finished trial."""

    arm: str
    display: str
    estimator: tuple[str, str, str]  # objective, variant, scale
    k: int
    actions: int
    steps: tuple[int, ...]  # at which `values` holds every bandit, rising; the last one is the end
    values: dict[str, Value]  # names as in `repro.store.bandit`
    bounded_variance: float
    reference: list[dict[str, Any]]
    payloads: list[dict[str, Any]]  # one per seed

    def at(self, name: str, step: int) -> Value:
        """`mean_reward`, `max`, `kl` or `entropy` after `step` steps."""
        if name == "entropy":
            kl = self.values[f"kl@{step}"]
            return Value(math.log(self.actions) - kl.mean, kl.error, kl.count)
        return self.values[f"{name}@{self.k}@{step}" if name == "max" else f"{name}@{step}"]

    def mean_curve(self, name: str, part: str = "mean") -> list[float]:
        """A curve over the logged steps: its mean over seeds."""
        return _mean([payload["curves"][name][part] for payload in self.payloads])

    def by_kl(self, part: str, least: float) -> list[tuple[float, float]]:
        """(nats, mean reward) where at least the share `least` of the bandits has reached that KL."""
        tables = [payload["by_kl"] for payload in self.payloads]
        whole = sum(payload["instances"] for payload in self.payloads)
        rows = []
        for index, nats in enumerate(tables[0]["nats"]):
            found = [table[part][index] for table in tables if table[part][index] is not None]
            if found and sum(table["reached"][index] for table in tables) >= least * whole:
                rows.append((nats, fmean(found)))
        return rows


def bandit_arms(experiment: Experiment, chosen: Sequence[Record]) -> list[BanditArm]:
    """The finished arms, in the experiment's order."""
    found = []
    for arm in experiment.arms:
        done = [r for r in chosen if r["arm"] == arm.id and r["status"] == "done" and "bandit" in r]
        if done:
            found.append(_arm(arm.id, arm.display, done))
    return found


def _arm(name: str, display: str, done: list[Record]) -> BanditArm:
    payloads, method = [r["bandit"] for r in done], done[0]["config"]["method"]
    names = [key for key in payloads[0]["values"] if all(key in payload["values"] for payload in payloads)]
    return BanditArm(
        arm=name,
        display=display,
        estimator=(method["objective"], method["variant"], method["scale"]),
        k=payloads[0]["k"],
        actions=payloads[0]["actions"],
        steps=tuple(int(key.rpartition("@")[2]) for key in names if key.startswith("mean_reward@")),
        values={key: value(x for payload in payloads for x in payload["values"][key]) for key in names},
        bounded_variance=payloads[0]["bounded_variance"],
        reference=payloads[0]["reference"],
        payloads=payloads,
    )


def value(numbers) -> Value:
    """Mean and standard error of the numbers that are there."""
    present = [x for x in numbers if x is not None]
    if not present:
        return Value(math.nan, None, 0)
    error = stdev(present) / math.sqrt(len(present)) if len(present) > 1 else None
    return Value(fmean(present), error, len(present))


def last_reward(record: Record) -> float:
    """Mean reward of a finished trial's bandits after the last step."""
    bandit = record["bandit"]
    return bandit["curves"]["mean_reward"]["mean"][-1]


def setting(chosen: Sequence[Record]) -> dict[str, str]:
    """What was run, for people; empty without records."""
    if not chosen:
        return {}
    config = chosen[0]["config"]
    steps = sorted({r["config"]["train"]["steps"] for r in chosen})
    rates = sorted({r["config"]["train"]["learning_rate"] for r in chosen})
    seeds = sorted({r["seed"] for r in chosen})
    return {
        "Task": f"bandit, {config['task']['options']['actions']} actions with fixed rewards from a unit Gaussian",
        "Policy": "softmax of one logit per action, from 0; plain stochastic gradient ascent, k samples a step",
        "Learning rate": ", ".join(f"{rate:g}" for rate in rates),
        "Steps": ", ".join(map(str, steps)),
        "Bandits": f"{config['base']['instances']:,} per seed, each with rewards of its own; seeds "
        + ", ".join(map(str, seeds)),
    }


def _mean(rows: list[list[float]]) -> list[float]:
    return [fmean(column) for column in zip(*rows, strict=True)]
