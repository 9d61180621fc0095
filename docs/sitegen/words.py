"""Plain text as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ARXIV = re.compile(r"\b(?:arXiv )?(\d{4}\.\d{5})\b")
_SPECIAL = re.compile(r"([\\*_{}\[\]#|])")


def plain(text: str) -> str:
    """Text that shows every character as it is, its `quoted` words as code."""
    parts = str(text).split("`")
    if len(parts) % 2 == 0:  # an odd backtick is a character like any other
        return _escaped(str(text)).replace("`", "\\`")
    return "".join(code(part) if index % 2 else _escaped(part) for index, part in enumerate(parts))


def code(text: str) -> str:
    """One line as code, also inside a cell of a table."""
    text = text.replace("|", "\\|")
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def block(text: str, language: str = "text") -> str:
    """Lines as a block of code, or as a `formula`; the fence is longer than any in the text."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}{'{ .text .formula .no-copy }' if language == 'formula' else language}\n{text.rstrip()}\n{fence}\n"


def papers(text: str) -> str:
    """Plain text whose arXiv numbers are links."""
    linked = []
    end = 0
    for found in ARXIV.finditer(text):
        linked += [plain(text[end : found.start()]), f"[{found[0]}](https://arxiv.org/abs/{found[1]})"]
        end = found.end()
    return "".join([*linked, plain(text[end:])])


def table(header: Sequence[str], rows: Iterable[Sequence[str]], numbers_from: int | None = None) -> str:
    """A pipe table of cells that are Markdown already; columns from `numbers_from` on are right-aligned."""
    marks = ["---:" if numbers_from is not None and i >= numbers_from else "---" for i in range(len(header))]
    return "".join("| " + " | ".join(cells) + " |\n" for cells in (header, marks, *rows))


def title(text: str) -> str:
    """Front matter: the page's name in the navigation."""
    return f'---\ntitle: "{text}"\n---\n\n'


def _escaped(text: str) -> str:
    text = _SPECIAL.sub(r"\\\1", text.replace("&", "&amp;")).replace("\n", " ")
    return text.replace("<", "&lt;").replace(">", "&gt;")
