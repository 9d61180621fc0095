"""What `leaderboard add` and `leaderboard merge` write: detail files, then lines, and only once all is checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from repro.experiments import registry
from repro.report.audit import audit_lines, first_wrong
from repro.report.boards import Board, open_board
from repro.report.entries import entries_of
from repro.store import leaderboard
from repro.store.details import Details
from repro.store.entry import GENESIS, encode_line, entry_id
from repro.store.records import encode_record, record_hash

Record = dict[str, Any]
_NO_FILE = "0" * 64


def add_records(path: Path, records: Sequence[Record]) -> int:
    """Append the finished trials among `records` that the leaderboard at `path` does not hold; how many that were.

    `records`: trials, and the timing record that gives the time per step of their arms. The new ones are kept in a pack
    beside the leaderboard. `InputError`, with nothing written, for a trial that no line can hold.
    """
    held = {entry_id(replace(line.entry, detail=_NO_FILE)) for line in leaderboard.read(path)}
    fresh = [entry for entry in entries_of(records, _NO_FILE) if entry_id(entry) not in held]
    for entry in fresh:
        registry.get(entry.experiment)
        encode_line(entry, GENESIS)
    if not fresh:
        return 0
    new = {entry.record for entry in fresh}
    lines = [encode_record(record) for record in records]
    kept = [line for line, r in zip(lines, records, strict=True) if r["kind"] == "timing" or record_hash(line) in new]
    detail = Details(path.parent).keep(kept)
    return leaderboard.append(path, (replace(entry, detail=detail) for entry in fresh))


def merge_board(path: Path, other: Board, boards: Sequence[Board] = ()) -> int:
    """Append the other leaderboard's lines that are new at `path`, with the detail files they need; how many lines.

    Every new line is held against its record before anything is written: `InputError` for the first that does not
    agree. The record may be beside the other leaderboard, beside `path` or beside one of `boards` (the project's).
    Lines whose detail file is nowhere there come along as lines that nobody can check.
    """
    target = open_board(path)
    known = {line.id for line in target.lines}
    fresh = [line for line in other.lines if line.id not in known]
    first_wrong(audit_lines(fresh, other, boards=[target, *boards]), other.path)
    here = target.details
    for detail in sorted({line.entry.detail for line in fresh if other.details.find(line.entry.detail)}):
        here.copy(detail, other.details)
    return leaderboard.merge(path, fresh)
