"""One trial on a bandit from start to record: the arm of a figure whose base is tabular. No language model, no prompts.

A trial's seed names one block of instances, so more seeds are more bandits. A run takes about a second and is not
resumed midway. Imports neither transformers nor TRL.
"""

from __future__ import annotations

import math
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from repro.errors import TrialError
from repro.store import provenance
from repro.store.config import TrialConfig
from repro.store.key import content_hash, trial_key
from repro.store.record import SCHEMA
from repro.store.records import find, write_record
from repro.store.workspace import Workspace
from repro.training import estimators
from repro.training.bandit import CLAIMED_STEPS, KEPT_NATS, NATS, Run, Settings, learn
from repro.training.exact import Bandits, bounded_variance

SEMANTICS = 1  # raise it whenever the same config and seed would give another payload
DIGITS = 4  # of values by instance; their standard errors are above 0.01
VARIANCE_DIGITS = 6
CURVE_DIGITS = 6
BAND = (10, 90)  # percentiles
Emit = Callable[[dict], None]


def run_trial(config: TrialConfig, root: Path, data_dir: Path | None = None, emit: Emit | None = None) -> dict:
    """Run `config`, of base kind tabular, and write its record; returns the record. As `repro.training.trial`'s."""
    workspace = Workspace(root)

    def tell(event: dict) -> None:
        if emit is not None:
            emit({"id": config.id, **event})

    hashes = {"base": content_hash({"bandit": SEMANTICS}), "template": "", "prompts": {}}
    key = trial_key(config, hashes)
    known = find(workspace, key)
    if known is not None and known["status"] == "done":
        tell({"event": "cached"})
        return known
    started, origin = time.perf_counter(), provenance.collect(os.environ.get("REPRO_COMMAND", ""))
    tell({"event": "started"})
    settings = settings_of(config)
    record = _empty(config, key, hashes)
    try:
        run = learn(settings, lambda step: tell({"event": "step", "step": step, "total": settings.steps}))
    except TrialError as error:
        failure = {"message": str(error), "step": error.step}
        record |= {"status": "failed", "error": failure, "provenance": provenance.finish(origin)}
        write_record(workspace, record)
        raise TrialError(f"{config.id}: {error}", step=error.step) from error
    trained = time.perf_counter()
    record["bandit"] = payload(settings, run)
    record["metrics"] = {
        f"bandit/{name}": round(float(np.mean(row)), CURVE_DIGITS)
        for name, row in record["bandit"]["values"].items()
        if None not in row
    }
    evaluated = time.perf_counter()
    draws = settings.steps * settings.k * settings.instances
    record["cost"] |= {
        "train_seconds": trained - started, "evaluate_seconds": evaluated - trained, "completions": draws,
        "prompts": settings.steps * settings.instances, "updates": settings.steps,
    }  # fmt: skip
    record["provenance"] = provenance.finish(origin)
    write_record(workspace, record)
    tell({"event": "done", "seconds": time.perf_counter() - started})
    return record


def settings_of(config: TrialConfig) -> Settings:
    """What `repro.training.bandit` needs of a validated config."""
    method = config.method
    return Settings(
        seed=config.seed, instances=config.base["instances"], actions=config.task["options"]["actions"], k=config.n,
        objective=method["objective"], variant=method["variant"],
        factor=float(config.n) if method["scale"] == "matched" else 1.0,
        steps=config.train.steps, learning_rate=config.train.learning_rate,
    )  # fmt: skip


def payload(settings: Settings, run: Run) -> dict:
    """`repro.store.bandit.Bandit` of a finished run: curves, values by instance, and the estimator's own moments."""
    c, curves = settings, run.curves
    kept = {step: run.steps.index(step) for step in (*CLAIMED_STEPS, c.steps) if step in run.steps}
    values = {}
    for step, row in kept.items():
        for name, curve in (("mean_reward", "mean_reward"), (f"max@{c.k}", "max"), ("kl", "kl")):
            values[f"{name}@{step}"] = _rounded(curves[curve][row], DIGITS)
    for nats in KEPT_NATS:
        values[f"reward_at_kl@{nats:g}"] = _rounded(run.at_kl[:, NATS.index(nats)], DIGITS)
    variance = Bandits(run.rewards).variance(c.objective, c.variant, c.k) * c.factor**2
    values["variance"] = _rounded(variance.numpy(), VARIANCE_DIGITS)
    bounded = bounded_variance(c.objective, c.variant, c.k, c.actions, c.actions // 2) * c.factor**2
    return {
        "actions": c.actions,
        "instances": c.instances,
        "k": c.k,
        "steps": run.steps,
        "curves": {name: _band(rows) for name, rows in curves.items()},
        "by_kl": _by_kl(run.at_kl),
        "values": values,
        "reference": estimators.reference(c.variant),
        "bounded_variance": round(bounded, estimators.DIGITS),
    }


def _band(rows: np.ndarray) -> dict:
    """Mean and percentiles over instances of `rows` (L, P)."""
    low, high = np.percentile(rows, BAND, axis=1)
    return {"mean": _rounded(rows.mean(axis=1)), "low": _rounded(low), "high": _rounded(high)}


def _by_kl(at_kl: np.ndarray) -> dict:
    found = [column[~np.isnan(column)] for column in at_kl.T]
    bands = [_band(column[None]) if len(column) else None for column in found]
    return {
        "nats": list(NATS),
        "reached": [len(column) for column in found],
        **{name: [band and band[name][0] for band in bands] for name in ("mean", "low", "high")},
    }


def _rounded(row: np.ndarray, digits: int = CURVE_DIGITS) -> list[float | None]:
    return [None if math.isnan(value) else round(value, digits) + 0.0 for value in row.tolist()]


def _empty(config: TrialConfig, key: str, hashes: dict) -> dict:
    """The record's keys that do not depend on what the run found."""
    return {
        "schema": SCHEMA, "kind": "trial", "key": key, "id": config.id, "experiment": config.experiment,
        "scale": config.scale, "variant": config.variant, "arm": config.arm, "seed": config.seed, "status": "done",
        "error": None, "config": config.to_json(), "hashes": hashes, "data": [], "metrics": {}, "outcomes": {},
        "curve": [], "health": [], "samples": [],
        "cost": {
            "phases": {}, "train_seconds": 0.0, "evaluate_seconds": 0.0, "completions": 0, "prompts": 0, "updates": 0,
            "predicted_peak": None, "host_rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            "resumed": 0,
        },
        "base": {},
    }  # fmt: skip
