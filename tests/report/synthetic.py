"""Synthetic records in the store's schema: five arms, five seeds, 64 questions, and a timing record.

The numbers are drawn, not measured; they only have the right shape and plausible sizes.
"""

from __future__ import annotations

import copy

import numpy as np

from repro.experiments.types import Arm, Claim, Deviation, Experiment, ScaleSettings

ARMS = ("base", "ppo-n1", "tbrm-n1", "grpo-n4", "tbrm-n4")
DISPLAY = {"base": "base", "ppo-n1": "PPO n=1", "tbrm-n1": "TBRM n=1", "grpo-n4": "GRPO n=4", "tbrm-n4": "TBRM n=4"}
SKILL = {"base": 0.38, "ppo-n1": 0.53, "tbrm-n1": 0.56, "grpo-n4": 0.57, "tbrm-n4": 0.60}
SECONDS = {"base": 0.0, "ppo-n1": 2.4, "tbrm-n1": 1.7, "grpo-n4": 1.8, "tbrm-n4": 1.75}
STEPS, COMPLETIONS, SAMPLES = 60, 128, 8
PHASES = {"generate": 0.55, "reward": 0.02, "ref": 0.06, "credit": 0.01, "update": 0.32, "optimizer": 0.04}


def experiment(**changes) -> Experiment:
    scale = ScaleSettings(task={"name": "chain", "options": {}}, base={"kind": "micro", "recipe": {"steps": 1200}},
                          seeds=5, train={"steps": STEPS}, evaluation={})  # fmt: skip
    fields = {
        "id": "table1",
        "title": "TBRM against PPO and GRPO",
        "paper": "tbrm",
        "summary": "Five arms on step-by-step addition.",
        "arms": (
            Arm("base", "base", "none"),
            Arm("ppo-n1", "PPO n=1", "ppo"),
            Arm("tbrm-n1", "TBRM n=1", "tbrm"),
            Arm("grpo-n4", "GRPO n=4", "grpo"),
            Arm("tbrm-n4", "TBRM n=4", "tbrm"),
            Arm("brm-n4", "BRM n=4", "brm", core=False),
        ),
        "metrics": ("accuracy",),
        "claims": (
            claim("T1", "direction", "accuracy", "tbrm-n1", "ppo-n1"),
            claim("T2", "non-inferior", "accuracy", "tbrm-n1", "grpo-n4", margin=0.02),
            claim("T3", "direction", "accuracy", "tbrm-n4", "grpo-n4"),
            claim("T7-memory", "exact", "predicted_peak", "tbrm-n1", "ppo-n1", "ratio", "lower", 1.5),
            claim("T7-time", "threshold", "time_per_step", "tbrm-n1", "ppo-n1", "ratio", "lower", 1.3),
            claim("T9", "direction", "accuracy", "tbrm-n4", "brm-n4"),
        ),
        "ledger": (
            Deviation("task", "DAPO prompts", "generated addition", "runs on a CPU"),
            Deviation("gradient clipping", "not stated", "1.0", "the loss is ~1e5 | it sets the step"),
        ),
        "scales": dict.fromkeys(("smoke", "micro", "small", "paper"), scale),
    }
    return Experiment(**{**fields, **changes})


def claim(id, kind, metric, arm, against, contrast="difference", better="higher", margin=0.0) -> Claim:
    sentence = f"{DISPLAY.get(arm, arm)} against {DISPLAY.get(against, against)} on {metric}"
    return Claim(id, "tbrm", sentence, "[paper] Table 1", kind, metric, arm, against, contrast, better, margin,
                 "4 of 6 at 1.5B, 3 of 6 at 7B")  # fmt: skip


