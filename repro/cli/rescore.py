"""Judge stored completions by another checker and list the differences. Nothing in the store is changed.

Records keep the text of a few completions of each trial (all of them where evaluation.completions=all), so every figure
says of how many it speaks. The right answers come from the task, whose questions must be those of the record, by hash;
for real data sets name their folder with --data-dir. An ID is table1, table1@smoke, table5-svamp/grpo, or a glob: the
workspace's records, else the published ones (--published: always those). --checker names one of --list, or a Python
file that defines check(completion, gold) and returns true, false, or None where it finds no answer.

Outcomes: c correct, w wrong, u without an answer; a capital letter means that the completion was cut off. What is
printed of a completion has its control characters escaped.

JSON keys: checkers [{name, summary}] with --list; else checker, results [{id, origin, arms [{arm, set, trials, stored,
of, recorded, other, now_right, now_wrong, otherwise, recorded_of_all, other_of_all}], changes [{trial, set, question,
recorded, other, gold, completion}], stored, of, without, left_out}]. Accuracies are fractions; left_out counts changes
that --limit leaves out.
"""

from __future__ import annotations

import fnmatch
import os
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from repro.cli.common import add_json, add_root, add_scale, columns, data_dir, print_json, printable
from repro.errors import InputError

if TYPE_CHECKING:
    from repro.experiments.rescore import Rescored
    from repro.tasks.checkers import Checker

LIMIT = 20  # changes listed of each experiment
_LONGEST = 160  # characters of a completion on the terminal


def add_arguments(parser) -> None:
    add = parser.add_argument
    add("ids", nargs="*", metavar="ID", help="table1, table1/tbrm-n4, table1@smoke, or a glob")
    add("--checker", metavar="NAME_OR_FILE", help="strict, lenient … (see --list), or a Python file with check()")
    add("--list", action="store_true", help="the checkers there are")
    add_scale(parser)
    add("--published", action="store_true", help="from the repository's results/, not the workspace")
    add("--limit", type=int, default=LIMIT, metavar="N", help=f"changes listed of each experiment (default: {LIMIT})")
    add("--all", action="store_true", help="list every change, whole")
    add("--data-dir", metavar="DIR", help="folder of public data files (else REPRO_DATA_DIR, else the hub)")
    add("--unsafe-code", action="store_true", help="run model-written code without a sandbox")
    add_root(parser)
    add_json(parser)


def main(args) -> int:
    from repro.plugins.checkers import get

    if args.list:
        return listed(args)
    if args.checker is None or not args.ids:
        raise InputError("name what to judge and by which --checker: repro rescore table5-svamp --checker lenient")
    if args.limit < 0:
        raise InputError(f"--limit must not be negative, not {args.limit}")
    if args.unsafe_code:
        os.environ["REPRO_UNSAFE_CODE"] = "1"
    checker, data = get(args.checker), data_dir(args)
    results = []
    for name, origin, records in chosen(args):
        from repro.experiments.rescore import rescore

        try:
            results.append((name, origin, rescore(records, checker, data)))
        except InputError as error:
            raise InputError(f"{name}: {error}") from error
    if args.json:
        print_json({"checker": checker.name, "results": [to_json(args, *one) for one in results]})
    else:
        for one in results:
            print(text(args, checker, *one))
    return 0


def listed(args) -> int:
    from repro.tasks.checkers import CHECKERS

    rows = [(checker.name, checker.summary) for checker in CHECKERS.values()]
    if args.json:
        print_json({"checkers": [{"name": name, "summary": summary} for name, summary in rows]})
    else:
        print(columns(rows, ""))
    return 0


def chosen(args) -> list[tuple[str, str, list[dict[str, Any]]]]:
    """(experiment id, where its records are from, those of them that the command line names)."""
    from repro.cli.pipeline import select_stored
    from repro.cli.report import stored_names, wanted
    from repro.experiments.registry import suggest
    from repro.store.project import published_bundles
    from repro.store.published import read_bundle
    from repro.store.records import load_records
    from repro.store.workspace import Workspace

    workspace, bundles = Workspace(args.root), published_bundles()
    own = [] if args.published else stored_names(workspace)
    where = "the published results" if args.published else f"{workspace.results} or the published results"
    names: dict[str, list[str]] = {}
    for pattern in args.ids:
        for name in wanted([pattern], args.scale, sorted({*own, *bundles}), where):
            names.setdefault(name, []).append(pattern.partition("/")[2] or "*")
    found = []
    for name, arms in names.items():
        if name in own:
            stored, problems = load_records(workspace, name)
            for problem in problems:
                print(f"repro: {problem}", file=sys.stderr)
        else:
            stored = read_bundle(bundles[name])
        records = select_stored(name, stored).records
        picked = [r for r in records if any(fnmatch.fnmatchcase(r["arm"], arm) for arm in arms)]
        if not picked:
            known = dict.fromkeys(record["arm"] for record in records)
            raise InputError(f"{name} has no arm {arms[0]!r}: {suggest(arms[0], known)}")
        found.append((name, str(workspace.root) if name in own else "published", picked))
    return found


def listed_changes(args, found: Rescored) -> list[Any]:
    """The changes that are shown: flips first."""
    ordered = sorted(found.changes, key=lambda change: not change.flips)
    return ordered if args.all else ordered[: args.limit]


def to_json(args, name: str, origin: str, found: Rescored) -> dict[str, Any]:
    shown = listed_changes(args, found)
    content = asdict(found) | {"changes": [asdict(change) for change in shown]}
    del content["checker"]
    return {"id": name, "origin": origin, **content, "left_out": len(found.changes) - len(shown)}


def text(args, checker: Checker, name: str, origin: str, found: Rescored) -> str:
    """A row per arm, then the completions that change."""
    from repro.report.format import count, percent

    lines = [
        f"{name} ({origin}) by checker {checker.name}: {printable(checker.summary)}",
        f"{count(found.stored)} of {count(found.of)} sampled completions are stored: the figures hold for those",
    ]
    if found.without:
        lines.append(f"{count(found.without)} finished trials hold none and are left out")
    more = any(arm.other_of_all is not None for arm in found.arms)
    header = ("arm", "set", "stored", "recorded %", f"{checker.name} %", "now right", "now wrong", "other changes",
              "of all: recorded %", *([f"{checker.name} %"] if more else []))  # fmt: skip
    rows = [
        (
            arm.arm, printable(arm.set), f"{count(arm.stored)} of {count(arm.of)}", percent(arm.recorded),
            percent(arm.other), str(arm.now_right), str(arm.now_wrong), str(arm.otherwise),
            percent(arm.recorded_of_all), *([percent(arm.other_of_all)] if more else []),
        )
        for arm in found.arms
    ]  # fmt: skip
    lines.append(columns([header, *rows]))
    shown = listed_changes(args, found)
    if not found.changes:
        lines.append("no completion is judged differently")
    for change in shown:
        gold, completion = (_told(told, args.all) for told in (change.gold, change.completion))
        where = f"{change.trial} {printable(change.set)} {printable(change.question)}"
        letters = f"{printable(change.recorded)} -> {change.other}"
        lines.append(f"  {letters}  {where}, right: {gold}: {completion}")
    if len(found.changes) > len(shown):
        lines.append(f"  and {len(found.changes) - len(shown)} more changes: --all")
    return "\n".join(lines)


def _told(text: str, whole: bool) -> str:
    shown = printable(text)
    return shown if whole or len(shown) <= _LONGEST else f"{shown[:_LONGEST]} … ({len(shown)} characters: --all)"
