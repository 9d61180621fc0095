"""A checkpoint exists only when its manifest does, and counts only while every file is as the manifest says."""

from __future__ import annotations

import json

import pytest

from repro.training import checkpoints

STATE = {"curve": [], "health": [{"step": 1}], "timer": {}, "resumed": 0}


def make(root, number, state=STATE, sealed=True):
    folder = root / f"checkpoint-{number}"
    (folder / "nested").mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"weights" * 100)
    (folder / "nested" / "rng.pth").write_bytes(b"random state")
    if sealed:
        checkpoints.seal(folder, state)
    return folder


def names(root):
    return sorted(path.name for path in root.iterdir())


def test_the_newest_whole_checkpoint_by_number_not_by_name(tmp_path):
    for number in (9, 10, 2):
        make(tmp_path, number, {**STATE, "resumed": number})
    assert checkpoints.latest(tmp_path).name == "checkpoint-10"
    assert checkpoints.state(checkpoints.latest(tmp_path)) == {**STATE, "resumed": 10}


def test_no_folder_and_foreign_folders(tmp_path):
    assert checkpoints.latest(tmp_path / "absent") is None
    (tmp_path / "checkpoint-best").mkdir()
    (tmp_path / "checkpoint-7").write_text("a file")
    assert checkpoints.latest(tmp_path) is None
    assert names(tmp_path) == ["checkpoint-7", "checkpoint-best"]


DAMAGES = {
    "never sealed": lambda folder: (folder / checkpoints.MANIFEST).unlink(),
    "manifest not renamed": lambda folder: (folder / checkpoints.MANIFEST).rename(folder / "repro-manifest.json.tmp"),
    "manifest torn": lambda folder: (folder / checkpoints.MANIFEST).write_text(
        (folder / checkpoints.MANIFEST).read_text()[:40]
    ),
    "manifest empty": lambda folder: (folder / checkpoints.MANIFEST).write_text(""),
    "weights torn": lambda folder: (folder / "model.safetensors").write_bytes(b"weights" * 50),
    "weights edited": lambda folder: (folder / "model.safetensors").write_bytes(b"weighty" + b"weights" * 99),
    "file gone": lambda folder: (folder / "nested" / "rng.pth").unlink(),
    "state edited": lambda folder: (folder / checkpoints.STATE).write_text(json.dumps({**STATE, "resumed": 1})),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_passed_over_and_removed(tmp_path, damage):
    make(tmp_path, 1)
    DAMAGES[damage](make(tmp_path, 2))
    assert not checkpoints.is_whole(tmp_path / "checkpoint-2")
    assert checkpoints.latest(tmp_path).name == "checkpoint-1"
    assert names(tmp_path) == ["checkpoint-1"]


def test_only_damaged_ones_is_none(tmp_path):
    make(tmp_path, 1, sealed=False)
    assert checkpoints.latest(tmp_path) is None


def test_prune_keeps_the_newest(tmp_path):
    for number in (1, 2, 10):
        make(tmp_path, number)
    unfinished = make(tmp_path, 11, sealed=False)
    checkpoints.prune(tmp_path, 2)
    assert names(tmp_path) == ["checkpoint-10", "checkpoint-11", "checkpoint-2"]
    assert unfinished.exists()  # it may be the one that is being written
    checkpoints.prune(tmp_path, 0)
    assert names(tmp_path) == ["checkpoint-11"]


def test_seal_writes_the_manifest_last(tmp_path, monkeypatch):
    """Killed while the files are synced, the checkpoint must not exist yet."""
    folder = make(tmp_path, 1, sealed=False)
    seen = []
    monkeypatch.setattr(checkpoints, "_sync", lambda path: seen.append((path.name, checkpoints.is_whole(folder))))
    checkpoints.seal(folder, STATE)
    assert checkpoints.is_whole(folder)
    *before, last = seen
    assert {name for name, _ in before} == {
        "model.safetensors",
        "rng.pth",
        checkpoints.STATE,
        "repro-manifest.json.tmp",
    }
    assert not any(whole for _, whole in before)
    assert last == (folder.name, True)  # and the folder after the rename
