"""The timing pass: training steps of all arms, interleaved in one process with nothing beside them.

Times of trials that ran side by side, or at different moments, are not comparable. Here round i of every arm runs next
to round i of the others, so that ratios are paired. Two settings: prompts held equal (as the papers report cost) and
completions held equal (as our accuracy contrasts do).
An arm with an offline stage also draws one chunk of it in every round, with the code of the real one. Each step carries
its share, apart from its own seconds: where the arm's own steps have p prompts and the timed one q, that is
q / (steps x p) of all the completions of stage 1.
Not covered: several processes or a vLLM engine, which cannot share one process; such scales get no timing record.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import torch

from repro.cost.device import device
from repro.cost.phases import PhaseTimer
from repro.errors import TrialError
from repro.store.config import TrainSettings, TrialConfig
from repro.store.record import SCHEMA
from repro.store.records import write_record
from repro.store.workspace import Workspace
from repro.training import stage1
from repro.training.describe import provenance
from repro.training.setup import Setup
from repro.training.stage1 import Stage1
from repro.training.tokenizer import load_tokenizer

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
    prompts = max(s.config.train.completions_per_step // s.method.rows_per_prompt for s in setups.values())
    rounds = SMOKE_ROUNDS if first.scale == "smoke" else ROUNDS
    offline = {arm: _stage1(setup, root) for arm, setup in setups.items() if setup.method.needs().prompt_samples}
    timing = {"device": device(first.train.precision)}
    for mode in ("prompts_equal", "completions_equal"):
        settings = {
            arm: _settings(s, prompts * s.method.rows_per_prompt if mode == "prompts_equal" else None, rounds + WARMUP)
            for arm, s in setups.items()
        }
        emit(
            {
                "event": "phase",
                "id": f"{first.experiment_id}/timing",
                "message": f"timing steps, {mode.replace('_', ' ')}",
            }
        )
        found = _interleave(setups, settings, offline)
        timing[mode] = {arm: {"rounds": rows[WARMUP:]} for arm, rows in found.items()}
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
        "provenance": provenance(started, list(setups.values())),
        "base": {},
    }  # fmt: skip
    write_record(Workspace(root), record)
    return record


def _stage1(setup, root: Path) -> Stage1:
    """The arm's stage 1, normally stored by its trials: every step is timed on the prompts that are trained on."""
    tokenizer = load_tokenizer(setup.base.folder)
    return stage1.sample(setup, tokenizer, root, lambda event: None)


def _settings(setup, completions: int | None, steps: int) -> TrainSettings:
    """The arm's own settings for `steps` steps without checkpoints or curve, at `completions` per step."""
    train = setup.config.train
    needs, together = setup.method.needs(), setup.method.rows_per_prompt
    rows = completions or train.completions_per_step
    micro = min(train.micro_batch, rows // needs.minibatches)
    while (rows // needs.minibatches) % micro or micro % needs.unit or rows % together:
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


def _interleave(setups: dict, settings: dict[str, TrainSettings], offline: dict[str, Stage1]) -> dict[str, list[dict]]:
    """Rows as `repro.store.record.Round` per arm and round. Each arm trains in its own thread."""
    baton, errors = _Baton(list(setups)), []
    rows: dict[str, list[dict]] = {arm: [] for arm in setups}
    with tempfile.TemporaryDirectory() as scratch:
        threads = [
            threading.Thread(
                target=_train_arm,
                args=(arm, setups[arm], settings[arm], offline.get(arm), baton, rows[arm], errors, Path(scratch) / arm),
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


def _train_arm(
    arm: str,
    setup,
    settings: TrainSettings,
    offline: Stage1 | None,
    baton: _Baton,
    rows: list,
    errors: list,
    folder: Path,
) -> None:
    # OpenMP counts threads per calling thread: without this each arm would use all cores.
    torch.set_num_threads(1)
    clock: dict = {}

    def start() -> None:
        clock.update(start=time.perf_counter(), costs=setup.timer.to_json())

    try:
        baton.wait(arm)
        setup.timer = PhaseTimer("cuda" if torch.cuda.is_available() else "cpu")
        tokenizer = load_tokenizer(setup.base.folder)
        with contextlib.ExitStack() as stack:
            values, share = {}, None
            if offline is not None:
                values = {"prompt_values": offline.prompt_values, "kept": offline.kept}
                share = _Share(setup, settings, stack.enter_context(stage1.Sampler.open(setup, tokenizer)))

            def on_batch(trainer, step: int) -> None:
                seconds = time.perf_counter() - clock["start"]
                row = _row(seconds, clock["costs"], setup, settings)
                rows.append(row if share is None else share.added(row, step))
                if step < settings.steps:
                    baton.pass_on()
                    baton.wait(arm)
                    start()

            trainer = setup.trainer(tokenizer, folder, on_batch, settings, **values)
            start()
            trainer.train()
            baton.pass_on()
    except _Stopped:
        pass
    except Exception as error:  # reported by the thread that waits; the other arms must not wait for ever
        errors.append(f"{arm}: {type(error).__name__}: {error}")
        baton.stop()


def _row(seconds: float, before: dict[str, dict], setup, settings: TrainSettings) -> dict:
    """One timed step, from the timer's totals before and after it."""
    after = setup.timer.to_json()

    def spent(what: str) -> dict:
        return {name: cost[what] - before.get(name, {}).get(what, 0) for name, cost in after.items()}

    return {
        "seconds": seconds,
        "phases": spent("seconds"),
        "completions": settings.completions_per_step,
        "prompts": settings.completions_per_step // setup.method.rows_per_prompt,
        "tokens": spent("tokens"),
        "flops": spent("flops"),
    }


class _Share:
    """The share of stage 1 that a timed step is charged, at the cost of a chunk that is drawn beside the step."""

    def __init__(self, setup, settings: TrainSettings, sampler: stage1.Sampler):
        self.chunks, self.sampler = stage1.chunk_rows(setup), sampler
        own, n = setup.config.train, setup.method.rows_per_prompt
        prompts, whole = settings.completions_per_step // n, sum(map(len, self.chunks))
        self.completions = whole * prompts / (own.steps * (own.completions_per_step // n))

    def added(self, row: dict, step: int) -> dict:
        """The row with the share; each round draws another chunk, so that lengths of all prompts are met."""
        chunk = self.chunks[(step - 1) % max(1, len(self.chunks) - 1)]  # the last one may be short, and so dear
        _, cost = self.sampler.draw(chunk)
        part = self.completions / len(chunk)
        return {
            **row,
            "stage1_seconds": cost["seconds"] * part,
            "tokens": {**row["tokens"], "stage1": round(cost["tokens"] * part)},
            "flops": {**row["flops"], "stage1": cost["flops"] * part},
        }
