"""The leaderboard file: its chain, appending, merging, and what a crash or a rival leaves behind."""

import dataclasses
import multiprocessing
import os
import random
import subprocess

import pytest
from leaderboard_records import trial

from repro.errors import InputError
from repro.report.entries import entry_of
from repro.store import files, leaderboard
from repro.store.entry import GENESIS, encode_line
from repro.store.leaderboard import append, decode, kept_since, merge, read
from repro.store.provenance import committed_bytes

FORK = multiprocessing.get_context("fork")
ONE = entry_of(trial(), None, "0" * 64)


def entries(*seeds: int) -> list:
    return [dataclasses.replace(ONE, seed=seed) for seed in seeds]


@pytest.fixture
def board(tmp_path):
    path = tmp_path / "results" / leaderboard.NAME
    assert append(path, entries(*range(6))) == 6
    return path


def test_lines_follow_each_other(board):
    lines = read(board)
    assert [line.entry.seed for line in lines] == list(range(6))
    assert [line.prev for line in lines] == [GENESIS, *(line.id for line in lines[:-1])]
    assert [line.number for line in lines] == list(range(1, 7))


def test_append_takes_what_is_new_and_leaves_what_is_there(board):
    before = board.read_bytes()
    assert append(board, entries(3, 4)) == 0 and board.read_bytes() == before
    assert append(board, entries(5, 6, 6, 7)) == 2
    assert board.read_bytes().startswith(before) and [line.entry.seed for line in read(board)][6:] == [6, 7]


def test_an_absent_file_is_an_empty_leaderboard(tmp_path):
    assert read(tmp_path / "none.jsonl") == [] and not list(tmp_path.iterdir())
    assert append(tmp_path / "none.jsonl", []) == 0 and not list(tmp_path.iterdir())


@pytest.mark.parametrize("edit", ["change", "remove", "swap", "insert", "repeat", "cut the start"])
def test_an_edit_breaks_the_chain_and_the_line_is_named(board, edit):
    lines = board.read_bytes().splitlines(keepends=True)
    forged = encode_line(entries(99)[0], read(board)[1].id)
    edited, named = {
        "change": ([*lines[:2], forged, *lines[3:]], 4),  # its id is right, but line 4 names the old one
        "remove": ([*lines[:2], *lines[3:]], 3),
        "swap": ([*lines[:2], lines[3], lines[2], *lines[4:]], 3),
        "insert": ([*lines[:2], forged, *lines[2:]], 4),
        "repeat": ([*lines, lines[5]], 7),
        "cut the start": (lines[1:], 1),
    }[edit]
    board.write_bytes(b"".join(edited))
    said = "the same record as line 6" if edit == "repeat" else "the chain is broken"
    with pytest.raises(InputError, match=f"line {named}: {said}"):
        read(board)
    damaged = board.read_bytes()
    with pytest.raises(InputError):
        append(board, entries(50))
    assert board.read_bytes() == damaged


@pytest.mark.parametrize("number", range(1, 7))
def test_a_changed_value_is_named(board, number):
    lines = board.read_bytes().splitlines(keepends=True)
    lines[number - 1] = lines[number - 1].replace(b'"train_seconds":20.0', b'"train_seconds":10.0')
    board.write_bytes(b"".join(lines))
    with pytest.raises(InputError, match=f"line {number}: does not match its id"):
        read(board)


def test_what_the_chain_does_not_show_is_as_documented(board):
    """Lines cut off the end, and a file that was written anew as a whole: only the commit tells."""
    committed = board.read_bytes()
    board.write_bytes(b"".join(committed.splitlines(keepends=True)[:4]))
    assert len(read(board)) == 4 and not kept_since(committed, board)
    board.unlink()
    append(board, entries(7, 8))
    assert len(read(board)) == 2 and not kept_since(committed, board)


