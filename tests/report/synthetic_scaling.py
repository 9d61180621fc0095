"""Synthetic records of an experiment that spends test-time compute: pools of samples, votes, verifiers, budgets.

The samples are drawn, not measured, and then counted: the curves, the verifier's numbers and the metrics of one record
agree with each other and with its outcome letters.
"""

from __future__ import annotations

import copy
from functools import cache

import numpy as np

from repro.experiments.types import Arm, Experiment

from . import synthetic as S

SETS = ("in-distribution", "easy-to-hard", "out-of-distribution")
# Arm -> method, skill, how well scores tell right from wrong, further config, core.
ARMS = {
    "base": ("none", -0.6, 0.1, {}, True),
    "grpo-n4": ("grpo", 0.0, 0.2, {}, True),
    "grpo-n4-v": ("grpo-v", 0.1, 1.6, {"verify_lambda": 0.1, "verifier": "policy", "balance": False}, True),
    "loo-n4": ("loo", 0.05, 0.3, {}, True),
    "loo-n4-v": ("loo-v", 0.1, 1.4, {"verify_lambda": 0.1, "verifier": "policy", "balance": False}, True),
    "vineppo-n4": ("vineppo", 0.2, 0.2, {}, True),
    "vineppo-n4-v": ("vineppo-v", 0.2, 1.2, {"verify_lambda": 0.1, "verifier": "policy", "balance": False}, True),
    "grpo-n4-v-lam0.05": ("grpo-v", 0.1, 1.0, {"verify_lambda": 0.05, "verifier": "policy"}, False),
    "grpo-n4-v-lam1": ("grpo-v", -0.1, 2.0, {"verify_lambda": 1.0, "verifier": "policy"}, False),
    "grpo-n4-v-balanced": ("grpo-v", 0.1, 1.5, {"verify_lambda": 2.0, "verifier": "policy", "balance": True}, False),
    "grpo-n4-v-head": ("grpo-v", 0.1, 1.0, {"verify_lambda": 0.1, "verifier": "head"}, False),
}
DISPLAY = {
    "base": "base", "grpo-n4": "GRPO n=4", "grpo-n4-v": "GRPO^V n=4", "loo-n4": "LOO n=4", "loo-n4-v": "LOO^V n=4",
    "vineppo-n4": "VinePPO n=4", "vineppo-n4-v": "VinePPO^V n=4",
}  # fmt: skip
CORE = tuple(arm for arm, row in ARMS.items() if row[-1])
BUDGETS, THRESHOLDS = (16, 24, 48), (0.0, 0.5, 0.8, 1.0)
SUBSETS = 24


def experiment(**changes) -> Experiment:
    arms = tuple(Arm(arm, DISPLAY.get(arm, arm), row[0], core=row[-1]) for arm, row in ARMS.items())
    claims = (
        S.claim("R8", "direction", "weighted@16:in-distribution", "grpo-n4-v", "grpo-n4"),
        S.claim("R9", "direction", "verifier_accuracy", "grpo-n4-v", "grpo-n4"),
    )
    fields = {"arms": arms, "claims": claims, "title": "test-time scaling"}
    metrics = ("accuracy", "majority@64", "best@64", "weighted@64", "verifier_accuracy", "verifier_auc")
    return S.experiment(**{**fields, "metrics": metrics, **changes})


def records(arms=CORE, seeds=range(5), **kwargs) -> list[dict]:
    return [trial(arm, seed, **kwargs) for arm in arms for seed in seeds]


def trial(arm: str, seed: int, **kwargs) -> dict:
    """A record of `S.trial`'s shape with one "scaling" entry per set; a copy, so that a test may change it."""
    return copy.deepcopy(_trial(arm, seed, **kwargs))


@cache
def _trial(arm: str, seed: int, *, sets=SETS, questions=12, pool=16, scale="micro") -> dict:
    method, skill, sharp, config, _ = ARMS[arm]
    record = S.trial("base" if method == "none" else "grpo-n4", seed, scale=scale, questions=questions)
    run = record["id"].partition("/")[0]
    record |= {"id": f"{run}/{arm}/seed{seed}", "key": f"{arm}{seed}".encode().hex().ljust(64, "0"), "arm": arm}
    record["config"]["arm"] = arm
    record["config"]["method"] = {"name": method, "semantics": 1, **config}
    record["metrics"], record["outcomes"] = {}, {}
    for index, name in enumerate(sets):
        rng = np.random.default_rng([list(ARMS).index(arm), seed, index])
        letters, entry, metrics = _set(rng, skill - 0.7 * index, sharp * (1 - 0.2 * index), questions, pool, index)
        record["outcomes"][name] = {
            "questions": [f"{name}/{i}" for i in range(questions)], "levels": [""] * questions,
            "samples": letters, "greedy": None, "scaling": entry,
        }  # fmt: skip
        record["metrics"] |= {f"{name}/{key}": value for key, value in metrics.items()}
    return record


