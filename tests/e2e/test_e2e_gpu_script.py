"""The script that calibrates the planner on a GPU runs to its end without one, on a tiny model."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "gpu" / "measure.py"


def script():
    spec = importlib.util.spec_from_file_location("measure", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def row(**changes) -> dict:
    measured = {"peak_allocated": 4 << 30, "peak_reserved": 5 << 30}
    usual = {"method": "ppo", "shape": "tiny", "device": "card", "seconds_per_step": [1.0, 3.0]}
    return {**usual, "phases": {"update": measured}, "predicted": {"update": 3 << 30}, **changes}


def test_the_table_shows_the_error_of_the_last_measurement_on_a_gpu():
    table = script().table([row(predicted={"update": 9 << 30}), row(), row(device=None, method="grpo")])
    assert table.splitlines()[2:] == ["| ppo | tiny | card | update | 3.00 | 4.00 | -25.0% | 2.00 |"]
    assert "not run" in script().table([]) and "not run" in script().table([row(device=None)])


@pytest.mark.slow
def test_every_part_of_the_script_runs_on_a_tiny_model(tmp_path):
    out = tmp_path / "measured.jsonl"
    command = [sys.executable, str(SCRIPT), "--tiny", "--methods", "ppo,astar-po", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["method"] for line in lines] == ["ppo", "astar-po"]
    for line in lines:
        assert len(line["seconds_per_step"]) == 3 and line["predicted"]["update"] > 0
        assert line["phases"]["generate"]["tokens"] == 4 * 8 * 8, "a completion ended before its full length"
