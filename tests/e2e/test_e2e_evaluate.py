"""`repro evaluate` as a user starts it: killed in the middle and issued again; and on every task that has data here."""

import json

import pytest
from checkpoint_files import checkpoint
from e2e_command import Command, run
from e2e_models import tiny_qwen2

from repro import tasks
from repro.errors import InputError
from repro.store.record import strip_measured
from repro.store.records import load_records
from repro.store.workspace import Workspace
from repro.tasks.catalogue import TASKS

LONG = ["--task", "chain", "--questions", "64", "--samples", "16", "--set", "evaluation.batch=16"]


def records(root):
    found, problems = load_records(Workspace(root))
    assert not problems
    return found


def parts(folder) -> int:
    return len(list((folder / "runs/checkpoints").glob("*/kept/chain/*.json")))


@pytest.mark.slow
def test_killed_and_issued_again_ends_as_uninterrupted(tmp_path):
    words = ["evaluate", "--model", checkpoint(tmp_path / "model"), *LONG, "--root", "runs"]
    run(words, tmp_path / "whole")
    command = Command(words, tmp_path / "run")
    command.until(lambda: parts(tmp_path / "run") >= 8)
    command.kill()
    reached = parts(tmp_path / "run")
    assert 8 <= reached < 68 and not records(tmp_path / "run/runs")
    again = run([*words, "--json"], tmp_path / "run")
    (found,), (whole,) = records(tmp_path / "run/runs"), records(tmp_path / "whole/runs")
    assert strip_measured(found) == strip_measured(whole)
    assert (found["cost"]["resumed"], whole["cost"]["resumed"]) == (1, 0)
    (shown,) = json.loads(again.out.read_text())["evaluations"]
    assert shown["records"][0]["key"] == found["key"]
    assert "cached" in run(words, tmp_path / "run").error


@pytest.mark.slow
def test_every_task_that_there_are_data_for(data_dir, tmp_path):
    """A byte-level checkpoint can read them all; programs are run, symbolic answers compared in workers."""
    named = []
    for name in TASKS:
        try:
            task = tasks.load(name, {}, data_dir)
            task.provenance()
        except InputError:
            continue
        named += [name] if "test" in task.splits else []
    assert {"chain", "synthesis", "svamp", "humaneval"} <= set(named)
    words = [word for name in named for word in ("--task", name)]
    few = ["--questions", "2", "--samples", "2", "--max-completion", "8", "--data-dir", data_dir, "--root", "runs"]
    run(["evaluate", "--model", tiny_qwen2(tmp_path / "model"), *words, *few], tmp_path)
    found = {record["config"]["task"]["name"]: record for record in records(tmp_path / "runs")}
    assert set(found) == set(named) and all(record["status"] == "done" for record in found.values())
    for name, record in found.items():
        assert set(record["outcomes"]) == {name} and len(record["samples"]) == 2
        task = tasks.load(name)
        assert ("lenient" in record["outcomes"][name]) == (task.answer_kind == "numeric" and not task.executes)
        if not TASKS[name].generated:
            assert all(sample["prompt"] is None and sample["gold"] is None for sample in record["samples"])
