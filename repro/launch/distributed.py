"""A trial on several GPUs: one `repro.launch.worker` per process under `torch.distributed.run`, events through a FIFO.

`torch.distributed.run` closes inherited descriptors in its workers, so the events travel through a named pipe.
Not covered: more than one machine. Tests start one and two processes on a CPU with a stand-in trial.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from repro.errors import TrialError
from repro.launch.execute import TERMINAL, Emit
from repro.launch.process import die_with_parent, environment


def command(trial: Path, processes: int, root: Path, data_dir: Path | None, runner: str, events: Path) -> list[str]:
    """The command line that trains one trial on `processes` GPUs of this machine."""
    line = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    line += ["--max-restarts", "0", "-m", "repro.launch.worker", str(trial), "--root", str(root)]
    line += ["--events", str(events), "--runner", runner]
    return line + (["--data-dir", str(data_dir)] if data_dir else [])


def run_distributed(config: dict, root: Path, data_dir: Path | None, runner: str, emit: Emit, grace: float = 5) -> None:
    """Run the trial of a `TrialConfig` in JSON form and pass its events on; leaves no process behind.

    Raises `TrialError` when the processes end without saying how the trial ended.
    """
    with tempfile.TemporaryDirectory(prefix="repro-") as folder:
        trial, events = Path(folder, "trial.json"), Path(folder, "events")
        trial.write_text(json.dumps(config))
        os.mkfifo(events)
        # Open for reading and writing: opening does not wait for the other side and no end of file comes between ranks.
        reader = os.open(events, os.O_RDWR | os.O_NONBLOCK)
        own = os.getpid()
        process = subprocess.Popen(
            command(trial, config["train"]["processes"], root, data_dir, runner, events),
            env=environment(),
            preexec_fn=lambda: die_with_parent(own),
        )
        try:
            ended = _forward(reader, process, emit)
        finally:
            os.close(reader)
            # SIGTERM first: the launcher passes it on to its workers, which sit in sessions of their own.
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(grace)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
    if not ended:
        raise TrialError(f"the training processes ended with exit code {process.returncode} without a result")


def _forward(reader: int, process: subprocess.Popen, emit: Emit) -> bool:
    """Pass events on until the processes end. Returns whether one of them ended the trial."""
    ended, pending = False, b""
    while True:
        finished = process.poll() is not None
        while select.select([reader], [], [], 0 if finished else 0.2)[0]:
            *lines, pending = (pending + os.read(reader, 65536)).split(b"\n")
            for line in lines:
                event = json.loads(line)
                ended |= event["event"] in TERMINAL
                emit(event)
        if finished:
            return ended
