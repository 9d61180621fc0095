"""`repro run table1 --task … --model <checkpoint on disk> --data-dir <public files>`: real questions, tiny network."""

import csv

import pytest
from e2e_command import run
from e2e_models import tiny_qwen2

from repro.store.records import load_records
from repro.store.workspace import Workspace

CORE = ["base", "ppo-n1", "tbrm-n1", "grpo-n4", "tbrm-n4"]


@pytest.mark.parametrize(
    ("task", "rows"),
    [("svamp", {"train": 700, "test": 300}),
     pytest.param("gsm8k", {"train": 7473, "test": 1319}, marks=pytest.mark.slow)],
)  # fmt: skip
def test_real_task_trains_and_evaluates(data_dir, tmp_path, task, rows):
    if not (data_dir / task).is_dir():
        pytest.skip(f"NOT TESTED on {task}: no folder {data_dir / task}")
    model = tiny_qwen2(tmp_path / "model")
    run(
        ["run", "table1", "--task", task, "--model", model, "--data-dir", data_dir, "--scale=smoke", "--root", "runs"],
        tmp_path,
    )
    (name,) = (path.name for path in (tmp_path / "runs/results").iterdir())
    assert name.startswith("table1@smoke-"), "a run with another task is a variant with tables of its own"
    records, problems = load_records(Workspace(tmp_path / "runs"))
    trials = {record["arm"]: record for record in records if record["kind"] == "trial"}
    assert not problems and set(trials) == set(CORE)
    for arm, record in trials.items():
        assert record["status"] == "done" and record["config"]["base"] == {"kind": "folder", "path": str(model)}
        assert {entry["split"]: entry["rows"] for entry in record["data"]} == rows
        assert all(entry["source"] == "folder" and len(entry["sha256"]) == 64 for entry in record["data"])
        assert set(record["outcomes"]) == {task} and len(record["outcomes"][task]["questions"]) == 8
        # Rows of the public files stay in those files: a record names questions and does not copy them.
        assert all(sample["prompt"] is None and sample["gold"] is None for sample in record["samples"])
        if arm != "base":
            assert [row["step"] for row in record["health"]] == [1, 2, 3, 4]
            assert len(record["curve"]) == 3 and record["cost"]["predicted_peak"]["total"] > 0
    table = tmp_path / f"runs/paper_tables/{name}.csv"
    assert [row["status"] for row in csv.DictReader(table.open())] == ["done"] * len(CORE)


@pytest.mark.slow
def test_a_code_task_trains_for_votes_and_evaluates_in_the_sandbox(data_dir, tmp_path):
    """MBPP through the whole command: programs of a random network, executed, voted on by behaviour, recorded."""
    if not (data_dir / "mbpp").is_dir():
        pytest.skip(f"NOT TESTED on mbpp: no folder {data_dir / 'mbpp'}")
    model = tiny_qwen2(tmp_path / "model")
    trials = ["table4/math-base", "table4/math-majority"]
    options = ["--task", "mbpp", "--model", model, "--data-dir", data_dir, "--scale=smoke", "--root", "runs"]
    run(["run", *trials, *options], tmp_path)
    records, problems = load_records(Workspace(tmp_path / "runs"))
    found = {record["arm"]: record for record in records if record["kind"] == "trial"}
    assert not problems and set(found) == {"math-base", "math-majority"}
    for record in found.values():
        assert record["status"] == "done" and record["provenance"]["sandbox"].startswith("bubblewrap")
        assert {entry["split"]: entry["rows"] for entry in record["data"]} == {"rl": 374, "dev": 90, "test": 500}
        assert record["outcomes"]["test"]["vote"]["sizes"] == [1, 2]
        assert all(sample["prompt"] is None and sample["gold"] is None for sample in record["samples"])
    assert [row["signal"] for row in found["math-majority"]["health"]] == [0.0] * 4, "random text passes no test"


@pytest.mark.slow
def test_the_real_svamp_with_a_base_of_generated_problems(data_dir, tmp_path):
    """table5-svamp through the whole command: the split is 700 to 300, and no question of it is in a record."""
    if not (data_dir / "svamp").is_dir():
        pytest.skip(f"NOT TESTED on svamp: no folder {data_dir / 'svamp'}")
    run(["run", "table5-svamp", "--data-dir", data_dir, "--scale=smoke", "--root", "runs"], tmp_path)
    records, problems = load_records(Workspace(tmp_path / "runs"))
    found = {record["arm"]: record for record in records if record["kind"] == "trial"}
    assert not problems and set(found) == {"base", "base-shots", "grpo", "sgrpo", "tspmo", "krpo"}
    for arm, record in found.items():
        assert record["status"] == "done"
        assert {entry["split"]: entry["rows"] for entry in record["data"]} == {"train": 700, "test": 300}
        assert "test/accuracy_lenient" in record["metrics"]
        assert all(sample["prompt"] is None and sample["gold"] is None for sample in record["samples"])
        groups = [row["group"] for row in record["health"] if "group" in row]
        assert len(groups) == (2 if arm in ("sgrpo", "tspmo", "krpo") else 0)
        assert all(group["prompt"] is None and group["gold"] is None for group in groups)
    assert found["tspmo"]["health"][0]["token_share"] < 1
