"""What is done, running, failed or damaged in a workspace.

JSON keys: root, experiments [{id, done, failed, trials [{id, arm, seed, status, accuracy, error}]}],
running [{id (null if unknown), pid}], unfinished (count of checkpoint folders), problems [unreadable files].
"""

from __future__ import annotations

import os
from itertools import groupby
from statistics import fmean
from typing import Any

from repro.cli.common import add_json, add_root, columns, print_json
from repro.experiments.registry import experiments, select
from repro.experiments.resolve import resolve_selection


def add_arguments(parser) -> None:
    add_root(parser)
    add_json(parser)


def main(args) -> int:
    from repro.store.workspace import Workspace

    found = collect(Workspace(args.root))
    print_json(found) if args.json else print(text(found))
    return 0


def collect(workspace) -> dict[str, Any]:
    from repro.store.records import load_records

    records, problems = load_records(workspace)
    rows = [
        {
            "id": record["id"],
            "arm": record["arm"],
            "seed": record["seed"],
            "status": record["status"],
            "accuracy": accuracy(record),
            "error": (record["error"] or {}).get("message"),
        }
        for record in records
        if record["kind"] == "trial"
    ]
    groups = groupby(sorted(rows, key=lambda row: row["id"].split("/")[0]), key=lambda row: row["id"].split("/")[0])
    stored = [(name, list(own)) for name, own in groups]
    done_keys = {record["key"] for record in records if record["status"] == "done"}
    checkpoints = workspace.checkpoints.iterdir() if workspace.checkpoints.is_dir() else ()
    return {
        "root": str(workspace.root),
        "experiments": [
            {
                "id": name,
                "done": sum(row["status"] == "done" for row in own),
                "failed": sum(row["status"] == "failed" for row in own),
                "trials": own,
            }
            for name, own in stored
        ],
        "running": running(workspace),
        "unfinished": sum(path.is_dir() and path.name not in done_keys for path in checkpoints),
        "problems": problems,
    }


def accuracy(record: dict[str, Any]) -> float | None:
    """Mean over sets of Avg@n accuracy; None for a trial without metrics."""
    values = [value for name, value in record["metrics"].items() if name.endswith("/accuracy")]
    return fmean(values) if values else None


def running(workspace) -> list[dict[str, Any]]:
    """The trials whose lock is held at this moment; the id of a changed run (--set …) is not known from its lock."""
    held = held_locks(workspace)
    if not held:
        return []
    names = lock_names()
    return [{"id": names.get(path.stem), "pid": pid} for path, pid in held]


def held_locks(workspace) -> list[tuple[Any, int | None]]:
    """(lock file, pid of its holder) of every lock that another process holds."""
    from repro.store.lock import TrialLock

    held = []
    for path in sorted(workspace.locks.glob("*.lock")) if workspace.locks.is_dir() else ():
        lock = TrialLock(workspace, path.stem)
        pid = lock.holder()
        if pid is None or not _alive(pid):  # nobody is disturbed by a look at a lock without a holder
            continue
        if lock.acquire():
            lock.release()
        else:
            held.append((path, pid))
    return held


def lock_names() -> dict[str, str]:
    """Lock name -> trial id, for every registered trial."""
    from repro.launch.child import lock_name

    return {
        lock_name(config): config.id
        for experiment in experiments().values()
        for scale in experiment.scales
        for selection in select([experiment.id], scale, "all")
        for config in resolve_selection(selection)
    }


def text(found: dict[str, Any]) -> str:
    lines = [f"workspace {found['root']}"]
    if not found["experiments"]:
        lines.append("no finished trials yet")
    for experiment in found["experiments"]:
        lines.append(f"{experiment['id']}: {experiment['done']} done, {experiment['failed']} failed")
        by_arm = groupby(experiment["trials"], key=lambda row: row["arm"])
        rows = []
        for arm, own in by_arm:
            cells = [f"seed{row['seed']} {_cell(row)}" for row in own]
            rows.append((arm, "  ".join(cells)))
        lines.append(columns(rows))
        lines += [f"  failed: {row['id']}: {row['error']}" for row in experiment["trials"] if row["status"] == "failed"]
    for trial in found["running"]:
        name = trial["id"] or "a trial changed by --set, --task, --model or --method"
        lines.append(f"running: {name} (pid {trial['pid']})")
    if found["unfinished"]:
        lines.append(f"{found['unfinished']} unfinished trials have checkpoints: the same command goes on from there")
    lines += [f"problem: {problem}" for problem in found["problems"]]
    return "\n".join(lines)


def _cell(row: dict[str, Any]) -> str:
    return row["status"] if row["accuracy"] is None else f"{100 * row['accuracy']:.1f}"


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
