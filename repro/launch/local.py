"""Runs trials side by side on this machine, each in a worker process of its own. Imports no torch.

Workers are forked from a server that has torch, TRL and the trainer loaded (the import takes 4 to 20 s, a fork
milliseconds). Promises: a worker that dies fails its own trial and no other; two commands on one workspace never run
the same trial; workers end with the command line, also when that is killed; Ctrl-C stops them and keeps all stored
state.

Not covered: several machines; a limit on memory (`jobs` is the caller's to choose).
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing import connection, forkserver, resource_tracker
from multiprocessing.process import BaseProcess
from pathlib import Path

from repro.errors import InputError
from repro.launch.child import BUSY, work
from repro.launch.execute import RUNNER, TERMINAL, Event, runner_of
from repro.launch.process import environment
from repro.store.config import TrialConfig

RETRY_SECONDS = 2.0
"""How long to leave a trial that another command is running before asking for its lock again."""


@dataclass(eq=False)
class _Worker:
    config: TrialConfig
    process: BaseProcess
    pipe: connection.Connection
    log: str
    ended: str | None = None
    step: int | None = None


def run_trials(
    configs: Iterable[TrialConfig],
    root: Path,
    jobs: int,
    data_dir: Path | None,
    on_event: Callable[[Event], None],
    runner: str | None = None,
    grace: float = 5.0,
) -> dict[str, str]:
    """Run every trial, `jobs` at a time, and return {trial id: "done" | "failed" | "cached"}.

    Trials start experiment by experiment and within one seed by seed, so that a table fills row by row. `on_event` is
    called in this thread with every event (see `repro.launch.execute`), "id" filled in. What the workers print goes to
    `root/logs/<experiment>/<arm>-seed<k>.log`. A trial whose lock another command holds is asked for again after the
    others. `runner`: the function that runs a trial, as module:name; None takes each trial's own.
    `grace`: seconds between SIGTERM and SIGKILL when the run is broken off. Linux only.

    Raises `InputError` for `jobs` < 1 or two configs of one id; `KeyboardInterrupt`, and what `on_event` raises, pass
    through after all workers have ended.
    """
    trials = in_order(configs)
    if jobs < 1:
        raise InputError(f"--jobs must be at least 1, not {jobs}")
    if len({trial.id for trial in trials}) < len(trials):
        raise InputError("two of the trials have the same id; give their arms different names")
    queue = [(0.0, trial) for trial in trials]  # (earliest start, trial)
    statuses: dict[str, str] = {}
    waiting: set[str] = set()
    workers: list[_Worker] = []
    preload = preload_modules(*dict.fromkeys(runner or runner_of(trial) for trial in trials))
    try:
        while queue or workers:
            now = time.monotonic()
            while len(workers) < jobs and (due := next((item for item in queue if item[0] <= now), None)):
                queue.remove(due)
                _start(due[1], root, data_dir, runner or runner_of(due[1]), preload, workers)
            free = len(workers) < jobs and queue
            timeout = max(0.0, min(start for start, _ in queue) - now) if free else None
            for worker in _ready(workers, timeout):
                alive = _receive(worker, on_event)
                if alive:
                    continue
                workers.remove(worker)
                if worker.ended == BUSY:
                    queue.append((time.monotonic() + RETRY_SECONDS, worker.config))
                    if worker.config.id not in waiting:
                        waiting.add(worker.config.id)
                        message = "another command is running this trial; waiting for it"
                        on_event({"event": "phase", "id": worker.config.id, "message": message})
                else:
                    statuses[worker.config.id] = worker.ended
    finally:
        stop(workers, grace)
    return statuses


def in_order(configs: Iterable[TrialConfig]) -> list[TrialConfig]:
    """Experiments as given, inside each seed by seed, inside each seed as given."""
    configs = list(configs)
    experiments = list(dict.fromkeys(config.experiment for config in configs))
    return sorted(configs, key=lambda config: (experiments.index(config.experiment), config.seed))


def preload_modules(*runners: str) -> list[str]:
    """What the fork server imports. None of it may start a thread or touch CUDA: neither survives a fork."""
    own = [runner.partition(":")[0] for runner in runners]
    if RUNNER not in runners:
        return own
    # TRL's trainers import vLLM where it is installed, and vLLM looks at the GPU when it is imported.
    if importlib.util.find_spec("vllm") is not None:
        return ["torch", "transformers"]
    return ["torch", "trl.trainer.grpo_trainer", *own]


def _start(
    config: TrialConfig, root: Path, data_dir: Path | None, runner: str, preload: list[str], workers: list[_Worker]
) -> None:
    """Start a worker and add it to `workers`, both or neither: Ctrl-C in between would leave it running, unknown."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(preload)
    log = str(Path(root, "logs", config.experiment_id, f"{config.arm}-seed{config.seed}.log"))
    ours, theirs = context.Pipe()
    arguments = (theirs, environment(), config.to_json(), str(root), str(data_dir) if data_dir else None, runner, log)
    # Not a daemon: those may have no processes of their own, and answers are checked in some.
    process = context.Process(target=work, args=arguments, name=config.id)
    with interrupts_later(), server_settings():
        forkserver.ensure_running()
        process.start()
        workers.append(_Worker(config, process, ours, log))
    theirs.close()


