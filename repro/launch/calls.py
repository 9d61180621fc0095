"""Runs functions side by side, each call in a process of its own, and gives back what they return. Imports no torch.

For work that is no trial: no lock, no log, no record. Its processes come from the fork server of `repro.launch.local`,
end with the command line, and take their memory with them.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import connection, get_context
from multiprocessing.process import BaseProcess
from typing import Any

from repro.errors import InputError, ReproError, TrialError
from repro.launch.child import leash, redirect_output
from repro.launch.execute import resolve_runner
from repro.launch.local import interrupts_later, kill_group, server_settings, stop
from repro.launch.process import environment, one_thread


@dataclass(frozen=True)
class Call:
    """`function` is named "package.module:function"; its arguments and its result can be pickled."""

    function: str
    arguments: dict[str, Any]


@dataclass(eq=False)
class _Worker:
    index: int
    process: BaseProcess
    pipe: connection.Connection


def call_side_by_side(
    calls: Sequence[Call],
    jobs: int,
    on_answer: Callable[[int, Any], None] = lambda index, answer: None,
    preload: Sequence[str] = (),
    grace: float = 2.0,
) -> list[Any]:
    """What each call returned, in the order of `calls`, which start in that order, `jobs` at a time.

    A call that raises is answered by its error: `InputError`, or `TrialError` with one line for anything else, a killed
    process included. `on_answer(index, answer)` is called in this thread as answers arrive; what it raises, and
    KeyboardInterrupt, pass through after all processes have ended. `preload`: modules for the fork server, if this call
    starts it.
    """
    answers: list[Any] = [None] * len(calls)
    waiting, workers = list(range(len(calls))), []
    try:
        while waiting or workers:
            while waiting and len(workers) < max(1, jobs):
                index = waiting.pop(0)
                _start(index, calls[index], preload, workers)
            ready = connection.wait([worker.pipe for worker in workers])
            for worker in [worker for worker in workers if worker.pipe in ready]:
                answers[worker.index] = _answer(worker)
                workers.remove(worker)
                on_answer(worker.index, answers[worker.index])
    finally:
        stop(workers, grace)
    return answers


def _start(index: int, call: Call, preload: Sequence[str], workers: list[_Worker]) -> None:
    """Start a worker and add it to `workers`, both or neither, as `repro.launch.local` does."""
    context = get_context("forkserver")
    context.set_forkserver_preload(list(preload))
    ours, theirs = context.Pipe()
    process = context.Process(target=work, args=(theirs, environment(), call), name=call.function)
    with interrupts_later(), server_settings():
        process.start()
        workers.append(_Worker(index, process, ours))
    theirs.close()


def work(pipe: connection.Connection, variables: dict[str, str], call: Call) -> None:
    """The body of a worker: sends one pickled answer through `pipe`."""
    leash(pipe)
    os.environ.clear()
    os.environ.update(variables)
    redirect_output(None)
    one_thread()
    try:
        answer = resolve_runner(call.function)(**call.arguments)
    except ReproError as error:
        answer = error
    except Exception as error:
        text = " ".join(str(error).split())[:500]
        answer = TrialError(f"{type(error).__name__}: {text}")
    # An error goes as its kind and words: an exception's own constructor need not survive pickling.
    kind = {InputError: "input"}.get(type(answer), "trial") if isinstance(answer, ReproError) else "result"
    pipe.send_bytes(pickle.dumps((kind, answer if kind == "result" else str(answer))))


def _answer(worker: _Worker) -> Any:
    try:
        kind, content = pickle.loads(worker.pipe.recv_bytes())
    except (EOFError, OSError):
        worker.process.join()
        code = worker.process.exitcode
        killed = " (out of memory?)" if code == -9 else ""
        kind, content = "trial", f"the worker ended unexpectedly with exit code {code}{killed}"
    worker.process.join()
    kill_group(worker)
    worker.pipe.close()
    return {"input": InputError, "trial": TrialError}[kind](content) if kind != "result" else content
