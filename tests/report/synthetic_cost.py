"""Synthetic records of an experiment with an offline stage: KL to the base, cost by phase, and a plan record.

The numbers are made up; they agree with each other: shares of stage 1 add up to the whole, parts of a peak to the peak.
"""

from __future__ import annotations

import copy

import numpy as np

from repro.experiments.types import Arm, Experiment, Planned

from . import synthetic as S

ARMS = ("base", "ppo-n1", "grpo-n4", "rebel-n2", "astar-po-n1")
DISPLAY = {
    "base": "Base model", "ppo-n1": "PPO n=1", "grpo-n4": "GRPO n=4", "rebel-n2": "REBEL n=2", "astar-po-n1": "A*-PO",
}  # fmt: skip
METHODS = {"base": "none", "ppo-n1": "ppo", "grpo-n4": "grpo", "rebel-n2": "rebel", "astar-po-n1": "astar-po"}
KL = {"base": 0.0, "ppo-n1": 0.05, "grpo-n4": 0.04, "rebel-n2": 0.06, "astar-po-n1": 0.02}  # nats per token
ONLINE = {"ppo-n1": 2.4, "grpo-n4": 6.0, "rebel-n2": 3.5, "astar-po-n1": 1.5}  # seconds of a step, prompts held equal
GROUP = {"ppo-n1": 1, "grpo-n4": 4, "rebel-n2": 2, "astar-po-n1": 1}
SHARE = 0.25  # seconds of stage 1 that a step is charged
LENGTH = 10  # tokens of a completion
PEAK_RATE = 50e9  # FLOP/s
GIB = 2**30
SIZES = {"1.5B": 1.5, "7B": 7.0}  # billions of parameters


def experiment(**changes) -> Experiment:
    ratio = {"contrast": "ratio", "better": "lower"}
    claims = (
        S.claim("A1", "threshold", "time_per_step", "astar-po-n1", "ppo-n1", margin=1.3, **ratio),
        S.claim("A1-online", "threshold", "online_time_per_step", "astar-po-n1", "ppo-n1", margin=1.5, **ratio),
        S.claim("A2", "exact", "planned_peak:1.5B", "astar-po-n1", "ppo-n1", margin=1 / 0.7, **ratio),
        S.claim("A2-grpo", "exact", "planned_peak:7B", "astar-po-n1", "grpo-n4", margin=1 / 0.7, **ratio),
        S.claim("A1-flops", "exact", "planned_flops:7B", "astar-po-n1", "grpo-n4", margin=2.0, **ratio),
        S.claim("A3", "direction", "kl_token", "astar-po-n1", "ppo-n1", better="lower"),
    )
    fields = {
        "id": "table3",
        "title": "A*-PO against PPO, GRPO and REBEL",
        "paper": "astar_po",
        "arms": tuple(Arm(arm, DISPLAY[arm], METHODS[arm]) for arm in ARMS),
        "metrics": ("accuracy", "kl", "kl_token", "train_seconds", "time_per_step", "predicted_peak"),
        "claims": claims,
        "planned": tuple(
            Planned(name, ARMS[1:], {"kind": "hub", "id": f"Qwen/Qwen2.5-{name}", "revision": None}) for name in SIZES
        ),
    }
    return S.experiment(**{**fields, **changes})


def trial(arm: str, seed: int, *, gpu: bool = False, scale: str = "micro", kl: bool = True) -> dict:
    record = copy.deepcopy(S.trial("base" if arm == "base" else "grpo-n4", seed, scale=scale, gpu=gpu))
    _rename(record, arm)
    entry = record["outcomes"]["chain"]
    rng = np.random.default_rng([ARMS.index(arm), seed])
    if kl:
        spread = 0.0 if arm == "base" else 0.01
        token = KL[arm] + spread * rng.normal(size=len(entry["questions"]))
        entry["kl"] = {"token": token.tolist(), "sequence": (LENGTH * token).tolist()}
        record["metrics"] |= {"chain/kl_token": float(token.mean()), "chain/kl": LENGTH * float(token.mean())}
    for cost in record["cost"]["phases"].values():
        cost |= {"flops": 1e9 * cost["seconds"], "host_rss": 600 * 2**20}
    if arm == "astar-po-n1":
        stage1 = {"seconds": SHARE * S.STEPS, "tokens": 40960, "calls": 8, "flops": 1e12, "host_rss": 500 * 2**20}
        record["cost"]["phases"]["stage1"] = {**stage1, "peak_allocated": None, "peak_reserved": None}
        record["cost"]["train_seconds"] += SHARE * S.STEPS
        record["cost"]["stage1"] = {
            "seconds": SHARE * S.STEPS,
            "tokens": 40960,
            "completions": 4096,
            "reused": seed > 0,
        }
        record["stage1"] = {
            "key": "k" * 64, "prompts": 512, "samples": 8, "kept": 512, "mean_reward": 0.4, "all_wrong": 0.1,
            "mean_value": 0.5,
        }  # fmt: skip
    return record


