"""A folder that appears whole or not at all: written beside its place, then renamed into it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from repro.errors import InputError

MARKER = "repro-report.json"  # a folder with this file is a report, and may be replaced by a newer one


@contextmanager
def new_folder(target: Path | str) -> Iterator[Path]:
    """An empty folder to write into; it takes the place of `target` once the block ends, and is removed if it fails.

    `InputError` if `target` is a file, cannot be written, or is a folder with other contents than a report.
    """
    target = Path(target).expanduser().resolve()
    _check(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise _explain(error, target) from error
    try:
        yield made
        made.chmod(0o755)  # mkdtemp's is for its owner alone
        _swap(made, target)
    except OSError as error:
        raise _explain(error, target) from error
    finally:
        shutil.rmtree(made, ignore_errors=True)


def write_file(path: Path, text: str) -> None:
    """Write into a folder of `new_folder`, with the folders in between."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")


def _check(target: Path) -> None:
    if target.exists() and not target.is_dir():
        raise InputError(f"cannot write {target}: a file is in the way; name another folder with --out")
    if target.is_dir() and any(target.iterdir()) and not (target / MARKER).is_file():
        raise InputError(f"{target} holds something else than a report: name another folder with --out, or empty it")


def _swap(made: Path, target: Path) -> None:
    if not target.exists():
        os.rename(made, target)
        return
    old = made.with_name(made.name + ".old")
    os.rename(target, old)
    try:
        os.rename(made, target)
    except OSError:
        os.rename(old, target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _explain(error: OSError, target: Path) -> InputError:
    return InputError(f"cannot write {target}: {error.strerror or error}; name another folder with --out")
