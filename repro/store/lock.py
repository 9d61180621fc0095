"""One process at a time per trial, or per file. The kernel drops a lock when its holder dies, however it dies."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import weakref
from collections.abc import Iterator
from pathlib import Path

from repro.errors import InputError
from repro.store.files import explain, make_folder
from repro.store.workspace import Workspace, user_cache


@contextlib.contextmanager
def machine(alone: bool) -> Iterator[None]:
    """Hold this user's lock on the machine: shared while training, `alone` while timing; waits for the others.

    Without a writable cache folder there is no lock: it keeps times honest and decides no result.
    """
    try:
        make_folder(user_cache())
        handle = os.open(user_cache() / "machine.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except (OSError, InputError):
        yield
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def folder(path: Path) -> Iterator[None]:
    """Hold a folder alone while a file in it is read, changed and replaced; waits for the others.

    The folder itself is locked, so no lock file lies about. `InputError` if it cannot be opened. Not covered: network
    file systems without flock.
    """
    make_folder(path)
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise explain(error, path, "lock") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


class TrialLocked(InputError):
    """Another process is running this trial."""


class TrialLock:
    """`with TrialLock(workspace, key):` raises `TrialLocked` if another process holds it; `acquire` returns False.

    The lock file stays behind on release: removing it would let two processes lock two files of one name. A forked
    child does not keep the lock alive. Not covered: network file systems without flock.
    """

    def __init__(self, workspace: Workspace, key: str):
        self.path = workspace.locks / f"{key}.lock"
        self._handle: int | None = None

    @property
    def held(self) -> bool:
        return self._handle is not None

    def acquire(self) -> bool:
        """True if this object now holds the lock (or held it already); never waits."""
        if self.held:
            return True
        make_folder(self.path.parent)
        try:
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise explain(error, self.path, "lock") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(handle)
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                return False
            raise explain(error, self.path, "lock") from error
        self._handle = handle
        _HELD.add(self)
        try:
            os.ftruncate(handle, 0)
            os.write(handle, f"{os.getpid()}\n".encode())
        except OSError:
            pass  # the pid only serves the message; a full disk must not cost the lock
        return True

    def release(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
            _HELD.discard(self)

    def holder(self) -> int | None:
        """Process id of the last holder, as far as known."""
        try:
            return int(self.path.read_text())
        except (OSError, ValueError):
            return None

    def __enter__(self) -> TrialLock:
        if not self.acquire():
            raise TrialLocked(
                f"trial {self.path.stem[:12]} is being run by another process (pid {self.holder() or 'unknown'}): "
                "wait for it or name another folder with --root"
            )
        return self

    def __exit__(self, *_) -> None:
        self.release()


_HELD: weakref.WeakSet[TrialLock] = weakref.WeakSet()


def _forget_in_child() -> None:
    # An inherited descriptor would keep the lock after the parent's death. Closing it here leaves the parent's lock.
    for lock in list(_HELD):
        lock.release()


os.register_at_fork(after_in_child=_forget_in_child)
