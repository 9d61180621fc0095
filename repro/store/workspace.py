"""A user's workspace: the folders of results, tables, figures, checkpoints and locks under one root."""

from __future__ import annotations

import os
from pathlib import Path

from repro.errors import InputError
from repro.store.files import TEMPORARY, make_folder, write_whole


def user_cache() -> Path:
    """Trained micro bases and the like, shared by all workspaces of a user; `REPRO_CACHE_DIR` names another."""
    named = os.environ.get("REPRO_CACHE_DIR")
    if named:
        return Path(named).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "repro-bench"


class Workspace:
    """Paths below `root`. Nothing is created before it is written, so reading an absent workspace leaves no trace."""

    def __init__(self, root: Path | str = "runs"):
        self.root = Path(root).expanduser()
        self.results = self.root / "results"
        self.tables = self.root / "paper_tables"
        self.figures = self.root / "figures"
        self.checkpoints = self.root / "checkpoints"
        self.locks = self.root / "locks"

    def __repr__(self) -> str:
        return f"Workspace({str(self.root)!r})"

    def checkpoint(self, key: str) -> Path:
        """Folder of one trial's checkpoints."""
        return self.checkpoints / key

    def prepare(self) -> Workspace:
        """Create the root and prove that it can be written; `InputError` if read-only, full or a file."""
        probe = self.root / f"{TEMPORARY}probe-{os.getpid()}"
        write_whole(probe, b"probe")
        probe.unlink(missing_ok=True)
        for folder in (self.results, self.checkpoints, self.locks):
            make_folder(folder)
        return self

    def inside(self, path: Path | str) -> Path:
        """`path` resolved, if it lies in this workspace; otherwise `InputError` (checkpoints are read only here)."""
        resolved = Path(path).resolve()
        if not resolved.is_relative_to(self.root.resolve()):
            raise InputError(f"{path} is not inside the workspace {self.root}: name its workspace with --root")
        return resolved

    def leftovers(self) -> list[Path]:
        """Temporary files that a killed writer left behind (also those of a writer at work)."""
        return sorted(self.root.rglob(f"{TEMPORARY}*")) if self.root.is_dir() else []
