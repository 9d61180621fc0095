"""Remove what no trial needs any more: checkpoints of finished trials, free locks, files of killed writers.

--all also removes checkpoints of unfinished trials, samples of stage 1, logs and unreadable record files; it asks
first, or takes --yes.
Good records, tables and figures are never touched. JSON keys: removed [paths], bytes.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

from repro.cli.common import add_json, add_root, print_json
from repro.errors import InputError

_KEY = re.compile(r"[0-9a-f]{64}")
_LOCK = re.compile(r"(launch-)?[0-9a-f]{64}\.lock")
_RECORD = re.compile(r".+-seed\d+-[0-9a-f]{12}\.json")


def add_arguments(parser) -> None:
    parser.add_argument("--all", action="store_true", help="also unfinished checkpoints, logs and unreadable records")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    add_root(parser)
    add_json(parser)


def main(args) -> int:
    from repro.cli.status import held_locks
    from repro.store.workspace import Workspace

    workspace = Workspace(args.root)
    if not all(folder.is_dir() for folder in (workspace.results, workspace.checkpoints, workspace.locks)):
        raise InputError(f"{workspace.root} is not a workspace: name one with --root")
    held = held_locks(workspace)
    if held:
        raise InputError(f"a trial is running in {workspace.root} (pid {held[0][1]}): wait for it or stop it first")
    paths = removable(workspace, args.all)
    if args.all and paths and not args.yes:
        confirm(f"remove {len(paths)} paths below {workspace.root}, unfinished checkpoints among them?")
    size = sum(map(weight, paths))
    for path in paths:
        workspace.inside(path.parent)
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
    if args.json:
        print_json({"removed": [str(path) for path in paths], "bytes": size})
    else:
        print(f"removed {len(paths)} paths, {size / 2**20:.1f} MiB" if paths else "nothing to remove")
    return 0


def removable(workspace, everything: bool) -> list[Path]:
    """What may go. Only files of this suite's own naming count: a folder may hold other things as well."""
    from repro.store.records import load_records, read_record

    records, _ = load_records(workspace)
    done = {record["key"] for record in records if record["kind"] == "trial" and record["status"] == "done"}
    checkpoints = sorted(path for path in workspace.checkpoints.iterdir() if _KEY.fullmatch(path.name))
    paths = [path for path in checkpoints if everything or path.name in done]
    paths += sorted(path for path in workspace.locks.glob("*.lock") if _LOCK.fullmatch(path.name))
    stage1 = workspace.root / "stage1"
    own = (workspace.results, workspace.tables, workspace.figures, workspace.checkpoints, stage1)
    paths += [path for path in workspace.leftovers() if path.parent == workspace.root or _inside(path, own)]
    if everything:
        paths += sorted(path for path in stage1.glob("*") if _KEY.fullmatch(path.name))
        paths += sorted((workspace.root / "logs").glob("*/*-seed*.log"))
        for path in sorted(path for path in workspace.results.glob("*/*.json") if _RECORD.fullmatch(path.name)):
            try:
                read_record(path)
            except InputError:
                paths.append(path)
    return [path for path in dict.fromkeys(paths) if not any(parent in paths for parent in path.parents)]


def _inside(path: Path, folders: tuple[Path, ...]) -> bool:
    return any(folder in path.parents for folder in folders)


def weight(path: Path) -> int:
    """Bytes of a file or of everything below a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.lstat().st_size for file in files if file.is_file() or file.is_symlink())


def confirm(question: str) -> None:
    """Return if the user says yes; otherwise InputError. Where nobody can be asked, --yes is needed."""
    if not sys.stdin.isatty():
        raise InputError("--all removes work in progress: add --yes")
    if input(f"{question} [y/N] ").strip().lower() not in ("y", "yes"):
        raise InputError("nothing removed")
