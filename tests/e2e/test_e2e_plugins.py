"""Methods from outside, as a user has them: the documentation's worked example, an edit, a fault, a distribution."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from plugin_files import edit, install

import repro
from repro.store.records import load_records
from repro.store.workspace import Workspace

pytestmark = pytest.mark.slow

DOCS = Path(__file__).parents[2] / "docs" / "adding_a_method.md"


def example() -> str:
    """The commands of the documentation's worked example, as one shell script."""
    (script,) = re.findall(r"<!-- example -->\n```bash\n(.*?)```", DOCS.read_text(), re.DOTALL)
    return script


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    """`shell(script, folder, **environment)` runs bash in a folder with the commands `repro` and `pytest`."""
    tools = tmp_path_factory.mktemp("bin")
    for name, module in (("repro", "repro.cli"), ("pytest", "pytest")):
        # As an installed script, without the current folder among the places of modules.
        (tools / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" -P -m {module} "$@"\n')
        (tools / name).chmod(0o755)

    def run(script: str, folder: Path, site: Path | None = None) -> subprocess.CompletedProcess:
        places = [str(Path(repro.__file__).parents[1])] + ([str(site)] if site else [])
        environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "PYTHONPATH": os.pathsep.join(places)}
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script], cwd=folder, capture_output=True, text=True, env=environment
        )

    return run


@pytest.fixture(scope="module")
def worked(shell, tmp_path_factory) -> Path:
    """The folder `my_method` after the worked example has run in an empty folder."""
    folder = tmp_path_factory.mktemp("empty")
    done = shell(example(), folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout
    return folder / "my_method"


RUN, COMPARE = (
    next(line for line in example().splitlines() if line.startswith(f"repro {verb}")) for verb in ("run", "compare")
)


def records(folder: Path, arm: str = "my_method") -> list[dict]:
    found, problems = load_records(Workspace(folder / "runs"))
    assert not problems
    return [record for record in found if record["kind"] == "trial" and record["arm"] == arm]


def test_the_worked_example_ends_in_rows_of_a_table_and_of_the_leaderboard(worked, shell):
    (table,) = (worked / "runs/paper_tables").glob("table1@smoke-????????.md")
    assert re.search(r"^\| my_method \| \d", table.read_text(), re.MULTILINE)
    (record,) = records(worked)
    assert record["status"] == "done" and record["cost"]["predicted_peak"]["total"] > 0
    assert record["provenance"]["plugins"][0]["sha256"] == record["config"]["method"]["source"]
    assert str(worked) not in str(record), "the record names no path"
    lines = (worked / "runs/results/leaderboard.jsonl").read_text().splitlines()
    assert sorted(json.loads(line)["arm"] for line in lines) == ["base", "grpo-n4", "my_method"]
    shown = shell(example().splitlines()[-1], worked)
    assert re.search(r"^ +\d +my_method ", shown.stdout, re.MULTILINE), shown.stdout


def test_the_worked_example_compares_without_running_anything_again(worked, shell):
    before = {path: path.read_bytes() for path in worked.rglob("*") if path.is_file() and "runs" in path.parts}
    done = shell(f"{COMPARE} --json", worked)
    (found,) = json.loads(done.stdout)["comparisons"]
    assert found["to_run"] == [] and {one["arm"] for one in found["rivals"]} == {"base", "grpo-n4"}
    assert {one["word"] for one in found["rivals"]} == {"no verdict"}, "scale smoke"
    assert found["cost"]["step"]["completions_equal"]["rounds"] == 2 and found["cost"]["memory_kind"] == "predicted"
    assert "without a verdict (smoke runs give no verdict)" in found["sentence"]
    assert before == {path: path.read_bytes() for path in before}


def test_an_edit_trains_again_and_a_fault_fails_with_one_line(worked, shell):
    again = shell(RUN, worked)
    assert again.returncode == 0 and again.stderr.count("cached") == 4, "three trials, and their count"
    edit(worked / "my_method.py", {"(groups - baseline)": "2 * (groups - baseline)"})
    changed = shell(COMPARE, worked)
    assert changed.returncode == 0 and "my_method/seed0 done" in changed.stderr, changed.stderr
    assert changed.stderr.count("done") == 1 and "time per step beside grpo-n4" in changed.stdout
    assert len({record["config"]["method"]["source"] for record in records(worked)}) == 2
    edit(worked / "my_method.py", {"2 * (groups - baseline)": "((groups - baseline) / (groups - groups))"})
    board = (worked / "runs/results/leaderboard.jsonl").read_bytes()
    broken = shell(COMPARE, worked)
    assert broken.returncode == 1 and broken.stdout == ""
    assert (worked / "runs/results/leaderboard.jsonl").read_bytes() == board
    said = [line for line in broken.stderr.splitlines() if line.startswith("repro: ")]
    assert len(said) == 1 and "method my_method: credit: there is NaN in advantages" in said[0]
    (failed,) = [record for record in records(worked) if record["status"] == "failed"]
    assert failed["error"]["message"] == "method my_method: credit: there is NaN in advantages"


def test_workers_find_an_installed_method(worked, shell, tmp_path):
    site = tmp_path / "site"
    install(site, "yours", {"yours": "yours:Yours"})
    code = (
        (worked / "my_method.py")
        .read_text()
        .replace("((groups - baseline) / (groups - groups))", "(groups - baseline)")
    )
    (site / "yours.py").write_text(code.replace("my_method", "yours").replace("MyMethod", "Yours"))
    done = shell("repro run table1/yours --scale smoke --method yours", tmp_path, site)
    assert done.returncode == 0, done.stderr
    (record,) = records(tmp_path, "yours")
    kept = record["provenance"]["plugins"][0]
    assert (kept["distribution"], kept["version"], kept["file"]) == ("yours", "0.1.0", "yours.py")