def test_the_last_commit_is_the_measure(board):
    git = ["git", "-C", str(board.parent), "-c", "user.name=n", "-c", "user.email=e"]
    assert committed_bytes(board) is None
    subprocess.run([*git, "init", "-q"], check=True)
    assert committed_bytes(board) is None
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-qm", "m"], check=True)
    before = board.read_bytes()
    append(board, entries(10))
    assert committed_bytes(board) == before and kept_since(before, board)


@pytest.mark.parametrize("seed", range(8))
def test_merge_is_the_union_whatever_the_order(tmp_path, seed):
    """Commutative up to the order of lines, associative, idempotent; our own lines stay where they are."""
    rng = random.Random(seed)
    parts = [rng.sample(range(12), rng.randint(0, 8)) for _ in range(3)]

    def made(name, order):
        path = tmp_path / f"{name}.jsonl"
        append(path, entries(*parts[order[0]]))
        own = path.read_bytes() if path.exists() else b""
        for place in order[1:]:
            other = tmp_path / f"{name}-other{place}.jsonl"
            append(other, entries(*parts[place]))
            new = merge(path, read(other))
            assert new == len(set(parts[place]) - {line.entry.seed for line in read(path)[: len(read(path)) - new]})
            assert merge(path, read(other)) == 0
        assert not own or path.read_bytes().startswith(own)
        return {line.id for line in read(path)}

    union = {line.id for line in decode(b"".join(_lines(entries(*{s for part in parts for s in part}))), "x")}
    for order in ([0, 1, 2], [2, 1, 0], [1, 0, 2]):
        assert made("".join(map(str, order)), order) == union


def _lines(some):
    prev = GENESIS
    for line in some:
        yield encode_line(line, prev)
        prev = decode(encode_line(line, GENESIS), "x")[0].id


@pytest.mark.parametrize("moment", ["write", "fsync", "replace", "folder"])
def test_an_interrupted_append_leaves_the_old_or_the_new_file(board, monkeypatch, moment):
    before = board.read_bytes()

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if moment == "folder":
            patch.setattr(files, "_sync_folder", stop)
        elif moment == "write":
            patch.setattr(files.os, "fsync", stop)
        else:
            patch.setattr(files.os, moment, stop)
        with pytest.raises(KeyboardInterrupt):
            append(board, entries(6))
    assert len(read(board)) == (7 if moment == "folder" else 6)
    assert board.read_bytes().startswith(before)
    assert append(board, entries(6)) == (0 if moment == "folder" else 1)


def _append(path, seeds):
    for seed in seeds:
        append(path, entries(seed))
    os._exit(0)


def test_writers_at_the_same_time_lose_nothing(board):
    workers = [FORK.Process(target=_append, args=(board, range(100 + 10 * n, 110 + 10 * n))) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    assert {line.entry.seed for line in read(board)} == {*range(6), *range(100, 140)}
    assert sorted(path.name for path in board.parent.iterdir()) == [leaderboard.NAME]


def test_a_killed_writer_holds_no_lock(board):
    ready = FORK.Event()

    def hold():
        with leaderboard.lock.folder(board.parent):
            ready.set()
            os.kill(os.getpid(), 9)

    holder = FORK.Process(target=hold)
    holder.start()
    assert ready.wait(60)
    holder.join(60)
    assert append(board, entries(6)) == 1


def test_what_is_no_leaderboard_is_refused(board, monkeypatch):
    for data in (b"\x00" * 100, b"{}\n", b"\n", b"[]\n", "ä\n".encode(), b'{"id":1}'):
        with pytest.raises(InputError, match="x, line 1"):
            decode(data, "x")
    monkeypatch.setattr(leaderboard, "MOST_LINES", 5)
    with pytest.raises(InputError, match="more than 5 lines"):
        read(board)
    with pytest.raises(InputError, match="more than 5 lines"):
        append(board.with_name("new.jsonl"), entries(*range(6)))
    assert not board.with_name("new.jsonl").exists()


def test_merge_refuses_lines_in_another_form(board, tmp_path):
    line = dataclasses.replace(read(board)[0], id="0" * 64)
    before = board.read_bytes()
    with pytest.raises(InputError, match="canonical"):
        merge(board, [line])
    assert board.read_bytes() == before
