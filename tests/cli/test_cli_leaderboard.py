"""leaderboard and verify from the command line: what is printed, what is written, and the exit codes."""

import csv
import dataclasses
import hashlib
import json
import shutil
from dataclasses import asdict, replace

import pytest
from leaderboard_records import checkout, five, timing

from repro.cli.publish import extend_leaderboard, regenerate
from repro.store import leaderboard
from repro.store.evaluation import EvaluationSettings
from repro.store.key import content_hash, deciding
from repro.store.published import bundle_path, write_bundle
from repro.store.records import encode_record, write_record
from repro.store.typed import plain
from repro.store.workspace import Workspace

ARMS = {"base": 0.3, "ppo-n1": 0.6, "tbrm-n1": 0.5, "grpo-n4": 0.55, "tbrm-n4": 0.56}


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A checkout as `repro publish` leaves it; tests that change it take a copy."""
    folder = checkout(tmp_path_factory.mktemp("project"))
    records = [record for arm, share in ARMS.items() for record in five(arm, share)]
    write_bundle(bundle_path(folder / "results", "table1"), [*records, timing(records[5:])])
    extend_leaderboard(folder)
    regenerate(folder)
    return folder


@pytest.fixture
def project(published, tmp_path, cli, monkeypatch):
    folder = tmp_path / "project"
    shutil.copytree(published, folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def workspace(project):
    space = Workspace(project / "runs")
    for record in five("mine", 0.9):
        write_record(space, record)
    return space


def board(project):
    return project / "results" / leaderboard.NAME


def test_show_ranks_and_keeps_papers_apart(cli, cli_json, project):
    found = cli_json("leaderboard", "show")
    assert set(found) == {"metric", "groups", "left_out"} and found["left_out"] == 0
    (group,) = found["groups"]
    assert set(group) == {"experiment", "scale", "tasks", "setting", "metric", "rows", "more", "problems", "reported"}
    assert [row["arm"] for row in group["rows"]][0] == "ppo-n1" and group["rows"][0]["evidence"] == "stored"
    assert all("rank" not in row and row["evidence"].startswith("reported") for row in group["reported"])
    code, out, _ = cli("leaderboard", "show", "--metric", "pass@8", "--top", "2")
    assert code == 0 and "pass@8 %" in out and "and 3 more: --top 5" in out
    ranks, papers = out.split("reported by the paper")
    assert "PPO n=1" in ranks and "Qwen2.5-Math-7B" in papers and "Qwen2.5-Math-7B" not in ranks


def test_a_folder_with_results_is_not_the_project(cli_json, project):
    """Somebody's folder has lines and bundles as the project has: they are no more stored than any others."""
    (project / "pyproject.toml").write_text('[project]\nname = "another"\n')
    found = cli_json("leaderboard", "show", "--file", board(project))
    assert {row["evidence"] for group in found["groups"] for row in group["rows"]} == {"imported"}


def test_add_then_show_yours_beside_the_stored(cli_json, cli, project, workspace):
    before = board(project).read_bytes()
    assert cli_json("leaderboard", "add") == {"file": "runs/results/leaderboard.jsonl", "added": 5}
    assert cli_json("leaderboard", "add", "table1")["added"] == 0
    (group,) = cli_json("leaderboard", "show")["groups"]
    assert [(row["arm"], row["evidence"]) for row in group["rows"]][0] == ("mine", "yours")
    assert board(project).read_bytes() == before, "only publish writes the published folder"
    code, out, _ = cli("leaderboard", "verify", "--file", "runs/results/leaderboard.jsonl")
    assert code == 0 and "5 lines, good" in out


def test_records_from_a_file_are_imported(cli_json, project, tmp_path):
    theirs = write_bundle(tmp_path / "theirs.jsonl.gz", five("theirs", 0.7))
    assert cli_json("leaderboard", "add", "--from", theirs)["added"] == 5
    (group,) = cli_json("leaderboard", "show", "--experiment", "table1", "--scale", "micro")["groups"]
    assert {row["arm"]: row["evidence"] for row in group["rows"]}["theirs"] == "imported"
    notes = cli_json("leaderboard", "verify", "--file", "runs/results/leaderboard.jsonl")
    assert notes["ok"] and {note["what"] for note in notes["findings"]} == {"imported"}


