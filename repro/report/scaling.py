"""Test-time scaling in the stored records, ready for tables and figures: curves over N, the verifier, length budgets.

A record has it where an evaluation set carries the entry "scaling" (a pool of samples per question, each scored by the
model as its own verifier). Means run over the seeds whose trial is done. Intervals are the 95 % two-level bootstrap
over seeds and questions of `repro.statistics`, with fewer resamples, since bands only need to be drawn.

Differs from the paper: RL^V (arXiv 2505.04842) does not state how a rate at N below the pool's size was averaged.
Not covered: noise of the subsets that the stored curves were estimated with. Claims are tested from the records
elsewhere; nothing here feeds a verdict.
Shape legend: N sizes, Q questions of one set, L length budgets, T thresholds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np

from repro.experiments.types import Arm, Experiment
from repro.statistics.intervals import accuracy_interval
from repro.store.outcomes import question_scores

Record = dict[str, Any]
RULES = ("weighted", "majority", "best", "pass")  # in the order of the tables
RULE_NAMES = {
    "weighted": "weighted vote",
    "majority": "majority vote",
    "best": "best-of-N",
    "pass": "pass@N (ceiling)",
}
VERIFIER_NUMBERS = (
    "accuracy", "accuracy_parsed", "accuracy_normalised", "auc", "auc_normalised", "auc_within", "base_rate",
    "yes_rate", "mass",
)  # fmt: skip
RESAMPLES = 1_000
Interval = tuple[float | None, float | None]


@dataclass(frozen=True)
class Budgets:
    """Sequential scaling, means over seeds: a sample longer than the budget has no answer yet."""

    tokens: tuple[int, ...]
    sizes: tuple[int, ...]
    majority: np.ndarray  # (L, N)
    weighted: np.ndarray  # (L, N)
    thresholds: tuple[float, ...]
    early_accuracy: np.ndarray  # (T,)
    early_tokens: np.ndarray  # (T,)


@dataclass(frozen=True, eq=False)
class ArmScaling:
    """One arm on one set. `curves` and `right` hold one array per seed, fractions."""

    arm: str
    display: str
    core: bool
    method: str
    verifier: str  # "trained", "head", "separate", or "judge": the same prompt, weights not trained for it
    verify_lambda: float | None  # None where nothing was trained to verify
    balanced: bool
    seeds: tuple[int, ...]
    sizes: tuple[int, ...]
    curves: dict[str, list[np.ndarray]]  # rule -> (N, Q)
    right: list[np.ndarray]  # (Q,) share of verdicts that are right
    none: tuple[float | None, ...]  # share of votes without any parsed answer, by size
    numbers: dict[str, float | None]  # VERIFIER_NUMBERS
    calibration: tuple[tuple[int, float | None, float | None], ...]  # samples of all seeds, mean score, share correct
    budgets: Budgets | None

    def mean(self, rule: str) -> tuple[float, ...]:
        """Accuracy of a rule by size."""
        return tuple(float(v) for v in np.mean([one.mean(axis=1) for one in self.curves[rule]], axis=0))

    def at(self, rule: str, size: int) -> float | None:
        """Accuracy of a rule at one size; None if the pool was not evaluated there."""
        return self.mean(rule)[self.sizes.index(size)] if size in self.sizes else None

    def band(self, rule: str, at: int) -> Interval:
        """Interval of the rule's accuracy at the size with index `at`."""
        return interval([one[at] for one in self.curves[rule]])


Scaling = dict[str, dict[str, ArmScaling]]  # set -> arm -> what was measured


def interval(per_seed: Sequence[np.ndarray]) -> Interval:
    """95 % interval of the mean of one (Q,) array per seed; (None, None) if the seeds saw unlike many questions."""
    if len({one.shape for one in per_seed}) != 1:
        return None, None
    found = accuracy_interval(np.stack(per_seed), np.random.default_rng(0), resamples=RESAMPLES)
    return found.lo, found.hi


def read_scaling(experiment: Experiment, chosen: Sequence[Record], names: Sequence[str]) -> Scaling:
    """Set -> arm -> measurements, in the order of `names` and of the experiment's arms; sets without any are left out.

    `chosen`: trial records of one experiment at one scale. Sizes that not every seed of an arm has are left out.
    """
    found: Scaling = {}
    for name in names:
        for arm in experiment.arms:
            own = [
                r
                for r in chosen
                if r["arm"] == arm.id and r["status"] == "done" and r["outcomes"].get(name, {}).get("scaling")
            ]
            if own:
                found.setdefault(name, {})[arm.id] = _read(arm, own, name)
    return found