def trial(arm: str, seed: int, *, scale="micro", questions=64, gpu=False, set_name="chain", shift=0.0) -> dict:
    rng = np.random.default_rng([ARMS.index(arm) if arm in ARMS else 9, seed])
    trained = arm != "base"
    level = np.random.default_rng(0).normal(0, 1, questions)  # question difficulty, shared by all arms and seeds
    logit = np.log(SKILL.get(arm, 0.3) / (1 - SKILL.get(arm, 0.3))) + shift
    chance = 1 / (1 + np.exp(-(logit + 0.05 * rng.normal() + level)))
    correct = rng.random((questions, SAMPLES)) < chance[:, None]
    odd = rng.random((questions, SAMPLES))
    letters = np.where(correct, "c", np.where(odd < 0.05, "u", np.where(odd < 0.08, "W", "w")))
    greedy = np.where(rng.random(questions) < chance, "c", "w")
    counts = correct.sum(1)
    metrics = {
        f"{set_name}/accuracy": float(correct.mean()),
        f"{set_name}/greedy": float((greedy == "c").mean()),
        f"{set_name}/truncated": float((letters == "W").mean()),
        f"{set_name}/unparsed": float((letters == "u").mean()),
    }
    for k in (1, 2, 4, 8):
        miss = np.array([np.prod([(SAMPLES - c - i) / (SAMPLES - i) for i in range(k)]) for c in counts])
        metrics[f"{set_name}/pass@{k}"] = float(1 - miss.mean())
    steps = np.arange(1, STEPS + 1)
    reward = (
        SKILL["base"]
        + (SKILL.get(arm, 0.3) - SKILL["base"]) * (1 - np.exp(-steps / 15))
        + 0.02 * rng.normal(size=STEPS)
    )
    n = int(arm[-1]) if trained else 1
    speed = 0.8 + 0.1 * (ARMS.index(arm) if arm in ARMS else 9)
    seconds = SECONDS.get(arm, 1.8)
    memory = {"weights": 4_000_000, "gradients": 4_000_000, "optimizer": 8_000_000, "activations": 30_000_000}
    if arm == "ppo-n1":
        memory |= {"critic": 16_000_000}
    elif trained:
        memory |= {"reference": 4_000_000}
    identifier = f"table1{'' if scale == 'micro' else '@' + scale}/{arm}/seed{seed}"
    return {
        "schema": 1, "kind": "trial", "key": f"{arm}{seed}".encode().hex().ljust(64, "0"), "id": identifier,
        "experiment": "table1", "scale": scale, "variant": None, "arm": arm, "seed": seed,
        "status": "done", "error": None,
        "config": {
            "experiment": "table1", "scale": scale, "arm": arm, "seed": seed, "variant": None,
            "method": {"name": arm.split("-")[0] if trained else "none", "semantics": 1, "n": n},
            "task": {"name": set_name, "options": {}}, "base": {"kind": "micro", "recipe": {"steps": 1200}},
            "train": {"steps": STEPS, "completions_per_step": COMPLETIONS},
            "evaluation": {"sets": [{"task": None, "options": {}, "split": "test", "questions": questions, "n": SAMPLES,
                                     "temperature": 1.0, "greedy": True}], "dev_questions": 64, "dev_n": 4},
        },
        "hashes": {"base": "b" * 64, "prompts": {"test": "t" * 64}, "template": "e" * 64},
        "data": [{"task": set_name, "source": "generated", "id": set_name, "revision": None, "sha256": "a" * 64,
                  "rows": questions, "overlap": {}}],
        "metrics": metrics,
        "outcomes": {set_name: {"questions": [str(i) for i in range(questions)], "levels": [""] * questions,
                                "samples": ["".join(row) for row in letters], "greedy": "".join(greedy)}},
        "curve": [{"step": s, "completions": s * COMPLETIONS, "prompts": s * COMPLETIONS // n, "updates": s,
                   "dev_accuracy": float(reward[max(s - 1, 0)])} for s in range(0, STEPS + 1, 10)] if trained else [],
        "health": [{"step": int(s), "reward": float(r),
                    "zero_variance_groups": float(0.4 + 0.2 * s / STEPS) if n > 1 else None,
                    "truncated": float(0.03 + 0.01 * rng.random()),
                    "unparsed": (0.04 + 0.02 * speed) * float(np.exp(-s / 20)),
                    "entropy": float(0.4 * np.exp(-s * speed / 40)),
                    "kl": float(0.002 * s * speed + 0.001 * rng.random()),
                    "clip_fraction": float(0.02 + 0.01 * rng.random()) if arm == "ppo-n1" else None,
                    "grad_norm": float((2e4 if arm.startswith("tbrm") else 1) * (1 + 0.1 * rng.random())),
                    "loss": 0.1, "length": 24.0}
                   for s, r in zip(steps, reward, strict=True)] if trained else [],
        "samples": [],
        "cost": {
            "phases": {name: {"seconds": share * seconds * STEPS, "tokens": 1000, "calls": STEPS,
                              "peak_allocated": 2**30 * (2 if name == "update" else 1) if gpu else None,
                              "peak_reserved": 2**31 if gpu else None}
                       for name, share in PHASES.items()} if trained else {},
            "train_seconds": seconds * STEPS, "evaluate_seconds": 3.0,
            "completions": STEPS * COMPLETIONS if trained else 0,
            "prompts": STEPS * COMPLETIONS // n if trained else 0, "updates": STEPS if trained else 0,
            "predicted_peak": {"total": sum(memory.values()), "components": memory} if trained else None,
            "host_rss": 600_000_000, "resumed": 0,
        },
        "provenance": {"command": f"repro run table1 --scale {scale}", "cpu": "synthetic", "cores": 2,
                       "gpu": "synthetic GPU" if gpu else None, "started": "2000-01-01T00:00:00Z",
                       "finished": "2000-01-01T00:03:00Z"},
        "base": {"pass@1_rl": 0.38, "pass@1_test": 0.39, "seconds": 200.0},
    }  # fmt: skip


def failed(arm: str, seed: int, step: int | None = 7, **kwargs) -> dict:
    record = trial(arm, seed, **kwargs)
    record.update(status="failed", error={"message": "loss is NaN", "step": step}, metrics={}, outcomes={})
    record["curve"], record["health"] = record["curve"][:1], record["health"][:step]
    return record


def records(arms=ARMS, seeds=range(5), **kwargs) -> list[dict]:
    return [trial(arm, seed, **kwargs) for arm in arms for seed in seeds]


def timing(arms=ARMS[1:], rounds=12, scale="micro") -> dict:
    rng = np.random.default_rng(5)
    noise = 1 + 0.03 * rng.normal(size=rounds)  # shared by the arms of one round: they are interleaved

    def rows(arm, share, prompts):
        n = int(arm[-1])
        out = []
        for i in range(rounds):
            seconds = SECONDS[arm] * share * float(noise[i])
            out.append({"seconds": seconds, "phases": {name: part * seconds for name, part in PHASES.items()},
                        "completions": int(COMPLETIONS * share), "prompts": prompts or COMPLETIONS // n})  # fmt: skip
        return {"rounds": out}

    identifier = "table1" + ("" if scale == "micro" else f"@{scale}")
    return copy.deepcopy(trial("base", 0, scale=scale)) | {
        "kind": "timing", "arm": "timing", "id": f"{identifier}/timing/seed0", "metrics": {}, "outcomes": {},
        "timing": {
            "prompts_equal": {arm: rows(arm, int(arm[-1]), COMPLETIONS) for arm in arms},
            "completions_equal": {arm: rows(arm, 1, None) for arm in arms},
        },
    }  # fmt: skip
