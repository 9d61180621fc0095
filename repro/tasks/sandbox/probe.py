"""Whether programs can be locked in on this machine: decided by trying to break out, once per process.

Without isolation code tasks refuse to run, unless REPRO_UNSAFE_CODE=1 (`--unsafe-code`) says to run them unprotected.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

from repro.errors import InputError, ReproError
from repro.tasks.sandbox import cgroup, seccomp
from repro.tasks.sandbox.job import MIB, Calls, Limits

UNSAFE_VARIABLE = "REPRO_UNSAFE_CODE"
UNSAFE = "none: --unsafe-code"
_OLDEST = (0, 8)  # the first bubblewrap with --disable-userns and --size
_PROBE = Limits(cpu_seconds=10, wall_seconds=20.0, memory_bytes=64 * MIB, processes=12)

# Every expression gives what an unconfined program would find; `_complaint` says what is wrong with it.
_FORKS = """
import os, time
def forks():
    made = 0
    for _ in range(40):
        try:
            if os.fork() == 0:
                time.sleep(60)
                os._exit(0)
        except OSError:
            break
        made += 1
    return made
"""
_LOOK = """
import os, socket
def connects(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=2).close()
        return True
    except OSError:
        return False
def interfaces():
    return [name for _, name in socket.if_nameindex()]
def visible(folder, names):
    return [name for name in names if os.path.lexists(os.path.join(folder, name))]
def writes(folder):
    try:
        os.close(os.open(os.path.join(folder, ".repro-probe"), os.O_CREAT | os.O_WRONLY))
        return True
    except OSError:
        return False
"""
_FILL = """
def fill(size):
    block = bytearray(size)
    return len(block)
"""


@dataclass(frozen=True)
class Isolation:
    """What the probe found. `missing` says in a few words what is not there, "" if all is."""

    mechanism: str = ""
    missing: str = ""

    @property
    def available(self) -> bool:
        return not self.missing


def unsafe() -> bool:
    """Whether the user has allowed model-written code to run unprotected."""
    return os.environ.get(UNSAFE_VARIABLE, "") not in ("", "0")


def require() -> None:
    """InputError unless programs can be locked in or unsafe mode is on."""
    if not unsafe() and not isolation().available:
        raise InputError(
            f"model-written code cannot be locked in here: {isolation().missing}; install bubblewrap 0.8 or newer and "
            "run where cgroups can be written, or pass --unsafe-code to run it unprotected"
        )


def describe() -> str:
    """How programs are run here, in the words of a record: `bubblewrap 0.8.0, cgroup v1, seccomp`."""
    if unsafe():
        return UNSAFE
    return isolation().mechanism or f"unavailable: {isolation().missing}"


def groups() -> cgroup.Groups | None:
    """Where sandboxes get their cgroups; None in unsafe mode."""
    return None if unsafe() else cgroup.find()


@functools.cache
def isolation() -> Isolation:
    """What is available, by a start-up probe that tries to break out (a fraction of a second)."""
    version = bubblewrap_version()
    if version is None:
        return Isolation(missing="bubblewrap (bwrap) is not installed")
    if tuple(map(int, version.split(".")[:2])) < _OLDEST:
        return Isolation(missing=f"bubblewrap {version} is too old")
    try:
        found = cgroup.find()
        missing = _probe(found)
    except OSError as error:
        return Isolation(missing=f"no cgroup can be made ({error.strerror or error})")
    except ReproError:
        return Isolation(missing="bubblewrap cannot start here (are user namespaces allowed?)")
    rules = "" if seccomp.program() is None else ", seccomp"
    return Isolation(f"bubblewrap {version}, cgroup v{found.version}{rules}" if not missing else "", missing)


def bubblewrap_version() -> str | None:
    """The version of bwrap on the path, or None."""
    if shutil.which("bwrap") is None:
        return None
    try:
        done = subprocess.run(["bwrap", "--version"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"\d+(\.\d+)+", done.stdout)
    return found[0] if found else None


def _probe(found: cgroup.Groups) -> str:
    """Try forks, memory, network, files and environment inside; what was not stopped, or ""."""
    from repro.tasks.sandbox.batch import run_in

    home = Path.home()
    try:
        entries = sorted(entry for entry in os.listdir(home) if home / entry not in _shown())[:50]
    except OSError:
        entries = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        places = ["/", "/usr", "/dev", "/etc", str(home)]
        look = Calls(
            _LOOK,
            (f"connects({listener.getsockname()[1]})", "interfaces()", f"visible({str(home)!r}, {entries!r})",
             "dict(os.environ)", f"[folder for folder in {places} if writes(folder)]", "os.path.exists('/proc/self')"),
        )  # fmt: skip
        # The address space of the last program is not limited, so that its memory is stopped by the cgroup alone.
        forked, looked = run_in(found, [Calls(_FORKS, ("forks()",)), look], _PROBE)
        (filled,) = run_in(found, [Calls(_FILL, (f"fill({256 * MIB})",))], _PROBE, confine_address_space=False)
    if forked.outputs[0] is None or not 0 < int(forked.outputs[0]) < _PROBE.processes:
        return "a fork bomb is not stopped by the cgroup"
    if filled.status != "memory":
        return "memory is not stopped by the cgroup"
    wanted = ("False", "['lo']", "[]", "{}", "[]", "False")
    for output, expected, what in zip(
        looked.outputs,
        wanted,
        ("network", "network", "home folder", "environment", "file system", "/proc"),
        strict=True,
    ):
        if output != expected:
            return f"the {what} is not closed off"
    return ""


def _shown() -> set[Path]:
    """Folders that hold the interpreter, which the sandbox must see: they and the folders around it."""
    import sys

    prefix = Path(os.path.realpath(sys.base_prefix))
    return {prefix, *prefix.parents}