def test_merge_both_ways_gives_the_same_lines(cli_json, project, workspace, tmp_path):
    cli_json("leaderboard", "add")
    theirs = write_bundle(tmp_path / "theirs.jsonl.gz", five("theirs", 0.7))
    cli_json("leaderboard", "add", "--from", theirs, "--to", tmp_path / "other" / "leaderboard.jsonl")
    own, other = project / "runs/results/leaderboard.jsonl", tmp_path / "other" / "leaderboard.jsonl"
    assert cli_json("leaderboard", "merge", other)["added"] == 5
    assert cli_json("leaderboard", "merge", other)["added"] == 0
    assert cli_json("leaderboard", "merge", own, "--to", other)["added"] == 5
    assert {line.id for line in leaderboard.read(own)} == {line.id for line in leaderboard.read(other)}
    assert cli_json("leaderboard", "verify", "--file", other)["ok"]


def test_a_forged_line_about_a_stored_record_is_neither_merged_nor_good(cli, project, tmp_path):
    entry = leaderboard.read(board(project))[0].entry
    forged = tmp_path / "forged" / "leaderboard.jsonl"
    leaderboard.append(forged, [replace(entry, scores=replace(entry.scores, sets={"chain": [1.0] * 5}))])
    code, _, err = cli("leaderboard", "merge", forged)
    assert code == 2 and "scores differ from what its record says" in err and err.count("\n") == 1
    assert not (project / "runs").exists()
    shutil.copytree(forged.parent, project / "runs" / "results")
    code, out, _ = cli("leaderboard", "verify")
    assert code == 1 and "scores differ from what its record says" in out


def test_export(cli_json, project):
    assert cli_json("leaderboard", "export", "out.csv") == {"file": "out.csv", "rows": 25}
    rows = list(csv.DictReader((project / "out.csv").open()))
    assert len(rows) == 25 and {row["evidence"] for row in rows} == {"stored"}


def test_verify_is_good_and_says_what_it_did(cli_json, cli, project):
    found = cli_json("verify")
    assert found["ok"] and found["experiments"] == ["table1"] and found["leaderboard"] == []
    files = {check["file"] for check in found["files"]}
    assert {f"paper_tables/table1.{ending}" for ending in ("md", "csv", "tex")} < files
    assert {"figures/table1_curves.csv", "figures/table1_accuracy.png"} < files
    assert {check["status"] for check in found["files"]} <= {"same", "not compared"}
    assert found["files"] == sorted(found["files"], key=lambda check: check["file"])


def test_verify_names_every_file_that_differs(cli, project):
    edited, gone, extra = (
        project / name for name in ("paper_tables/table1.md", "figures/table1_curves.csv", "figures/x")
    )
    edited.write_bytes(edited.read_bytes().replace(b"Noise floor", b"Noise flour"))
    gone.unlink()
    extra.with_name("table1_extra.csv").write_bytes(b"a\n")
    extra.with_name("table2_accuracy.csv").write_bytes(b"of an experiment that was not asked for\n")
    code, out, _ = cli("verify", "table1")
    bad = [line.split(maxsplit=2) for line in out.splitlines() if not line.startswith(("same", "not compared"))]
    assert code == 1 and "NOT verified" in out.splitlines()[-1]
    assert ["differs", "paper_tables/table1.md"] in [line[:2] for line in bad]
    assert ["missing", "figures/table1_curves.csv"] in [line[:2] for line in bad]
    assert ["left", "over"] in [line[:2] for line in bad] and "table1_extra.csv" in out and "table2_accuracy" not in out


def failed_verify(cli, *words):
    """The answer of a verification that fails."""
    code, out, err = cli("verify", *words, "--json")
    assert (code, err) == (1, "")
    found = json.loads(out)
    assert not found["ok"]
    return {(check["status"], check["file"]) for check in found["files"]}, found["leaderboard"]


