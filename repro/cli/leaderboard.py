"""Show, extend and verify the leaderboard: one line per trial, each naming the one before. Every action takes --json.

  show     arms ranked, with interval, chance to be the best, cost and evidence; what papers report stands apart
  add      your finished trials, from the workspace; or with --from, records that somebody gave you
  merge    another leaderboard's lines behind yours: the union by id, with the detail files beside it
  verify   chain and schema, every line against its record, verdicts against the published ones
  export   one row per trial, as csv or parquet

The chain shows edits since a commit that you trust: lines that were changed, removed or moved. It does not show who
wrote a line or whether its numbers were measured honestly. show, export and verify look at the project's leaderboard
and the workspace's, or at --file alone; add and merge write the workspace's, or --to. verify exits with 0 if all is
good, 1 if something is wrong, 2 if a leaderboard cannot be read (its line is named).

JSON keys: show: metric, groups [{experiment, scale, tasks, setting, metric, rows, more, problems, reported}], left_out;
add and merge: file, added; verify: files, findings [{file, wrong, what, line, text}], ok; export: file, rows.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repro.cli.common import add_json, add_root, print_json
from repro.errors import InputError
from repro.experiments.registry import SCALES

if TYPE_CHECKING:
    from repro.report.audit import Finding
    from repro.report.boards import Board

MOST_SHOWN = 20  # findings of one kind


def add_arguments(parser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True, parser_class=type(parser))

    def action(name: str, summary: str):
        child = actions.add_parser(name, help=summary, description=summary, allow_abbrev=False)
        add_root(child)
        add_json(child)
        return child.add_argument

    for name, summary in (("show", "rank arms"), ("export", "write one row per trial"), ("verify", "check every line")):
        argument = action(name, summary)
        argument("--file", type=Path, metavar="FILE", help="look at this leaderboard alone")
        if name == "verify":
            continue
        argument("--experiment", metavar="NAME", help="one experiment (default: all)")
        argument("--scale", choices=SCALES, help="one scale (default: all)")
        if name == "export":
            argument("out", type=Path, metavar="OUT", help="a file ending in .csv or .parquet")
        else:
            argument("--metric", default="accuracy", metavar="NAME", help="greedy, pass@8 …; pass@8:SET for one set")
            argument("--top", type=int, metavar="N", help="rows of each group (default: 20, fewer of many groups)")
    for name, summary in (("add", "append trials"), ("merge", "append another leaderboard's lines")):
        argument = action(name, summary)
        argument("--to", type=Path, metavar="FILE", help="the leaderboard to write (default: the workspace's)")
        if name == "add":
            argument("ids", nargs="*", metavar="ID", help="table1, table1@smoke … (default: all in the workspace)")
            argument("--from", type=Path, dest="source", metavar="FILE", help="a bundle or a record from outside")
        else:
            argument("other", type=Path, metavar="OTHER", help="a leaderboard.jsonl, its detail files beside it")


def main(args) -> int:
    return {"show": show, "add": add, "merge": merge, "verify": verify, "export": export}[args.action](args)


def show(args) -> int:
    from repro.cli.standings import text
    from repro.report.boards import trials
    from repro.report.standings import reported, standings
    from repro.store.workspace import Workspace

    if args.top is not None and args.top < 1:
        raise InputError(f"--top must be at least 1, not {args.top}")
    found, left_out = trials(boards(args), Workspace(args.root))
    groups = standings(found, args.metric, args.experiment, args.scale, args.top)
    papers = {group.experiment: reported(group.experiment.partition("@")[0]) for group in groups}
    if args.json:
        shown = [asdict(group) | {"reported": papers[group.experiment]} for group in groups]
        print_json({"metric": args.metric, "groups": shown, "left_out": left_out})
    else:
        print(text(groups, papers, left_out))
    return 0


def add(args) -> int:
    from repro.report.additions import add_records

    if args.source and args.ids:
        raise InputError("give ids of your own trials or --from FILE, not both")
    target = target_of(args)
    added = sum(add_records(target, records) for records in (outside(args) if args.source else own(args)))
    return _added(args, target, added)


def merge(args) -> int:
    from repro.report.additions import merge_board
    from repro.report.boards import open_board

    if not args.other.is_file():
        raise InputError(f"{args.other} is not a file: name a leaderboard.jsonl")
    target = target_of(args)
    return _added(args, target, merge_board(target, open_board(args.other), boards_at(places())))


def verify(args) -> int:
    from repro.cli.verify import wrong_verdicts

    looked_at = boards(args)
    findings = audited(args, looked_at)
    findings += [(board.path, found) for board in looked_at if board.shipped for found in wrong_verdicts(board.path)]
    good = not any(finding.wrong for _, finding in findings)
    if args.json:
        shown = [{"file": str(path), **asdict(finding)} for path, finding in findings]
        print_json({"files": [str(board.path) for board in looked_at], "findings": shown, "ok": good})
    else:
        print(summary(looked_at, findings))
    return 0 if good else 1


def export(args) -> int:
    from repro.report import trial_rows
    from repro.report.boards import trials
    from repro.report.standings import select
    from repro.store.workspace import Workspace

    found, _ = trials(boards(args), Workspace(args.root))
    chosen = select(found, args.experiment, args.scale)
    path = trial_rows.export(chosen, args.out)
    print_json({"file": str(path), "rows": len(chosen)}) if args.json else print(f"{len(chosen)} trials in {path}")
    return 0


def boards(args) -> list[Board]:
    """--file, else the project's leaderboard and the workspace's; InputError if there is none."""
    from repro.store.leaderboard import NAME
    from repro.store.workspace import Workspace

    results = Workspace(args.root).results
    found = boards_at([args.file] if args.file else places(results))
    if not found:
        raise InputError(f"there is no leaderboard {args.file or results / NAME}: repro leaderboard add makes one")
    return found


def places(*folders: Path) -> list[Path]:
    """Where leaderboards may be: with the project, then in the `folders` of results."""
    from repro.store.leaderboard import NAME

    shipped = _shipped()
    return [*([shipped] if shipped else []), *(folder / NAME for folder in folders)]


def boards_at(paths: list[Path]) -> list[Board]:
    """The leaderboards among `paths`, as far as there are any; InputError if one is damaged."""
    from repro.report.boards import open_board

    shipped = _shipped()
    return [
        open_board(path, shipped is not None and path.resolve() == shipped.resolve())
        for path in paths
        if path.is_file()
    ]


def _shipped() -> Path | None:
    from repro.store.leaderboard import NAME
    from repro.store.project import published_folder

    project = published_folder()
    return project / "results" / NAME if project else None


def target_of(args) -> Path:
    from repro.store.leaderboard import NAME
    from repro.store.workspace import Workspace

    return args.to or Workspace(args.root).results / NAME


def own(args) -> list[list[dict[str, Any]]]:
    """Per experiment id asked for, its finished trials, the newest of each, and the timing that belongs to them."""
    from repro.cli.pipeline import timing_record
    from repro.cli.report import stored_names, wanted
    from repro.experiments.plan import trial_records
    from repro.store.records import load_records, newest
    from repro.store.workspace import Workspace

    workspace, found = Workspace(args.root), []
    for name in wanted(args.ids, None, stored_names(workspace), str(workspace.results)):
        stored, problems = load_records(workspace, name)
        if problems:
            raise InputError(problems[0])
        records = newest(trial_records(stored))
        timing = timing_record(stored, records)
        found.append(records + [timing] if timing else records)
    return found


def outside(args) -> list[list[dict[str, Any]]]:
    from repro.store.foreign import read_foreign

    return [read_foreign(args.source)]


def audited(args, looked_at: list[Board]) -> list[tuple[Path, Finding]]:
    """(leaderboard, finding) for every leaderboard."""
    from repro.cli.verify import without_record
    from repro.report.audit import Finding, audit
    from repro.store.records import stored_hashes
    from repro.store.workspace import Workspace

    own, found = stored_hashes(Workspace(args.root)), []
    for board in looked_at:
        if not board.path.is_file():
            findings = [Finding(True, "missing", None, "there is no such file: get it anew from the repository")]
        else:
            findings = audit(board, own, looked_at)
            if board.shipped:
                findings = without_record(board, findings)
        found += [(board.path, finding) for finding in findings]
    return found


def summary(looked_at: list[Board], findings: list[tuple[Path, Finding]]) -> str:
    """One line per finding that is wrong, the first ones of every other kind, and a line per leaderboard."""
    shown: dict[str, int] = {}
    lines = []
    for path, finding in findings:
        shown[finding.what] = shown.get(finding.what, 0) + 1
        if finding.wrong or shown[finding.what] <= MOST_SHOWN:
            lines.append(f"{'wrong' if finding.wrong else 'note'}  {path}, {finding.text}")
    lines += [f"note  and {n - MOST_SHOWN} more: {what}" for what, n in shown.items() if n > MOST_SHOWN]
    for board in looked_at:
        wrong = sum(finding.wrong for path, finding in findings if path == board.path)
        lines.append(f"{board.path}: {len(board.lines)} lines, {f'{wrong} things wrong' if wrong else 'good'}")
    return "\n".join(lines)


def _added(args, target: Path, added: int) -> int:
    print_json({"file": str(target), "added": added}) if args.json else print(f"{added} lines added to {target}")
    return 0
