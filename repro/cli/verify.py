"""Make every committed table, figure and verdict again from the stored records, and say which differ.

Without an EXPERIMENT: all that results/ has, and the leaderboard. Compared byte by byte: tables (md with its verdicts,
csv, tex) and the numbers of the figures (csv); pictures (png, svg) only where matplotlib and FreeType are the pinned
ones, for other versions draw the same numbers by other pixels. One line per file. Exit code 0: all the same; 1:
something differs; 2: a record file or a leaderboard cannot be read.

JSON keys: experiments [ids], files [{file, status, detail}] with status "same", "differs", "missing", "left over" or
"not compared"; leaderboard [findings as in repro leaderboard verify]; ok.
"""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from repro.cli.common import add_json, add_root, columns, print_json
from repro.errors import InputError

if TYPE_CHECKING:
    from repro.report.audit import Finding
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
    from repro.store.project import bundles, checkout

    folder = checkout()
    if folder is None:
        raise InputError("no published records here: run this in a checkout of the repository")
    names = wanted(args.ids, None, list(bundles(folder)), str(folder / "results"))
    board = open_board(folder / "results" / NAME, shipped=True)
    with tempfile.TemporaryDirectory() as made:
        checks = check_files(folder, Path(made), names)
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


def check_files(folder: Path, made: Path, names: list[str]) -> list[Check]:
    """Write the files of the experiments `names` below `made` and compare them with those of the checkout `folder`."""
    from repro.cli.publish import regenerate
    from repro.report.committed import compare, drawn_alike

    files = regenerate(folder, made, names)
    return compare(files, made, folder, names, drawn_alike(folder))


def wrong_verdicts(board: Path) -> list[Finding]:
    """Published experiments whose verdicts, computed again from their records, are not those of their table."""
    from repro.cli.pipeline import select_stored
    from repro.report.audit import Finding
    from repro.report.committed import section
    from repro.report.markdown import markdown
    from repro.store.project import bundles
    from repro.store.published import read_bundle

    findings = []
    for name, bundle in bundles(board.parent.parent).items():
        table = board.parent.parent / "paper_tables" / f"{name}.md"
        made = markdown(select_stored(name, read_bundle(bundle)).compile())
        if not table.is_file() or section(table.read_text(encoding="utf-8"), "Claims") != section(made, "Claims"):
            findings.append(Finding(True, "verdicts", None, f"the verdicts of {name} are not those of {table}"))
    return findings