def _set(rng, skill: float, sharp: float, questions: int, pool: int, index: int):
    difficulty = np.random.default_rng(index).normal(0, 1.3, questions)
    chance = 1 / (1 + np.exp(-(skill + 0.1 * rng.normal() + difficulty)))
    correct = rng.random((questions, pool)) < chance[:, None]
    parsed = correct | (rng.random((questions, pool)) > 0.1)
    answers = np.where(correct, 0, rng.integers(1, 4, (questions, pool)))  # 0 is the right one
    yes = 0.97 / (1 + np.exp(-(sharp * np.where(correct, 1.2, -0.9) + rng.normal(0, 0.8, correct.shape))))
    lengths = rng.integers(8, 40, (questions, pool))
    sizes = [1 << k for k in range(pool.bit_length()) if 1 << k <= pool]
    rules = {name: np.zeros((len(sizes), questions)) for name in ("majority", "best", "weighted")}
    orders = [rng.permutation(pool) for _ in range(SUBSETS)]
    for i, n in enumerate(sizes):
        for name in rules:
            rules[name][i] = np.mean([vote(name, answers, parsed, yes, order[:n]) for order in orders], axis=0)
    none = [float(np.mean([~parsed[:, order[:n]].any(axis=1) for order in orders])) for n in sizes]
    by_budget = {
        name: [
            [float(np.mean(vote(name, answers, parsed & (lengths <= limit), yes, orders[0][:n]))) for n in sizes]
            for limit in BUDGETS
        ]
        for name in ("majority", "weighted")
    }
    right = (yes >= 0.5) == correct
    entry = {
        "sizes": sizes,
        "curves": {name: np.rint(1000 * values).astype(int).tolist() for name, values in rules.items()},
        "none": {"majority": none},
        "verifier": {
            "right": right.sum(axis=1).tolist(), "accuracy": float(right.mean()),
            "accuracy_parsed": float(right[parsed].mean()), "accuracy_normalised": float(right.mean()),
            "auc": _auc(yes, correct), "auc_normalised": _auc(yes, correct), "auc_within": _auc(yes, correct),
            "base_rate": float(correct.mean()), "yes_rate": float((yes >= 0.5).mean()), "mass": 0.97,
            "calibration": _bins(yes, correct),
        },
        "budgets": {
            "tokens": list(BUDGETS), "sizes": sizes, **by_budget,
            "early": {
                "thresholds": list(THRESHOLDS),
                "accuracy": [by_budget["weighted"][min(k, 2)][-1] for k in range(len(THRESHOLDS))],
                "mean_tokens": [14.0 + 4 * k for k in range(len(THRESHOLDS))],
            },
        },
    }  # fmt: skip
    letters = ["".join(row) for row in np.where(correct, "c", np.where(parsed, "w", "u"))]
    metrics = {"accuracy": float(correct.mean()), "truncated": 0.0, "unparsed": float((~parsed).mean())}
    for i, n in enumerate(sizes):
        metrics |= {f"{name}@{n}": float(np.mean(entry["curves"][name][i]) / 1000) for name in rules}
        miss = [np.prod([(pool - c - j) / (pool - j) for j in range(n)]) for c in correct.sum(axis=1)]
        metrics[f"pass@{n}"] = float(1 - np.mean(np.maximum(miss, 0)))
    metrics |= {"verifier_accuracy": entry["verifier"]["accuracy"], "verifier_auc": entry["verifier"]["auc"]}
    return letters, entry, metrics


def vote(rule: str, answers, parsed, yes, picked) -> np.ndarray:
    """Whether the rule's answer over the samples `picked` is the right one (0), by question; ties: lowest id."""
    seen = parsed[:, picked]
    if rule == "best":
        best = np.where(seen, yes[:, picked], -1).argmax(axis=1)
        rows = np.arange(len(answers))
        return (answers[:, picked][rows, best] == 0) & seen[rows, best]
    weight = seen * (yes[:, picked] if rule == "weighted" else 1)
    totals = np.stack([(weight * (answers[:, picked] == a)).sum(axis=1) for a in range(4)])
    return (totals.argmax(axis=0) == 0) & seen.any(axis=1)


def _auc(yes, correct) -> float | None:
    one, two = yes[correct], yes[~correct]
    return float((one[:, None] > two[None, :]).mean()) if len(one) and len(two) else None


def _bins(yes, correct) -> list[list]:
    at = np.minimum((yes * 10).astype(int), 9)
    return [
        [int((at == k).sum()), float(yes[at == k].mean()), float(correct[at == k].mean())]
        if (at == k).any()
        else [0, None, None]
        for k in range(10)
    ]
