"""plan, run, status, clean: what runs, what is cached, how failures and interruptions end. No trial really trains."""

import json
import sys
from types import ModuleType

import pytest

from repro.cli import pipeline
from repro.errors import TrialError
from repro.experiments import registry
from repro.experiments.resolve import resolve
from repro.store.lock import TrialLock
from repro.store.records import load_records, write_record
from repro.store.workspace import Workspace

from .fake_trials import FakeLaunch, key_of, record_of, timing_of

TABLE1 = registry.get("table1")
CORE = [arm.id for arm in TABLE1.core_arms]


@pytest.fixture
def launch(monkeypatch):
    """`launch(**options)` replaces training by `FakeLaunch` and the timing pass by nothing; reports are not drawn."""

    def replace(**options):
        fake = FakeLaunch(**options)
        monkeypatch.setattr("repro.launch.local.run_trials", fake)
        monkeypatch.setattr(pipeline, "time_arms", lambda *_: None)
        monkeypatch.setattr(pipeline, "finish", lambda *_: None)
        monkeypatch.setattr("repro.cli.run._print", lambda *_: None)
        return fake

    return replace


def config(arm="tbrm-n4", seed=0, scale="micro"):
    return resolve(TABLE1, scale, arm, seed)


def test_plan_of_a_new_workspace(cli_json, tmp_path):
    found = cli_json("plan", "table1")
    assert set(found) == {"trials", "cached", "to_run", "jobs", "estimated_seconds", "problems", "cost"}
    assert found["cost"] is None, "filled by a later version"
    assert found["estimated_seconds"] is None or found["estimated_seconds"] > 0, "from published records, if any"
    assert {"id", "arm", "seed", "status", "key", "estimated_seconds"} == set(found["trials"][0])
    assert found["to_run"] == len(found["trials"]) == 25 and found["cached"] == 0
    assert not (tmp_path / "runs").exists(), "a plan leaves no trace"


def test_plan_sees_cached_damaged_and_estimates(cli_json, cli, tmp_path):
    workspace = Workspace(tmp_path / "runs")
    for arm in CORE:
        write_record(workspace, record_of(config(arm)))
    torn = write_record(workspace, record_of(config("base", 1)))
    torn.write_bytes(torn.read_bytes()[:100])
    write_record(workspace, record_of(config("base", 2), status="failed"))
    found = cli_json("plan", "table1", "--seeds", "3", "--jobs", "2")
    status = {trial["id"]: trial["status"] for trial in found["trials"]}
    assert status["table1/base/seed0"] == "cached"
    assert status["table1/base/seed1"] == "damaged"
    assert status["table1/base/seed2"] == "to run", "a failed trial is tried again"
    assert str(torn.name) in found["problems"][0]
    assert found["trials"][0]["key"] == key_of(config("base"))
    # Ten trials left, 65 recorded seconds each (the base arm trains nothing, so only 5 for its two), two at a time.
    assert found["estimated_seconds"] == pytest.approx(5 * 65, rel=0.25)
    assert "1 cached" not in cli("plan", "table1")[1] and "5 cached" in cli("plan", "table1")[1]


def test_published_records_are_no_cache_but_serve_the_estimate(cli_json, tmp_path):
    from repro.store.published import bundle_path, write_bundle

    write_bundle(bundle_path(tmp_path / "results", "table1"), [record_of(config(arm)) for arm in CORE])
    found = cli_json("plan", "table1")
    assert found["cached"] == 0 and found["estimated_seconds"] > 0


def test_run_runs_only_what_is_missing(cli, launch):
    fake = launch()
    code, out, err = cli("run", "table1", "--seeds", "1")
    assert code == 0 and len(fake.ran) == 5
    assert err.count(" done, accuracy 50.0 %") == 5, "one line per trial where nobody watches"
    fake = launch()
    assert cli("run", "table1", "--seeds", "2")[0] == 0
    assert fake.ran == [f"table1/{arm}/seed1" for arm in CORE]
    fake = launch()
    assert cli("run", "table1", "--seeds", "2")[0] == 0
    assert fake.ran == []


def test_a_variant_runs_only_what_it_changes_and_has_records_of_every_arm(cli, launch, tmp_path):
    launch()
    cli("run", "table1", "--seeds", "1")
    fake = launch(accuracy=0.75)
    assert cli("run", "table1", "--seeds", "1", "--set", "tbrm-n4.beta=0.5")[0] == 0
    assert [name.split("/")[1] for name in fake.ran] == ["tbrm-n4"]
    folder = next(path.name for path in (tmp_path / "runs/results").iterdir() if "@" in path.name)
    records, problems = load_records(Workspace(tmp_path / "runs"), folder)
    assert {record["arm"] for record in records} == set(CORE) and not problems
    assert {record["metrics"]["chain/accuracy"] for record in records if record["arm"] == "tbrm-n4"} == {0.75}