def records(arms=ARMS, seeds=range(5), **kwargs) -> list[dict]:
    return [trial(arm, seed, **kwargs) for arm in arms for seed in seeds]


def timing(rounds: int = 8, arms=ARMS[1:]) -> dict:
    """Prompts held equal: ONLINE seconds; completions held equal: those over the group. The base has no steps."""
    noise = (1 + 0.02 * np.random.default_rng(5).normal(size=rounds)).tolist()

    def row(arm: str, share: float, factor: float) -> dict:
        seconds = ONLINE[arm] * share * factor
        phases = {name: part * seconds for name, part in S.PHASES.items()}
        tokens = {name: int(1280 * GROUP[arm] * share) for name in phases if name not in ("reward", "credit")}
        tokens["optimizer"] = 0
        flops = {name: 20e9 * phases[name] if tokens.get(name) else 0.0 for name in phases}
        entry = {"seconds": seconds, "phases": phases, "completions": int(128 * GROUP[arm] * share),
                 "prompts": 128, "tokens": tokens, "flops": flops}  # fmt: skip
        if arm == "astar-po-n1":
            entry |= {"stage1_seconds": SHARE * factor, "tokens": {**tokens, "stage1": 680}}
            entry["flops"] = {**flops, "stage1": 5e9 * SHARE * factor}
        return entry

    record = _rename(copy.deepcopy(S.timing()), "timing")
    record["timing"] = {
        "prompts_equal": {arm: {"rounds": [row(arm, 1, f) for f in noise]} for arm in arms},
        "completions_equal": {arm: {"rounds": [row(arm, 1 / GROUP[arm], f) for f in noise]} for arm in arms},
        "device": {"name": "synthetic CPU", "flops": PEAK_RATE, "how": "made up"},
    }
    return record


def plan(arms=ARMS[1:], scale: str = "micro") -> dict:
    rows = [planned_row(name, arm) for name in SIZES for arm in arms]
    configs = [
        {"arm": row["arm"], "base": {"kind": "hub", "id": f"Qwen/Qwen2.5-{row['name']}", "revision": None}}
        for row in rows
    ]
    record = _rename(copy.deepcopy(S.trial("base", 0, scale=scale)), "plan")
    return record | {
        "kind": "plan", "seed": 0, "metrics": {}, "outcomes": {}, "cost": {}, "config": {"rows": configs},
        "plan": {"rows": rows},
    }  # fmt: skip


def planned_row(name: str, arm: str) -> dict:
    """GiB by component: 4 per billion parameters of fp32 weights, and so on; activations by rows of a micro-batch."""
    states = int(4 * SIZES[name] * GIB)
    components = {
        "parameters/policy": states, "gradients/policy": states, "optimizer/policy": 2 * states, "buffers": 4096,
        "activations": int(2 * GIB * (2 if arm == "rebel-n2" else 1)), "temporaries": GIB,
    }  # fmt: skip
    if arm == "ppo-n1":
        kinds = {"parameters": 1, "gradients": 1, "optimizer": 2}
        components |= {f"{kind}/critic": times * states for kind, times in kinds.items()}
    if arm in ("ppo-n1", "grpo-n4", "astar-po-n1"):
        components |= {"parameters/reference": states, "gradients/reference": 0}
    peak = {"total": sum(components.values()), "components": components}
    flops = {"ppo-n1": 9, "grpo-n4": 24, "rebel-n2": 14, "astar-po-n1": 8}[arm] * SIZES[name] * 256e12
    offline = {"flops": 0.5 * flops * 724, "tokens": 10**8, "completions": 60_000} if arm == "astar-po-n1" else None
    rows = 256 * GROUP[arm]
    return {
        "name": name, "arm": arm, "method": METHODS[arm], "model": f"Qwen/Qwen2.5-{name}", "parameters": 10**9,
        "phases": {}, "peak": {**peak, "phase": "update"}, "kv_cache": 7 * GIB, "logits": 3 * GIB // 5,
        "step": {"flops": flops, "tokens": rows * 1024, "completions": rows, "prompts": 256}, "stage1": offline,
        "run": {"steps": 724, "flops": 0, "tokens": 0, "completions": 0}, "settings": {},
        "left_out": ["the CUDA context", *(["the engine's pool"] if arm == "grpo-n4" else [])],
    }  # fmt: skip


def _rename(record: dict, arm: str) -> dict:
    """The record under table3 and `arm`, identity included."""
    folder = record["id"].partition("/")[0].replace("table1", "table3")
    record |= {
        "experiment": "table3", "id": f"{folder}/{arm}/seed{record['seed']}", "arm": arm,
        "key": f"{arm}{record['seed']}".encode().hex().ljust(64, "0"),
    }  # fmt: skip
    record["config"] |= {"experiment": "table3", "arm": arm}
    if arm in METHODS:
        record["config"]["method"] = {"name": METHODS[arm], "semantics": 1, "n": GROUP.get(arm, 1)}
    return record
