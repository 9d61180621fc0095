"""A job as the bytes that the server reads: kind, two lengths, two parts.

The tests of an assertion job come from the data set, so they are compiled here, once for all programs of a problem.
What comes from a model is text to this side, never parsed.
"""

from __future__ import annotations

import builtins
import functools
import marshal
import re
import types
import warnings

from repro.tasks.sandbox.job import Asserts, Calls, Job, Stdio

# Modules that tests use, so that a changed one must not outlive the code under test.
GUARDED = (
    "cmath", "collections", "copy", "functools", "itertools", "json", "math", "operator", "os", "posix", "random", "re",
    "string", "sys", "time", "types",
)  # fmt: skip
_COMPUTING = {"eval", "exec", "globals", "getattr", "vars"}


def frame(job: Job) -> bytes:
    """Kind (1 byte), lengths of the parts (4 bytes each, little endian), parts."""
    match job:
        case Asserts():
            kind, first, second = b"a", marshal.dumps((job.setup, job.code, job.keeps)), _tests(job.tests)
        case Stdio():
            kind, first, second = b"s", _encoded(job.program), _encoded(job.stdin)
        case Calls():
            kind, first, second = b"c", _encoded(job.code), marshal.dumps(job.expressions)
    return kind + len(first).to_bytes(4, "little") + len(second).to_bytes(4, "little") + first + second


@functools.lru_cache(maxsize=64)
def _tests(text: str) -> bytes:
    """(code, names of builtins that it may use, names of guarded modules that it may use), as `child.py` reads them."""
    try:
        with warnings.catch_warnings():  # about escapes in the data set's own strings
            warnings.simplefilter("ignore")
            code = compile(text, "<tests>", "exec", dont_inherit=True, optimize=0)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        code = compile(f"raise {type(error).__name__}({str(error)!r})", "<tests>", "exec", dont_inherit=True)
    names = _names(code)
    used = set(dir(builtins)) if names & _COMPUTING else names & set(dir(builtins))
    modules = set(GUARDED) & set(re.findall(r"\w+", text))
    return marshal.dumps((code, sorted(used), sorted(modules)))


def _names(code: types.CodeType) -> set[str]:
    """All names that code uses, also in the functions it defines."""
    inner = (constant for constant in code.co_consts if isinstance(constant, types.CodeType))
    return set(code.co_names).union(*map(_names, inner))


def _encoded(text: str) -> bytes:
    # Text of a model may hold lone surrogates, which UTF-8 has no bytes for.
    return text.encode("utf-8", "replace")