def pairs(experiment: Experiment) -> list[tuple[Arm, Arm]]:
    """Core arms with their ^V form: method `grpo` with `grpo-v`, arm `grpo-n4` with `grpo-n4-v`."""
    by_id = {arm.id: arm for arm in experiment.arms}
    couples = [(arm, by_id.get(f"{arm.id}-v")) for arm in experiment.arms if arm.core]
    return [(arm, other) for arm, other in couples if other is not None and other.method == f"{arm.method}-v"]


def _read(arm: Arm, own: list[Record], name: str) -> ArmScaling:
    entries = [r["outcomes"][name]["scaling"] for r in own]
    sizes = tuple(n for n in entries[0]["sizes"] if all(n in e["sizes"] for e in entries))
    at = [[e["sizes"].index(n) for n in sizes] for e in entries]
    curves = {
        rule: [np.asarray(e["curves"][rule], dtype=float)[i] / 1000 for e, i in zip(entries, at, strict=True)]
        for rule in RULES
        if rule != "pass"
    }
    curves["pass"] = [np.stack([question_scores(r["outcomes"][name], f"pass@{n}") for n in sizes]) for r in own]
    none = [[e["none"]["majority"][k] for k in i] for e, i in zip(entries, at, strict=True)]
    verifiers = [e["verifier"] for e in entries]
    pool = [len(r["outcomes"][name]["samples"][0]) for r in own]
    method = own[0]["config"]["method"]
    unified = arm.method.endswith("-v")
    kind = method.get("verifier", "policy") if unified else "judge"
    return ArmScaling(
        arm=arm.id,
        display=arm.display,
        core=arm.core,
        method=arm.method,
        verifier="trained" if kind == "policy" else kind,
        verify_lambda=method.get("verify_lambda") if unified else None,
        balanced=bool(method.get("balance", False)),
        seeds=tuple(r["seed"] for r in own),
        sizes=sizes,
        curves=curves,
        right=[np.asarray(v["right"], dtype=float) / n for v, n in zip(verifiers, pool, strict=True)],
        none=tuple(fmean(column) for column in zip(*none, strict=True)),
        numbers={key: _mean([v.get(key) for v in verifiers]) for key in VERIFIER_NUMBERS},
        calibration=_calibration([v["calibration"] for v in verifiers]),
        budgets=_budgets([e.get("budgets") for e in entries]),
    )


def _mean(values: list[float | None]) -> float | None:
    """Mean over the seeds that have the number (an AUC needs samples of both labels)."""
    known = [v for v in values if v is not None]
    return fmean(known) if known else None


def _calibration(seeds: list[list[list]]) -> tuple[tuple[int, float | None, float | None], ...]:
    """The bins of all seeds together, weighted by their samples."""
    bins = []
    for same in zip(*seeds, strict=True):
        total = sum(row[0] for row in same)
        means = [sum(row[0] * row[k] for row in same if row[0]) / total if total else None for k in (1, 2)]
        bins.append((total, means[0], means[1]))
    return tuple(bins)


def _budgets(entries: list[dict[str, Any] | None]) -> Budgets | None:
    """Means over the seeds; None unless all were measured at the same budgets, sizes and thresholds."""
    known = [e for e in entries if e]
    grids = {(tuple(e["tokens"]), tuple(e["sizes"]), tuple(e["early"]["thresholds"])) for e in known}
    if len(known) != len(entries) or len(grids) != 1:
        return None
    tokens, sizes, thresholds = grids.pop()

    def mean(read) -> np.ndarray:
        return np.mean([read(e) for e in known], axis=0)

    return Budgets(
        tokens=tokens,
        sizes=sizes,
        majority=mean(lambda e: e["majority"]),
        weighted=mean(lambda e: e["weighted"]),
        thresholds=thresholds,
        early_accuracy=mean(lambda e: e["early"]["accuracy"]),
        early_tokens=mean(lambda e: e["early"]["mean_tokens"]),
    )
