"""The worker module by itself and under torch.distributed.run."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from test_launch_local import HERE, alive, notes, run, trial, wait_for

from repro.launch.distributed import command
from repro.launch.execute import run_one
from repro.launch.worker import main

REPOSITORY = HERE.parents[1]


def worker(tmp_path, arm, *arguments, **keywords):
    path = tmp_path / "trial.json"
    path.write_text(json.dumps(trial(arm).to_json()))
    line = [sys.executable, "-m", "repro.launch.worker", str(path), "--root", str(tmp_path)]
    line += ["--runner", "launch_runners:behave", *arguments]
    return subprocess.run(line, capture_output=True, text=True, env=_environment(), timeout=60, **keywords)


def _environment():
    return {**os.environ, "PYTHONPATH": f"{HERE}{os.pathsep}{REPOSITORY}"}


def test_events_go_to_an_inherited_descriptor(tmp_path):
    reader, writer = os.pipe()
    done = worker(tmp_path, "facts", "--events", f"/dev/fd/{writer}", "--data-dir", "data", pass_fds=[writer])
    os.close(writer)
    with os.fdopen(reader) as stream:
        events = [json.loads(line) for line in stream]
    assert done.returncode == 0, done.stderr
    assert [e["event"] for e in events] == ["started", "step", "phase", "done"]
    assert events[2]["data_dir"] == "data" and events[2]["omp"] == "1"
    assert "printed by a library" in done.stdout


def test_a_failed_trial_is_exit_code_1_and_an_unreadable_file_2(tmp_path):
    done = worker(tmp_path, "trial")
    assert done.returncode == 1
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "event": "failed", "kind": "trial", "message": "loss is NaN", "step": 7,
    }  # fmt: skip
    (tmp_path / "broken.json").write_text("{")
    assert main([str(tmp_path / "broken.json"), "--root", str(tmp_path)]) == 2


def test_only_rank_0_reports(tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    done = worker(tmp_path, "sleep-0")
    assert (done.returncode, done.stdout) == (0, "")


def test_command_line_for_several_gpus():
    line = command(Path("t.json"), 8, Path("runs"), Path("data"), "m:f", Path("events"))
    assert line[:4] == [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    assert line[line.index("--nproc-per-node") + 1] == "8"
    module = line.index("repro.launch.worker")
    assert line[module - 1] == "-m"
    assert line[module + 1 :] == "t.json --root runs --events events --runner m:f --data-dir data".split()
    assert "--data-dir" not in command(Path("t.json"), 2, Path("runs"), None, "m:f", Path("events"))


def test_one_terminal_event_whatever_the_runner_does(tmp_path):
    def twice(config, root, data_dir, emit):
        emit({"event": "done"})
        emit({"event": "failed", "message": "late"})
        raise RuntimeError("later")

    events = []
    assert run_one(trial("a").to_json(), tmp_path, None, twice, events.append) == "done"
    assert events == [{"event": "done"}]
    assert run_one({"experiment": "table1"}, tmp_path, None, twice, events.append) == "failed"
    assert events[-1]["kind"] == "input"


@pytest.fixture
def importable_in_ranks(monkeypatch):
    """Ranks inherit the environment, not this process's path."""
    monkeypatch.setenv("PYTHONPATH", f"{HERE}{os.pathsep}{REPOSITORY}")


@pytest.mark.slow
def test_torch_distributed_run_for_real(tmp_path, importable_in_ranks):
    from repro.launch.distributed import run_distributed

    events = []
    config = trial("sleep-0").to_json()
    run_distributed(config, tmp_path, None, "launch_runners:rank", events.append)
    assert events[0] == {"event": "step", "step": 3, "rank": "0", "world": "1"}
    assert [e["event"] for e in events[1:]] == ["started", "step", "done"]


@pytest.mark.slow
def test_two_ranks_end_to_end_and_a_dead_rank_is_a_failed_trial(tmp_path, importable_in_ranks):
    two = {"processes": 2, "micro_batch": 32}
    statuses, events = run([trial("sleep-0.5", **two)], tmp_path, runner="launch_runners:rank")
    assert list(statuses.values()) == ["done"]
    assert len([line for line in notes(tmp_path) if line[0] == "start"]) == 2
    assert len([e for e in events if e["event"] == "started"]) == 1
    statuses, events = run([trial("exit-3", **two)], tmp_path, runner="launch_runners:rank")
    assert list(statuses.values()) == ["failed"]
    assert "without a result" in events[-1]["message"]


@pytest.mark.slow
def test_ranks_end_when_the_run_is_broken_off(tmp_path, importable_in_ranks):
    from repro.launch.local import run_trials

    def on_event(event):
        if event["event"] == "started":
            time.sleep(0.2)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_trials([trial("sleep-60", processes=2)], tmp_path, 1, None, on_event, runner="launch_runners:rank")
    pids = [int(line[2]) for line in notes(tmp_path) if line[0] == "start"]
    assert pids and wait_for(lambda: not any(alive(pid) for pid in pids), 10)
