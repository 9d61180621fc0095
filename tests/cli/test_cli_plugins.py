"""`--method`, `--task FILE` and `new`: what a user sees of plug-ins. No trial really trains."""

import json
import os
import subprocess
import sys

import pytest
from plugin_files import edit, install, method_file, task_file

from repro.cli import pipeline
from repro.methods.catalogue import METHODS
from repro.store.records import load_records
from repro.store.workspace import Workspace

from .fake_trials import FakeLaunch

pytestmark = pytest.mark.usefixtures("plugged")


@pytest.fixture
def launch(monkeypatch):
    """Trials end at once, nothing is timed or drawn."""

    def replace(**options):
        fake = FakeLaunch(**options)
        monkeypatch.setattr("repro.launch.local.run_trials", fake)
        monkeypatch.setattr(pipeline, "time_arms", lambda *_: None)
        monkeypatch.setattr(pipeline, "finish", lambda *_: None)
        return fake

    return replace


@pytest.fixture
def mine(tmp_path):
    return method_file(tmp_path)


def test_a_method_is_an_arm_of_a_variant(cli_json, cli, mine):
    found = cli_json("plan", "table1", "--seeds", "1", "--method", mine)
    (name,) = {trial["id"].split("/")[0] for trial in found["trials"]}
    assert name.startswith("table1@") and found["trials"][-1]["arm"] == "mine"
    config = cli_json("show", "table1/mine", "--method", mine, "--set", "mine.n=8")["config"]
    assert (config["method"]["name"], config["method"]["n"]) == ("mine", 8)
    assert config["train"] == cli_json("show", "table1/grpo-n4")["config"]["train"], "the experiment's own settings"
    assert config["variant"] not in name, "another setting is another variant"
    code, out, _ = cli("diff", "table1/grpo-n4", "table1/mine", "--method", mine)
    assert code == 0 and "method.source" in out and "train." not in out


def test_an_edit_makes_another_variant(cli_json, mine):
    first = cli_json("show", "table1/mine", "--method", mine)["id"]
    assert cli_json("show", "table1/mine", "--method", mine)["id"] == first
    edit(mine, {"mean reward": "average reward"})
    assert cli_json("show", "table1/mine", "--method", mine)["id"] != first


def test_only_the_new_arm_runs_and_the_table_holds_all(cli, cli_json, launch, mine, tmp_path):
    launch()
    assert cli("run", "table1", "--seeds", "1")[0] == 0
    fake = launch(accuracy=0.75)
    assert cli("run", "table1", "--seeds", "1", "--method", mine)[0] == 0
    assert [name.split("/")[1] for name in fake.ran] == ["mine"]
    (folder,) = [path.name for path in (tmp_path / "runs/results").iterdir() if "@" in path.name]
    assert len(load_records(Workspace(tmp_path / "runs"), folder)[0]) == 6
    fake = launch()
    assert cli("run", "table1", "--seeds", "1", "--method", mine)[0] == 0 and fake.ran == []
    edit(mine, {"mean reward": "average reward"})
    fake = launch()
    assert cli("run", "table1", "--seeds", "1", "--method", mine)[0] == 0
    assert [name.split("/")[1] for name in fake.ran] == ["mine"], "an edited file is trained anew"


def test_a_report_needs_no_plug_in(cli, cli_json, launch, mine, tmp_path):
    launch()
    cli("run", "table1", "--seeds", "1", "--method", mine)
    (folder,) = [path.name for path in (tmp_path / "runs/results").iterdir() if "@" in path.name]
    METHODS.pop("mine")
    mine.unlink()
    (report,) = cli_json("report", folder)["reports"]
    assert report["arms"][-1]["arm"] == "mine" and report["arms"][-1]["method"] == "mine"
    assert "| mine |" in (tmp_path / f"runs/paper_tables/{folder}.md").read_text()


def test_a_built_in_method_can_be_added_by_name(cli_json, cli):
    config = cli_json("show", "table1/pkpo", "--method", "pkpo")["config"]
    assert config["method"]["name"] == "pkpo" and "source" not in config["method"] and config["variant"]