def test_a_failed_trial_ends_with_1_and_the_others_go_on(cli, launch):
    fake = launch(failing=["ppo-n1"])
    code, _, err = cli("run", "table1", "--seeds", "1")
    assert code == 1 and len(fake.ran) == 5
    assert "repro: table1/ppo-n1/seed0: loss is NaN" in err and "Traceback" not in err


def test_bad_input_found_by_every_worker_is_said_once(cli, launch):
    launch(failing=CORE, kind="input", message="model x/y cannot be fetched")
    code, _, err = cli("run", "table1", "--seeds", "1")
    assert code == 2
    assert err.splitlines()[-1] == "repro: model x/y cannot be fetched"


def test_interruption_says_how_to_go_on(cli, launch):
    launch(interrupt_after=2)
    code, _, err = cli("run", "table1", "--seeds", "1")
    assert code == 130
    last = err.splitlines()[-1]
    assert last.startswith("repro: interrupted") and "same command" in last and "Traceback" not in err
    fake = launch()
    assert cli("run", "table1", "--seeds", "1")[0] == 0 and len(fake.ran) == 3


def test_a_failed_timing_pass_is_told(cli, launch, monkeypatch):
    launch()
    monkeypatch.setattr(pipeline, "time_arms", lambda *_: "timing pass failed: no room")
    code, _, err = cli("run", "table1", "--seeds", "1")
    assert code == 1 and "no room" in err


def test_timing_covers_every_finished_trained_arm_and_is_not_repeated(tmp_path, monkeypatch):
    from repro.experiments.resolve import Changes

    timed = []
    module = ModuleType("repro.training.timing")
    module.run_timing = lambda configs, root, data_dir, emit: timed.append(sorted(configs))
    monkeypatch.setitem(sys.modules, "repro.training.timing", module)
    monkeypatch.setattr("repro.launch.process.environment", dict)
    workspace = Workspace(tmp_path)
    for arm in ("base", "tbrm-n1", "brm-n1"):
        write_record(workspace, record_of(config(arm)))
    write_record(workspace, record_of(config("ppo-n1"), status="failed"))
    selection = registry.select(["table1"])[0]
    assert pipeline.time_arms(selection, Changes(), workspace, None, print) is None
    assert timed == [["brm-n1", "tbrm-n1"]]
    write_record(workspace, timing_of({arm: config(arm) for arm in timed[0]}))
    pipeline.time_arms(selection, Changes(), workspace, None, print)
    assert len(timed) == 1

    def fail(*_):
        raise TrialError("no room")

    module.run_timing = fail
    write_record(workspace, record_of(config("tbrm-n4")))
    assert "no room" in pipeline.time_arms(selection, Changes(), workspace, None, print)


def test_a_timing_record_of_an_older_definition_counts_nowhere(tmp_path, monkeypatch):
    from repro.cli.publish import promote
    from repro.experiments.resolve import Changes, parse_changes

    workspace = Workspace(tmp_path)
    for arm in CORE:
        for seed in range(5):
            write_record(workspace, record_of(config(arm, seed)))
    trained = [arm for arm in CORE if arm != "base"]
    selection = registry.select(["table1"])[0]
    timed = []
    module = ModuleType("repro.training.timing")
    module.run_timing = lambda configs, *_: timed.append(sorted(configs))
    monkeypatch.setitem(sys.modules, "repro.training.timing", module)
    monkeypatch.setattr("repro.launch.process.environment", dict)

    def found():
        stored = load_records(workspace, "table1")[0]
        records, timing = pipeline.known_records(selection, Changes(), workspace)
        assert len(records) == 25
        promoted = [record for record in promote("table1", workspace) if record not in records]
        return timing, pipeline.timing_record(stored, records), promoted

    # All arms as today, only one of them with another learning rate.
    old = {arm: config(arm) for arm in trained}
    old["tbrm-n4"] = resolve(TABLE1, "micro", "tbrm-n4", 0, parse_changes(["tbrm-n4.learning_rate=0.5"]))
    path = write_record(workspace, timing_of(old))
    assert found() == (None, None, [])
    assert pipeline.time_arms(selection, Changes(), workspace, None, print) is None
    assert timed == [sorted(trained)], "the arms must be timed again"
    path.unlink()
    # The same record with today's configs counts, whichever seed was timed and however often it saves checkpoints.
    now = {arm: resolve(TABLE1, "micro", arm, 3, parse_changes(["*.checkpoint_every=7"])) for arm in trained}
    write_record(workspace, timing_of(now))
    timing, again, promoted = found()
    assert timing == again == promoted[0] and timing["kind"] == "timing"
    pipeline.time_arms(selection, Changes(), workspace, None, print)
    assert len(timed) == 1


