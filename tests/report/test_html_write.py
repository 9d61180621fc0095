"""The folder of a report appears whole or not at all, and never in place of something else."""

import errno
import os

import pytest

from repro.errors import InputError
from repro.report.html import write_site
from repro.report.html.write import MARKER, new_folder

from .synthetic_site import entry


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_report_takes_the_place_of_an_older_one(tmp_path):
    target = tmp_path / "html"
    for text in ("old", "new"):
        with new_folder(target) as folder:
            (folder / MARKER).write_text(text)
            (folder / text).write_text("")
    assert names(target) == sorted([MARKER, "new"]) and names(tmp_path) == ["html"]
    assert target.stat().st_mode & 0o777 == 0o755


def test_an_empty_folder_and_new_parents_will_do(tmp_path):
    (tmp_path / "empty").mkdir()
    for target in (tmp_path / "empty", tmp_path / "a" / "b"):
        with new_folder(target) as folder:
            (folder / MARKER).write_text("")
        assert names(target) == [MARKER]


@pytest.mark.parametrize("error", [ValueError("a defect"), KeyboardInterrupt(), OSError(errno.ENOSPC, "disk full")])
def test_what_fails_on_the_way_leaves_everything_as_it_was(tmp_path, error):
    target = tmp_path / "html"
    with new_folder(target) as folder:
        (folder / MARKER).write_text("old")
    expected = InputError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected), new_folder(target) as folder:
        (folder / "half").write_text("")
        raise error
    assert names(tmp_path) == ["html"] and (target / MARKER).read_text() == "old"


def test_the_old_report_stays_if_the_new_one_cannot_be_moved(tmp_path, monkeypatch):
    target = tmp_path / "html"
    with new_folder(target) as folder:
        (folder / MARKER).write_text("old")
    rename = os.rename

    def refuse(source, place):
        if os.fspath(place) == os.fspath(target) and not os.fspath(source).endswith(".old"):
            raise OSError(errno.EACCES, "Permission denied")
        rename(source, place)

    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(InputError, match="Permission denied.*--out"), new_folder(target) as folder:
        (folder / MARKER).write_text("new")
    assert names(tmp_path) == ["html"] and (target / MARKER).read_text() == "old"


def test_files_and_other_folders_are_never_replaced(tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine").write_text("mine")
    for target in ("file", "folder", "file/below"):
        with pytest.raises(InputError, match="name another folder with --out"):
            write_site([entry()], tmp_path / target)
    assert names(tmp_path) == ["file", "folder"] and names(tmp_path / "folder") == ["mine"]
    assert (tmp_path / "file").read_text() == "mine"
