"""One cgroup for one sandbox: how much memory and how many processes all programs in it may use together. v1 and v2.

Needed because rlimits hold one process each, and RLIMIT_NPROC does not hold root at all. A cgroup is removed when its
sandbox ends; those of a process that was killed are swept by the next one that makes a cgroup.

Not covered: cgroups that another user must delegate first; `Groups.make` says then what is missing.
"""

from __future__ import annotations

import itertools
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

PREFIX = "repro-sandbox"
_numbers = itertools.count()


@dataclass(frozen=True)
class Groups:
    """The folders under which cgroups can be made; one for v2, one per controller for v1."""

    version: int
    memory: Path
    pids: Path

    def make(self, memory_bytes: int, processes: int) -> Cgroup:
        """A new cgroup with these limits. OSError where one cannot be made or a limit cannot be set."""
        sweep(self)
        name = f"{PREFIX}-{os.getpid()}-{started(os.getpid())}-{next(_numbers)}"
        made = Cgroup(self.version, self.memory / name, self.pids / name)
        try:
            for folder in made.folders():
                folder.mkdir(mode=0o700)
            if self.version == 1:
                (made.memory / "memory.limit_in_bytes").write_text(str(memory_bytes))
                swap = made.memory / "memory.memsw.limit_in_bytes"
                if swap.exists():
                    swap.write_text(str(memory_bytes))
            else:
                (made.memory / "memory.max").write_text(str(memory_bytes))
                swap = made.memory / "memory.swap.max"
                if swap.exists():
                    swap.write_text("0")
            (made.pids / "pids.max").write_text(str(processes))
        except OSError:
            made.remove()
            raise
        return made


@dataclass(frozen=True)
class Cgroup:
    """A cgroup of this process. `remove` it."""

    version: int
    memory: Path
    pids: Path

    def folders(self) -> set[Path]:
        return {self.memory, self.pids}

    def entries(self) -> list[str]:
        """The files into which a process writes 0 to enter."""
        return sorted(str(folder / "cgroup.procs") for folder in self.folders())

    def meter(self) -> Path:
        """The file that says how many bytes of memory are in use."""
        return self.memory / ("memory.usage_in_bytes" if self.version == 1 else "memory.current")

    def counter(self) -> Path:
        """The file that says how many processes and threads there are."""
        return self.pids / "pids.current"

    def kills(self) -> int:
        """How many processes the kernel has killed here for want of memory."""
        name = "memory.oom_control" if self.version == 1 else "memory.events"
        found = re.search(r"(?m)^oom_kill (\d+)", (self.memory / name).read_text())
        return int(found[1]) if found else 0

    def remove(self, patience: float = 2.0) -> None:
        """Kill what is left inside and remove the folders, waiting a little for the dead to leave."""
        ends = time.monotonic() + patience
        for folder in self.folders():
            while folder.exists():
                try:
                    folder.rmdir()
                except OSError:
                    if time.monotonic() > ends:
                        break  # a process that cannot die: the next sweep tries again
                    _kill(folder)
                    time.sleep(0.002)


def _kill(folder: Path) -> None:
    try:
        pids = (folder / "cgroup.procs").read_text().split()
    except OSError:
        return
    for pid in pids:
        try:
            if int(pid) > 0:
                os.kill(int(pid), 9)
        except OSError:
            continue


def started(pid: int) -> int | None:
    """When a process began, in clock ticks since boot; None if there is no such process. With the pid it is unique."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return int(text.rpartition(")")[2].split()[19])


def sweep(groups: Groups) -> None:
    """Remove the cgroups that processes left behind which no longer exist."""
    for base in {groups.memory, groups.pids}:
        for folder in base.glob(f"{PREFIX}-*"):
            parts = folder.name.removeprefix(PREFIX + "-").split("-")
            if len(parts) == 3 and parts[0].isdigit() and str(started(int(parts[0]))) != parts[1]:
                # Processes of a dead owner die with it (bwrap --die-with-parent), so there is nothing to kill.
                try:
                    folder.rmdir()
                except OSError:
                    continue


def find(proc: Path = Path("/proc/self")) -> Groups:
    """Where this process can make cgroups with both controllers. OSError that says what is missing."""
    mounts = [line.split() for line in (proc / "mountinfo").read_text().splitlines()]
    own = [line.split(":", 2) for line in (proc / "cgroup").read_text().splitlines()]
    # mountinfo: ... root(3) mountpoint(4) options ... - fstype source superoptions
    v1: dict[str, Path] = {}
    v2: Path | None = None
    for fields in mounts:
        at = fields.index("-")
        if fields[at + 1] == "cgroup":
            for controller in {"memory", "pids"} & set(fields[at + 3].split(",")):
                v1.setdefault(controller, Path(fields[4]))
        elif fields[at + 1] == "cgroup2":
            v2 = v2 or Path(fields[4])
    paths = {controller: path for _, names, path in own for controller in (names.split(",") if names else [""])}
    if set(v1) == {"memory", "pids"}:
        memory, pids = (_writable(v1[name], paths.get(name, "/")) for name in ("memory", "pids"))
        return Groups(1, memory, pids)
    if v2 is None:
        raise OSError("no cgroup file system with the memory and pids controllers is mounted")
    folder = _delegated(v2, paths.get("", "/"))
    return Groups(2, folder, folder)


def _candidates(mount: Path, path: str) -> list[Path]:
    """Our own cgroup, those around it, and the root of what is mounted; a container may not see its own path."""
    own = mount / path.lstrip("/")
    return [one for one in (own, *own.parents) if one.is_relative_to(mount) and one.is_dir()] or [mount]


def _writable(mount: Path, path: str) -> Path:
    for folder in _candidates(mount, path):
        if os.access(folder, os.W_OK):
            return folder
    raise OSError(f"no cgroup under {mount} can be written by this user")


def _delegated(mount: Path, path: str) -> Path:
    """The first v2 folder that hands both controllers to its children, after asking it to if need be."""
    for folder in _candidates(mount, path):
        control = folder / "cgroup.subtree_control"
        if not os.access(folder, os.W_OK) or not os.access(folder / "cgroup.procs", os.W_OK):
            continue
        try:
            if not {"memory", "pids"} <= set(control.read_text().split()):
                control.write_text("+memory +pids")
            if {"memory", "pids"} <= set(control.read_text().split()):
                return folder
        except OSError:
            continue  # it holds processes itself, or was not given the controllers
    raise OSError(f"no cgroup under {mount} hands out the memory and pids controllers to this user")
