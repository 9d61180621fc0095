"""A small pool of answer workers: processes that can be killed in the middle of a comparison.

Workers are fresh interpreters running `checker.py`, never forks (a fork of a process with torch threads can deadlock)
and not `multiprocessing` children (those import the caller's main module, and a daemonic trial worker may not have
any). The deadline of an item runs from the moment a READY worker gets it, so neither queueing nor a worker's start
counts. A worker that overruns is killed and replaced when needed.
"""

from __future__ import annotations

import atexit
import json
import os
import selectors
import subprocess
import sys
import threading
import time
from collections import deque
from pathlib import Path

from repro.errors import ReproError
from repro.tasks.outcome import Outcome

START_SECONDS = 120.0  # for the imports of one worker, on a crowded machine
_CHECKER = Path(__file__).with_name("checker.py")


class Worker:
    """One process. `item` is what it works on, if anything; `ends` the time at which it will be killed."""

    def __init__(self):
        environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(_CHECKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            bufsize=0,
        )
        self.ready = False
        self.item: int | None = None
        self.ends = time.monotonic() + START_SECONDS

    def send(self, item: int, gold: str, answer: str, seconds: float) -> None:
        self.item, self.ends = item, time.monotonic() + seconds
        line = json.dumps({"gold": gold, "answer": answer, "seconds": seconds}) + "\n"
        try:
            self.process.stdin.write(line.encode())
        except OSError:
            pass  # it died while idle: the end of its output says so to `read`

    def read(self) -> bytes:
        return os.read(self.process.stdout.fileno(), 600)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


class Pool:
    """At most `size` workers, started when there is work for them."""

    def __init__(self):
        self.workers: list[Worker] = []
        self.lock = threading.Lock()

    def compare(self, items: list[tuple[str, str]], deadline: float, size: int) -> list[Outcome]:
        """Outcomes of (gold, answer) pairs; an item that overruns or crashes its worker is unparsed.

        Raises ReproError only when no worker can be started, i.e. the installation is broken.
        """
        with self.lock:
            try:
                return self._compare(items, deadline, size)
            except BaseException:
                self.close()  # an interrupted worker still owes a reply, which the next call would take for its own
                raise

    def _compare(self, items, deadline, size):
        outcomes = [Outcome.UNPARSED] * len(items)
        waiting = deque(range(len(items)))
        while waiting or any(worker.item is not None for worker in self.workers):
            for worker in [worker for worker in self.workers if worker.item is None and worker.ready]:
                if worker.process.poll() is not None:  # it died while it had nothing to do
                    self._replace(worker, b"")
            while len(self.workers) < min(size, len(waiting) + sum(worker.item is not None for worker in self.workers)):
                self.workers.append(Worker())
            for worker in self.workers:
                if waiting and worker.ready and worker.item is None:
                    item = waiting.popleft()
                    worker.send(item, *items[item], deadline)
            for worker, reply in self._wait():
                if reply == b"r" and not worker.ready:
                    worker.ready = True
                elif worker.ready and worker.item is not None and reply in (b"c", b"w", b"u"):
                    outcomes[worker.item], worker.item = Outcome(reply.decode()), None
                else:
                    self._replace(worker, reply)
            for worker in [worker for worker in self.workers if self._late(worker)]:
                self._replace(worker, b"!TimeoutError: not ready in time")
        return outcomes

    def _wait(self) -> list[tuple[Worker, bytes]]:
        """What busy or starting workers have to say, waiting until the first of their deadlines."""
        busy = [worker for worker in self.workers if worker.item is not None or not worker.ready]
        with selectors.DefaultSelector() as selector:
            for worker in busy:
                selector.register(worker.process.stdout, selectors.EVENT_READ, worker)
            patience = max(0.0, min(worker.ends for worker in busy) - time.monotonic())
            return [(key.data, key.data.read()) for key, _ in selector.select(patience)]

    @staticmethod
    def _late(worker: Worker) -> bool:
        return (worker.item is not None or not worker.ready) and time.monotonic() >= worker.ends

    def _replace(self, worker: Worker, reply: bytes) -> None:
        """Kill it; the next round starts another. One that never became ready means a broken installation."""
        self.workers.remove(worker)
        worker.kill()
        if not worker.ready:
            reason = reply.decode(errors="replace").strip("!\n") or f"it ended with code {worker.process.returncode}"
            raise ReproError(f"the answer checker cannot start ({reason}); reinstall math-verify, see `repro doctor`")

    def close(self) -> None:
        while self.workers:
            self.workers.pop().kill()


_pool = Pool()


def _forget() -> None:
    """A forked child shares its parent's pipes: it must not use them."""
    global _pool
    _pool = Pool()


os.register_at_fork(after_in_child=_forget)
atexit.register(lambda: _pool.close())


def compare(items: list[tuple[str, str]], deadline: float, workers: int) -> list[Outcome]:
    """`Pool.compare` on the pool of this process."""
    return _pool.compare(items, deadline, max(1, workers)) if items else []
