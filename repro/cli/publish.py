"""For maintainers: promote a workspace's records into the repository and regenerate its published folders.

Writes results/<experiment>.jsonl.gz, appends its core arms to results/leaderboard.jsonl, then writes paper_tables/ and
figures/ from every bundle in results/. Only complete experiments as registered can be published: no smoke run, no
variant, every core arm done on every seed. Without an ID: all that the workspace has. --only-regenerate leaves the
bundles as they are. JSON keys: published [ids], bundles [paths], files [paths], leaderboard_lines (count of new ones).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from repro.cli.common import add_json, add_root, print_json
from repro.errors import InputError


def add_arguments(parser) -> None:
    parser.add_argument("ids", nargs="*", metavar="ID", help="table1, table1@paper, table1-tuning, or a glob")
    parser.add_argument("--to", type=Path, default=Path("."), metavar="DIR", help="the repository (default: here)")
    parser.add_argument("--only-regenerate", action="store_true", help="only rebuild tables and figures from results/")
    add_root(parser)
    add_json(parser)


def main(args) -> int:
    from repro.cli.report import stored_names, wanted
    from repro.store.published import bundle_path, write_bundle
    from repro.store.workspace import Workspace

    check_repository(args.to)
    bundles, names = [], []
    if not args.only_regenerate:
        workspace = Workspace(args.root)
        known = [name for name in stored_names(workspace) if publishable(name)]
        names = wanted(args.ids, None, known, str(workspace.results))
        promoted = {name: promote(name, workspace) for name in names}  # all are checked before any is written
        bundles = [write_bundle(bundle_path(args.to / "results", name), records) for name, records in promoted.items()]
    added = extend_leaderboard(args.to)
    files = regenerate(args.to)
    if args.json:
        found = {"published": names, "bundles": list(map(str, bundles)), "files": list(map(str, files))}
        print_json(found | {"leaderboard_lines": added})
    else:
        said = f"published {', '.join(names) or 'nothing new'}; {added} lines added to the leaderboard"
        print(f"{said}; {len(files)} files regenerated in {args.to}")
    return 0


def extend_leaderboard(repository: Path) -> int:
    """Append a line for every core trial in `repository/results` that has none; how many those were."""
    from repro.report.entries import published_entries
    from repro.store import leaderboard
    from repro.store.details import Details

    details = Details(repository / "results")
    bundles = sorted(details.published.values())
    entries = [entry for path in bundles for entry in published_entries(path, details)]
    return leaderboard.append(details.folder / leaderboard.NAME, entries)


def check_repository(folder: Path) -> None:
    """InputError unless `folder` is a checkout of this project."""
    from repro.store.project import is_checkout

    if not is_checkout(folder):
        raise InputError(f"{folder} is not a checkout of this repository: name one with --to")


def publishable(name: str) -> bool:
    """True for an experiment id without variant, at any scale but smoke."""
    _, _, detail = name.partition("@")
    return detail in ("", "small", "paper")


def promote(name: str, workspace) -> list[dict[str, Any]]:
    """The records that go into the bundle: those of the experiment as registered, its timing and its plan."""
    from repro.cli.pipeline import stored_configs, timing_record
    from repro.experiments import registry
    from repro.experiments.plan import current
    from repro.experiments.planned import plan_record
    from repro.store.records import load_records

    stored, problems = load_records(workspace, name)
    if problems:
        raise InputError(problems[0])
    experiment, scale = registry.get(name.partition("@")[0]), stored[0]["scale"]
    records = current(stored_configs(experiment, scale, stored), stored)
    done = {(record["arm"], record["seed"]) for record in records if record["status"] == "done"}
    here = registry.settings(experiment, scale)
    for arm in experiment.core_arms:
        missing = [seed for seed in range(here.first_seed, here.first_seed + here.seeds) if (arm.id, seed) not in done]
        if missing:
            seeds = ", ".join(map(str, missing))
            raise InputError(f"{name}: {arm.id} has no finished record of today's definition for seed {seeds}: run it")
    if any(record["provenance"].get("dirty") for record in records):
        print(f"repro: {name}: some records were made with uncommitted changes", file=sys.stderr)
    commits = {str(record["provenance"].get("commit"))[:7] for record in records}
    if len(commits) > 1:
        print(f"repro: {name}: records of several commits: {', '.join(sorted(commits))}", file=sys.stderr)
    extra = (timing_record(stored, records), plan_record(stored, experiment))
    return records + [record for record in extra if record]


def regenerate(repository: Path, out: Path | None = None, names: Sequence[str] | None = None) -> list[Path]:
    """Tables and figures of the bundles in `repository/results`, written below `out` (else the repository).

    `names`: experiments; None means all.
    """
    from repro.cli.pipeline import report_stored
    from repro.store.project import bundles
    from repro.store.published import read_bundle
    from repro.store.workspace import Workspace

    target = Workspace(out or repository)
    files: list[Path] = []
    for name, path in bundles(repository).items():
        if names is None or name in names:
            files += report_stored(name, target, read_bundle(path)).files
    return files
