"""`repro report --html`: which results it takes, where it writes, and what it refuses."""

import json
import os
from pathlib import Path

import pytest

from repro.cli import report, site
from repro.experiments import registry
from repro.experiments.resolve import resolve
from repro.report.html.write import MARKER
from repro.store.records import write_record
from repro.store.workspace import Workspace

from .fake_trials import record_of

TABLE1 = registry.get("table1")
RESULTS = Path(__file__).resolve().parents[2] / "results"


@pytest.fixture
def workspace(tmp_path):
    space = Workspace(tmp_path / "runs").prepare()
    for arm in ("base", "ppo-n1", "tbrm-n1"):
        for seed in range(2):
            write_record(space, record_of(resolve(TABLE1, "smoke", arm, seed), 0.25 + 0.125 * seed))
    return space


@pytest.fixture
def drawn(monkeypatch):
    """Which experiment ids get their tables and figures anew, without the pictures being drawn."""
    names = []
    real = site.report_stored

    def call(name, *rest):
        names.append(name)
        return real(name, *rest)

    monkeypatch.setattr(site, "report_stored", call)
    return names


def test_published_and_own_results_stand_side_by_side(cli_json, workspace, monkeypatch):
    # The published results are those of the checkout, wherever the package is installed.
    bundles = {name: RESULTS / f"{name}.jsonl.gz" for name in ("table1", "table1-tuning", "table2")}
    monkeypatch.setattr(report, "published_bundles", lambda: bundles)
    found = cli_json("report", "table1*", "--html")["html"]
    reports = {(one["origin"], one["id"]) for one in found["reports"]}
    assert reports == {("stored", "table1"), ("stored", "table1-tuning"), ("yours", "table1@smoke")}
    root = workspace.root / "html"
    assert found["folder"] == "runs/html" and set(found["claims"]) == {
        "supported", "contradicted", "inconclusive", "not run"
    }  # fmt: skip
    for origin, name in reports:
        assert (root / origin / f"{name}.html").is_file()
    assert "Smoke run" in (root / "yours" / "table1@smoke.html").read_text()
    assert list((root / "yours" / "figures").glob("table1@smoke_*.svg"))
    assert (root / "stored" / "figures" / "table1_curves.svg").is_file()
    assert json.loads((root / MARKER).read_text())["reports"] == [
        "stored/table1",
        "stored/table1-tuning",
        "yours/table1@smoke",
    ]


def test_figures_are_drawn_anew_only_after_a_new_record(cli, workspace, drawn, tmp_path):
    words = ("report", "table1@smoke", "--html", "--out", tmp_path / "pages")
    for _ in range(2):
        code, out, err = cli(*words)
        assert (code, err) == (0, "") and out.startswith("1 reports (10 not run); open ")
    assert drawn == ["table1@smoke"]
    path = next((workspace.results / "table1@smoke").glob("*.json"))
    newest = max(one.stat().st_mtime for one in workspace.root.rglob("*"))
    os.utime(path, (newest + 5, newest + 5))
    assert cli(*words)[0] == 0
    assert drawn == ["table1@smoke"] * 2


def test_the_page_of_arms_is_ranked_as_on_the_leaderboard(cli_json, cli, workspace):
    page = workspace.root / "html" / "arms.html"
    assert cli("report", "table1@smoke", "--html")[0] == 0
    assert "P(best)" not in page.read_text() and "<option>chain</option>" in page.read_text()
    cli_json("leaderboard", "add", "table1@smoke")
    assert cli("report", "table1@smoke", "--html")[::2] == (0, "")
    assert ">Task</th>" in page.read_text() and 'href="yours/table1@smoke.html"' in page.read_text()


def test_a_damaged_leaderboard_is_named_and_left_out(cli, workspace):
    (workspace.results / "leaderboard.jsonl").write_text("torn")
    code, _, err = cli("report", "table1@smoke", "--html")
    assert code == 0 and "leaderboard.jsonl" in err and err.count("\n") == 1


def test_a_damaged_record_is_named_and_left_out(cli, workspace):
    path = next((workspace.results / "table1@smoke").glob("ppo-n1-seed0-*"))
    path.write_bytes(path.read_bytes()[:-20])
    code, _, err = cli("report", "table1@smoke", "--html")
    assert code == 0 and path.name in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["report", "--out", "pages"], "together with --html"),
        (["report", "--html", "tabel1"], "did you mean table1"),
        (["report", "--html", "table1@smoke", "--out", "file"], "a file is in the way"),
        (["report", "--html", "table1@smoke", "--out", "file/pages"], "name another folder with --out"),
        (["report", "--html", "table1@smoke", "--out", "folder"], "holds something else than a report"),
        (["report", "--html", "table1@smoke", "--out", "/proc/none/pages"], "name another folder with --out"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(cli, workspace, tmp_path, words, said):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    code, out, err = cli(*words)
    assert (code, out, err.count("\n")) == (2, "", 1) and said in err
    assert [path for path in sorted(tmp_path.rglob("*")) if path.suffix == ".html" or ".pages" in path.name] == []
    assert (tmp_path / "file").read_text() == "mine" and set(before) <= set(tmp_path.rglob("*"))
