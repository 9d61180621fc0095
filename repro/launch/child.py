"""The body of a worker process: one trial, then the process ends. Its parent is `repro.launch.local`.

One process per trial: the fork costs milliseconds, peak memory is the trial's own, and nothing leaks into the next
trial. The worker sits in a session of its own, so Ctrl-C in the terminal reaches only the command line, which stops
its workers.
"""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path

from repro.errors import ReproError
from repro.launch.distributed import run_distributed
from repro.launch.execute import run_one
from repro.launch.process import die_with_parent, keep_freed_memory, one_thread
from repro.store.config import TrialConfig
from repro.store.key import trial_key
from repro.store.lock import TrialLock
from repro.store.workspace import Workspace

BUSY = "busy"


def work(
    pipe: Connection,
    environment: dict[str, str],
    config: dict,
    root: str,
    data_dir: str | None,
    runner: str,
    log: str | None,
) -> None:
    """Run one trial under its lock; events go through `pipe` as JSON. Sends "busy" if another process holds the lock.

    `environment` replaces what the fork server was started with, which may be long ago.
    """
    leash(pipe)
    os.environ.clear()
    os.environ.update(environment)
    redirect_output(log)
    keep_freed_memory()
    one_thread()
    sending = threading.Lock()

    def send(event: dict) -> None:
        with sending:
            pipe.send_bytes(json.dumps(event, default=float).encode())

    try:
        lock = TrialLock(Workspace(root), lock_name(TrialConfig.from_json(config)))
        mine = lock.acquire()
    except ReproError as error:
        return send({"event": "failed", "kind": "input", "message": str(error)})
    if not mine:
        return send({"event": BUSY})
    try:
        run: str | Callable = runner
        if config["train"]["processes"] > 1:
            run = _on_several_gpus(runner)
        run_one(config, Path(root), Path(data_dir) if data_dir else None, run, send)
    finally:
        lock.release()


def lock_name(config: TrialConfig) -> str:
    """Name of the lock a worker holds while it runs this trial.

    Unlike the trial's key it is known before any data is read; equal trials of two experiments share it.
    """
    return "launch-" + trial_key(config, {"prompts": None, "base": config.base})


def _on_several_gpus(runner: str) -> Callable:
    return lambda config, root, data_dir, emit: run_distributed(config.to_json(), root, data_dir, runner, emit)


def leash(pipe: Connection) -> None:
    """Make this process end with the command line that started it, however that one ends."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _exit_on_term)
    die_with_parent()
    # The fork server, our parent, ends once nobody holds its "alive" pipe any more. Workers hold it too: without this a
    # killed command line would leave the server, and so us, running.
    server = forkserver._forkserver
    if server._forkserver_alive_fd is not None:
        os.close(server._forkserver_alive_fd)
        server._forkserver_alive_fd = None

    def watch() -> None:
        try:
            pipe.poll(None)
        except OSError:
            pass
        # Nothing is ever sent this way: readable means the other end is gone. Take our own children along.
        os.killpg(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def _exit_on_term(*_) -> None:
    # Once is enough: a second signal must not interrupt the cleaning up.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(128 + signal.SIGTERM)


def redirect_output(log: str | None) -> None:
    """Send what libraries print to the trial's log, so that it does not tear the table on the terminal."""
    try:
        if log is not None:
            Path(log).parent.mkdir(parents=True, exist_ok=True)
        target = os.open(log or os.devnull, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    except OSError:
        target = os.open(os.devnull, os.O_WRONLY)
    os.dup2(target, 1)
    os.dup2(target, 2)
    os.close(target)
    faulthandler.enable()
