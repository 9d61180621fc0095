"""The leaderboard file: append-only, one line per trial, each line naming the one before (`repro.store.entry`).

What the chain shows: lines that somebody changed, removed, inserted or moved without writing all later ones anew. Set
against a committed copy of the file (`kept_since`), it shows any edit of what was there at that commit. It does not
show who wrote a line, whether a number was honestly measured, or lines cut off the end.

A file is replaced as a whole under a lock on its folder: a reader, and whoever comes after a crash, finds the old lines
or the old and the new ones, never a part.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from repro.errors import InputError
from repro.store import lock
from repro.store.entry import GENESIS, MOST_BYTES, Entry, Line, canonical_line, decode_line, encode_line, entry_id
from repro.store.files import explain, write_whole

NAME = "leaderboard.jsonl"
MOST_LINES = 200_000


def read(path: Path | str) -> list[Line]:
    """All lines of a file, [] if there is none. `InputError` naming the first line that is damaged or out of place."""
    path = Path(path)
    try:
        if not path.is_file():
            return []
        with open(path, "rb") as file:
            data = file.read(MOST_LINES * MOST_BYTES + 1)
    except OSError as error:
        raise explain(error, path, "read") from error
    return decode(data, str(path))


def decode(data: bytes, where: str) -> list[Line]:
    """The lines in the bytes of a leaderboard; `where` names it in messages."""
    if len(data) > MOST_LINES * MOST_BYTES or data.count(b"\n") > MOST_LINES:
        raise InputError(f"{where} holds more than {MOST_LINES:,} lines: it is no leaderboard")
    lines: list[Line] = []
    seen: dict[str, int] = {}
    prev = GENESIS
    for number, raw in enumerate(data.splitlines(keepends=True), start=1):
        line = decode_line(raw, number, where)
        if line.id in seen:
            raise InputError(f"{where}, line {number}: the same record as line {seen[line.id]}, {line.entry.trial}")
        if line.prev != prev:
            before = "the first line must start a chain" if number == 1 else f"it does not follow line {number - 1}"
            raise InputError(
                f"{where}, line {number}: the chain is broken: {before} (a line was changed, removed or moved)"
            )
        seen[line.id] = number
        lines.append(line)
        prev = line.id
    return lines


def append(path: Path | str, entries: Iterable[Entry]) -> int:
    """Add the entries that the file does not hold yet, in the order given; how many that were.

    `InputError`, with the file as it was, if the file is damaged, an entry cannot be stored or nothing can be written.
    """
    path = Path(path)
    with lock.folder(path.parent):
        lines = read(path)
        known = {line.id for line in lines}
        prev = lines[-1].id if lines else GENESIS
        added = []
        for entry in entries:
            name = entry_id(entry)
            if name not in known:
                added.append(encode_line(entry, prev))
                known.add(name)
                prev = name
        if len(lines) + len(added) > MOST_LINES:
            raise InputError(f"{path} cannot hold more than {MOST_LINES:,} lines")
        if added:
            write_whole(path, (path.read_bytes() if lines else b"") + b"".join(added))
    return len(added)


def merge(path: Path | str, other: Sequence[Line]) -> int:
    """The union by id: the other side's lines that are new here follow at the end, linked anew; how many that were."""
    for line in other:
        if not canonical_line(line):
            raise InputError(f"line {line.number} of the other leaderboard is not in the canonical form (edited)")
    return append(path, (line.entry for line in other))


def kept_since(committed: bytes, path: Path | str) -> bool:
    """Whether the file still begins with the bytes that it had at a commit."""
    return Path(path).read_bytes().startswith(committed)
