"""Many jobs, one sandbox: results in the order of the jobs, and a fresh sandbox where a program has broken it."""

from __future__ import annotations

from collections.abc import Sequence

from repro.errors import ReproError
from repro.tasks.sandbox import probe
from repro.tasks.sandbox.box import Box, Died
from repro.tasks.sandbox.cgroup import Groups
from repro.tasks.sandbox.job import Asserts, Calls, Job, Limits, Result, Stdio
from repro.tasks.sandbox.judge import same_output

AHEAD = 256  # jobs handed to a sandbox at once, which bounds what is held in memory twice
_STATUS = {"p": "passed", "w": "failed", "e": "error", "x": "error", "t": "timeout", "m": "memory", "o": "output",
           "f": "forged"}  # fmt: skip
_MESSAGES = {
    "x": "it ended before its tests were done",
    "t": "processor or wall time is used up",
    "m": "out of memory",
    "o": "too much output, or too large a file",
    "f": "it, or a copy of it, wrote to the channel of results",
}


def run_jobs(jobs: Sequence[Job], limits: Limits | None = None) -> list[Result]:
    """One result per job, in order. Never raises on what a program does.

    InputError where there is neither isolation nor the permission to do without (see `probe.require`), ReproError
    where the sandbox that the probe found working cannot be started any more.
    """
    if not jobs:
        return []
    probe.require()
    return run_in(probe.groups(), jobs, limits or Limits())


def run_in(groups: Groups | None, jobs: Sequence[Job], limits: Limits, **options) -> list[Result]:
    """`run_jobs` in this isolation (None: unsafe); `options` are those of `Box`."""
    results: list[Result] = []
    died_at = -1
    while len(results) < len(jobs):
        try:
            with Box(limits, groups, **options) as box:
                try:
                    _fill(box, jobs, results)
                except Died as end:
                    if box.kills():  # the kernel chose the server among the processes that had filled the memory
                        results.append(_lost(jobs[len(results)], "memory", _MESSAGES["m"]))
                    elif died_at == len(results):
                        results.append(_lost(jobs[len(results)], "error", f"the sandbox died: {end}"))
                    died_at = len(results)  # once more, unless it is given up
        except OSError as error:
            raise ReproError(f"the sandbox cannot start ({error}); see `repro doctor`") from error
    return results


def _lost(job: Job, status: str, message: str) -> Result:
    return Result(status, (None,) * len(job.expressions) if isinstance(job, Calls) else (), message)


def _fill(box: Box, jobs: Sequence[Job], results: list[Result]) -> None:
    while len(results) < len(jobs):
        portion = jobs[len(results) : len(results) + AHEAD]
        answered = 0
        for code, body in box.run(portion):
            results.append(judge(portion[answered], code, body))
            answered += 1
        if answered < len(portion):
            return


def judge(job: Job, code: str, body: bytes) -> Result:
    """The result of a job from the server's code and body. Nothing in `body` is trusted."""
    status, message = _STATUS.get(code, "forged"), _MESSAGES.get(code, "")
    if code in "ew" and not isinstance(job, Calls):
        message = body.decode("utf-8", "replace")
    if isinstance(job, Stdio) and code == "p":
        printed = body.decode("utf-8", "replace")
        if job.expected is not None and not same_output(printed, job.expected):
            return Result("failed", (printed,), "its output is not the expected one")
        return Result("passed", (printed,))
    if isinstance(job, Calls):
        return _outputs(job, status, message, body)
    if isinstance(job, Asserts) and code == "w" and not message:
        message = "a test failed"
    return Result(status, (), message)


def _outputs(job: Calls, status: str, message: str, body: bytes) -> Result:
    parts = body.decode("utf-8", "replace").split("\0") if body else []
    values = [part[1:] if part[:1] == "=" else None for part in parts if part[:1] != "!"]
    said = [part[1:] for part in parts if part[:1] != "="]
    if len(values) > len(job.expressions):
        return _lost(job, "forged", _MESSAGES["f"])
    values += [None] * (len(job.expressions) - len(values))
    if status == "passed" and None in values:
        status = "error"
    return Result(status, tuple(values), message or ("" if status == "passed" else (said or ["it ended too early"])[0]))
