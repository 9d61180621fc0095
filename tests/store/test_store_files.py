"""Files appear whole or not at all, also where the writer is interrupted; and leave nothing else behind."""

from __future__ import annotations

import os

import pytest

from repro.errors import InputError
from repro.store import files


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "deep" / "a.json"
    assert files.write_whole(path, b"one") == path and files.write_whole(path, b"two") == path
    assert path.read_bytes() == b"two" and os.listdir(path.parent) == ["a.json"]


@pytest.mark.parametrize("step", ["open", "fsync", "replace"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, step, error):
    """Also right after the temporary file has been made, before anything is written to it."""
    path = tmp_path / "a.json"
    files.write_whole(path, b"one")
    reached = []

    def interrupted(*args):
        if step == "open":
            open(*args).close()
        reached.append(sorted(os.listdir(tmp_path)))
        raise error

    if step == "open":
        monkeypatch.setattr(files, "open", interrupted, raising=False)
    else:
        monkeypatch.setattr(files.os, step, interrupted)
    with pytest.raises(InputError if error is OSError else error):
        files.write_whole(path, b"two")
    assert len(reached[0]) == 2, "the temporary file was there"
    assert os.listdir(tmp_path) == ["a.json"] and path.read_bytes() == b"one"
