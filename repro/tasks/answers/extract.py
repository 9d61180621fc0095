"""Where the answer stands in a completion: the last box, or the line after `####`.

Only the last `TAIL` characters are looked at, so the cost of a check is bounded whatever the model wrote; every scan is
linear. Not covered: prose such as "the answer is sqrt 2" without a marker is no answer for symbolic tasks.
"""

from __future__ import annotations

import re
from typing import NamedTuple

TAIL = 20_000  # characters; the longest completions of the papers (3,072 tokens) are about 12,000

_BOX = re.compile(r"\\(?:f?boxed|fbox)(?![A-Za-z])\s*")


class Marked(NamedTuple):
    """A marked answer. `final` is False for a `####` line with more text below it: it may be a markdown heading."""

    text: str
    kind: str  # "box" or "hash"
    final: bool = True


def tail(completion: str) -> str:
    return completion[-TAIL:]


def marked_answer(completion: str) -> Marked | None:
    """The last box, else the rest of the last `####` line, else None.

    A box that never closes was cut off: its text is empty, and earlier boxes do not count, as the model had started to
    write another answer.
    """
    text = tail(completion)
    boxes = list(_BOX.finditer(text))
    if boxes:
        return Marked(_balanced(text, boxes[-1].end()), "box")
    before, marker, after = text.rpartition("####")
    if marker:
        line, _, rest = after.partition("\n")
        return Marked(line.strip(), "hash", final=not rest.strip())
    return None


def _balanced(text: str, start: int) -> str:
    """The content of the brace group opening at `start`, or "" if there is none or it does not close."""
    if not text.startswith("{", start):
        return ""
    depth = 0
    position = start
    while position < len(text):
        character = text[position]
        if character == "\\":
            position += 1  # an escaped brace is part of the answer
        elif character == "{":
            depth += 1
        elif character == "}":
            depth -= 1
            if depth == 0:
                return text[start + 1 : position].strip()
        position += 1
    return ""
