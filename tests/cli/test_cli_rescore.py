"""`repro rescore`: what it prints and from where; that it writes nothing, and hands no text from outside through."""

import json
from pathlib import Path

import pytest
from leaderboard_records import checkout
from rescored_records import MADE_UP, rescored_trial

from repro.store.published import bundle_path, write_bundle
from repro.store.records import write_record
from repro.store.workspace import Workspace

HOSTILE = "\x1b]0;owned\x07\x9b2J\u202e#{gold}\r\nrepro: all is well\x7f"


@pytest.fixture
def workspace(tmp_path, cli):
    space = Workspace(tmp_path / "runs")
    for record in (rescored_trial(), rescored_trial("tbrm-n4"), rescored_trial(seed=1)):
        write_record(space, record)
    return space


@pytest.fixture
def current(monkeypatch):
    """The made-up records stand for the experiment as it is defined today."""
    monkeypatch.setattr("repro.cli.pipeline.current", lambda configs, records: list(records))


pytestmark = pytest.mark.usefixtures("current")


def content(folder):
    return {path: path.read_bytes() for path in sorted(Path(folder).rglob("*")) if path.is_file()}


def test_json_keys_and_counts(cli_json, workspace):
    before = content(workspace.root)
    found = cli_json("rescore", "table1", "--checker", "lenient")
    assert set(found) == {"checker", "results"} and found["checker"] == "lenient"
    (one,) = found["results"]
    assert set(one) == {"id", "origin", "arms", "changes", "stored", "of", "without", "left_out"}
    assert (one["id"], one["origin"], one["stored"], one["of"], one["left_out"]) == ("table1", "runs", 12, 24, 0)
    assert set(one["arms"][0]) == {
        "arm", "set", "trials", "stored", "of", "recorded", "other", "now_right", "now_wrong", "otherwise",
        "recorded_of_all", "other_of_all",
    }  # fmt: skip
    assert {arm["arm"]: arm["now_right"] for arm in one["arms"]} == {"base": 2, "tbrm-n4": 1}
    assert set(one["changes"][0]) == {"trial", "set", "question", "recorded", "other", "gold", "completion"}
    assert [change["other"] for change in one["changes"]] == ["c", "c", "c", "w", "w", "w"], "flips first"
    assert content(workspace.root) == before, "nothing in the store is changed"


def test_text_says_of_how_many_it_speaks(cli, workspace):
    code, out, _ = cli("rescore", "table1", "--checker", "lenient", "--limit", "1")
    assert code == 0 and "12 of 24 sampled completions are stored" in out
    assert "8 of 16" in out and "now right" in out and "and 5 more changes: --all" in out
    assert cli("rescore", "table1", "--checker", "lenient", "--all")[1].count(" -> ") == 6
    assert "no completion is judged differently" in cli("rescore", "table1", "--checker", "task")[1]
    assert "tbrm" not in cli("rescore", "table1/base", "--checker", "task")[1]


def test_published_records_where_the_workspace_has_none(cli, cli_json, tmp_path, workspace):
    write_bundle(bundle_path(checkout(tmp_path) / "results", "table1"), [rescored_trial("ppo-n1")])
    assert cli_json("rescore", "table1", "--checker", "task")["results"][0]["origin"] == "runs"
    for words in (["--published"], ["--root", "elsewhere"]):
        (one,) = cli_json("rescore", "table1", "--checker", "task", *words)["results"]
        assert one["origin"] == "published" and [arm["arm"] for arm in one["arms"]] == ["ppo-n1"]
    assert not (tmp_path / "elsewhere").exists()


def test_no_text_from_outside_steers_the_terminal(cli, tmp_path):
    record = rescored_trial(made_up=((HOSTILE, "u", ""), *MADE_UP[1:]))
    write_record(Workspace(tmp_path / "runs"), record)
    for words in ([], ["--json"], ["--all"]):
        code, out, _ = cli("rescore", "table1", "--checker", "lenient", *words)
        assert code == 0 and all(one.isprintable() for line in out.split("\n") for one in line)
    assert "\\x1b]0;owned\\x07" in out and "\\u202e" in out and "\\r\\n" in out
    assert not any(line.startswith("repro: all is well") for line in out.splitlines())
    shown = json.loads(cli("rescore", "table1", "--checker", "lenient", "--json")[1])["results"][0]["changes"]
    assert record["samples"][0]["completion"] in [change["completion"] for change in shown], (
        "JSON keeps every character"
    )


def test_long_completions_are_cut_unless_all_is_asked(cli, tmp_path):
    record = rescored_trial(made_up=(("1+" * 900 + "#{gold} or so", "u", ""), *MADE_UP[1:]))
    write_record(Workspace(tmp_path / "runs"), record)
    short, whole = (cli("rescore", "table1", "--checker", "lenient", *words)[1] for words in ([], ["--all"]))
    assert "characters: --all)" in short and "1+" * 900 in whole and "1+" * 900 not in short


def test_list(cli, cli_json):
    code, out, _ = cli("rescore", "--list")
    assert code == 0 and [line.split()[0] for line in out.splitlines()] == [
        "task", "strict", "lenient", "marker", "numeric", "symbolic", "math-verify",
    ]  # fmt: skip
    assert all(one["summary"] for one in cli_json("rescore", "--list")["checkers"])


def test_a_checker_from_a_file(cli_json, workspace, tmp_path):
    (tmp_path / "mine.py").write_text("def check(completion, gold):\n    return True\n")
    found = cli_json("rescore", "table1/tbrm-n4", "--checker", "mine.py")
    assert found["checker"] == "mine" and found["results"][0]["arms"][0]["other"] == 1.0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["table1"], "--checker"),
        (["--checker", "task"], "name what to judge"),
        (["table1", "--checker", "leniant"], "lenient"),
        (["table1", "--checker", "absent.py"], "Python file"),
        (["tabel1", "--checker", "task"], "table1"),
        (["table1/tbrm-n5", "--checker", "task"], "tbrm-n4"),
        (["table1", "--checker", "task", "--limit", "-1"], "--limit"),
        (["table1", "--checker", "task", "--data-dir", "absent"], "--data-dir"),
        (["table1@smoke", "--checker", "task"], "table1"),
    ],
)
def test_bad_input_is_one_line(cli, workspace, words, said):
    code, out, err = cli("rescore", *words)
    assert (code, out) == (2, "") and err.count("\n") == 1 and said in err, err


def test_records_without_completions_are_one_line(cli, tmp_path):
    write_record(Workspace(tmp_path / "runs"), rescored_trial(samples=[]))
    code, out, err = cli("rescore", "table1", "--checker", "task")
    assert (code, out) == (
        2,
        "",
    ) and err == "repro: table1: no completions are stored: the records hold none to judge again\n"
