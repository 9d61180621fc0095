"""`repro evaluate` on tiny checkpoints: its record, its cache, what the other verbs make of it, what it refuses.

Trials run in this process; that they run in a worker, are killed and go on is tested in tests/e2e.
"""

import json
import shutil
from pathlib import Path

import pytest
from checkpoint_files import checkpoint, edit_config

from repro.store.records import adopt, load_records, read_record, write_record
from repro.store.workspace import Workspace

SMALL = ["--task", "chain", "--questions", "12", "--samples", "4", "--max-completion", "8"]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return [checkpoint(folder / f"model-{seed}", seed=seed) for seed in (1, 2)]


@pytest.fixture
def inline(monkeypatch):
    """Trials run in this process; the list names those that did."""
    from repro.launch.execute import RUNNER, run_one

    ran = []

    def run(configs, root, jobs, data_dir, on_event, **_):
        for config in configs:
            ran.append(config.id)
            run_one(config.to_json(), root, data_dir, RUNNER, on_event)

    monkeypatch.setattr("repro.launch.local.run_trials", run)
    return ran


def records(root="runs"):
    found, problems = load_records(Workspace(root))
    assert not problems
    return found


def test_an_evaluation_is_recorded_like_a_trial(cli_json, inline, models):
    from repro.training.base import folder_digest

    found = cli_json("evaluate", "--model", models[0], *SMALL, "--seeds", "2")
    assert set(found) == {"root", "statuses", "failures", "evaluations"} and found["failures"] == {}
    (one,) = found["evaluations"]
    assert set(one) == {"id", "model", "digest", "task", "template", "scale", "seeds", "records", "sets"}
    digest = folder_digest(models[0])
    assert one["digest"] == digest and one["model"] == f"model-1-{digest[:8]}" and one["seeds"] == [0, 1]
    assert found["statuses"] == {f"{one['id']}/{one['model']}/seed{seed}": "done" for seed in (0, 1)}
    for place, record in enumerate(records()):
        assert record == read_record(Path(one["records"][place]["file"])) and record["kind"] == "trial"
        assert record["key"] == one["records"][place]["key"] and record["config"]["method"]["name"] == "none"
        assert record["hashes"]["base"] == digest and set(record["hashes"]["prompts"]) == {"chain"}
        assert record["config"]["base"] == {"kind": "folder", "path": str(models[0])}
        assert len(record["outcomes"]["chain"]["samples"]) == 12 and len(record["samples"]) == 12
        assert record["provenance"]["command"].startswith("repro evaluate") and record["cost"]["updates"] == 0
    metrics = one["sets"]["chain"]["metrics"]
    wanted = {"accuracy", "greedy", "accuracy_lenient", "truncated", "unparsed"}
    assert set(metrics) == wanted | {f"{rule}@{k}" for rule in ("pass", "majority") for k in (1, 2, 4)}
    for name, value in metrics.items():
        mean = sum(record["metrics"][f"chain/{name}"] for record in records()) / 2
        assert value["estimate"] == pytest.approx(mean)
        assert 0 <= value["lo"] <= value["estimate"] <= value["hi"] <= 1


def test_asked_as_an_experiments_base_arm_is_it_gives_the_same_answers(cli_json, inline, models):
    from repro.experiments import registry
    from repro.experiments.resolve import parse_changes, resolve
    from repro.training.trial import run_trial

    config = resolve(registry.get("table1"), "smoke", "base", 0, parse_changes(model=str(models[0])))
    arm = run_trial(config, Path("arm"))["outcomes"]["chain"]
    options = [f"--option={name}={json.dumps(value)}" for name, value in config.task["options"].items()]
    longest = config.evaluation.max_completion
    cli_json(
        "evaluate", "--model", models[0], "--task", "chain", "--scale", "smoke", *options, "--max-completion", longest
    )
    (record,) = records()
    found = record["outcomes"]["chain"]
    assert options and {name: found[name] for name in arm} == arm
    assert record["hashes"]["prompts"]["chain"] and found["vote"] and found["lenient"]


def test_again_is_cached_and_other_questions_are_not(cli, cli_json, inline, models):
    first = cli_json("evaluate", "--model", models[0], *SMALL)
    assert len(inline) == 1
    again = cli_json("evaluate", "--model", models[0], *SMALL)
    assert len(inline) == 1 and again["evaluations"] == first["evaluations"]
    assert list(again["statuses"].values()) == ["cached"]
    more = cli_json("evaluate", "--model", models[0], *SMALL, "--seeds", "2")
    assert len(inline) == 2 and set(more["statuses"].values()) == {"cached", "done"}
    cli_json("evaluate", "--model", models[0], *SMALL, "--split", "dev")
    assert len(inline) == 3
    code, out, err = cli("evaluate", "--model", models[0], *SMALL)
    assert code == 0 and "cached" in err
    assert "chain: 12 questions x 4 samples" in out and "95 % interval" in out and "pass@4" in out
    assert first["evaluations"][0]["records"][0]["file"] in out


