"""The timing pass: training steps of all arms, interleaved in one process with nothing beside them.

Times of trials that ran side by side, or at different moments, are not comparable. Here round i of every arm runs next
to round i of the others, so that ratios are paired. Two settings: prompts held equal (as the papers report cost) and
completions held equal (as our accuracy contrasts do).
Not covered: several processes or a vLLM engine, which cannot share one process; such scales get no timing record.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import AutoTokenizer

from repro.cost.phases import PhaseTimer
from repro.errors import TrialError
from repro.store.config import TrainSettings, TrialConfig
from repro.store.record import SCHEMA
from repro.store.records import write_record
from repro.store.workspace import Workspace
from repro.training.describe import provenance
from repro.training.setup import Setup

WARMUP, ROUNDS, SMOKE_ROUNDS = 1, 8, 2


def run_timing(
    configs: dict[str, TrialConfig], root: Path, data_dir: Path | None, emit: Callable[[dict], None]
) -> dict:
    """Time the steps of every arm and write the timing record; returns it.

    `configs` maps arm to the config of one of its trials. Raises TrialError if a step fails or the scale cannot be
    timed in one process.
    """
    first = next(iter(configs.values()))
    for config in configs.values():
        if config.train.processes > 1 or config.train.backend != "transformers":
            raise TrialError("steps on several processes or with vLLM cannot be interleaved in one process")
    started = time.time()
    setups = {arm: Setup(config, data_dir, lambda event: None) for arm, config in configs.items()}
    prompts = max(s.config.train.completions_per_step // s.method.config.n for s in setups.values())
    rounds = SMOKE_ROUNDS if first.scale == "smoke" else ROUNDS
    timing = {}
    for mode in ("prompts_equal", "completions_equal"):
        settings = {
            arm: _settings(s, prompts * s.method.config.n if mode == "prompts_equal" else None, rounds + WARMUP)
            for arm, s in setups.items()
        }
        emit(
            {
                "event": "phase",
                "id": f"{first.experiment_id}/timing",
                "message": f"timing steps, {mode.replace('_', ' ')}",
            }
        )
        timing[mode] = {arm: {"rounds": rows[WARMUP:]} for arm, rows in _interleave(setups, settings).items()}
    keys = {arm: setup.key for arm, setup in sorted(setups.items())}
    record = {
        "schema": SCHEMA,
        "kind": "timing",
        "key": hashlib.sha256(json.dumps(["timing", keys, rounds]).encode()).hexdigest(),
        "id": f"{first.experiment_id}/timing/seed{first.seed}",
        "experiment": first.experiment,
        "scale": first.scale,
        "variant": first.variant,
        "arm": "timing",
        "seed": first.seed,
        "status": "done",
        "error": None,
        "config": {
            "arms": {arm: config.to_json() for arm, config in configs.items()}, "warmup": WARMUP, "rounds": rounds,
        },
        "hashes": {"arms": keys},
        "data": [], "metrics": {}, "outcomes": {}, "curve": [], "health": [], "samples": [],
        "cost": {},
        "timing": timing,
        "provenance": provenance(started),
        "base": {},
    }  # fmt: skip
    write_record(Workspace(root), record)
    return record


def _settings(setup, completions: int | None, steps: int) -> TrainSettings:
    """The arm's own settings for `steps` steps without checkpoints or curve, at `completions` per step."""
    train = setup.config.train
    needs, n = setup.method.needs(), setup.method.config.n
    rows = completions or train.completions_per_step
    micro = min(train.micro_batch, rows // needs.minibatches)
    while (rows // needs.minibatches) % micro or micro % needs.unit or rows % n:
        micro -= 1
    return dataclasses.replace(
        train, steps=steps, completions_per_step=rows, micro_batch=micro, checkpoint_every=0, eval_every=0, trackers=()
    )


class _Stopped(Exception):
    """Another arm failed, or the user interrupted: leave the training loop."""


class _Baton:
    """Lets exactly one arm run at a time, in a fixed order, one step each."""

    def __init__(self, arms: list[str]):
        self.arms, self.turn, self.stopped = arms, 0, False
        self.condition = threading.Condition()

    def wait(self, arm: str) -> None:
        with self.condition:
            self.condition.wait_for(lambda: self.stopped or self.arms[self.turn % len(self.arms)] == arm)
            if self.stopped:
                raise _Stopped

    def pass_on(self) -> None:
        with self.condition:
            self.turn += 1
            self.condition.notify_all()

    def stop(self) -> None:
        with self.condition:
            self.stopped = True
            self.condition.notify_all()


def _interleave(setups: dict, settings: dict[str, TrainSettings]) -> dict[str, list[dict]]:
    """Rows {"seconds", "phases", "completions", "prompts"} per arm and round. Each arm trains in its own thread."""
    baton, errors = _Baton(list(setups)), []
    rows: dict[str, list[dict]] = {arm: [] for arm in setups}
    with tempfile.TemporaryDirectory() as scratch:
        threads = [
            threading.Thread(
                target=_train_arm,
                args=(arm, setups[arm], settings[arm], baton, rows[arm], errors, Path(scratch) / arm),
                daemon=True,
            )
            for arm in setups
        ]  # fmt: skip
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            baton.stop()
            for thread in threads:
                thread.join(timeout=30)
    if errors:
        raise TrialError(f"timing: {errors[0]}")
    return rows


def _train_arm(arm: str, setup, settings: TrainSettings, baton: _Baton, rows: list, errors: list, folder: Path) -> None:
    # OpenMP counts threads per calling thread: without this each arm would use all cores.
    torch.set_num_threads(1)
    clock = {"start": 0.0, "phases": {}}

    def phases(timer) -> dict[str, float]:
        return {name: cost["seconds"] for name, cost in timer.to_json().items()}

    def on_batch(trainer, step: int) -> None:
        now, seen = time.perf_counter(), phases(trainer.timer)
        rows.append(
            {
                "seconds": now - clock["start"],
                "phases": {name: seconds - clock["phases"].get(name, 0.0) for name, seconds in seen.items()},
                "completions": settings.completions_per_step,
                "prompts": settings.completions_per_step // setup.method.config.n,
            }
        )
        if step < settings.steps:
            baton.pass_on()
            baton.wait(arm)
            clock.update(start=time.perf_counter(), phases=phases(trainer.timer))

    try:
        baton.wait(arm)
        setup.timer = PhaseTimer("cuda" if torch.cuda.is_available() else "cpu")
        tokenizer = AutoTokenizer.from_pretrained(setup.base.folder, padding_side="left")
        trainer = setup.trainer(tokenizer, folder, on_batch, settings)
        clock.update(start=time.perf_counter(), phases={})
        trainer.train()
        baton.pass_on()
    except _Stopped:
        pass
    except Exception as error:  # reported by the thread that waits; the other arms must not wait for ever
        errors.append(f"{arm}: {type(error).__name__}: {error}")
        baton.stop()
