"""pass@k and majority voting of arms trained for them, read from the records: curves over k, levels, signal, trade-off.

A panel is one task on one set of questions. It exists where a finished arm was trained by a k-sample method and has
per-question outcomes. Means run over the seeds whose trial is done. Changes against the base are contrasts of
`repro.statistics` with fewer resamples, since no verdict rests on them.

Shape legend: Q questions of one set.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import comb
from statistics import fmean
from typing import Any

import numpy as np

from repro.experiments.types import Arm, Claim, Experiment
from repro.report.blocks import Block, blocks
from repro.statistics.contrast import evaluate_claim
from repro.store.outcomes import decode, question_scores, rule_scores

Record = dict[str, Any]
METHODS = ("ksample", "pkpo", "passk-training")
RESAMPLES = 2_000
ALL = "all"  # every level together


@dataclass(frozen=True, eq=False)
class ArmPass:
    """One arm on one set; lists hold one item per seed, rates are fractions."""

    arm: Arm
    method: dict[str, Any]  # config of its records
    train: dict[str, Any]
    seeds: tuple[int, ...]
    pool: int  # samples per question
    levels: list[np.ndarray]  # (Q,) of text
    right: list[np.ndarray]  # (Q,) correct samples
    passes: dict[int, list[np.ndarray]]  # k -> (Q,)
    majority: dict[int, list[np.ndarray]]  # N -> (Q,)
    curve: list[list[tuple[int, float, float | None]]]  # completions, pass@1 and pass@dev_k on the dev split
    dev_k: int
    signal: dict[str, tuple[float | None, float | None]]  # level -> share in the first and the last tenth of the steps

    @property
    def k(self) -> int | None:
        """Samples that the objective saw at once; None for the base."""
        return None if self.method["name"] == "none" else self.method.get("k") or self.method.get("n")

    @property
    def objective(self) -> str | None:
        """Of `ksample` arms: mean, pass or majority."""
        return self.method.get("objective") if self.method["name"] == "ksample" else None

    def pass_at(self, k: int, level: str = ALL) -> list[float] | None:
        """pass@k by seed on the questions of a level; None if k exceeds the pool or a seed has no such question."""
        if k not in self.passes:
            return None
        chosen = [v if level == ALL else v[at == level] for v, at in zip(self.passes[k], self.levels, strict=True)]
        return [float(v.mean()) for v in chosen] if all(v.size for v in chosen) else None

    def majority_at(self, n: int) -> float | None:
        return fmean(float(v.mean()) for v in self.majority[n]) if n in self.majority else None


@dataclass(frozen=True, eq=False)
class Panel:
    """One task on one set of questions."""

    task: str
    heading: str  # the task in words
    title: str  # the same, and the set where there are several
    set: str
    experiment: Experiment  # arms of this task alone
    arms: dict[str, ArmPass]  # in the experiment's order
    base: ArmPass | None  # before training
    levels: tuple[str, ...]  # () unless the questions have several
    changes: dict[
        str, dict[str, tuple[float | None, float | None, float | None]]
    ]  # arm -> metric -> difference to the base

    @property
    def core(self) -> list[ArmPass]:
        return [one for one in self.arms.values() if one.arm.core]

    @property
    def trained(self) -> list[ArmPass]:
        """Core arms by a k-sample method."""
        return [one for one in self.core if one.method["name"] in METHODS]

    @property
    def sizes(self) -> list[int]:
        return sorted({k for one in self.arms.values() for k in one.passes})

    @property
    def marked(self) -> tuple[int, ...]:
        """1, the k that most core arms train for, and the largest k."""
        return marked(self.arms.values())

    def crossing(self, one: ArmPass) -> int | None:
        """The smallest k from which on the base's mean pass@k is higher, up to the largest; None if it ends behind."""
        if self.base is None or one is self.base:
            return None
        found = None
        for k in sorted(set(one.passes) & set(self.base.passes), reverse=True):
            if fmean(self.base.pass_at(k)) <= fmean(one.pass_at(k)):
                break
            found = k
        return found

    def gaps(self, one: ArmPass, k: int) -> list[float]:
        """pass@k less the base's, for every seed that both have."""
        if self.base is None or k not in self.base.passes:
            return []
        known = dict(zip(self.base.seeds, self.base.pass_at(k), strict=True))
        return [v - known[seed] for seed, v in zip(one.seeds, one.pass_at(k), strict=True) if seed in known]

    def expected(self, one: ArmPass, level: str = ALL) -> float | None:
        """Share of groups in which the base's samples would give `one` a signal; None where no formula is known.

        pass: exactly one of k samples is right, k p (1 - p)^(k-1); mean: not all k are alike. Both are estimated
        without bias from the pool of each question (subsets of size k), not from a level's mean solve rate.
        """
        plain = one.objective in ("pass", "mean") and one.method.get("variant") != "naive"
        if not plain or self.base is None or one.k > self.base.pool:
            return None
        n = self.base.pool
        chance = np.array([_signal(one.objective, n, c, one.k) for c in range(n + 1)])
        kept = [
            chance[right] if level == ALL else chance[right[at == level]]
            for right, at in zip(self.base.right, self.base.levels, strict=True)
        ]
        return fmean(float(v.mean()) for v in kept) if all(v.size for v in kept) else None