def test_another_task_from_a_file(cli_json, tmp_path):
    config = cli_json("show", "table1/tbrm-n1", "--task", task_file(tmp_path))["config"]
    assert config["task"]["name"] == "sums" and len(config["task"]["source"]) == 64


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["plan", "table1", "--method", "absent.py"], "name a Python file"),
        (["run", "table1", "--method", "gpro"], "did you mean grpo"),
        (["plan", "figure1", "--method", "grpo"], "figure1 runs on bandits: --method does not apply"),
        (["show", "table1", "--method", "grpo"], "show with an arm"),
        (["plan", "table1", "--method", "grpo", "--set", "grpo.nn=4"], "no field 'nn'"),
        (["plan", "table1", "--method", "grpo", "--set", "grpo.n=many"], "n must be a whole number"),
        (["plan", "table1", "--method", "grpo", "--set", "grpo.n=3"], "not a multiple of the method's n=3"),
        (["list", "--method", "absent.py"], "name a Python file"),
        (["new", "task", "mine"], "invalid choice"),
        (["new", "method", "Mine"], "'Mine' cannot be a name"),
        (["new", "method", "core"], "means something else"),
        (["new", "method", "my-own"], "write my_own"),
        (["new", "method", "grpo"], "there is a method called 'grpo' already"),
        (["new", "method", "random"], "Python has a module or a word"),
        (["new", "method", "lambda"], "Python has a module or a word"),
        (["new", "method", "torch"], "Python has a module or a word"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_and_exit_code_2(cli, words, said):
    code, out, err = cli(*words)
    assert code == 2 and out == ""
    assert err.startswith("repro: ") and err.count("\n") == 1 and said in err


def test_an_arm_of_that_name_is_a_collision(cli, tmp_path):
    path = method_file(tmp_path, "tbrm_n4", {'name = "tbrm_n4"': 'name = "tbrm-n4"'})
    code, _, err = cli("plan", "table1", "--method", path)
    assert code == 2 and "table1 has an arm called tbrm-n4 already" in err


@pytest.mark.parametrize("verb", [["list"], ["plan", "table1", "--method", "mine"], ["new", "method", "mine2"]])
def test_names_that_collide_are_one_line_and_exit_code_2(cli, monkeypatch, tmp_path, verb):
    site = tmp_path / "site"
    monkeypatch.syspath_prepend(str(site))
    install(site, "my-method", {"mine": "mine:Mine"})
    install(site, "your-method", {"mine": "yours:Yours"})
    code, out, err = cli(*verb)
    assert code == 2 and out == "" and err.count("\n") == 1
    assert "my-method 0.1.0" in err and "your-method 0.1.0" in err and "'mine'" in err


def test_list_shows_what_is_installed_without_importing_it(tmp_path):
    install(tmp_path, "my-method", {"mine": "absent_module:Mine"})
    install(tmp_path, "my-task", {"sums": "absent_module:Sums"}, "repro.tasks")
    code = (
        "import sys\nfrom repro.cli.main import main\n"
        "assert main(['list', '--json']) == 0\n"
        "print([m for m in ('torch', 'numpy', 'pandas') if m in sys.modules], file=sys.stderr)"
    )
    paths = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    environment = {**os.environ, "PYTHONPATH": paths}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stderr.strip() == "[]"
    found = json.loads(done.stdout)
    assert found["methods"][-1] == {"name": "mine", "summary": None, "paper": None, "plugin": "my-method 0.1.0"}
    assert found["tasks"][-1]["name"] == "sums" and found["tasks"][-1]["plugin"] == "my-task 0.1.0"
    assert all(method["plugin"] is None for method in found["methods"][:-1])


def test_list_shows_a_file(cli, cli_json, mine):
    row = cli_json("list", "--method", mine)["methods"][-1]
    assert row["name"] == "mine" and row["plugin"] == "mine.py" and row["summary"].startswith("REINFORCE")
    assert "REINFORCE with a mean-reward baseline." in cli("list", "--method", mine)[1]


def test_new_writes_a_package_once(cli, cli_json, tmp_path):
    found = cli_json("new", "method", "fresh", "--dir", "a/b")
    assert found["folder"] == "a/b/fresh"
    names = sorted(str(path.relative_to(tmp_path / "a/b/fresh")) for path in (tmp_path / "a").rglob("*.*"))
    assert names == ["README.md", "fresh.py", "pyproject.toml", "tests/test_fresh.py"]
    assert not any("$" in (tmp_path / name).read_text() for name in found["files"])
    code, _, err = cli("new", "method", "fresh", "--dir", "a/b")
    assert code == 2 and "exists already" in err
    assert cli("new", "method", "fresher")[0] == 0 and (tmp_path / "fresher/fresher.py").is_file()


def test_new_where_nothing_can_be_written(cli, tmp_path):
    (tmp_path / "file").write_text("")
    code, _, err = cli("new", "method", "fresh", "--dir", "file")
    assert code == 2 and err.count("\n") == 1 and "file" in err
