"""One sandbox: bubblewrap with a warm interpreter inside, or in unsafe mode the interpreter alone.

`Box` starts it, sends jobs ahead of the replies, and takes everything down again: processes, cgroup, scratch folder.
"""

from __future__ import annotations

import functools
import marshal
import os
import select
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
import types
from collections.abc import Iterator, Sequence
from pathlib import Path

from repro.errors import ReproError
from repro.tasks.sandbox import seccomp
from repro.tasks.sandbox.cgroup import Groups
from repro.tasks.sandbox.frame import GUARDED, frame
from repro.tasks.sandbox.job import MIB, Job, Limits

START_SECONDS = 60.0  # for Python's start, on a crowded machine
GRACE_SECONDS = 5.0  # beyond the wall time, which the server keeps itself
SERVER_MIB = 64  # for the interpreter and bubblewrap, beside the programs
SLACK_MIB = 64  # memory that may stay behind after a program (cached files) before the sandbox is replaced
MOST_REPLY = 1 << 26
# The server and bubblewrap's own process count too.
SERVER_PROCESSES = 2
# The frame of this text is below all frames of a program: its names, which a program can find, lead to nothing.
_LAUNCHER = """
import marshal, sys
with open(int(sys.argv[1]), "rb") as file:
    code, *rest = marshal.load(file)
space = {"__name__": "server"}
exec(code, space)
steps = [*space["start"](*rest)]
del code, rest, space, file
steps.pop(0)(steps.pop()())
"""


class Died(Exception):
    """The sandbox ended without a reply."""


class Box:
    """A running sandbox. Use it in a `with` block."""

    def __init__(self, limits: Limits, groups: Groups | None, confine_address_space: bool = True):
        """`groups` None: unsafe mode, without bubblewrap. OSError or ReproError where it cannot be started."""
        self.limits, self.cgroup, self.scratch = limits, None, None
        self.meter: int | None = None
        self.poll = select.poll()
        self.unsent, self.buffer = memoryview(b""), bytearray()
        job_end, self.job_fd = os.pipe()
        self.reply_fd, reply_end = os.pipe()
        handed = [job_end, reply_end]
        settings = {
            "boxed": groups is not None, "jobs": job_end, "replies": reply_end, "count": None,
            "alone": b"%d\n" % SERVER_PROCESSES, "guarded": GUARDED, "cpu": limits.cpu_seconds,
            "wall": limits.wall_seconds, "output": limits.output_bytes,
            "scratch": max(limits.file_bytes, limits.output_bytes + 1),
            "memory": limits.memory_bytes if confine_address_space else None,
        }  # fmt: skip
        command: list[str] = []
        try:
            if groups is None:
                self.scratch = tempfile.mkdtemp(prefix="repro-unsafe-")
            else:
                memory = limits.memory_bytes + SERVER_MIB * MIB
                self.cgroup = groups.make(memory, limits.processes + SERVER_PROCESSES)
                self.meter = os.open(self.cgroup.meter(), os.O_RDONLY)
                handed.append(os.open(self.cgroup.counter(), os.O_RDONLY))
                settings["count"] = handed[-1]
                command = _entering(self.cgroup.entries()) + _bubblewrap(limits.file_bytes)
                rules = seccomp.program()
                if rules is not None:
                    handed.append(_pipe_with(rules))
                    command += ["--seccomp", str(handed[-1])]
                command.append("--")
            handed.append(_pipe_with(marshal.dumps((_code("server"), settings, _code("child")))))
            command += [_python(), "-s", "-S", "-P", "-X", "utf8", "-c", _LAUNCHER, str(handed[-1])]
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                env=_environment(), cwd=self.scratch, pass_fds=handed, start_new_session=groups is None,
            )  # fmt: skip
        except BaseException:
            self._close()
            raise
        finally:
            for number in handed:
                os.close(number)

    def __enter__(self) -> Box:
        try:
            os.set_blocking(self.job_fd, False)
            self.poll.register(self.reply_fd, select.POLLIN)
            self._reply(time.monotonic() + START_SECONDS)
            self.calm = self._used()
        except BaseException as error:
            self.close()
            if isinstance(error, Died):
                raise ReproError("the sandbox cannot start; see `repro doctor`") from error
            raise
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def run(self, jobs: Sequence[Job]) -> Iterator[tuple[str, bytes]]:
        """(code, body) for each job in turn, as `server.py` sends them; fewer if the sandbox must be replaced.

        Raises Died where it ended within a job.
        """
        self.unsent = memoryview(b"".join(map(frame, jobs)))
        seen = self.kills()
        for _ in jobs:
            code, flag, body = self._reply(time.monotonic() + self.limits.wall_seconds + GRACE_SECONDS)
            if code == "k":  # by the kernel for want of memory, or by itself: the cgroup knows
                code, seen = "m" if self.kills() > seen else "e", self.kills()
                body = b"killed by signal 9" if code == "e" else b""
            yield code, body
            if flag or self._used() > self.calm + SLACK_MIB * MIB:
                return

    def _used(self) -> int:
        """Bytes of memory in use inside."""
        return int(os.pread(self.meter, 64, 0)) if self.meter is not None else 0

    def kills(self) -> int:
        """How many processes were killed for want of memory so far."""
        return self.cgroup.kills() if self.cgroup else 0

    def close(self) -> None:
        """End it and remove what it left. Never raises on what is inside."""
        self.process.kill()
        self.process.wait()
        self._close()

    def _close(self) -> None:
        for number in (self.job_fd, self.reply_fd, self.meter):
            if number is not None:
                os.close(number)
        if self.cgroup is not None:
            self.cgroup.remove()
        if self.scratch is not None:
            shutil.rmtree(self.scratch, ignore_errors=True)

    def _reply(self, ends: float) -> tuple[str, int, bytes]:
        """The next reply, sending what is unsent meanwhile. Died at the end of the channel or of the time."""
        while (reply := self._buffered()) is None:
            self.poll.register(self.job_fd, select.POLLOUT if self.unsent else 0)
            ready = dict(self.poll.poll(max(0.0, ends - time.monotonic()) * 1000))
            if not ready:
                raise Died("it did not answer in time")
            if self.unsent and self.job_fd in ready:
                try:
                    self.unsent = self.unsent[os.write(self.job_fd, self.unsent[: 1 << 16]) :]
                except BlockingIOError:
                    pass
                except BrokenPipeError:
                    self.unsent = memoryview(b"")  # it is dead, or about to be replaced; the reading end knows which
            if self.reply_fd in ready:
                part = os.read(self.reply_fd, 1 << 16)
                if not part:
                    raise Died("it ended")
                self.buffer += part
            elif not self.unsent:
                self.poll.unregister(self.job_fd)  # its other end is closed, which would wake us again and again
        return reply

    def _buffered(self) -> tuple[str, int, bytes] | None:
        if len(self.buffer) < 6:
            return None
        size = int.from_bytes(self.buffer[2:6], "little")
        if size > MOST_REPLY:
            raise Died("its reply makes no sense")
        if len(self.buffer) < 6 + size:
            return None
        code, flag, body = chr(self.buffer[0]), self.buffer[1], bytes(self.buffer[6 : 6 + size])
        del self.buffer[: 6 + size]
        return code, flag, body


