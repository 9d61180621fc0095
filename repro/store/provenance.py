"""Where a record comes from: code version, packages and hardware. Never part of the trial key; imports no torch."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import repro
from repro.errors import writable

PACKAGES = (
    "torch", "trl", "transformers", "accelerate", "peft", "tokenizers", "datasets", "numpy", "vllm", "math-verify",
)  # fmt: skip


def collect(command: str, sandbox: str | None = None) -> dict[str, Any]:
    """The record's "provenance"; "finished" is None until `finish`. Takes some milliseconds (two calls of git).

    `sandbox`: how model-written code was locked in, for trials that run any; the key is absent for others.
    """
    commit, dirty = git_state(Path(repro.__file__).parent)
    cpu, cores, gpu = cpu_model(), usable_cores(), gpu_model()
    return {
        "repro": repro.__version__,
        "commit": commit,
        "dirty": dirty,
        "python": platform.python_version(),
        "packages": package_versions(),
        "platform": platform.platform(),
        "cpu": cpu,
        "cores": cores,
        "gpu": gpu,
        "started": now(),
        "finished": None,
        "command": writable(command),  # file names that are not UTF-8 are in it as lone surrogates
        "measured_on": gpu or f"{cores} cores of {cpu}",
        **({} if sandbox is None else {"sandbox": sandbox}),
    }


def finish(provenance: dict[str, Any]) -> dict[str, Any]:
    """A copy with the present time as "finished"."""
    return {**provenance, "finished": now()}


def now() -> str:
    """UTC, ISO 8601, to the microsecond, so that text order is time order."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def package_versions() -> dict[str, str]:
    """Installed versions of the packages that can change a result; absent ones are left out."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def git_state(folder: Path) -> tuple[str | None, bool | None]:
    """(commit, uncommitted changes) of the repository that holds this package; (None, None) for an installed one."""
    if not (folder.parent / ".git").exists():  # else git might answer for a repository around a virtual environment
        return None, None
    commit = _git(folder, "rev-parse", "HEAD")
    # Files of the user's beside the package are no change of it; a new module in it is.
    found = [_git(folder, "status", "--porcelain", *which) for which in (("--untracked-files=no",), ("--", "."))]
    return commit or None, None if None in found else any(found)


def committed_bytes(path: Path) -> bytes | None:
    """The content of a file at the last commit; None outside a repository or for a file that was never committed."""
    command = ["git", "-C", str(path.parent.resolve()), "show", f"HEAD:./{path.name}"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def usable_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def gpu_model() -> str | None:
    """Names of the GPUs torch sees, if torch is already imported: importing it here would cost seconds."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return None
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return " + ".join(f"{names.count(name)}x {name}" for name in sorted(set(names)))


def _git(folder: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
