"""Stand-ins for `repro.training.trial.run_trial`. What they do is told by the arm's name: sleep, crash, raise, …"""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from repro.errors import InputError, TrialError


def behave(config, root: Path, data_dir, emit) -> None:
    action, _, detail = config.arm.partition("-")
    emit({"event": "started", "total": 2})
    emit({"event": "step", "step": 1, "reward": 0.5})
    note(root, f"start {config.id} {os.getpid()}")
    if action == "sleep":
        time.sleep(float(detail))
    elif action == "held":  # until the test lets it go
        while not (root / "go").exists():
            time.sleep(0.05)
    elif action == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(600)
    elif action == "hog":  # keeps the interpreter lock in C: neither a thread nor a signal handler gets a turn
        import ctypes

        ctypes.PyDLL(None).sleep(600)
    elif action == "helper":  # leaves a process of its own behind
        helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        note(root, f"start helper {helper.pid}")
        time.sleep(600)
    elif action == "exit":
        os._exit(int(detail))
    elif action == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif action == "input":
        raise InputError("the file is missing: name it with --data-dir")
    elif action == "trial":
        raise TrialError("loss is NaN", step=7)
    elif action == "defect":
        raise ValueError("two\nlines")
    elif action == "cached":
        return emit({"event": "cached"})
    elif action == "reports":  # says itself that it failed, then raises as well
        emit({"event": "failed", "message": "first"})
        raise TrialError("second")
    elif action == "chatty":
        for step in range(20_000):
            emit({"event": "step", "step": step, "message": "x" * 100})
    elif action == "facts":
        print("printed by a library", flush=True)
        torch = sys.modules.get("torch")
        emit(
            {
                "event": "phase",
                "message": "facts",
                "data_dir": None if data_dir is None else str(data_dir),
                "omp": os.environ.get("OMP_NUM_THREADS"),
                "telemetry_off": os.environ.get("HF_HUB_DISABLE_TELEMETRY"),
                "sigint": signal.getsignal(signal.SIGINT) == signal.SIG_IGN,
                "torch_threads": torch.get_num_threads() if torch else None,
                "cuda": bool(torch and torch.cuda.is_initialized()),
                "server_threads": len(os.listdir(f"/proc/{os.getppid()}/task")),
                "pid": os.getpid(),
                "mark": os.environ.get("REPRO_TEST_MARK"),
            }
        )
        with multiprocessing.get_context("forkserver").Pool(1) as pool:  # workers may have processes of their own
            assert pool.apply(os.getpid) != os.getpid()
    note(root, f"end {config.id} {os.getpid()}")


def rank(config, root, data_dir, emit) -> None:
    """Runs under torch.distributed.run."""
    emit({"event": "step", "step": 3, "rank": os.environ["RANK"], "world": os.environ["WORLD_SIZE"]})
    behave(config, root, data_dir, emit)


def note(root: Path, line: str) -> None:
    with open(root / "notes.txt", "a") as file:
        file.write(f"{line} {time.monotonic()}\n")
