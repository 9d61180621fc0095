"""A stand-in for `repro.training.planner`: rows of the right form with made-up numbers."""

from dataclasses import dataclass

from repro.errors import InputError


@dataclass(frozen=True)
class PlanOptions:
    states: str = "fp32"
    logits: str = "chunked"


def plan_trial(config, options, cache):
    if config.base["id"] == "m/unknown":
        raise InputError("the shape of m/unknown is not pinned")
    peak = {"total": 1000, "phase": "update", "components": {"parameters/policy": 1000}}
    return {
        "arm": config.arm, "model": config.base["id"], "peak": peak,
        "settings": {"states": options.states, "cache": str(cache)},
    }  # fmt: skip


def largest_micro_batch(config, card_bytes, options, cache):
    return 7


def advice(row, card_bytes):
    return f"{row['arm']} does not fit {card_bytes}"
