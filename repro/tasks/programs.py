"""The program in a completion: pure functions on text, nothing is run or parsed here."""

from __future__ import annotations

import re

_PYTHON = ("python", "py", "python3", "python2")
_FENCE = re.compile(r"([ \t]*)(`{3,}|~{3,})[ \t]*([\w+-]*)")
_THOUGHT = "</think>"


def extract_program(text: str, entry: str = "") -> str | None:
    """The program a completion gives, or None where there is no text.

    1. What stands before the end of a thought (`</think>`) does not count.
    2. Of the fenced blocks those marked as Python come first, then those without a mark; blocks in other languages
       never count. The last one that defines `entry` is taken, else the last one. A fence that is never closed ends
       with the text.
    3. Without a fence the whole text is the program.
    """
    text = text.rpartition(_THOUGHT)[2]
    blocks = _blocks(text)
    if not blocks:
        return text if text.strip() else None
    marked = [body for language, body in blocks if language in _PYTHON]
    candidates = marked or [body for language, body in blocks if not language]
    if not candidates:
        return None
    chosen = next((body for body in reversed(candidates) if entry and defines(body, entry)), candidates[-1])
    return chosen if chosen.strip() else None


def defines(program: str, name: str) -> bool:
    """Whether a line of the program begins the definition of this function or class, or assigns this name."""
    return re.search(rf"(?m)^(?:async[ \t]+def|def|class)[ \t]+{name}\b|^{name}[ \t]*=", program) is not None


def complete(program: str, header: str, stub: str, entry: str) -> str:
    """The program with what its prompt gave it: `header` before a whole function, `stub` before an indented body."""
    body = program.lstrip("\n")[:1] in (" ", "\t")
    if stub and body and not defines(program, entry):
        return stub + program
    return f"{header}\n{program}" if header else program


def _blocks(text: str) -> list[tuple[str, str]]:
    """(language in lower case, content) of each fenced block."""
    found: list[tuple[str, str]] = []
    fence, indent, language, lines = "", "", "", []
    for line in text.split("\n"):
        match = _FENCE.match(line)
        if not fence and match:
            indent, fence, language, lines = match[1], match[2], match[3].lower(), []
        elif fence and line.strip() == fence:
            found.append((language, "\n".join(lines)))
            fence = ""
        elif fence:
            lines.append(line.removeprefix(indent))
    if fence:
        found.append((language, "\n".join(lines)))
    return found