def marked(arms: Iterable[ArmPass]) -> tuple[int, ...]:
    """1, the k that most core arms train for (if their pools allow it), and the largest k that all arms have."""
    arms = list(arms)
    common = sorted(set.intersection(*(set(one.passes) for one in arms)))
    trained = [one.k for one in arms if one.arm.core and one.k in common]
    middle = [max(sorted(set(trained)), key=trained.count)] if trained else []
    return tuple(sorted({1, *middle, common[-1]}))


def _signal(objective: str, n: int, right: int, k: int) -> float:
    if objective == "pass":
        return right * comb(n - right, k - 1) / comb(n, k)
    return 1 - (comb(right, k) + comb(n - right, k)) / comb(n, k)


def read_passk(experiment: Experiment, chosen: Sequence[Record], names: Sequence[str]) -> list[Panel]:
    """Panels in the order of tasks and sets; [] unless arms were trained by k-sample methods and evaluated.

    `chosen`: trial records of one experiment at one scale; `names`: its sets of questions.
    """
    done = [r for r in chosen if r["status"] == "done" and r["outcomes"]]
    if not any(r["config"]["method"]["name"] in METHODS for r in done):
        return []
    panels = []
    for block in blocks(experiment, done):
        for name in names:
            panel = _panel(block, name, len(names) > 1)
            if panel is not None:
                panels.append(panel)
    return panels


def _panel(block: Block, name: str, several: bool) -> Panel | None:
    arms = {}
    for arm in block.experiment.arms:
        own = [r for r in block.records if r["arm"] == arm.id and name in r["outcomes"]]
        if own:
            arms[arm.id] = _read(arm, own, name)
    if not any(one.method["name"] in METHODS for one in arms.values()):
        return None
    base = next((one for one in arms.values() if one.method["name"] == "none"), None)
    levels = list(dict.fromkeys(str(v) for one in arms.values() for at in one.levels for v in at))
    title = f"{block.title}, {name}" if several else block.title
    changes = {
        one.arm.id: _changes(block.records, one, base, name, marked(arms.values()))
        for one in arms.values()
        if base is not None and one is not base
    }
    shown = tuple(levels) if len(levels) > 1 else ()
    return Panel(block.task, block.title, title, name, block.experiment, arms, base, shown, changes)


def _read(arm: Arm, own: list[Record], name: str) -> ArmPass:
    entries = [r["outcomes"][name] for r in own]
    right = [decode(e["samples"]).correct.sum(axis=1) for e in entries]
    pool = min(len(e["samples"][0]) for e in entries)
    sizes = [1 << i for i in range(pool.bit_length())]
    config = own[0]["config"]
    return ArmPass(
        arm=arm,
        method=config["method"],
        train=config["train"],
        seeds=tuple(r["seed"] for r in own),
        pool=pool,
        levels=[np.array(e["levels"], dtype=object) for e in entries],
        right=right,
        passes={k: [question_scores(e, f"pass@{k}") for e in entries] for k in sizes},
        majority=_majority(entries),
        curve=[[(p["completions"], p["dev_accuracy"], p.get("dev_pass")) for p in r["curve"]] for r in own],
        dev_k=config.get("evaluation", {}).get("dev_pass") or 0,
        signal=_shares(own),
    )


def _majority(entries: list[Record]) -> dict[int, list[np.ndarray]]:
    if not all(e.get("vote") for e in entries):
        return {}
    curves = [dict(zip(e["vote"]["sizes"], rule_scores(e, "majority").T, strict=True)) for e in entries]
    return {n: [curve[n] for curve in curves] for n in curves[0] if all(n in curve for curve in curves)}


def _shares(own: list[Record]) -> dict[str, tuple[float | None, float | None]]:
    """Level -> share of rows with signal in the first and the last tenth of the steps, all seeds together."""
    ends: list[dict[str, list[int]]] = [{}, {}]
    for record in own:
        health = [point for point in record["health"] if point.get("signal_by_level")]
        tenth = max(1, round(len(health) / 10))
        for counts, points in zip(ends, (health[:tenth], health[-tenth:]), strict=True):
            for point in points:
                for level, rows in point["signal_by_level"].items():
                    for key in (level, ALL):
                        counts[key] = [a + b for a, b in zip(counts.get(key, [0, 0]), rows, strict=True)]
    return {level: tuple(_share(counts.get(level)) for counts in ends) for level in {**ends[0], **ends[1]}}


def _share(rows: list[int] | None) -> float | None:
    return rows[0] / rows[1] if rows and rows[1] else None


def _changes(records: list[Record], one: ArmPass, base: ArmPass, name: str, sizes: Sequence[int]) -> dict[str, tuple]:
    """Metric -> difference to the base with its 95 % interval, fractions."""
    votes = [n for n in sizes[1:2] if n in one.majority and n in base.majority]
    found = {}
    for metric in [*(f"pass@{k}" for k in sizes), *(f"majority@{n}" for n in votes)]:
        result = evaluate_claim(_contrast(one.arm.id, base.arm.id, f"{metric}:{name}"), records, resamples=RESAMPLES)
        found[metric] = (result.estimate, result.lo, result.hi)
    return found


def _contrast(arm: str, against: str, metric: str) -> Claim:
    """A difference that no paper claims, in the form in which `repro.statistics` takes contrasts."""
    return Claim(
        f"change/{arm}/{metric}", "", "", "", "direction", metric, arm, against, "difference", "higher", 0.0, ""
    )  # fmt: skip