@pytest.mark.parametrize("words", [(), ("table1",)])
def test_verify_misses_records_that_tables_and_leaderboard_rest_on(cli, project, words):
    bundle_path(project / "results", "table1").unlink()
    files, findings = failed_verify(cli, *words)
    assert ("missing", "results/table1.jsonl.gz") in files and ("left over", "paper_tables/table1.md") in files
    assert sum(finding["wrong"] and finding["what"] == "missing" for finding in findings) == 25
    for path in (*project.glob("paper_tables/*"), *project.glob("figures/*")):
        path.unlink()
    assert failed_verify(cli, *words)[0] == {("missing", "results/table1.jsonl.gz")}, "the leaderboard names it"


def test_verify_names_files_of_no_record(cli, project):
    strange = ("figures/table2_accuracy.csv", "figures/table1@smoke_x.csv", "paper_tables/.x", "paper_tables/a/b.md")
    for name in strange:
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).write_bytes(b"x")
    files, _ = failed_verify(cli)
    assert {name for status, name in files if status == "left over"} == set(strange)
    assert ("missing", "results/table2.jsonl.gz") in files and ("missing", "results/table1@smoke.jsonl.gz") not in files


def test_a_deleted_leaderboard_is_a_finding(cli, project):
    board(project).unlink()
    _, (finding,) = failed_verify(cli)
    assert finding["wrong"] and finding["what"] == "missing" and finding["file"].endswith("leaderboard.jsonl")


def test_a_published_line_without_record_is_wrong_unless_published_anew(cli, cli_json, project):
    lines = leaderboard.read(board(project))
    board(project).unlink()
    old = [dataclasses.replace(line.entry, detail="0" * 64) for line in lines]
    leaderboard.append(board(project), [*old[:2], *(line.entry for line in lines)])
    assert cli_json("verify")["ok"], "two lines were superseded"
    leaderboard.append(board(project), [dataclasses.replace(old[3], finished="2099-01-01T00:00:00Z")])
    _, findings = failed_verify(cli)
    assert [finding["line"] for finding in findings if finding["wrong"]] == [28]
    assert cli("leaderboard", "verify")[0] == 1


def test_verify_takes_the_verdicts_from_the_records(cli_json, cli, project):
    """A table whose verdict was edited by hand fails both verbs."""
    table = project / "paper_tables" / "table1.md"
    words = ("**contradicted**", "**supported**", "**inconclusive**")
    text = table.read_text()
    word = next(word for word in words if word in text)
    table.write_text(text.replace(word, "**wished for**", 1))
    code, out, _ = cli("leaderboard", "verify")
    assert code == 1 and "the verdicts of table1 are not those of" in out
    table.write_text(text.replace("Noise floor", "Noise flour"))
    assert cli("leaderboard", "verify")[0] == 0, "the rest of the table is the business of `repro verify`"


def test_a_missing_line_is_found_and_mended(cli, project):
    lines = board(project).read_bytes().splitlines(keepends=True)
    board(project).write_bytes(b"".join(lines[:-1]))
    code, out, _ = cli("leaderboard", "verify")
    assert code == 1 and "1 trials have no line" in out and "only-regenerate" in out
    assert cli("publish", "--only-regenerate")[0] == 0
    assert board(project).read_bytes() == b"".join(lines)


