"""The sequence behind `repro report --html`: which experiments, their tables and figures, then the pages."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repro.cli.pipeline import report_stored, select_stored
from repro.errors import InputError
from repro.store.published import read_bundle
from repro.store.records import load_records
from repro.store.workspace import Workspace

if TYPE_CHECKING:
    from repro.report import Report
    from repro.report.html import Entry, Site
    from repro.report.standings import Group

STORED, YOURS = "stored", "yours"  # where results are from: published with the suite, or a workspace
Sources = list[tuple[str, str]]  # (origin, experiment id)


def write(
    sources: Sources, bundles: dict[str, Path], workspace: Workspace, target: Path, tell: Callable[[str], None]
) -> Site:
    """The pages of `sources` in the folder `target`. `tell` gets a line per record that cannot be read."""
    from repro.report.html import write_site

    def entries() -> Iterator[Entry]:
        for origin, name in sources:
            yield _published(name, bundles[name]) if origin == STORED else _own(name, workspace, tell)

    gc.disable()  # records are trees: the collector would walk thousands of them again and again, and free nothing
    try:
        return write_site(entries(), target, _groups(sources, workspace, tell))
    finally:
        gc.enable()


def _groups(sources: Sources, workspace: Workspace, tell: Callable[[str], None]) -> list[Group]:
    """What the leaderboard says of these experiments; of the workspace's only where its results are shown."""
    from repro.cli.leaderboard import boards_at, places
    from repro.report.boards import trials
    from repro.report.standings import MOST_ROWS, standings

    own = [workspace] if any(origin == YOURS for origin, _ in sources) else []
    try:
        found, _ = trials(boards_at(places(*(one.results for one in own))), *own)
    except InputError as problem:  # the pages do not hang on it
        tell(str(problem))
        return []
    names = {name for _, name in sources}
    groups = standings([one for one in found if one.entry.experiment_id in names], top=MOST_ROWS)
    for problem in (problem for group in groups for problem in group.problems):
        tell(problem)
    return groups


def _published(name: str, bundle: Path) -> Entry:
    """The published tables and figures are shown as they are."""
    stored = read_bundle(bundle)
    return _entry(name, STORED, stored, files_of(name, bundle.parents[1]))


def _own(name: str, workspace: Workspace, tell: Callable[[str], None]) -> Entry:
    """Tables and figures of the workspace; they are drawn anew only where a record is newer than they are."""
    stored, problems = load_records(workspace, name)
    for problem in problems:
        tell(problem)
    files = files_of(name, workspace.root)
    if files and _newest(workspace.results / name, "*.json") <= min(path.stat().st_mtime for path in files):
        return _entry(name, YOURS, stored, files)
    made = report_stored(name, workspace, stored)
    return _entry(name, YOURS, stored, made.files, made)


def _entry(
    name: str, origin: str, stored: Sequence[dict[str, Any]], files: tuple[Path, ...], made: Report | None = None
) -> Entry:
    from repro.report.html import Entry

    chosen = select_stored(name, stored)
    return Entry(made or chosen.compile(), origin, chosen.records, files)


def files_of(name: str, root: Path) -> tuple[Path, ...]:
    """The tables and figures of one experiment id below `root`."""
    patterns = (("paper_tables", f"{name}.*"), ("paper_tables", f"{name}_*"), ("figures", f"{name}_*"))
    return tuple(path for folder, pattern in patterns for path in sorted((root / folder).glob(pattern)))


def _newest(folder: Path, pattern: str) -> float:
    return max((path.stat().st_mtime for path in folder.glob(pattern)), default=0.0)
