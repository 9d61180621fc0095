"""The two errors a user may see: bad input, and a trial that failed while it ran."""


class ReproError(Exception):
    """Base of the errors that the command line prints as one line, without a traceback."""


class InputError(ReproError):
    """The user's input cannot be used. The message says what is wrong and how to mend it (exit code 2)."""


class TrialError(ReproError):
    """A trial failed while running (exit code 1); `step` is the generation batch in which it happened, if any."""

    def __init__(self, message: str, step: int | None = None):
        super().__init__(message)
        self.step = step
