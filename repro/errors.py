"""The two errors a user may see: bad input, and a trial that failed while it ran; and errors of others in one line."""

from __future__ import annotations

import signal
import traceback
from pathlib import Path


class ReproError(Exception):
    """Base of the errors that the command line prints as one line, without a traceback."""


class InputError(ReproError):
    """The user's input cannot be used. The message says what is wrong and how to mend it (exit code 2)."""


class TrialError(ReproError):
    """A trial failed while running (exit code 1); `step` is the generation batch in which it happened, if any."""

    def __init__(self, message: str, step: int | None = None):
        super().__init__(writable(message))
        self.step = step


def is_termination(error: BaseException) -> bool:
    """Whether this is the exit of a process that was told to end (SIGTERM), and not one that its code asks for."""
    return isinstance(error, SystemExit) and error.code == 128 + signal.SIGTERM


def writable(text: str) -> str:
    """`text` with what no file in UTF-8 can hold (lone surrogates) as backslash escapes; all other text as it is."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def explain(error: BaseException, file: Path | str | None = None) -> str:
    """`ValueError: what it says (my_method.py, line 12)`: the last line of `file` that the error passed through."""
    text = writable(" ".join(str(error).split()))[:300]
    said = f"{type(error).__name__}: {text}" if text else type(error).__name__
    if file is None:
        return said
    if isinstance(error, SyntaxError) and error.filename == str(file):
        return f"SyntaxError: {error.msg} ({Path(file).name}, line {error.lineno})"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
    return f"{said} ({Path(file).name}, line {lines[-1]})" if lines else said
