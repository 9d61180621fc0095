"""Synthetic records of an experiment on two tasks: arms trained for the mean, pass@k and majority, and ablations.

Arms differ as the paper's do: training for the mean helps most with one sample and flattens what many samples give.
"""

from __future__ import annotations

import copy
from functools import cache

import numpy as np

from repro.experiments.types import Arm, Experiment, ScaleSettings

from . import synthetic as S

TASKS = {"math": ("Maths", "multiply", ("2x1", "2x2", "3x1")), "code": ("Code", "synthesis", ("op1", "op2"))}
KSAMPLE = {"n": 8, "k": None, "variant": "unbiased", "scale": "plain", "clip": False}
# Name -> display, method, config, core, gain of the mean logit, factor of the logits' spread.
KINDS = {
    "base": ("base model", "none", {}, True, 0.0, 1.0),
    "mean": ("mean", "ksample", {"objective": "mean"}, True, 0.9, 1.7),
    "pass": ("pass@8", "ksample", {"objective": "pass"}, True, 0.6, 1.0),
    "pass-biased": ("pass@8, biased", "ksample", {"objective": "pass", "variant": "biased"}, True, 0.7, 1.1),
    "majority": ("majority@8", "ksample", {"objective": "majority"}, True, 0.5, 1.4),
    "pass-k2": ("pass@2", "ksample", {"objective": "pass", "n": 2}, False, 0.8, 1.5),
    "pass-k4": ("pass@4", "ksample", {"objective": "pass", "k": 4}, False, 0.7, 1.2),
    "pass-naive": ("pass@8, naive", "ksample", {"objective": "pass", "variant": "naive"}, False, 0.1, 1.1),
    "pkpo-k4": ("PKPO", "pkpo", {"k": 4, "n": 8}, False, 0.7, 1.1),
    "passk-training": ("Pass@k Training", "passk-training", {"k": 4, "n": 8}, False, 0.7, 1.2),
}
CORE = tuple(name for name, row in KINDS.items() if row[3])
STEPS, COMPLETIONS, POOL, QUESTIONS = 40, 64, 16, 24
SIZES = [1, 2, 4, 8, 16]


def experiment(**changes) -> Experiment:
    arms, special = [], {}
    for short, (label, task, _) in TASKS.items():
        for kind, (display, method, config, core, *_) in KINDS.items():
            arms.append(Arm(f"{short}-{kind}", f"{label}: {display}", method, config, core=core))
            special[f"{short}-{kind}"] = {"task": {"name": task, "options": {}}}
    scale = ScaleSettings({"name": "multiply", "options": {}}, {"kind": "micro", "recipe": {}}, 5, {}, {}, special)
    fields = {
        "id": "table4", "arms": tuple(arms), "title": "training for pass@k", "summary": "Two tasks.",
        "metrics": ("accuracy", "pass@4", "majority@8"), "scales": {"micro": scale},
        "claims": (S.claim("I6", "direction", "pass@8", "math-pass", "math-mean"),),
    }  # fmt: skip
    return S.experiment(**{**fields, **changes})


def records(kinds=CORE, seeds=range(5), tasks=tuple(TASKS), **kwargs) -> list[dict]:
    return [trial(f"{task}-{kind}", seed, **kwargs) for task in tasks for kind in kinds for seed in seeds]


def trial(arm: str, seed: int, **kwargs) -> dict:
    """A record of `S.trial`'s shape; a copy, so that a test may change it."""
    return copy.deepcopy(_trial(arm, seed, **kwargs))


