"""What is to be run and what came of it: limits, three kinds of job, and a result. Plain data; imports nothing else."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

from repro.errors import InputError

MIB = 1 << 20
# passed: everything ran to its end (and the output is the expected one) · failed: a test or the comparison said no ·
# error: an exception, a crash, or an end before the tests were done · timeout: processor or wall time · memory ·
# output: more output, or a larger file, than allowed · forged: it, or a copy it forked, wrote to the channel of results
Status = Literal["passed", "failed", "error", "timeout", "memory", "output", "forged"]


@dataclass(frozen=True)
class Limits:
    """What one program may use. InputError for a limit that is no positive number, or too low to start Python in."""

    cpu_seconds: int = 4  # of each process
    wall_seconds: float = 8.0
    memory_bytes: int = 512 * MIB  # address space of one process; the cgroup holds all of them to it together
    output_bytes: int = MIB  # of standard output, or of the values of a call job
    file_bytes: int = 4 * MIB  # one file, and all files of the scratch folder together
    processes: int = 16  # at a time, threads counted

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            whole = field.name != "wall_seconds"
            if isinstance(value, bool) or not isinstance(value, int if whole else int | float) or not value > 0:
                raise InputError(f"sandbox limit {field.name} must be a positive number, not {value!r}")
        if self.memory_bytes < 64 * MIB:
            raise InputError(f"sandbox limit memory_bytes={self.memory_bytes} is too low for Python: 64 MiB at least")


@dataclass(frozen=True)
class Asserts:
    """Source texts run in one module, in this order; passed iff all of them ran to their end.

    `code` does not see `tests` before it has run. The tests run with fresh builtins: names of builtins that the code
    has redefined mean the real ones again, but for those in `keeps` (functions under test that bear such a name).
    """

    code: str
    tests: str
    setup: str = ""
    keeps: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stdio:
    """A program run as `__main__` with this standard input. What it prints is the one output of the result.

    With `expected` it has passed iff it prints that (see `judge.same_output`), without iff it ended without an error.
    """

    program: str
    stdin: str = ""
    expected: str | None = None


@dataclass(frozen=True)
class Calls:
    """Expressions, each evaluated by itself in the module that `code` makes. The caller judges the outputs.

    An output is the `repr` of a plain value: int, float, str, bool, None, or a list, tuple or dict of such. It is None
    where the expression raised, gave anything else or was not reached. Passed iff every expression gave an output.
    """

    code: str
    expressions: tuple[str, ...]


Job = Asserts | Stdio | Calls


@dataclass(frozen=True)
class Result:
    """What came of one job. `message` may hold text of the program: show it, never act on it."""

    status: Status
    outputs: tuple[str | None, ...] = ()
    message: str = ""

    @property
    def passed(self) -> bool:
        return self.status == "passed"
