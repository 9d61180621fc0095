"""What is wrong with a leaderboard, and what a reader should know of it: every line against the record it names.

Nothing is believed: the whole line is computed again from its record and compared, field by field. Records outside the
published bundles pass the checks of records from outside as well.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from repro.errors import InputError
from repro.report.boards import Board, holder
from repro.report.entries import entries_of, published_entries
from repro.store import leaderboard
from repro.store.entry import Entry, Line, canonical_line, entry_id
from repro.store.foreign import checked
from repro.store.provenance import committed_bytes
from repro.store.records import decode_record

MOST_RESULTS = 20_000_000  # bytes of the whole folder, so that a clone stays small


@dataclass(frozen=True)
class Finding:
    """`wrong` fails a verification; the others tell where a line comes from."""

    wrong: bool
    what: str  # "edited", "absent", "incomplete", "large", "dirty", "imported", "superseded"
    line: int | None
    text: str


def audit(board: Board, own: Collection[str] = (), boards: Sequence[Board] = ()) -> list[Finding]:
    """All findings, in the order of the lines; `own`: hashes of the records in the reader's workspace.

    `boards`: those looked at together, whose detail files count as well. What `open_board` refuses is not audited.
    """
    found = audit_lines(board.lines, board, own, boards)
    if not board.shipped:
        return found
    committed = committed_bytes(board.path)
    if committed is not None and not leaderboard.kept_since(committed, board.path):
        found.append(Finding(True, "edited", None, "lines that the last commit holds were changed, removed or moved"))
    found += _incomplete(board)
    size = sum(path.stat().st_size for path in board.path.parent.rglob("*") if path.is_file())
    if size > MOST_RESULTS:
        found.append(Finding(True, "large", None, f"{board.path.parent} holds more than {MOST_RESULTS // 10**6} MB"))
    return found


def audit_lines(
    lines: Sequence[Line], board: Board, own: Collection[str] = (), boards: Sequence[Board] = ()
) -> list[Finding]:
    """Findings about some lines of a leaderboard and their records, which are looked for where `trials` finds them."""
    by_file: dict[str, list[Line]] = {}
    for line in lines:
        by_file.setdefault(line.entry.detail, []).append(line)
    found: list[Finding] = []
    holders = {detail: holder(board, boards, detail) for detail in by_file}
    present = {line.entry.trial for line in lines if holders[line.entry.detail]}
    for detail, same in by_file.items():
        where = holders[detail]
        if where is None:
            found += (_absent(line, line.entry.trial in present) for line in same)
            continue
        try:
            computed = _computed(where, detail, {line.entry.record for line in same})
        except InputError as problem:
            found += (_about(line, True, "edited", str(problem)) for line in same)
            continue
        for line in same:
            found += _compared(line, computed.get(line.entry.record))
            if not (board.shipped and detail in board.details.published) and line.entry.record not in own:
                found.append(_about(line, False, "imported", "its record did not come with the project"))
    return sorted(found, key=lambda finding: finding.line or 0)


def _computed(board: Board, detail: str, wanted: set[str]) -> dict[str, Entry]:
    """record hash -> the entry that the records of a file give. Only the project's own bundles are trusted."""
    details = board.details
    where = f"{details.find(detail)}, line "
    read = decode_record if board.shipped and detail in details.published else checked
    records = [read(line, f"{where}{number},") for number, line in enumerate(details.lines(detail), start=1)]
    return {entry.record: entry for entry in entries_of(records, detail) if entry.record in wanted}


def _compared(line: Line, computed: Entry | None) -> Iterable[Finding]:
    entry = line.entry
    if not canonical_line(line):
        yield _about(line, True, "edited", "it is not in the canonical form")
    if computed is None:
        yield _about(line, True, "edited", "its record is not in its detail file")
    elif computed != entry:
        names = [item.name for item in fields(entry) if getattr(entry, item.name) != getattr(computed, item.name)]
        yield _about(line, True, "edited", f"{', '.join(names)} differ from what its record says")
    if entry.dirty:
        yield _about(line, False, "dirty", "made with uncommitted changes")


def _absent(line: Line, superseded: bool) -> Finding:
    if superseded:
        return _about(line, False, "superseded", "its experiment was published anew")
    return _about(line, False, "absent", "its detail file is not here, so it is not ranked")


def _incomplete(board: Board) -> list[Finding]:
    """Trials of published bundles that have no line."""
    known, found = {line.id for line in board.lines}, []
    for path in board.details.published.values():
        missing = [e.trial for e in published_entries(path, board.details) if entry_id(e) not in known]
        if missing:
            text = f"{path}: {len(missing)} trials have no line, {missing[0]} first: repro publish --only-regenerate"
            found.append(Finding(True, "incomplete", None, text))
    return found


def _about(line: Line, wrong: bool, what: str, text: str) -> Finding:
    return Finding(wrong, what, line.number, f"line {line.number}, {line.entry.trial}: {text}")


def first_wrong(findings: Iterable[Finding], where: Path | str) -> None:
    """Raise `InputError` for the first finding that is wrong."""
    for finding in findings:
        if finding.wrong:
            raise InputError(f"{where}, {finding.text}")
