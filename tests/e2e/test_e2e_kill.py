"""A run killed at any moment and issued again ends as an uninterrupted one, byte for byte but for measured seconds."""

import os
import random
import signal
import time

import psutil
import pytest
from e2e_command import DRILL, Command, assert_same, batches_done, left_behind, run
from plugged_in import drill

from repro.store.records import load_records
from repro.store.workspace import Workspace

WORDS = [*DRILL, "--root", "runs"]
SECOND_EPOCH = drill.PROMPTS // (drill.COMPLETIONS // 4) + 1  # by then the n=4 arm has seen all


def records(folder):
    return load_records(Workspace(folder / "runs"))[0]


def evaluating(folder):
    """A trained arm has its last checkpoint but no record yet."""
    return batches_done(folder / "runs") == drill.STEPS


MOMENTS = {
    "before training": lambda folder: any((folder / "runs" / "locks").glob("*.lock")),
    "first epoch": lambda folder: batches_done(folder / "runs") >= 2,
    "second epoch": lambda folder: batches_done(folder / "runs") >= SECOND_EPOCH,
    "evaluation": evaluating,
    "report": lambda folder: any((folder / "runs" / "paper_tables").glob("*.md")),
}


def kill_at(moment, folder, everything=False):
    command = Command(WORDS, folder)
    command.until(lambda: MOMENTS[moment](folder))
    command.kill(everything)


def interrupt_at(moment, folder):
    """Ctrl-C at a moment; checks how the command ends."""
    command = Command(WORDS, folder)
    command.until(lambda: MOMENTS[moment](folder))
    workers = command.workers()
    os.kill(command.process.pid, signal.SIGINT)
    assert command.wait() == 130
    last = command.error.splitlines()[-1]
    assert last.startswith("repro: interrupted") and "runs" in last and "the same command goes on" in last
    assert "Traceback" not in command.error
    _, alive = psutil.wait_procs(workers, timeout=10)
    assert not alive, "a worker outlived the command"


def test_interrupted_in_the_first_epoch_and_killed_in_the_second(whole, tmp_path):
    interrupt_at("first epoch", tmp_path)
    reached = batches_done(tmp_path / "runs")
    assert reached >= 2, "Ctrl-C keeps the checkpoints"
    kill_at("second epoch", tmp_path)
    assert batches_done(tmp_path / "runs") >= max(reached, SECOND_EPOCH)
    assert not {"ppo-n1", "tbrm-n4"} <= {record["arm"] for record in records(tmp_path)}, "killed too late"
    run(WORDS, tmp_path)
    assert_same(left_behind(tmp_path / "runs"), whole.left)
    resumed = {record["arm"]: record["cost"]["resumed"] for record in records(tmp_path)}
    assert resumed["base"] == 0 and sum(resumed.values()) >= 1, f"nothing was resumed: {resumed}"
    assert not Workspace(tmp_path / "runs").leftovers() and not list((tmp_path / "runs/checkpoints").iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("everything", [False, True], ids=["group", "workers too"])
@pytest.mark.parametrize("moment", list(MOMENTS))
def test_killed_at_each_named_moment(whole, tmp_path, moment, everything):
    kill_at(moment, tmp_path, everything)
    run(WORDS, tmp_path)
    assert_same(left_behind(tmp_path / "runs"), whole.left)


@pytest.mark.slow
@pytest.mark.parametrize("draw", range(12))
def test_killed_at_random_moments(whole, tmp_path, draw):
    """Up to three kills in one trial, the base model's training included in every other one."""
    rng = random.Random(draw)
    environment = {"REPRO_CACHE_DIR": str(tmp_path / "cache")} if draw % 2 else {}
    for _ in range(rng.randint(1, 3)):
        command = Command(WORDS, tmp_path, environment)
        time.sleep(rng.uniform(0.0, whole.seconds))
        command.kill(everything=rng.random() < 0.5)
    run(WORDS, tmp_path, environment=environment)
    assert_same(left_behind(tmp_path / "runs"), whole.left)


@pytest.mark.slow
@pytest.mark.parametrize("moment", list(MOMENTS))
def test_interrupted_at_each_named_moment(whole, tmp_path, moment):
    interrupt_at(moment, tmp_path)
    run(WORDS, tmp_path)
    assert_same(left_behind(tmp_path / "runs"), whole.left)
    again = run(WORDS, tmp_path)
    assert "3 cached" in again.error, "a finished run has nothing left to do"
    assert_same(left_behind(tmp_path / "runs"), whole.left)
