"""Which folder is this project, and so whose records are the stored ones."""

import tomllib
from pathlib import Path

import pytest
from leaderboard_records import checkout as made

from repro.experiments.plan import published_bundle
from repro.store import project
from repro.store.project import checkout, is_checkout, published_bundles

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A checkout of this project with one bundle, in the current folder; the code is from nowhere."""
    folder = made(tmp_path / "project")
    (folder / "results").mkdir()
    (folder / "results" / "table1.jsonl.gz").write_bytes(b"")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(project, "__file__", str(tmp_path / "lib" / "repro" / "store" / "project.py"))
    monkeypatch.setattr(project, "installed", lambda: tmp_path / "share")
    return folder


def test_the_checkout_one_stands_in(folder):
    assert is_checkout(folder) and checkout() == folder
    path = folder / "results" / "table1.jsonl.gz"
    assert published_bundles() == {"table1": path} and published_bundle("table1") == path
    assert published_bundle("table2") is None
    path.unlink()
    assert checkout() == folder and published_bundles() == {}, "without records it is still the one that is meant"


def test_the_checkout_one_stands_somewhere_in(folder, monkeypatch):
    inside = folder / "my_method" / "deep"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)
    assert checkout() == folder and published_bundle("table1") == folder / "results" / "table1.jsonl.gz"


def test_without_a_checkout_the_records_are_those_that_were_installed(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert checkout() is None and project.published_folder() is None
    path = tmp_path / "share" / "results" / "table1.jsonl.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    assert checkout() is None and project.published_folder() == tmp_path / "share"
    assert published_bundles() == {"table1": path}


def test_the_package_installs_its_records_and_pins():
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["data-files"]
    assert set(data) == {f"share/{project.NAME}/results", f"share/{project.NAME}/constraints"}
    assert project.installed().parts[-2:] == ("share", project.NAME)
    for patterns in data.values():
        assert all(list(ROOT.glob(pattern)) for pattern in patterns)


OTHERS = {
    "none": None, "empty": b"", "no name": b"[project]\n", "another": b'[project]\nname = "another"\n',
    "no table": b"project = 1\n", "no TOML": b"[project\n", "no text": b"\xff", "deep": b"a = " + b"[" * 9999,
}  # fmt: skip


@pytest.mark.parametrize("text", OTHERS.values(), ids=OTHERS)
def test_a_folder_of_results_is_no_checkout(folder, text):
    path = folder / "pyproject.toml"
    path.unlink() if text is None else path.write_bytes(text)
    assert not is_checkout(folder) and checkout() is None and published_bundles() == {}
    assert published_bundle("table1") is None


def test_a_checkout_has_the_package(folder):
    (folder / "repro" / "__init__.py").unlink()
    assert checkout() is None


def test_elsewhere_it_is_the_checkout_that_the_code_is_from(tmp_path, monkeypatch):
    assert is_checkout(ROOT), "the name in pyproject.toml"
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "table1.jsonl.gz").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(project, "__file__", str(ROOT / "repro" / "store" / "project.py"))
    assert checkout() == ROOT and published_bundle("table1") == ROOT / "results" / "table1.jsonl.gz"
