"""Runs one trial in the current process and turns whatever happens into events.

Events are JSON-able dictionaries: {"event": "started" | "phase" | "step" | "done" | "failed" | "cached", "id", …}.
Exactly one of the last three ends a trial. A "failed" event carries "message" (one line), "kind" ("input": the user's
input cannot be used; "trial": the trial failed while it ran; "crash": a defect or a dead process) and, for a crash,
"traceback".
"""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Callable
from pathlib import Path

from repro.errors import InputError, TrialError
from repro.store.config import TrialConfig

Event = dict
Emit = Callable[[Event], None]

TERMINAL = ("done", "failed", "cached")
RUNNER = "repro.training.trial:run_trial"
TABULAR = "repro.training.bandit_trial:run_trial"  # loads no trainer


def runner_of(config: TrialConfig) -> str:
    """The function that runs a trial: a bandit needs no language model and none of what trains one."""
    return TABULAR if config.tabular else RUNNER


def resolve_runner(path: str) -> Callable:
    """The function named "package.module:function"."""
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


def run_one(config: dict, root: Path, data_dir: Path | None, runner: str | Callable, send: Emit) -> str:
    """Run the trial of a `TrialConfig` in JSON form; `send` gets its events. Returns the event that ended it.

    `runner` is called as runner(TrialConfig, root, data_dir, emit), or named "package.module:function".
    """
    ended: list[str] = []
    last_step: list[int] = []

    def emit(event: Event) -> None:
        if ended:
            return
        if event["event"] in TERMINAL:
            ended.append(event["event"])
        if event.get("step") is not None:
            last_step[:] = [event["step"]]
        send(event)

    def fail(kind: str, message: str, **more) -> None:
        emit({"event": "failed", "kind": kind, "message": message, **more})

    try:
        run = resolve_runner(runner) if isinstance(runner, str) else runner
        run(TrialConfig.from_json(config), root, data_dir, emit)
    except InputError as error:
        fail("input", str(error))
    except TrialError as error:
        fail("trial", str(error), step=error.step)
    except Exception as error:
        text = " ".join(str(error).split())
        step = {"step": last_step[0]} if last_step else {}
        fail("crash", f"{type(error).__name__}: {text}"[:500], traceback=traceback.format_exc(), **step)
    if not ended:
        emit({"event": "done"})
    return ended[0]
