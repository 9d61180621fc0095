"""Files that appear whole or not at all, and operating-system errors as one clear line."""

from __future__ import annotations

import errno
import os
import secrets
from pathlib import Path

from repro.errors import InputError

TEMPORARY = ".tmp-"  # prefix of files being written; a killed writer may leave one behind

_REASONS = {
    errno.ENOSPC: "the disk is full: free some space or name another folder with --root",
    errno.EDQUOT: "the disk quota is used up: free some space or name another folder with --root",
    errno.EROFS: "the file system is read-only: name a writable folder with --root",
    errno.EACCES: "permission denied: name a writable folder with --root",
    errno.EPERM: "permission denied: name a writable folder with --root",
    errno.ENOTDIR: "a part of the path is a file, not a folder: name another folder with --root",
    errno.EEXIST: "a file is in the way: remove it or name another folder with --root",
    errno.EFBIG: "the file would exceed the size limit of this process or file system",
}


def explain(error: OSError, path: Path, doing: str = "write") -> InputError:
    """The `InputError` for an `OSError`, naming the path and the remedy."""
    reason = _REASONS.get(error.errno, error.strerror or str(error))
    return InputError(f"cannot {doing} {path}: {reason}")


def make_folder(path: Path) -> Path:
    """Create the folder and its parents if absent."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise explain(error, path, "create") from error
    return path


def write_whole(path: Path, data: bytes) -> Path:
    """Write `data` so that `path` holds either its old content or all of the new one, also after a crash.

    Temporary file in the same folder, fsync, rename, fsync of the folder. Raises `InputError`.
    """
    path = Path(path)
    make_folder(path.parent)
    temporary = path.parent / f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(6)}"
    try:
        try:
            with open(temporary, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(path.parent)
    except OSError as error:
        raise explain(error, path) from error
    return path


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network file systems cannot sync a folder
            raise
    finally:
        os.close(handle)