def test_records_of_an_older_definition_never_enter_the_table(tmp_path):
    from repro.experiments.resolve import Changes, parse_changes

    workspace = Workspace(tmp_path)
    old = resolve(TABLE1, "micro", "tbrm-n4", 1, parse_changes(["*.steps=999"]))
    write_record(workspace, record_of(old))
    write_record(workspace, record_of(config(seed=0)))
    records, _ = pipeline.known_records(registry.select(["table1"])[0], Changes(), workspace)
    assert [record["seed"] for record in records] == [0]


def test_jobs(cli, launch):
    fake = launch()
    cli("run", "table1", "--seeds", "1", "--jobs", "3")
    assert fake.jobs == 3
    cli("run", "table1", "--seeds", "1")
    assert 1 <= fake.jobs <= 4


def test_malformed_data_is_found_before_anything_runs(cli, launch, tmp_path):
    fake = launch()
    model = tmp_path / "tiny"
    model.mkdir()
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (model / name).write_text("{}")
    words = ["run", "table1", "--task", "gsm8k", "--model", model, "--scale", "smoke", "--data-dir"]
    code, _, err = cli(*words, tmp_path / "absent")
    assert code == 2 and "--data-dir" in err
    data = tmp_path / "data"
    (data / "gsm8k").mkdir(parents=True)
    code, _, err = cli(*words, data)
    assert code == 2 and err.count("\n") == 1 and "gsm8k" in err
    (data / "gsm8k" / "train.jsonl").write_text('{"question": "1+1?", "answer": "#### 2"}\n{"question": broken\n')
    (data / "gsm8k" / "test.jsonl").write_text('{"question": "1+1?", "answer": "#### 2"}\n')
    code, _, err = cli(*words, data)
    assert code == 2 and "train.jsonl" in err and "2" in err.partition("train.jsonl")[2]
    assert fake.ran == []


def test_a_root_that_cannot_be_written_is_bad_input(cli, launch, tmp_path):
    launch()
    (tmp_path / "file").write_text("")
    code, _, err = cli("run", "table1", "--root", tmp_path / "file" / "runs")
    assert code == 2 and err.count("\n") == 1 and "--root" in err


def test_status(cli, cli_json, tmp_path):
    workspace = Workspace(tmp_path / "runs").prepare()
    write_record(workspace, record_of(config("base")))
    write_record(workspace, record_of(config("ppo-n1"), status="failed"))
    (workspace.checkpoints / ("a" * 64)).mkdir()
    found = cli_json("status")
    assert set(found) == {"root", "experiments", "running", "unfinished", "problems"}
    (table1,) = found["experiments"]
    assert (table1["done"], table1["failed"], found["unfinished"]) == (1, 1, 1)
    assert {"id", "arm", "seed", "status", "accuracy", "error"} == set(table1["trials"][0])
    out = cli("status")[1]
    assert "loss is NaN" in out and "seed0 50.0" in out


def hold_lock(root, name, ready, end):
    with TrialLock(Workspace(root), name):
        ready.set()
        end.wait(30)


@pytest.fixture
def running_trial(tmp_path):
    """Another process holds the launch lock of table1/tbrm-n4/seed0."""
    import multiprocessing

    from repro.launch.child import lock_name

    context = multiprocessing.get_context("fork")
    ready, end = context.Event(), context.Event()
    Workspace(tmp_path / "runs").prepare()
    process = context.Process(target=hold_lock, args=(tmp_path / "runs", lock_name(config()), ready, end))
    process.start()
    assert ready.wait(30)
    yield process
    end.set()
    process.join()


def test_status_and_clean_see_a_running_trial(cli, cli_json, running_trial):
    assert cli_json("status")["running"] == [{"id": "table1/tbrm-n4/seed0", "pid": running_trial.pid}]
    code, _, err = cli("clean")
    assert code == 2 and str(running_trial.pid) in err


def test_clean_removes_only_what_no_trial_needs(cli, cli_json, tmp_path):
    workspace = Workspace(tmp_path / "runs").prepare()
    path = write_record(workspace, record_of(config()))
    finished, unfinished = workspace.checkpoint(key_of(config())), workspace.checkpoint("f" * 64)
    foreign, sampled = workspace.checkpoints / "mine", workspace.root / "stage1" / ("a" * 64)
    for folder in (finished, unfinished, foreign, sampled):
        folder.mkdir(parents=True)
        (folder / "weights").write_text("x" * 10)
    torn = workspace.results / "table1" / ("base-seed0-" + "0" * 12 + ".json")
    torn.write_text("{")
    (workspace.results / "table1" / "notes.json").write_text("{")
    assert cli_json("clean") == {"removed": [f"runs/checkpoints/{finished.name}"], "bytes": 10}
    assert not finished.exists()
    assert unfinished.exists() and torn.exists() and path.exists() and sampled.exists()
    code, _, err = cli("clean", "--all")
    assert code == 2 and "--yes" in err and unfinished.exists()
    cli_json("clean", "--all", "--yes")
    assert not unfinished.exists() and not torn.exists() and not sampled.exists()
    assert path.exists() and foreign.exists() and (workspace.results / "table1" / "notes.json").exists()


