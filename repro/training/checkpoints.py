"""Checkpoints that count only when they are whole: the manifest is fsynced and renamed into place last.

A checkpoint holds weights, optimizer, scheduler and random state (transformers), the critic, and the trial's own state
(health rows, curve, timers). It is taken on generation boundaries only, because the rollout buffer is not part of it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from safetensors import SafetensorError

from repro.errors import InputError

MANIFEST = "repro-manifest.json"
STATE = "repro-state.json"
_FULL = 16 << 20  # bytes; less is left when a write has failed for lack of room


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def writing(root: Path) -> Iterator[None]:
    """Context for writing a checkpoint under `root`: a write that fails is an InputError and leaves no partial one.

    torch and safetensors report a full disk as errors of their own. The message names no trial: side by side all trials
    meet the same full disk, and it is said once.
    """
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        full = shutil.disk_usage(root).free < _FULL
        reason = "the disk is full" if full else " ".join(str(error).split())[:200]
        for _, path in _numbered(root):
            if not (path / MANIFEST).exists():
                shutil.rmtree(path, ignore_errors=True)
        raise InputError(
            f"cannot write checkpoints in {root.parent}: {reason}: free some space or name another folder with --root"
        ) from error


def seal(folder: Path, state: dict) -> None:
    """Write the trial's state and then the manifest of all files; only now does the checkpoint exist."""
    (folder / STATE).write_text(json.dumps(state))
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST)
    for path in files:
        _sync(path)
    manifest = {str(path.relative_to(folder)): _digest(path) for path in files}
    temporary = folder / (MANIFEST + ".tmp")
    temporary.write_text(json.dumps(manifest, indent=1))
    _sync(temporary)
    temporary.rename(folder / MANIFEST)
    _sync(folder)


def is_whole(folder: Path) -> bool:
    """True if the manifest is there and every file is as it says."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        return (
            isinstance(manifest, dict)
            and STATE in manifest
            and all(_digest(folder / name) == digest for name, digest in manifest.items())
        )
    except (OSError, ValueError):
        return False


def _numbered(root: Path) -> list[tuple[int, Path]]:
    found = []
    for path in root.glob("checkpoint-*"):
        suffix = path.name.split("-", 1)[1]
        if path.is_dir() and suffix.isdigit():
            found.append((int(suffix), path))
    return sorted(found)


def latest(root: Path) -> Path | None:
    """The newest whole checkpoint under `root`; broken or unfinished ones are removed on the way."""
    for _, path in reversed(_numbered(root)):
        if is_whole(path):
            return path
        shutil.rmtree(path, ignore_errors=True)
    return None


def state(folder: Path) -> dict:
    """The trial's own state in a whole checkpoint."""
    return json.loads((folder / STATE).read_text())


def prune(root: Path, keep: int) -> None:
    """Keep the `keep` newest whole checkpoints."""
    whole = [path for _, path in _numbered(root) if (path / MANIFEST).exists()]
    for path in whole[:-keep] if keep else whole:
        shutil.rmtree(path, ignore_errors=True)