def test_changed_weights_are_another_model(cli_json, inline, models, tmp_path):
    copy = shutil.copytree(models[0], tmp_path / "model-1")
    first = cli_json("evaluate", "--model", copy, *SMALL)["evaluations"][0]
    moved = copy.rename(tmp_path / "elsewhere")
    assert list(cli_json("evaluate", "--model", moved, *SMALL)["statuses"].values()) == ["cached"], "by content"
    shutil.copy(models[1] / "model.safetensors", moved)
    other = cli_json("evaluate", "--model", moved, *SMALL)["evaluations"][0]
    assert len(inline) == 2 and other["id"] == first["id"] and other["digest"] != first["digest"]


def test_an_arm_of_an_experiment_that_was_measured_alike_is_not_measured_again(cli_json, inline, models):
    cli_json("evaluate", "--model", models[0], *SMALL)
    (record,) = records()
    names = json.loads(json.dumps(record["config"])) | {"experiment": "table1", "arm": "base"}
    from repro.store.config import TrialConfig

    write_record(Workspace("runs"), adopt(record, TrialConfig.from_json(names)))
    shutil.rmtree(Workspace("runs").results / f"evaluate@{record['variant']}")
    again = cli_json("evaluate", "--model", models[0], *SMALL)
    assert len(inline) == 1 and list(again["statuses"].values()) == ["cached"]
    assert {one["experiment"] for one in records()} == {"table1", "evaluate"}


def test_several_tasks_are_several_evaluations(cli_json, inline, models, tmp_path):
    words = ["--questions", "4", "--samples", "2", "--max-completion", "4", "--option", "test=8"]
    both = checkpoint(tmp_path / "both", "multiply")
    found = cli_json("evaluate", "--model", both, "--task", "multiply", *words, "--set", "evaluation.batch=3")
    assert [one["task"] for one in found["evaluations"]] == ["multiply"]
    (record,) = records()
    assert record["config"]["evaluation"]["batch"] == 3 and record["config"]["task"]["options"] == {"test": 8}
    found = cli_json("evaluate", "--model", models[0], "--task", "chain", "--task", "chain", *words)
    assert len(found["evaluations"]) == 1, "a task named twice is one task"


def test_a_task_from_a_file(cli_json, inline, models, plugged, tmp_path):
    from plugin_files import task_file

    file = task_file(tmp_path)
    words = ["--model", models[0], "--task", file, "--questions", "4", "--max-completion", "4"]
    (one,) = cli_json("evaluate", *words)["evaluations"]
    (record,) = records()
    assert one["task"] == "sums" and len(record["config"]["task"]["source"]) == 64
    assert record["provenance"]["plugins"][0]["file"] == "sums.py"
    (result,) = cli_json("rescore", one["id"], "--checker", "lenient")["results"]
    assert (result["stored"], result["of"]) == (4, 32)


@pytest.mark.slow
def test_the_other_verbs_take_such_records_like_any_other(cli, cli_json, inline, models):
    for model in models:
        found = cli_json("evaluate", "--model", model, *SMALL, "--seeds", "5", "--completions", "all")
    name = found["evaluations"][0]["id"]
    (experiment,) = cli_json("status")["experiments"]
    assert (experiment["id"], experiment["done"]) == (name, 10)
    (report,) = cli_json("report")["reports"]
    assert report["id"] == name and [row["status"] for row in report["arms"]] == ["done", "done"]
    assert report["claims"] == [] and report["command"].startswith("repro evaluate --model")
    table = Path(f"runs/paper_tables/{name}.md").read_text()
    assert "tests no claim" in table and "differs from the paper" not in table
    assert cli_json("report", name, "--html")["html"]["reports"] == [{"origin": "yours", "id": name}]
    assert cli_json("leaderboard", "add")["added"] == 10
    (group,) = cli_json("leaderboard", "show", "--experiment", "evaluate")["groups"]
    assert group["experiment"] == name and len(group["rows"]) == 2, "models that were asked alike are ranked together"
    assert sum(row["p_best"] for row in group["rows"]) == pytest.approx(1)
    board = "runs/results/leaderboard.jsonl"
    assert cli_json("leaderboard", "verify", "--file", board)["ok"]
    assert cli_json("leaderboard", "show", "--file", board)["groups"][0]["reported"] == []
    assert cli_json("leaderboard", "export", "out.csv", "--file", board)["rows"] == 10
    (result,) = cli_json("rescore", name, "--checker", "task")["results"]
    assert (result["origin"], result["stored"], result["of"]) == ("runs", 10 * 48, 10 * 48)
    assert result["changes"] == []
    assert cli_json("clean")["removed"] == [] and len(records()) == 10
    assert cli("show", "evaluate")[0] == 0


