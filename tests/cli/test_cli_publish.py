"""report and publish: tables and figures from stored records, and the promotion of records."""

import pytest
from leaderboard_records import checkout

from repro.experiments import registry
from repro.experiments.planned import claimed_shapes, describe_plan
from repro.experiments.resolve import UNCHANGED, resolve
from repro.store import leaderboard
from repro.store.published import bundle_path, read_bundle
from repro.store.records import write_record
from repro.store.workspace import Workspace

from .fake_trials import made_up, record_of

TABLE1 = registry.get("table1")


@pytest.fixture
def repository(tmp_path):
    return checkout(tmp_path / "checkout")


@pytest.fixture
def workspace(tmp_path):
    """Every core arm on every seed."""
    space = Workspace(tmp_path / "runs").prepare()
    for arm in TABLE1.core_arms:
        for seed in range(5):
            write_record(space, record_of(resolve(TABLE1, "micro", arm.id, seed), 0.25 + 0.125 * (seed % 3)))
    return space


def test_report_writes_tables_and_figures(cli, cli_json, workspace, tmp_path):
    found = cli_json("report", "table1")
    (one,) = found["reports"]
    assert one["id"] == "table1" and {"arms", "claims", "files", "command"} <= set(one)
    for suffix in ("md", "csv", "tex"):
        assert (workspace.tables / f"table1.{suffix}").is_file()
    assert list(workspace.figures.glob("table1_*.png")) and list(workspace.figures.glob("table1_*.svg"))
    code, out, _ = cli("report")
    assert code == 0 and "TBRM n=4" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [(["report", "tabel1"], "did you mean table1"), (["report", "--root", "nowhere"], "run an experiment first")],
)
def test_report_without_records(cli, workspace, words, said):
    code, _, err = cli(*words)
    assert code == 2 and said in err and err.count("\n") == 1


def test_publish_promotes_and_regenerates_to_the_byte(cli, cli_json, workspace, repository, tmp_path):
    found = cli_json("publish", "--to", repository)
    assert set(found) == {"published", "bundles", "files", "leaderboard_lines"} and found["published"] == ["table1"]
    assert found["leaderboard_lines"] == len(leaderboard.read(repository / "results" / leaderboard.NAME)) == 25
    assert len(read_bundle(bundle_path(repository / "results", "table1"))) == 25
    first = {path: path.read_bytes() for path in repository.rglob("*") if path.is_file()}
    assert any(path.name == "table1.md" for path in first)
    cli_json("publish", "--to", repository, "--only-regenerate")
    assert {path: path.read_bytes() for path in repository.rglob("*") if path.is_file()} == first
    cli_json("publish", "--to", repository)
    assert {path: path.read_bytes() for path in repository.rglob("*") if path.is_file()} == first


def test_publish_wants_every_core_arm_on_every_seed(cli, workspace, repository):
    next((workspace.results / "table1").glob("ppo-n1-seed3-*")).unlink()
    code, _, err = cli("publish", "--to", repository)
    assert code == 2 and "ppo-n1" in err and "seed 3" in err
    assert not (repository / "results").exists()


def test_publish_refuses_damage_and_other_folders(cli, workspace, repository, tmp_path):
    assert cli("publish", "--to", tmp_path)[0] == 2
    path = next((workspace.results / "table1").glob("ppo-n1-seed3-*"))
    path.write_bytes(path.read_bytes().replace(b"0.5", b"0.9"))
    code, _, err = cli("publish", "--to", repository)
    assert code == 2 and path.name in err


def test_smoke_runs_and_variants_are_never_published(cli, repository, tmp_path):
    space = Workspace(tmp_path / "runs").prepare()
    write_record(space, record_of(resolve(TABLE1, "smoke", "base", 0)))
    write_record(space, record_of(resolve(TABLE1, "micro", "base", 0, variant="1a2b3c4d")))
    code, _, err = cli("publish", "--to", repository)
    assert code == 2 and "no records" in err


@pytest.mark.slow
def test_a_plan_record_is_published_and_reported_with_its_trials(cli_json, repository, monkeypatch, tmp_path):
    space, table3 = Workspace(tmp_path / "runs").prepare(), registry.get("table3")
    for arm in table3.core_arms:
        for seed in range(5):
            write_record(space, record_of(resolve(table3, "micro", arm.id, seed), 0.25 + 0.125 * (seed % 3)))
    shapes = claimed_shapes(table3, "micro", UNCHANGED, [arm.id for arm in table3.arms])
    rows = [made_up(shape.config, (10 + place) << 30) for place, shape in enumerate(shapes)]
    selection = registry.select(["table3"])[0]
    plan = describe_plan(selection, None, shapes, rows, {"finished": "2026-01-01"})
    write_record(space, plan)
    old = describe_plan(selection, None, shapes, rows, {"finished": "2027-01-01"})
    old["config"]["rows"][0]["train"]["max_completion"] += 1
    write_record(space, old | {"key": "0" * 64})
    found = cli_json("publish", "table3", "--to", repository)
    bundle = read_bundle(bundle_path(repository / "results", "table3"))
    assert [record for record in bundle if record["kind"] == "plan"] == [plan], "and not that of an older definition"
    assert len(bundle) == 26 and found["published"] == ["table3"]
    monkeypatch.chdir(repository)
    (published,) = cli_json("report", "table3", "--published", "--root", tmp_path / "again")["reports"]
    monkeypatch.chdir(tmp_path)
    (own,) = cli_json("report", "table3")["reports"]
    for one in (published, own):
        verdicts = {claim["id"]: claim["result"]["verdict"] for claim in one["claims"]}
        planned = [name for name in verdicts if name.endswith(("-1.5B", "-3B", "-7B"))]
        assert planned and "not run" not in {verdicts[name] for name in planned}


def test_report_from_the_published_records(cli_json, workspace, repository, monkeypatch, tmp_path):
    cli_json("publish", "--to", repository)
    monkeypatch.chdir(repository)
    cli_json("report", "--published", "--root", tmp_path / "again")
    for path in (repository / "paper_tables").iterdir():
        assert (tmp_path / "again" / "paper_tables" / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("words", [("report", "table1"), ("report", "table1", "--html"), ("status",)])
def test_a_message_that_is_no_utf8_does_not_stop_a_report(cli, workspace, words):
    """Records of older versions hold such messages, and others may."""
    failed = record_of(resolve(TABLE1, "micro", "ppo-n1", 0), status="failed")
    write_record(workspace, failed | {"error": {"message": "bad \ud800", "step": 1}})
    code, out, err = cli(*words)
    assert code == 0 and "Unicode" not in err
    if words[0] == "status" or "--html" not in words:
        assert "bad \\ud800" in out