BAD = {
    "chain": (lambda lines: [*lines[:4], *lines[5:]], "line 5: the chain is broken"),
    "schema": (lambda lines: [lines[0].replace(b'"schema":1', b'"schema":9'), *lines[1:]], "schema version 9"),
    "twice": (lambda lines: [*lines, lines[3]], "line 26: the same record as line 4"),
    "long": (lambda lines: [*lines, b"{" + b" " * 2000 + b"}\n"], "line 26: longer than 1500 bytes"),
    "unreadable": (lambda lines: [*lines, b"\xff\xfe{\n"], "line 26: not a whole line"),
    "edited": (lambda lines: [*lines[:2], lines[2].replace(b'"seed":2', b'"seed":3'), *lines[3:]], "line 3"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_damaged_leaderboard_is_bad_input_and_stays_as_it_is(cli, project, workspace, tmp_path, kind):
    change, said = BAD[kind]
    path = board(project)
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))
    damaged = path.read_bytes()
    target = ("--to", path)
    for words in (
        ["show"], ["verify"], ["export", "out.csv"], ["add", *target], ["merge", path],
        ["merge", path, "--to", tmp_path / "fresh.jsonl"],
    ):  # fmt: skip
        code, _, err = cli("leaderboard", *words)
        assert code == 2 and err.count("\n") == 1, words
        assert said in err, err
    assert path.read_bytes() == damaged and not (tmp_path / "fresh.jsonl").exists()
    assert not (project / "out.csv").exists() and cli("verify")[0] == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["show", "--experiment", "tabel1"], "did you mean table1"),
        (["show", "--metric", "acuracy"], "did you mean accuracy"),
        (["show", "--scale", "huge"], "huge"),
        (["show", "--scale", "paper"], "no scale 'paper'"),
        (["show", "--top", "0"], "--top"),
        (["show", "--file", "none.jsonl"], "there is no leaderboard none.jsonl"),
        (["merge", "none.jsonl"], "none.jsonl is not a file"),
        (["add"], "run an experiment first"),
        (["add", "--from", "none.gz"], "cannot read none.gz"),
        (["add", "table1", "--from", "x"], "not both"),
        (["export", "out.xlsx"], "use one of .csv, .parquet"),
        (["rank"], "rank"),
        ([], "ACTION"),
    ],
)
def test_bad_input_is_one_line(cli, project, words, said):
    code, _, err = cli("leaderboard", *words)
    assert code == 2 and said in err and err.count("\n") == 1


def test_an_attack_from_outside_changes_nothing_and_steers_no_terminal(cli, project, tmp_path):
    record = five("mine", 0.5)[0] | {"arm": "\x1b[2J<script>"}
    content = json.dumps(record, sort_keys=True, separators=(",", ":")).encode()
    bad = tmp_path / "bad.json"
    bad.write_bytes(b'{"sha256":"' + hashlib.sha256(content).hexdigest().encode() + b'",' + content[1:] + b"\n")
    bad_board = tmp_path / "bad" / "leaderboard.jsonl"
    bad_board.parent.mkdir()
    line = {"schema": 1, "\x1b[2J": 1}
    text = json.dumps(line, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()
    head = f'{{"id":"{hashlib.sha256(text).hexdigest()}","prev":"{"0" * 64}",'.encode()
    bad_board.write_bytes(head + text[1:] + b"\n")
    for words in (["add", "--from", bad], ["merge", bad_board]):
        code, out, err = cli("leaderboard", *words)
        assert code == 2 and "\x1b" not in out + err and err.count("\n") == 1
    assert not (project / "runs").exists()


@pytest.mark.parametrize("change", [{"method": {"name": "mine", "semantics": "x"}}, {"evaluation": {}}], ids=json.dumps)
def test_a_record_whose_settings_make_no_line_is_one_line(cli, project, tmp_path, change):
    record = five("mine", 0.5)[0]
    record["config"] |= change
    whole = record["config"] | {"evaluation": record["config"]["evaluation"] or plain(asdict(EvaluationSettings()))}
    record["key"] = content_hash({"config": deciding(whole), "hashes": record["hashes"]})
    bad = tmp_path / "bad.json"
    bad.write_bytes(encode_record(record))
    code, _, err = cli("leaderboard", "add", "--from", bad)
    assert code == 2 and "bad.json, line 1, cannot be used" in err and err.count("\n") == 1
    assert not (project / "runs").exists()


def test_verify_wants_a_known_experiment(cli, project):
    code, _, err = cli("verify", "tabel1")
    assert code == 2 and "did you mean table1" in err


def test_publish_appends_only_what_is_new(cli_json, project):
    assert cli_json("publish", "--only-regenerate")["leaderboard_lines"] == 0