@pytest.mark.parametrize("verb", [["run"], ["plan"], ["show"], ["diff", "table1/base"]])
def test_the_experiment_itself_is_nothing_to_run(cli, verb):
    code, _, err = cli(*verb, "evaluate/base")
    assert code == 2 and err.count("\n") == 1 and "repro evaluate --model" in err


def test_publish_refuses_it(cli, inline, models, tmp_path):
    from leaderboard_records import checkout

    cli("evaluate", "--model", models[0], *SMALL)
    code, _, err = cli("publish", "--to", checkout(tmp_path / "project"))
    assert code == 2 and err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--task", "chain"], "--model"),
        (["--model", "absent", "--task", "chain"], "no such folder"),
        (["--model", "empty", "--task", "chain"], "config.json"),
        (["--model", "MODEL"], "--task"),
        (["--model", "MODEL", "--task", "chian"], "chain"),
        (["--model", "MODEL", "--task", "chain", "--scale", "huge"], "huge"),
        (["--model", "MODEL", "--task", "chain", "--split", "exam"], "no split 'exam'"),
        (["--model", "MODEL", "--task", "chain", "--option", "terms=[1]"], "terms"),
        (["--model", "MODEL", "--task", "chain", "--samples", "0"], "positive"),
        (["--model", "MODEL", "--task", "chain", "--questions", "-1"], "positive"),
        (["--model", "MODEL", "--task", "chain", "--seeds", "0"], "--seeds"),
        (["--model", "MODEL", "--task", "chain", "--jobs", "0"], "--jobs"),
        (["--model", "MODEL", "--task", "chain", "--set", "steps=3"], "nothing is trained"),
        (["--model", "MODEL", "--task", "svamp", "--data-dir", "absent"], "--data-dir"),
        (["--model", "MODEL", "--task", "svamp", "--data-dir", "empty"], "svamp"),
        (["--model", "MODEL", "--task", "chain", "--root", "empty/file/runs"], "--root"),
    ],
)
def test_bad_input_is_one_line(cli, inline, models, tmp_path, words, said):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "file").write_text("")
    code, out, err = cli("evaluate", *(str(models[0]) if word == "MODEL" else word for word in words))
    assert (code, out, inline) == (2, "", []) and err.count("\n") == 1 and said in err, err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("spoil", "words", "said"),
    [
        (lambda folder: folder, ["--task", "multiply"], r"no token for *"),
        (lambda folder: folder, ["--task", "chain", "--max-completion", "200"], "room for 128 tokens"),
        (lambda folder: folder, ["--task", "chain", "--set", "train.max_prompt=3"], "more than max_prompt 3"),
        (lambda folder: edit_config(folder, max_position_embeddings=4), ["--task", "chain"], "cannot hold"),
        (lambda folder: edit_config(folder, model_type="t5"), ["--task", "chain"], "not a causal"),
        (lambda folder: edit_config(folder, num_hidden_layers=3), ["--task", "chain"], "config.json cannot be used"),
        (lambda folder: edit_config(folder, intermediate_size=8), ["--task", "chain"], "cannot be loaded"),
        (lambda folder: edit_config(folder, tie_word_embeddings=False), ["--task", "chain"], "lm_head.weight"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"torn"), ["--task", "chain"], "model.safetensors"),
        (lambda folder: (folder / "tokenizer.json").write_text("{"), ["--task", "chain"], "tokenizer.json"),
        (lambda folder: (folder / "tokenizer.json").write_text("{}"), ["--task", "chain"], "tokenizer"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_one_line(cli, inline, models, tmp_path, spoil, words, said):
    spoil(shutil.copytree(models[0], tmp_path / "copy"))
    code, out, err = cli("evaluate", "--model", "copy", *words, "--questions", "4")
    last = err.splitlines()[-1]
    assert code == 2 and last.startswith("repro: ") and said in last, err
    assert "Traceback" not in err and "unexpected" not in err and records() == []


def test_pickled_weights_are_never_loaded(cli, inline, models, tmp_path):
    folder = shutil.copytree(models[0], tmp_path / "copy")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    code, _, err = cli("evaluate", "--model", folder, *SMALL)
    assert code == 2 and "safetensors" in err and err.count("\n") == 1


def test_interruption_says_how_to_go_on(cli, models, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("repro.launch.local.run_trials", stop)
    code, _, err = cli("evaluate", "--model", models[0], *SMALL)
    assert code == 130 and "the same command goes on" in err.splitlines()[-1]
