"""Make every committed table, figure and verdict again from the stored records, and say which differ.

Without an EXPERIMENT: all that results/, paper_tables/, figures/ and the leaderboard name; records that are not there
and files that no record makes fail as well. Compared byte by byte: tables (md with its verdicts, csv, tex) and the
numbers of the figures (csv); pictures (png, svg) only where matplotlib and FreeType are the pinned ones, for other
versions draw the same numbers by other pixels. One line per file. Exit code 0: all the same; 1: something differs; 2: a
record file or a leaderboard cannot be read.

JSON keys: experiments [ids], files [{file, status, detail}] with status "same", "differs", "missing", "left over" or
"not compared"; leaderboard [findings as in repro leaderboard verify]; ok.
"""

from __future__ import annotations

import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from repro.cli.common import add_json, add_root, columns, print_json
from repro.errors import InputError
from repro.store.project import SUFFIX, bundles

if TYPE_CHECKING:
    from repro.report.audit import Finding
    from repro.report.boards import Board
    from repro.report.committed import Check


def add_arguments(parser) -> None:
    parser.add_argument("ids", nargs="*", metavar="EXPERIMENT", help="table1, table1-tuning, or a glob (default: all)")
    add_root(parser)
    add_json(parser)


def main(args) -> int:
    from repro.cli.leaderboard import audited, summary
    from repro.cli.report import wanted
    from repro.report.boards import open_board
    from repro.store.leaderboard import NAME
    from repro.store.project import checkout

    folder = checkout()
    if folder is None:
        raise InputError("no published records here: run this in a checkout of the repository")
    board = open_board(folder / "results" / NAME, shipped=True)
    names = wanted(args.ids, None, expected(folder, board), str(folder / "results"))
    with tempfile.TemporaryDirectory() as made:
        checks = check_files(folder, Path(made), names, everything=not args.ids)
    # The tables hold the verdicts: they are compared above.
    findings = audited(args, [board])
    good = all(check.good for check in checks) and not any(finding.wrong for _, finding in findings)
    if args.json:
        found = [{"file": str(path), **asdict(finding)} for path, finding in findings]
        shown = [asdict(check) for check in checks]
        print_json({"experiments": names, "files": shown, "leaderboard": found, "ok": good})
    else:
        print(columns([(check.status, check.file, check.detail) for check in checks], ""))
        print(summary([board], findings))
        print(f"{len(checks)} files of {', '.join(names)}: {'all as their records say' if good else 'NOT verified'}")
    return 0 if good else 1


def check_files(folder: Path, made: Path, names: list[str], everything: bool = False) -> list[Check]:
    """Write the files of the experiments `names` below `made` and compare them with those of the checkout `folder`.

    `everything`: files of the checkout that belong to none of them are left over. Records that are not there are
    missing.
    """
    from repro.cli.publish import regenerate
    from repro.report.committed import Check, compare, drawn_alike

    files = regenerate(folder, made, names)
    stored = bundles(folder)
    missing = [Check(f"results/{name}{SUFFIX}", "missing", "no records") for name in names if name not in stored]
    return missing + compare(files, made, folder, None if everything else names, drawn_alike(folder))


def expected(folder: Path, board: Board) -> list[str]:
    """The ids of the experiments whose records a checkout should hold.

    They are those that it has records of, those that a table or figure is named after, and those of the published
    lines of its leaderboard.
    """
    from repro.cli.publish import publishable
    from repro.experiments import registry
    from repro.report.committed import held

    named = {Path(name).name.partition(".")[0].partition("_")[0] for name in held(folder)}
    known = {name for name in named if name.partition("@")[0] in registry.experiments()}
    lines = (line.entry for line in board.lines if line.entry.detail not in board.details.packs)
    known |= {entry.experiment_id for entry in lines}
    return sorted({*bundles(folder), *filter(publishable, known)})


def without_record(board: Board, findings: list[Finding]) -> list[Finding]:
    """`findings` of the project's leaderboard, where a published line whose record is not there is wrong.

    A later line of the same trial excuses it: its experiment was published anew.
    """
    from repro.cli.publish import publishable

    last = {line.entry.trial: line.number for line in board.lines if publishable(line.entry.experiment_id)}
    bare = {number for number in last.values() if not board.details.find(board.lines[number - 1].entry.detail)}
    return [
        replace(finding, wrong=True, what="missing") if finding.line in bare and not finding.wrong else finding
        for finding in findings
    ]


def wrong_verdicts(board: Path) -> list[Finding]:
    """Published experiments whose verdicts, computed again from their records, are not those of their table."""
    from repro.cli.pipeline import select_stored
    from repro.report.audit import Finding
    from repro.report.committed import section
    from repro.report.markdown import markdown
    from repro.store.published import read_bundle

    findings = []
    for name, bundle in bundles(board.parent.parent).items():
        table = board.parent.parent / "paper_tables" / f"{name}.md"
        made = markdown(select_stored(name, read_bundle(bundle)).compile())
        if not table.is_file() or section(table.read_text(encoding="utf-8"), "Claims") != section(made, "Claims"):
            findings.append(Finding(True, "verdicts", None, f"the verdicts of {name} are not those of {table}"))
    return findings