def _pipe_with(content: bytes) -> int:
    """The reading end of a pipe that holds this and then ends; small enough for a pipe's buffer."""
    reading, writing = os.pipe()
    os.write(writing, content)
    os.close(writing)
    return reading


def _entering(entries: list[str]) -> list[str]:
    """The command before the command: a shell that enters the cgroups and becomes the rest.

    No function between fork and exec (`preexec_fn`): the caller may have threads.
    """
    return ["/bin/sh", "-c", 'n=$1; shift; while [ $n -gt 0 ]; do echo 0 >"$1" || exit 3; shift; n=$((n-1)); done; '
            'exec "$@"', "sh", str(len(entries)), *entries]  # fmt: skip


def _environment() -> dict[str, str]:
    """All there is: Python's -I would forbid the fixed hash seed, without which sets differ from run to run.

    Symbols are bound at the start, else every fork binds those it uses again. The server removes both variables.
    """
    return {"PYTHONHASHSEED": "0", "LD_BIND_NOW": "1"}


@functools.cache
def _code(name: str) -> types.CodeType:
    return compile(Path(__file__).with_name(f"{name}.py").read_text(encoding="utf-8"), "<sandbox>", "exec")


@functools.cache
def _python() -> str:
    """The interpreter itself, not the link of a virtual environment."""
    return os.path.realpath(sys.executable)


def _bubblewrap(scratch_bytes: int) -> list[str]:
    """The bwrap command up to the program: nothing is visible but Python, the C library and an empty /tmp."""
    prefix = os.path.realpath(sys.base_prefix)
    if prefix in ("/", "/usr", "/usr/local"):
        libraries = [sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"), _python()]
        libraries += ["/usr/local/lib"] if prefix == "/usr/local" else []
    else:
        libraries = [prefix]
    command = [
        shutil.which("bwrap") or "bwrap",
        "--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try",
        "--disable-userns", "--uid", "65534", "--gid", "65534", "--hostname", "sandbox", "--clearenv",
        "--cap-drop", "ALL", "--die-with-parent", "--new-session", "--as-pid-1",
    ]  # fmt: skip
    for name, value in _environment().items():
        command += ["--setenv", name, value]
    for folder in ("/usr/lib", "/usr/lib64", "/usr/lib32"):
        command += ["--ro-bind-try", folder, folder]
    for folder in ("/lib", "/lib64"):
        if os.path.islink(folder):
            command += ["--symlink", os.readlink(folder), folder]
        elif os.path.isdir(folder):
            command += ["--ro-bind", folder, folder]
    for path in dict.fromkeys(libraries):
        command += ["--ro-bind", path, path]
    command += ["--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache"]
    # No /proc at all, and of the devices only these.
    command += ["--dir", "/dev"]
    for device in ("/dev/null", "/dev/zero", "/dev/urandom"):
        command += ["--dev-bind", device, device]
    return [*command, "--size", str(scratch_bytes), "--tmpfs", "/tmp", "--remount-ro", "/", "--chdir", "/tmp"]
