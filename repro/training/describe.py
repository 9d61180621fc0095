"""The record of a trial, from what the run measured. Its keys are documented in `repro.store.record`."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Sequence

from repro.plugins import provenance as plugged_in
from repro.store.provenance import collect
from repro.store.record import SCHEMA
from repro.tasks import sandbox
from repro.training.setup import Setup
from repro.training.stage1 import Stage1

# Phases that are not the training of the policy: the training time of a table leaves them out.
NOT_TRAINING = ("evaluate", "checkpoint", "base")


def utc(seconds: float) -> str:
    """UTC date and time, ISO 8601."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def provenance(started: float, setups: Sequence[Setup]) -> dict:
    """Where, when and by which command; never part of the trial's key."""
    isolation = sandbox.describe() if any(setup.executes for setup in setups) else None
    plugins = {one["name"]: one for setup in setups for one in plugged_in(setup.config)}
    return {
        **collect(os.environ.get("REPRO_COMMAND", ""), isolation),
        "started": utc(started),
        "finished": utc(time.time()),
        **({"plugins": list(plugins.values())} if plugins else {}),
    }


def mean_accuracy(record: dict) -> float:
    """Mean over evaluation sets of Avg@n accuracy."""
    values = [value for name, value in record["metrics"].items() if name.endswith("/accuracy")]
    return sum(values) / len(values)


def describe(
    setup: Setup,
    started: float,
    *,
    status: str,
    error: dict | None = None,
    curve: list[dict] = (),
    health: list[dict] = (),
    resumed: int = 0,
    outcomes: dict | None = None,
    metrics: dict | None = None,
    samples: list[dict] | None = None,
    peak: dict | None = None,
    stage1: Stage1 | None = None,
) -> dict:
    """The record of a finished or failed trial."""
    config, phases = setup.config, setup.timer.to_json()
    completions = prompts = updates = 0
    if setup.trained:
        needs, steps = setup.method.needs(), len(health)
        completions = steps * config.train.completions_per_step
        prompts = completions // setup.method.rows_per_prompt
        updates = steps * needs.epochs * needs.minibatches
    return {
        "schema": SCHEMA,
        "kind": "trial",
        "key": setup.key,
        "id": config.id,
        "experiment": config.experiment,
        "scale": config.scale,
        "variant": config.variant,
        "arm": config.arm,
        "seed": config.seed,
        "status": status,
        "error": error,
        "config": config.to_json(),
        "hashes": setup.hashes,
        "data": setup.data(),
        "metrics": metrics or {},
        "outcomes": outcomes or {},
        "curve": list(curve),
        "health": list(health),
        "samples": samples or [],
        "cost": {
            "phases": phases,
            "train_seconds": sum(cost["seconds"] for name, cost in phases.items() if name not in NOT_TRAINING),
            "evaluate_seconds": phases.get("evaluate", {}).get("seconds", 0.0),
            "completions": completions,
            "prompts": prompts,
            "updates": updates,
            "predicted_peak": peak,
            "host_rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            "resumed": resumed,
            **({} if stage1 is None else {"stage1": stage1.cost}),
        },
        "provenance": provenance(started, [setup]),
        "base": setup.base.facts,
        **({} if stage1 is None else {"stage1": stage1.facts}),
    }