def test_clean_refuses_a_folder_that_is_no_workspace(cli, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    code, _, err = cli("clean", "--all", "--yes", "--root", tmp_path)
    assert code == 2 and "not a workspace" in err


def test_command_line_is_recorded(cli, launch, monkeypatch):
    import os

    launch()
    cli("run", "table1", "--seeds", "1", "--set", "*.steps=3")
    assert os.environ["REPRO_COMMAND"] == "repro run table1 --seeds 1 --set '*.steps=3'"


def test_live_progress_shows_cells_and_time():
    import io

    from repro.cli.progress import LiveProgress
    from repro.experiments.plan import plan

    configs = [config("base"), config("tbrm-n4")]
    seen = []
    progress = LiveProgress(
        configs, plan(configs, []), lambda running: seen.append(dict(running)) or "table", io.StringIO()
    )
    progress.event({"event": "started", "id": configs[1].id})
    progress.event({"event": "step", "id": configs[1].id, "step": 30, "total": 60})
    progress.render()
    assert seen[-1] == {configs[1].id: "30/60"}
    assert progress.time_to_go() is not None
    progress.event({"event": "done", "id": configs[1].id, "accuracy": 0.5})
    progress.render()
    assert seen[-1] == {}


def test_live_tables_fill_as_trials_end(tmp_path):
    import io

    from rich.console import Console

    from repro.cli.run import LiveTables
    from repro.experiments.resolve import Changes

    workspace = Workspace(tmp_path)
    selection = registry.select(["table1"], seeds=2)[0]
    configs = [config(arm, seed) for arm, seed in selection.trials]
    tables = LiveTables([(selection, configs)], Changes(), workspace)

    def drawn(running):
        console = Console(width=120, record=True, file=io.StringIO())
        console.print(tables(running))
        return console.export_text()

    first = drawn({"table1/tbrm-n4/seed1": "30/60"})
    assert "30/60" in first and "seed 1" in first and "62.5" not in first
    write_record(workspace, record_of(config("tbrm-n4", 1), accuracy=0.625))
    assert "62.5" in drawn({})


def test_time_to_go_does_not_count_steps_of_an_earlier_run():
    import io
    import time

    from repro.cli.progress import Progress
    from repro.experiments.plan import plan

    configs = [config("tbrm-n4")]
    progress = Progress(configs, plan(configs, []), io.StringIO())
    progress.started = time.monotonic() - 10
    progress.event({"event": "phase", "id": configs[0].id, "message": "train", "step": 40})
    assert progress.time_to_go() is None, "nothing was trained yet in this run"
    progress.event({"event": "step", "id": configs[0].id, "step": 50, "total": 60})
    left = configs[0].train.steps + 1 - 50
    assert progress.time_to_go() == pytest.approx(10 * left / 10, rel=0.1)


def test_run_json_reports_statuses(cli, monkeypatch):
    from types import SimpleNamespace

    fake = FakeLaunch()
    monkeypatch.setattr("repro.launch.local.run_trials", fake)
    monkeypatch.setattr(pipeline, "time_arms", lambda *_: None)
    monkeypatch.setattr(pipeline, "finish", lambda *_: SimpleNamespace(name="table1", report=None, comparison=["same"]))
    monkeypatch.setattr("repro.report.console.to_json", lambda report: {"id": "table1"})
    code, out, _ = cli("run", "table1", "--seeds", "1", "--json")
    found = json.loads(out)
    assert code == 0 and set(found) == {"root", "statuses", "failures", "reports", "comparison"}
    assert set(found["statuses"].values()) == {"done"} and found["comparison"] == {"table1": ["same"]}


def test_building_the_base_counts_as_no_training():
    import io
    import time

    from repro.cli.progress import Progress
    from repro.experiments.plan import plan

    configs = [config("tbrm-n4")]
    stream = io.StringIO()
    progress = Progress(configs, plan(configs, []), stream)
    progress.started = time.monotonic() - 1000
    for step in (50, 2400):
        progress.event({"event": "base", "id": configs[0].id, "step": step, "total": 2400, "loss": 1.0})
    assert stream.getvalue().count("base model") == 1
    assert progress.time_to_go() is None, "no trial has started"
    progress.event({"event": "started", "id": configs[0].id})
    progress.working = time.monotonic() - 10
    progress.event({"event": "step", "id": configs[0].id, "step": 10, "total": 50})
    assert progress.time_to_go() == pytest.approx(configs[0].train.steps + 1 - 10, rel=0.1)
