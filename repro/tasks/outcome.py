"""The three-valued result of an answer check."""

from __future__ import annotations

import enum


class Outcome(enum.Enum):
    """Correct, wrong, or no answer found. The value is the letter stored in a record."""

    CORRECT = "c"
    WRONG = "w"
    UNPARSED = "u"
