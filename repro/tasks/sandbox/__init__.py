"""Running model-written Python: bubblewrap around a warm interpreter that forks once per program.

`run_jobs` takes jobs of three kinds (`Asserts`, `Stdio`, `Calls`) and gives a `Result` for each, in order.

Covered, each by an attack in the tests:
- No network, no other process, no home folder, no environment, no /proc and no /sys; everything read-only but a small
  scratch folder, which is emptied after every program. No privileges, and no system calls that only attacks need.
- Memory and processes: a cgroup for all programs together, rlimits for each. Processor and wall time, size of output
  and files. What a program leaves running is killed before the next one starts.
- The result of an assertion job needs two random tokens that no Python object of the program leads to, and the tests
  come only after the code has run; so printing, exiting, closing or writing every descriptor, replacing builtins,
  modules or the tests, tracing, and being called back by a signal, a profiler, an audit hook or the garbage collector
  do not pass. Outputs of the other jobs are compared outside.
- Same program, same result: hash seed and `random` are fixed. Killing the caller ends the sandbox; what it leaves of
  cgroups is swept by the next one.

Not covered:
- Tests that share a process with the code under test believe it: a value whose `__eq__` always says yes passes, a
  function can read the test that calls it from its caller's frame, and machine code (ctypes) can search memory for
  the tokens or patch the interpreter. Call jobs, which are judged outside, have none of these gaps.
- Holes of the kernel and of bubblewrap; timing and other side channels; a few bits that a program can leave for the
  next one of its batch (times of the scratch folder). Wall-time limits depend on the load of the machine.
- Programs that need packages beyond the standard library, other files, several hundred processes, or threads that
  still run when the code under test has ended; tests that wait for a signal.
- In unsafe mode (REPRO_UNSAFE_CODE=1) only rlimits and process groups: no protection of files, network or processes.
- Systems other than Linux.
"""

from repro.tasks.sandbox.batch import run_jobs
from repro.tasks.sandbox.job import Asserts, Calls, Job, Limits, Result, Stdio
from repro.tasks.sandbox.judge import same_output
from repro.tasks.sandbox.probe import Isolation, describe, isolation, require, unsafe

__all__ = [
    "Asserts", "Calls", "Isolation", "Job", "Limits", "Result", "Stdio", "describe", "isolation", "require", "run_jobs",
    "same_output", "unsafe",
]  # fmt: skip
