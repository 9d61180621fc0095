"""Rows of public data files: `.json` (a list of objects), `.jsonl`, `.jsonl.gz`. Every complaint names file, line and
field.

Not covered: csv, parquet and LaTeX; other encodings than UTF-8.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repro.errors import InputError

SUFFIXES = (".json", ".jsonl", ".jsonl.gz")


@dataclass(frozen=True)
class Row:
    """One row of a data set and where it stands ("svamp/train.json, line 12"), for messages."""

    where: str
    data: dict[str, Any]

    def get(self, *names: str) -> Any:
        """The first of these fields that is there and not null; InputError where none is."""
        for name in names:
            if self.data.get(name) is not None:
                return self.data[name]
        raise InputError(f"{self.where}: field {' or '.join(map(repr, names))} is missing")

    def text(self, *names: str) -> str:
        """Like `get` for text (numbers are written out): stripped, and InputError where it is empty or no text."""
        value = self.get(*names)
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise InputError(
                f"{self.where}: field {' or '.join(map(repr, names))} is not text but {type(value).__name__}"
            )
        if not str(value).strip():
            raise InputError(f"{self.where}: field {' or '.join(map(repr, names))} is empty")
        return str(value).strip()

    def optional(self, *names: str) -> str:
        """The first of these fields as text, or ""."""
        return next((str(self.data[name]).strip() for name in names if self.data.get(name) is not None), "")


def find(folder: Path, stems: Sequence[str]) -> Path:
    """The data file with one of these stems; InputError that says what was looked for."""
    for stem in stems:
        for suffix in SUFFIXES:
            if (folder / (stem + suffix)).is_file():
                return folder / (stem + suffix)
    wanted = ", ".join(stem + suffix for stem in stems for suffix in SUFFIXES)
    raise InputError(f"no data file in {folder}: put one of {wanted} there, or name another folder with --data-dir")


def read(path: Path) -> tuple[list[Row], str]:
    """All rows of a file, and the sha256 of its uncompressed bytes."""
    try:
        raw = path.read_bytes()
        content = gzip.decompress(raw) if path.suffix == ".gz" else raw
        text = content.decode("utf-8-sig")
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"cannot read {path}: {error}; download the file again") from error
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}, line {line}: not UTF-8 text; download the file again") from error
    entries = _list_entries(path, text) if path.suffix == ".json" else _line_entries(path, text)
    rows = []
    for line, value in entries:
        if not isinstance(value, dict):
            raise InputError(f"{path}, line {line}: expected an object with fields, found {type(value).__name__}")
        rows.append(Row(f"{path}, line {line}", value))
    if not rows:
        raise InputError(f"{path}: no rows; download the file again")
    return rows, hashlib.sha256(content).hexdigest()


def _line_entries(path: Path, text: str) -> Iterator[tuple[int, Any]]:
    # Only "\n" ends a line: questions may hold U+2028 and the like, which str.splitlines would cut at.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, _parse(path, line, number)


def _list_entries(path: Path, text: str) -> Iterator[tuple[int, Any]]:
    values = _parse(path, text, 1)
    if not isinstance(values, list):
        raise InputError(f"{path}, line 1: expected a list of objects, found {type(values).__name__}")
    # The text is known to be valid; walk it once more to learn on which line each entry begins.
    decoder = json.JSONDecoder()
    position, line = text.index("[") + 1, 1
    seen = 0
    for value in values:
        while text[position] in " \t\r\n,":
            position += 1
        line += text.count("\n", seen, position)
        seen = position
        yield line, value
        _, position = decoder.raw_decode(text, position)


def _parse(path: Path, text: str, line: int) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(
            f"{path}, line {line + error.lineno - 1}: not valid JSON ({error.msg}); mend or download it again"
        ) from error
    except RecursionError as error:
        raise InputError(f"{path}, line {line}: JSON nested too deeply; download the file again") from error
