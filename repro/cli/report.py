"""Write tables and figures from stored records alone; trains nothing. Without an ID: everything the workspace has.

--published takes the records that ship with the repository instead of the workspace's. --html writes pages for a
browser, of the published and of the workspace's results, into one folder that needs no network. JSON keys: reports
[{id, experiment, title, scale, setting, arms, claims, noise_floor, ledger, reported, command, files}]; with --html:
html {folder, index, reports [{origin, id}], claims {verdict: number}}.
"""

from __future__ import annotations

import fnmatch
import sys
from pathlib import Path

from repro.cli.common import add_json, add_root, add_scale, print_json
from repro.errors import InputError
from repro.experiments import registry
from repro.store.project import published_bundles


def add_arguments(parser) -> None:
    parser.add_argument("ids", nargs="*", metavar="ID", help="table1, table1@smoke, table1@1a2b3c4d, or a glob")
    add_scale(parser)
    parser.add_argument("--published", action="store_true", help="from the repository's results/, not the workspace")
    parser.add_argument("--html", action="store_true", help="pages for a browser: claims, arms, methods, questions")
    parser.add_argument("--out", metavar="FOLDER", help="where --html writes (default: html in the workspace)")
    add_root(parser)
    add_json(parser)


def main(args) -> int:
    if args.html:
        return pages(args)
    if args.out:
        raise InputError("--out says where the pages go: give it together with --html")
    from repro.cli.pipeline import report_stored
    from repro.report.console import final, to_json
    from repro.store.workspace import Workspace

    workspace = Workspace(args.root)
    made = []
    if args.published:
        from repro.store.published import read_bundle

        bundles = published_bundles()
        for name in wanted(args.ids, args.scale, list(bundles), "the published results"):
            made.append(report_stored(name, workspace, read_bundle(bundles[name])))
    else:
        from repro.store.records import load_records

        for name in wanted(args.ids, args.scale, stored_names(workspace), str(workspace.results)):
            stored, problems = load_records(workspace, name)
            for problem in problems:
                print(f"repro: {problem}", file=sys.stderr)
            made.append(report_stored(name, workspace, stored))
    if args.json:
        print_json({"reports": [to_json(one) for one in made]})
        return 0
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else 160)
    for one in made:
        console.print(final(one))
    return 0


def pages(args) -> int:
    """The report as pages: published results first, then the workspace's."""
    from repro.cli import site
    from repro.report.html.claims import count
    from repro.store.workspace import Workspace

    workspace = Workspace(args.root)
    bundles = published_bundles()
    own = [] if args.published else stored_names(workspace)
    where = "the published results" if args.published else f"{workspace.results} or the published results"
    known = sorted({*bundles, *own}, key=lambda name: (name.startswith("figure"), name))  # tables first
    names = wanted(args.ids, args.scale, known, where)
    sources = [(site.STORED, name) for name in names if name in bundles]
    sources += [(site.YOURS, name) for name in names if name in own]
    target = Path(args.out) if args.out else workspace.root / "html"
    made = site.write(sources, bundles, workspace, target, lambda line: print(f"repro: {line}", file=sys.stderr))
    counts = dict(count(made.claims))
    if args.json:
        reports = [{"origin": origin, "id": name} for origin, name in sources]
        found = {"folder": str(target), "index": str(target / "index.html"), "reports": reports, "claims": counts}
        print_json({"html": found})
    else:
        words = ", ".join(f"{number} {word}" for word, number in counts.items() if number) or "no claims"
        print(f"{len(sources)} reports ({words}); open {target / 'index.html'}")
    return 0


def stored_names(workspace) -> list[str]:
    """Experiment ids (scale and variant included) that have a folder of records."""
    if not workspace.results.is_dir():
        return []
    return sorted(path.name for path in workspace.results.iterdir() if path.is_dir() and any(path.glob("*.json")))


def wanted(ids: list[str], scale: str | None, known: list[str], where: str) -> list[str]:
    """The stored experiment ids that the command line names; all of them without one."""
    if not known:
        raise InputError(f"no records in {where}: run an experiment first, or name another folder with --root")
    ids = ids or ["*" if scale in (None, "micro") else f"*@{scale}"]
    result: dict[str, None] = {}
    for pattern in ids:
        name = pattern.partition("/")[0]
        if scale and scale != "micro" and "@" not in name:
            name += f"@{scale}"
        found = [item for item in known if fnmatch.fnmatchcase(item, name)]
        if not found:
            raise InputError(f"no records of {pattern!r} in {where}: {registry.suggest(name, known)}")
        result.update(dict.fromkeys(found))
    return list(result)
