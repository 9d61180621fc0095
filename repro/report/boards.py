"""Leaderboards that are shown together, and what the evidence of each of their trials is.

Evidence is never what a line says of itself but what can be seen here: **stored**, line and record ship with the
project; **yours**, your workspace holds that very record; **imported**, anything else. A line whose detail
file is not here is left out: nobody could look at what it rests on. Published lines lose theirs when an experiment is
published anew, and are history then.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from repro.store import leaderboard
from repro.store.details import Details
from repro.store.entry import Entry, Line
from repro.store.records import stored_hashes
from repro.store.workspace import Workspace

EVIDENCE = ("stored", "yours", "imported")


@dataclass(frozen=True)
class Board:
    """A leaderboard file with the detail files beside it."""

    path: Path
    lines: list[Line]
    details: Details
    shipped: bool  # comes with the project


@dataclass(frozen=True)
class Trial:
    """A line that counts."""

    entry: Entry
    evidence: str
    details: Details  # where its record is


def open_board(path: Path, shipped: bool = False) -> Board:
    """`InputError` naming the line if the file is damaged; an absent file has no lines."""
    return Board(path, leaderboard.read(path), Details(path.parent), shipped)


def holder(board: Board, boards: Iterable[Board], detail: str) -> Board | None:
    """The leaderboard that has a detail file beside it: the line's own `board`, else the first of `boards`."""
    return next((one for one in (board, *boards) if one.details.find(detail)), None)


def trials(boards: Sequence[Board], workspace: Workspace | None = None) -> tuple[list[Trial], int]:
    """The trials that count, and how many lines are left out because their detail file is not here.

    Of several lines of one trial id and one kind of evidence, the one of the last finished trial counts: the order of
    lines means nothing. `workspace`: whose records are "yours".
    """
    best: dict[tuple[str, str], tuple[tuple[str, str], Trial]] = {}
    own = functools.cache(lambda: stored_hashes(workspace) if workspace else set())  # looked up only if need be
    absent: list[Entry] = []
    for line, details, stored in _placed(boards):
        if details is None:
            absent.append(line.entry)
            continue
        evidence = "stored" if stored else "yours" if line.entry.record in own() else "imported"
        rank, key = (line.entry.finished, line.id), (line.entry.trial, evidence)
        if key not in best or rank > best[key][0]:
            best[key] = rank, Trial(line.entry, evidence, details)
    known = {trial for trial, _ in best}
    found = [trial for _, trial in best.values()]
    return found, sum(entry.trial not in known for entry in absent)


def _placed(boards: Sequence[Board]) -> Iterable[tuple[Line, Details | None, bool]]:
    """Every line once, with the details that hold its record, and whether it is stored: line and bundle shipped."""
    seen: set[str] = set()
    for board in sorted(boards, key=lambda board: not board.shipped):
        for line in board.lines:
            if line.id in seen:
                continue
            seen.add(line.id)
            detail = line.entry.detail
            found = holder(board, boards, detail)
            # A line from elsewhere that names a bundle of the project is still from elsewhere.
            yield line, found and found.details, board.shipped and detail in board.details.published
