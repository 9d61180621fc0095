"""Which folder is this project, and so whose records are the stored ones."""

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
    installed = tmp_path / "lib" / "repro" / "store" / "project.py"
    monkeypatch.setattr(project, "__file__", str(installed))
    return folder


def test_the_checkout_one_stands_in(folder):
    assert is_checkout(folder) and checkout() == folder
    path = folder / "results" / "table1.jsonl.gz"
    assert published_bundles() == {"table1": path} and published_bundle("table1") == path
    assert published_bundle("table2") is None


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
