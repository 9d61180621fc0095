"""Whole records of trials that never ran, and leaderboards of them. Nothing here is measured."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from repro.experiments import registry
from repro.experiments.resolve import resolve
from repro.store.key import trial_key
from repro.store.outcomes import question_scores
from repro.store.project import NAME

HARDWARE = "2 cores of a test"


def trial(arm: str = "tbrm-n4", seed: int = 0, share: float = 0.5, like: str = "grpo-n4", **changes) -> dict:
    """A finished trial of table1 that passes as a record from outside; `like`: whose settings an unknown arm has.

    24 questions of 8 samples, a share of them right, drawn from the seed.
    """
    experiment = registry.get("table1")
    known = arm in {one.id for one in experiment.arms}
    config = dataclasses.replace(resolve(experiment, "micro", arm if known else like, seed), arm=arm)
    if not known:  # a method of one's own is no method of the suite
        config = dataclasses.replace(config, method={**config.method, "name": arm})
    draws = np.random.default_rng(seed).random((24, 8)) < share
    outcomes = {
        "questions": [f"chain:{place}" for place in range(24)],
        "levels": ["2"] * 24,
        "samples": ["".join("c" if right else "w" for right in row) for row in draws],
        "greedy": "".join("c" if row[0] else "u" for row in draws),
    }
    metrics = ("accuracy", "greedy", "pass@1", "pass@2", "pass@4", "pass@8", "truncated", "unparsed")
    hashes = {"base": "b" * 64, "prompts": {"chain": "c" * 64, "rl": "d" * 64}, "template": "e" * 64}
    phase = {"seconds": 1.5, "tokens": 10, "calls": 5, "peak_allocated": None, "peak_reserved": None}
    record = {
        "schema": 1, "kind": "trial", "key": trial_key(config, hashes), "id": config.id, "experiment": "table1",
        "scale": "micro", "variant": None, "arm": arm, "seed": seed, "status": "done", "error": None,
        "config": config.to_json(), "hashes": hashes,
        "data": [{"task": "chain", "source": "generated", "id": None, "revision": None, "sha256": "f" * 64, "rows": 24,
                  "overlap": {"rl/test": 0}}],
        "metrics": {f"chain/{name}": float(question_scores(outcomes, name).mean()) for name in metrics},
        "outcomes": {"chain": outcomes},
        "curve": [{"step": 1, "completions": 128, "prompts": 32, "dev_accuracy": 0.5, "updates": 1}],
        "health": [{"step": 1, "reward": 0.5, "zero_variance_groups": 0.0, "truncated": 0.0, "unparsed": 0.0,
                    "entropy": 0.1, "kl": None, "clip_fraction": None, "grad_norm": 1.0, "loss": 0.1, "length": 12.0,
                    "residual": 0.25}],
        "samples": [{"set": "chain", "question": "chain:0", "prompt": "1+1", "completion": "<b>2</b>", "gold": "2",
                     "outcome": "c"}],
        "cost": {"phases": {"update": phase}, "train_seconds": 20.0 + seed, "evaluate_seconds": 2.0,
                 "completions": 6400, "prompts": 1600, "updates": 50,
                 "predicted_peak": {"total": 1 << 24, "components": {"activations": 1 << 24}}, "host_rss": 1 << 29,
                 "resumed": 0},
        "provenance": {"repro": "0.1.0", "commit": "a" * 40, "dirty": False, "python": "3.11.7",
                       "packages": {"torch": "2.13.0"}, "platform": "Linux", "cpu": "a test", "cores": 2, "gpu": None,
                       "started": "2030-01-01T10:00:00Z", "finished": f"2030-01-01T11:00:{seed % 60:02d}Z",
                       "command": "repro run table1", "measured_on": HARDWARE},
        "base": {"pass@1_rl": 0.4, "pass@1_test": 0.4, "seconds": 12.0},
    }  # fmt: skip
    return record | changes


def timing(records: list[dict], seconds: float = 0.25) -> dict:
    """The timing record of their arms: five rounds each."""
    first, configs = records[0], {record["arm"]: record["config"] for record in records}
    arms = {
        arm: {"rounds": [{"seconds": seconds, "phases": {}, "completions": 128, "prompts": 32}] * 5} for arm in configs
    }
    return first | {
        "kind": "timing", "arm": "timing", "id": "table1/timing/seed0", "seed": 0, "metrics": {}, "outcomes": {},
        "config": {"arms": configs}, "timing": {"prompts_equal": arms, "completions_equal": arms},
    }  # fmt: skip


def five(arm: str, share: float, **changes) -> list[dict]:
    """Seeds 0 to 4 of an arm."""
    return [trial(arm, seed, share, **changes) for seed in range(5)]


def checkout(folder: Path) -> Path:
    """What passes for a checkout of this project."""
    (folder / "repro").mkdir(parents=True)
    (folder / "repro" / "__init__.py").touch()
    (folder / "pyproject.toml").write_text(f'[project]\nname = "{NAME}"\n')
    return folder
