"""Workers: one trial's death is its own, nothing survives the command line, no trial runs twice."""

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import time
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

from repro.errors import InputError
from repro.launch import local
from repro.launch.execute import TABULAR, runner_of
from repro.launch.local import in_order, preload_modules, run_trials
from repro.store.config import TrialConfig

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # workers get the path of this process
RUNNER = "launch_runners:behave"
PATIENCE = 120  # seconds until an event that does not come fails a test; far less than stand-ins sleep


def trial(arm: str, seed: int = 0, experiment: str = "table1", **train) -> TrialConfig:
    return TrialConfig.from_json(
        {
            "experiment": experiment,
            "scale": "micro",
            "arm": arm,
            "seed": seed,
            # The arm's name is not part of what a lock protects, so it is repeated where it is.
            "method": {"name": "grpo", "n": 4, "behaviour": arm},
            "task": {"name": "chain", "options": {}},
            "base": {"kind": "micro", "recipe": {"steps": 1}},
            "train": train,
            "evaluation": {},
        }
    )


def run(configs, root, jobs=2, data_dir=None, runner=RUNNER, **more):
    events = []
    statuses = run_trials(configs, root, jobs, data_dir, events.append, runner=runner, **more)
    return statuses, events


def notes(root: Path) -> list[list[str]]:
    path = root / "notes.txt"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def wait_for(condition, seconds=PATIENCE):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_each_way_to_end_is_told_apart_and_touches_no_other_trial(tmp_path):
    arms = ["sleep-0.1", "exit-3", "killed", "input", "trial", "defect", "cached", "reports", "sleep-0"]
    statuses, events = run([trial(arm) for arm in arms], tmp_path)
    expected = ["done", "failed", "failed", "failed", "failed", "failed", "cached", "failed", "done"]
    assert statuses == {f"table1/{arm}/seed0": status for arm, status in zip(arms, expected, strict=True)}
    ends = {e["id"].split("/")[1]: e for e in events if e["event"] in ("done", "failed", "cached")}
    assert len([e for e in events if e["event"] in ("done", "failed", "cached")]) == len(arms)
    assert ends["input"]["kind"] == "input"
    assert ends["input"]["message"] == "the file is missing: name it with --data-dir"
    assert ends["trial"]["kind"] == "trial" and ends["trial"]["step"] == 7
    assert ends["defect"]["message"] == "ValueError: two lines" and "raise ValueError" in ends["defect"]["traceback"]
    assert "exit code 3" in ends["exit-3"]["message"] and ends["exit-3"]["step"] == 1
    assert "SIGKILL" in ends["killed"]["message"] and ends["killed"]["kind"] == "crash"
    assert ends["reports"]["message"] == "first"
    assert all("\n" not in e["message"] for e in ends.values() if e["event"] == "failed")


def test_workers_are_set_up_and_quiet(tmp_path, capfd):
    _, events = run([trial("facts")], tmp_path, data_dir=tmp_path / "data")
    facts = next(e for e in events if e.get("message") == "facts")
    assert events[-1]["event"] == "done"  # a worker may have processes of its own
    assert facts["data_dir"] == str(tmp_path / "data")
    assert facts["omp"] == facts["telemetry_off"] == "1"
    assert facts["sigint"] and facts["pid"] != os.getpid()
    assert "printed by a library" not in "".join(capfd.readouterr())
    assert "printed by a library" in (tmp_path / "logs/table1/facts-seed0.log").read_text()


def test_workers_see_the_environment_of_now_not_of_the_first_run(tmp_path, monkeypatch):
    for mark in ("one", "two"):
        monkeypatch.setenv("REPRO_TEST_MARK", mark)
        _, events = run([trial("facts")], tmp_path)
        assert next(e for e in events if e.get("message") == "facts")["mark"] == mark


def test_environment_of_the_command_line_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("WANDB_SILENT", raising=False)
    before = dict(os.environ)
    run([trial("sleep-0")], tmp_path)
    assert dict(os.environ) == before