@cache
def _trial(arm: str, seed: int, *, pool=POOL, questions=QUESTIONS) -> dict:
    short, _, kind = arm.partition("-")
    _, task, levels = TASKS[short]
    _, method, config, _, gain, spread = KINDS[kind]
    trained = method != "none"
    record = S.trial("tbrm-n4" if trained else "base", seed, questions=questions)
    record |= {"id": f"table4/{arm}/seed{seed}", "key": f"{arm}{seed}".encode().hex().ljust(64, "0"), "arm": arm,
               "experiment": "table4"}  # fmt: skip
    config = {**(KSAMPLE if method == "ksample" else {}), **config}
    record["config"] |= {
        "experiment": "table4", "arm": arm, "task": {"name": task, "options": {}},
        "method": {"name": method, "semantics": 1, **config},
        "train": {"steps": STEPS if trained else 0, "completions_per_step": COMPLETIONS},
    }  # fmt: skip
    record["config"]["evaluation"] |= {"dev_pass": 8}
    rng = np.random.default_rng([list(TASKS).index(short), list(KINDS).index(kind), seed])
    names = [levels[i % len(levels)] for i in range(questions)]
    hard = np.array([levels.index(name) for name in names])
    logit = np.random.default_rng(0).normal(-1.2, 1.3, questions) - 0.9 * hard
    chance = 1 / (1 + np.exp(-(logit * spread + gain + 0.05 * rng.normal())))
    right = rng.random((questions, pool)) < chance[:, None]
    answers = np.where(right, 0, rng.integers(1, 6, right.shape))
    sizes = [n for n in SIZES if n <= pool]
    vote = np.array([np.mean([_vote(answers, rng.permutation(pool)[:n]) for _ in range(8)], axis=0) for n in sizes])
    majority = np.rint(1000 * vote).astype(int)
    record["outcomes"] = {
        "test": {
            "questions": [f"{task}/{i}" for i in range(questions)], "levels": names,
            "samples": ["".join(row) for row in np.where(right, "c", "w")],
            "greedy": "".join(np.where(rng.random(questions) < chance, "c", "w")),
            "vote": {"sizes": sizes, "majority": majority.tolist()},
        }
    }  # fmt: skip
    counts = right.sum(axis=1)
    record["metrics"] = {"test/accuracy": float(right.mean()), "test/greedy": 0.3, "test/truncated": 0.0,
                         "test/unparsed": 0.0}  # fmt: skip
    for n, row in zip(sizes, majority, strict=True):
        miss = [np.prod([(pool - c - j) / (pool - j) for j in range(n)]) for c in counts]
        record["metrics"] |= {
            f"test/pass@{n}": float(1 - np.mean(miss)),
            f"test/majority@{n}": float(row.mean() / 1000),
        }
    _training(record, rng, levels, gain, spread, trained)
    return record


def _training(record: dict, rng, levels, gain: float, spread: float, trained: bool) -> None:
    record["curve"], record["health"] = [], record["health"][:STEPS] if trained else []
    if not trained:
        return
    for step in range(0, STEPS + 1, 10):
        done = 1 - np.exp(-step / 15)
        record["curve"].append(
            {"step": step, "completions": step * COMPLETIONS, "prompts": step * 8, "updates": step,
             "dev_accuracy": float(0.15 + 0.1 * gain * done + 0.01 * rng.random()),
             "dev_pass": float(0.45 + (0.1 * gain - 0.12 * (spread - 1)) * done + 0.01 * rng.random())}
        )  # fmt: skip
    for point in record["health"]:
        late = point["step"] / STEPS
        rows = {level: 8 * int(rng.integers(1, 5)) for level in levels}
        share = {level: 0.6 - 0.15 * i - 0.2 * late for i, level in enumerate(levels)}
        found = {level: [8 * int(rng.binomial(n // 8, share[level])), n] for level, n in rows.items()}
        point["signal_by_level"] = found
        point["signal"] = sum(a for a, _ in found.values()) / sum(rows.values())


def _vote(answers, picked) -> np.ndarray:
    """Whether answer 0 has the most votes; ties share."""
    totals = np.stack([(answers[:, picked] == a).sum(axis=1) for a in range(6)])
    best = totals == totals.max(axis=0)
    return best[0] / best.sum(axis=0)


def failed(arm: str, seed: int) -> dict:
    record = trial(arm, seed)
    record.update(status="failed", error={"message": "loss is NaN", "step": 7}, metrics={}, outcomes={})
    record["curve"], record["health"] = record["curve"][:1], record["health"][:7]
    return record


def timing(kinds=CORE[1:], tasks=tuple(TASKS), rounds=6) -> dict:
    """Every arm's steps take turns, as in `S.timing`."""
    rng = np.random.default_rng(5)
    noise = 1 + 0.03 * rng.normal(size=rounds)
    timed = {}
    for i, arm in enumerate(f"{task}-{kind}" for task in tasks for kind in kinds):
        spent = [(0.5 if arm.startswith("math") else 0.9) * (1 + 0.05 * (i % 4)) * float(n) for n in noise]
        timed[arm] = {
            "rounds": [
                {"seconds": s, "phases": {name: part * s for name, part in S.PHASES.items()},
                 "flops": {"generate": 2e9, "update": 6e9}, "tokens": {"generate": 800, "update": 1600},
                 "completions": COMPLETIONS, "prompts": COMPLETIONS // 8}
                for s in spent
            ]
        }  # fmt: skip
    return trial("math-base", 0) | {
        "kind": "timing", "arm": "timing", "id": "table4/timing/seed0", "metrics": {}, "outcomes": {},
        "timing": {"prompts_equal": timed, "completions_equal": timed,
                   "device": {"name": "synthetic", "flops": 1e11, "how": "stated"}},
    }  # fmt: skip
