import multiprocessing
import os
import signal
import time

import pytest

from repro.store.lock import TrialLock, TrialLocked
from repro.store.workspace import Workspace

FORK = multiprocessing.get_context("fork")


def _hold(root, ready, until):
    with TrialLock(Workspace(root), "k"):
        ready.set()
        until.wait(60)


def _hold_and_leave_a_child(root, ready, child):
    lock = TrialLock(Workspace(root), "k")
    assert lock.acquire()
    pid = os.fork()
    if pid == 0:
        time.sleep(60)
        os._exit(0)
    child.value = pid
    ready.set()
    time.sleep(60)


def _count_up(root, path, times):
    done = 0
    while done < times:
        lock = TrialLock(Workspace(root), "k")
        if lock.acquire():
            value = int(path.read_text())
            time.sleep(0.0005)
            path.write_text(str(value + 1))
            done += 1
            lock.release()


def test_second_holder_is_refused_and_told_who_holds(tmp_path):
    ready, until = FORK.Event(), FORK.Event()
    holder = FORK.Process(target=_hold, args=(tmp_path, ready, until))
    holder.start()
    assert ready.wait(60)
    mine = TrialLock(Workspace(tmp_path), "k")
    assert not mine.acquire()
    with pytest.raises(TrialLocked, match=str(holder.pid)), mine:
        pass
    assert TrialLock(Workspace(tmp_path), "other").acquire()
    until.set()
    holder.join()
    assert mine.acquire() and mine.held
    mine.release()
    assert not mine.held


def test_two_locks_of_one_process_exclude_each_other_too(tmp_path):
    with TrialLock(Workspace(tmp_path), "k") as one:
        assert one.acquire()  # again is fine
        assert not TrialLock(Workspace(tmp_path), "k").acquire()
    assert TrialLock(Workspace(tmp_path), "k").acquire()


def test_killed_holder_frees_the_lock_even_with_a_child_alive(tmp_path):
    ready, child = FORK.Event(), FORK.Value("i", 0)
    holder = FORK.Process(target=_hold_and_leave_a_child, args=(tmp_path, ready, child))
    holder.start()
    assert ready.wait(60)
    lock = TrialLock(Workspace(tmp_path), "k")
    try:
        assert not lock.acquire()  # the child's closing of its copy did not free the parent's lock
        os.kill(holder.pid, signal.SIGKILL)
        holder.join()
        os.kill(child.value, 0)
        assert lock.acquire()
    finally:
        os.kill(child.value, signal.SIGKILL)


def test_no_update_is_lost_between_processes(tmp_path):
    path = tmp_path / "counter"
    path.write_text("0")
    workers = [FORK.Process(target=_count_up, args=(tmp_path, path, 25)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert path.read_text() == "100"


def test_timing_waits_until_nobody_trains(tmp_path, monkeypatch):
    """Training shares the machine, timing has it alone."""
    import fcntl

    from repro.store.lock import machine

    monkeypatch.setenv("REPRO_CACHE_DIR", str(tmp_path))

    def free(kind) -> bool:
        with open(tmp_path / "machine.lock", "a") as handle:
            try:
                fcntl.flock(handle, kind | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

    with machine(alone=False):
        assert free(fcntl.LOCK_SH) and not free(fcntl.LOCK_EX)
    with machine(alone=True):
        assert not free(fcntl.LOCK_SH)
    assert free(fcntl.LOCK_EX)


def test_without_a_cache_folder_there_is_no_lock_and_no_error(tmp_path, monkeypatch):
    from repro.store.lock import machine

    (tmp_path / "file").write_text("")
    monkeypatch.setenv("REPRO_CACHE_DIR", str(tmp_path / "file" / "cache"))
    with machine(alone=True):
        pass