def test_seed_by_seed_within_each_experiment(tmp_path):
    configs = [trial(arm, seed, name) for name in ("table2", "table1") for arm in ("b", "a") for seed in (1, 0)]
    order = [(c.experiment, c.seed, c.arm) for c in in_order(configs)]
    assert order[:4] == [("table2", 0, "b"), ("table2", 0, "a"), ("table2", 1, "b"), ("table2", 1, "a")]
    assert [name for name, _, _ in order] == ["table2"] * 4 + ["table1"] * 4
    statuses, _ = run([trial("sleep-0", 1), trial("sleep-0.0", 0), trial("sleep-0", 0)], tmp_path, jobs=1)
    assert [line[1] for line in notes(tmp_path) if line[0] == "start"] == list(statuses)
    assert list(statuses) == ["table1/sleep-0.0/seed0", "table1/sleep-0/seed0", "table1/sleep-0/seed1"]


def test_at_most_jobs_at_a_time(tmp_path):
    run([trial("sleep-0.3", seed) for seed in range(4)], tmp_path, jobs=2)
    running = most = 0
    for line in notes(tmp_path):
        running += 1 if line[0] == "start" else -1
        most = max(most, running)
    assert most == 2


def test_a_worker_that_talks_a_lot_loses_nothing(tmp_path):
    _, events = run([trial("chatty")], tmp_path, jobs=1)
    assert [e["step"] for e in events if e["event"] == "step"][1:] == list(range(20_000))


def test_bad_arguments(tmp_path):
    with pytest.raises(InputError, match="--jobs"):
        run([trial("sleep-0")], tmp_path, jobs=0)
    with pytest.raises(InputError, match="same id"):
        run([trial("sleep-0"), trial("sleep-0")], tmp_path)
    assert run([], tmp_path) == ({}, [])


def test_unusable_workspace_is_the_users_input(tmp_path):
    (tmp_path / "file").write_text("")
    statuses, events = run([trial("sleep-0")], tmp_path / "file")
    assert list(statuses.values()) == ["failed"]
    assert events[-1]["kind"] == "input" and "file" in events[-1]["message"]


def test_a_runner_that_cannot_be_imported_is_a_failed_trial(tmp_path):
    _, events = run([trial("sleep-0")], tmp_path, runner="no_such_module:run")
    assert events[-1]["event"] == "failed" and "no_such_module" in events[-1]["message"]


def test_what_on_event_raises_stops_the_workers(tmp_path):
    def on_event(event):
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        run_trials([trial("sleep-600"), trial("sleep-601")], tmp_path, 2, None, on_event, runner=RUNNER)
    assert not any(alive(int(line[2])) for line in notes(tmp_path))


def test_a_stubborn_worker_is_killed_after_the_grace_period(tmp_path):
    def on_event(event):
        if wait_for(lambda: notes(tmp_path)):
            time.sleep(0.2)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_trials([trial("stubborn")], tmp_path, 1, None, on_event, runner=RUNNER, grace=0.5)
    assert [line[0] for line in notes(tmp_path)] == ["start"]
    assert not alive(int(notes(tmp_path)[0][2]))


def command(tmp_path, arms, jobs=2) -> subprocess.Popen:
    """A command line of its own, as `repro run` is."""
    script = tmp_path / "command.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import signal, sys
            signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs the tests may have it ignored
            sys.path[:0] = {[str(HERE), str(HERE.parents[1])]!r}
            from pathlib import Path
            from test_launch_local import RUNNER, run_trials, trial

            if __name__ == "__main__":
                try:
                    print(run_trials([trial(arm) for arm in {arms!r}], Path({str(tmp_path)!r}), {jobs}, None,
                                     lambda event: None, runner=RUNNER))
                except KeyboardInterrupt:
                    print("torch" in sys.modules, "interrupted")
                    sys.exit(130)
            """
        )
    )
    return subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("arm", ["sleep-600", "hog", "helper"])
def test_nothing_outlives_a_killed_command_line(tmp_path, arm):
    process = command(tmp_path, [arm])
    assert wait_for(lambda: len(notes(tmp_path)) >= (2 if arm == "helper" else 1))
    time.sleep(0.2)
    process.kill()
    process.communicate()
    pids = [int(line[2]) for line in notes(tmp_path)]
    assert wait_for(lambda: not any(alive(pid) for pid in pids))
    assert not [line for line in notes(tmp_path) if line[0] == "end"]


def test_interrupt_stops_promptly_and_leaves_nothing(tmp_path):
    process = command(tmp_path, ["sleep-600", "helper", "sleep-601"])
    assert wait_for(lambda: len(notes(tmp_path)) >= 3)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)
    assert {line[0] for line in notes(tmp_path)} == {"start"}, "it waited for the end of no trial"
    assert not [line for line in notes(tmp_path) if "sleep-601" in line[1]]
    assert process.returncode == 130
    assert out.split() == ["False", "interrupted"]  # and the command line never imported torch
    assert "Traceback" not in err
    assert not any(alive(int(line[2])) for line in notes(tmp_path))


def test_an_interrupt_while_a_worker_starts_leaves_nothing(tmp_path, monkeypatch):
    start = ForkServerProcess.start

    def interrupted(process):
        start(process)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(ForkServerProcess, "start", interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # some shells start what they run without it
    try:
        with pytest.raises(KeyboardInterrupt):
            run_trials([trial("sleep-600")], tmp_path, 1, None, lambda event: None, runner=RUNNER)
        assert not multiprocessing.active_children()
    finally:
        signal.signal(signal.SIGINT, before)
        for child in multiprocessing.active_children():
            child.kill()


def test_the_fork_server_is_out_of_reach_of_an_interrupt_while_it_imports():
    """In a process of its own: the fork server of this one is running already."""
    script = f"""