@contextlib.contextmanager
def interrupts_later() -> Iterator[None]:
    """Ctrl-C takes effect at the end of the block. A mask would not do: any other thread may take the signal."""
    handler = signal.getsignal(signal.SIGINT)
    if not callable(handler) or threading.current_thread() is not threading.main_thread():
        yield
        return
    seen: list[tuple] = []
    signal.signal(signal.SIGINT, lambda *which: seen.append(which))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if seen:
            handler(*seen[-1])


@contextlib.contextmanager
def server_settings() -> Iterator[None]:
    """Environment and signal mask that the fork server, if it is started now, hands on to the workers.

    SIGINT is blocked because the server handles it only after its imports; Ctrl-C during them would kill it. The
    resource tracker comes first, since whoever starts it unblocks SIGINT.
    """
    resource_tracker.ensure_running()
    before = dict(os.environ)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    os.environ.update(environment())
    try:
        yield
    finally:
        for name in set(os.environ) - set(before):
            del os.environ[name]
        os.environ.update(before)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _ready(workers: list[_Worker], timeout: float | None) -> list[_Worker]:
    """The workers that sent something or ended, after at most `timeout` seconds."""
    sources = {worker.pipe: worker for worker in workers if not worker.pipe.closed}
    sources |= {worker.process.sentinel: worker for worker in workers}
    return list(dict.fromkeys(sources[source] for source in connection.wait(list(sources), timeout)))


def _receive(worker: _Worker, on_event: Callable[[Event], None]) -> bool:
    """Pass on what a worker has sent. Returns False once the worker is gone; `worker.ended` then says how."""
    gone = bool(connection.wait([worker.process.sentinel], 0))
    while not worker.pipe.closed and worker.pipe.poll(0):
        try:
            event = json.loads(worker.pipe.recv_bytes())
        except (EOFError, OSError):
            worker.pipe.close()
            break
        if event["event"] == BUSY:
            worker.ended = BUSY
            continue
        if event.get("step") is not None:
            worker.step = event["step"]
        if event["event"] in TERMINAL:
            worker.ended = event["event"]
        on_event({**event, "id": worker.config.id})
    if not gone:
        return True
    worker.process.join()
    kill_group(worker)
    worker.pipe.close()
    if worker.ended is None:
        worker.ended = "failed"
        on_event(_death(worker))
    return False


def _death(worker: _Worker) -> Event:
    """The event of a worker that ended without saying how its trial did."""
    code = worker.process.exitcode
    if code is not None and code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        reason = f"the worker was killed by {name}"
        reason += " (out of memory?)" if name == "SIGKILL" else ""
    else:
        reason = f"the worker ended unexpectedly with exit code {code}"
    event = {"event": "failed", "id": worker.config.id, "kind": "crash", "message": f"{reason}; see {worker.log}"}
    return event if worker.step is None else {**event, "step": worker.step}


def kill_group(worker: _Worker) -> None:
    """Kill what a worker leaves behind: it leads a session and process group of its own."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(worker.process.pid, signal.SIGKILL)


def stop(workers: list[_Worker], grace: float) -> None:
    """End all workers: SIGTERM, then SIGKILL for those still there after `grace` seconds. A second Ctrl-C waits."""
    if not workers:
        return
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        for worker in workers:
            worker.process.terminate()
        deadline = time.monotonic() + grace
        for worker in workers:
            # A worker that blocks on a full pipe must be able to go on to its end.
            while worker.process.is_alive() and time.monotonic() < deadline:
                _drain(worker.pipe)
                worker.process.join(0.05)
            if worker.process.is_alive():
                worker.process.kill()
            worker.process.join()
            kill_group(worker)
            worker.pipe.close()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _drain(pipe: connection.Connection) -> None:
    with contextlib.suppress(EOFError, OSError):
        while not pipe.closed and pipe.poll(0):
            pipe.recv_bytes()