import sys; sys.path[:0] = {[str(HERE.parents[1])]!r}
from multiprocessing import forkserver
from repro.launch.local import server_settings
with server_settings():
    forkserver.ensure_running()
print(open(f"/proc/{{forkserver._forkserver._forkserver_pid}}/status").read())
"""
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    blocked = next(line for line in shown.splitlines() if line.startswith("SigBlk:"))
    assert int(blocked.split()[1], 16) & (1 << (signal.SIGINT - 1))


def test_two_commands_on_one_workspace_never_run_a_trial_at_the_same_time(tmp_path, monkeypatch):
    monkeypatch.setattr(local, "RETRY_SECONDS", 0.1)
    other = command(tmp_path, ["held"])
    assert wait_for(lambda: notes(tmp_path))
    waits = []

    def on_event(event):
        if "another command" in event.get("message", ""):
            waits.append(event["id"])
            (tmp_path / "go").touch()

    statuses = run_trials([trial("held"), trial("sleep-0")], tmp_path, 1, None, on_event, runner=RUNNER)
    other.communicate(timeout=PATIENCE)
    assert set(statuses.values()) == {"done"}
    assert list(statuses)[0] == "table1/sleep-0/seed0"  # what is free goes first
    assert waits == ["table1/held/seed0"]  # said once
    held = [line[0] for line in notes(tmp_path) if "held" in line[1]]
    assert held == ["start", "end", "start", "end"]


def test_preloads_what_the_runner_needs():
    assert preload_modules(local.RUNNER)[0] == "torch"
    assert preload_modules("other.module:run") == ["other.module"]
    assert preload_modules(TABULAR) == ["repro.training.bandit_trial"], "bandits wait for no trainer"
    assert "trl.trainer.grpo_trainer" in preload_modules(TABULAR, local.RUNNER)


@pytest.mark.slow
def test_the_preloaded_server_has_one_thread_and_no_cuda(tmp_path):
    """In a process of its own: the fork server of this one is running already."""
    script = f"""
import sys; sys.path[:0] = {[str(HERE), str(HERE.parents[1])]!r}
from pathlib import Path
from repro.launch import local
from test_launch_local import trial
local.preload_modules = lambda runner: ["torch", "trl.trainer.grpo_trainer", "launch_runners"]
events = []
if __name__ == "__main__":
    local.run_trials([trial("facts", 0), trial("facts", 1)], Path({str(tmp_path)!r}), 1, None, events.append,
                     runner="launch_runners:behave")
    for event in events:
        if event.get("message") == "facts":
            print(event["server_threads"], event["torch_threads"], event["cuda"])
"""
    path = tmp_path / "script.py"
    path.write_text(script)
    out = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, timeout=300)
    assert out.stdout.splitlines() == ["1 1 False"] * 2, out.stderr


def test_a_trials_base_decides_what_runs_it(tmp_path):
    from repro.experiments import registry
    from repro.experiments.resolve import parse_changes, resolve

    bandit = resolve(registry.get("figure1"), "smoke", "pass-k4", 0, parse_changes(["*.steps=20"]))
    assert (runner_of(bandit), runner_of(trial("a"))) == (TABULAR, local.RUNNER)
    events = []
    assert run_trials([bandit], tmp_path, 1, None, events.append) == {bandit.id: "done"}
    assert events[-1]["event"] == "done" and events[-1]["seconds"] > 0
    assert run_trials([bandit], tmp_path, 1, None, events.append) == {bandit.id: "cached"}
