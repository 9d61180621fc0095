"""Bad input and accidents for real: one clear line, the right exit code, no traceback, and nothing lost."""

import contextlib
import os
import shutil
import signal
import subprocess

import psutil
import pytest
from e2e_command import DRILL, Command, assert_same, batches_done, left_behind, run
from e2e_models import made_up_data, tiny_qwen2

from repro.errors import InputError
from repro.store.records import load_records
from repro.store.workspace import Workspace


def last_line(command: Command) -> str:
    line = command.error.splitlines()[-1]
    assert line.startswith("repro: "), command.error
    return line


def by_arm(root):
    records, problems = load_records(Workspace(root))
    assert not problems
    return {record["arm"]: record for record in records}


def test_a_loss_that_is_not_a_number_fails_its_own_trial_and_no_other(tmp_path):
    words = [*DRILL, "--root", "runs", "--set", "ppo-n1.learning_rate=1e30", "--set", "ppo-n1.max_grad_norm=0"]
    command = run(words, tmp_path, expect=1)
    line = last_line(command)
    assert "/ppo-n1/seed0" in line and "step" in line and "lower the learning rate" in line
    found = by_arm(tmp_path / "runs")
    assert {arm: record["status"] for arm, record in found.items()} == {
        "base": "done", "ppo-n1": "failed", "tbrm-n4": "done",
    }  # fmt: skip
    error = found["ppo-n1"]["error"]
    assert error["step"] >= 1 and error["message"] in line
    (table,) = (tmp_path / "runs/paper_tables").glob("*.md")
    row = next(line for line in table.read_text().splitlines() if line.startswith("| PPO n=1"))
    assert "failed" in row, "a failed trial shows as such"


def test_a_worker_that_is_killed_fails_its_own_trial_and_the_next_command_goes_on(whole, tmp_path):
    command = Command([*DRILL, "--root", "runs"], tmp_path)
    command.until(lambda: batches_done(tmp_path / "runs") >= 2)
    pids = {process.pid for process in command.workers()}
    holders = [int(lock.read_text() or 0) for lock in (tmp_path / "runs/locks").glob("*.lock")]
    victim = next(pid for pid in holders if pid in pids)
    os.kill(victim, signal.SIGKILL)
    assert command.wait() == 1
    line = last_line(command)
    assert "killed by SIGKILL" in line and "Traceback" not in command.error
    arm = line.removeprefix("repro: drill/").partition("/")[0]
    assert set(by_arm(tmp_path / "runs")) == {"base", "ppo-n1", "tbrm-n4"} - {arm}, "the others go on"
    run([*DRILL, "--root", "runs"], tmp_path)
    assert_same(left_behind(tmp_path / "runs"), whole.left)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return tiny_qwen2(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="module")
def svamp(tmp_path_factory):
    """Made-up rows in the form of SVAMP's files."""
    folder = tmp_path_factory.mktemp("data")
    row = '{"ID": "x-%d", "Body": "Anna has %d pens.", "Question": "How many?", "Answer": %d.0, "Type": "Sum"}'
    (folder / "svamp").mkdir()
    for name, start in (("train", 0), ("test", 100)):
        rows = ",\n".join(row % (i, i, i) for i in range(start, start + 30))
        (folder / "svamp" / f"{name}.json").write_text(f"[{rows}]")
    return folder


SVAMP = ["run", "table1", "--task", "svamp", "--scale", "smoke", "--arms", "base", "--root", "runs"]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / "config.json").unlink(), "config.json"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer"),
        (lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin"), "safetensors"),
        (lambda folder: shutil.rmtree(folder), "no such folder"),
    ],
    ids=["no config", "no tokenizer", "pickled weights only", "no folder"],
)
def test_a_wrong_checkpoint_folder(checkpoint, svamp, tmp_path, damage, said):
    folder = shutil.copytree(checkpoint, tmp_path / "model")
    damage(folder)
    command = run([*SVAMP, "--model", folder, "--data-dir", svamp], tmp_path, expect=2)
    assert said in last_line(command) and str(folder) in command.error and command.error.count("\n") == 1


def cut_off(folder, part):
    data = (folder / part).read_bytes()
    (folder / part).write_bytes(data[: len(data) // 2])


@pytest.mark.parametrize("part", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_checkpoint_file_that_was_cut_off_is_named(checkpoint, tmp_path, part):
    from repro.training.base import check_folder

    folder = shutil.copytree(checkpoint, tmp_path / "model")
    check_folder(folder)
    cut_off(folder, part)
    with pytest.raises(InputError, match=part) as caught:
        check_folder(folder)
    assert str(folder) in str(caught.value)


def test_a_checkpoint_file_that_was_cut_off_ends_the_run_as_bad_input(checkpoint, svamp, tmp_path):
    """As after a download that was broken off: found only when the worker reads it."""
    folder = shutil.copytree(checkpoint, tmp_path / "model")
    cut_off(folder, "model.safetensors")
    command = run([*SVAMP, "--model", folder, "--data-dir", svamp], tmp_path, expect=2)
    assert f"{folder}: model.safetensors" in last_line(command)


def test_a_malformed_data_file_is_named_with_its_line(checkpoint, tmp_path):
    data = made_up_data(tmp_path / "data")
    (data / "gsm8k").mkdir()
    good = '{"question": "1+1?", "answer": "so it is 2\\n#### 2"}\n'
    (data / "gsm8k/test.jsonl").write_text(good)
    (data / "gsm8k/train.jsonl").write_text(good * 3 + '{"question": "2+2?", "answer":\n')
    words = ["run", "table1", "--task", "gsm8k", "--scale", "smoke", "--model", checkpoint, "--data-dir", data]
    line = last_line(run(words, tmp_path, expect=2))
    assert "train.jsonl" in line and "line 4" in line
    assert not (tmp_path / "runs" / "results").exists() or not any((tmp_path / "runs/results").iterdir())


def test_a_real_task_without_a_model(tmp_path):
    line = last_line(run(["run", "table1", "--task", "svamp", "--scale", "smoke"], tmp_path, expect=2))
    assert "--task svamp needs --model" in line


@contextlib.contextmanager
def mounted(folder, options: str):
    """A small file system of its own; skips where mounting is not allowed."""
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"NOT TESTED on a full or read-only disk: mounting needs root ({made.stderr.strip()})")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


needs_mount = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("mount") is None,
    reason="NOT TESTED on a full or read-only disk: mounting a small file system needs root",
)


@needs_mount
def test_a_read_only_root(tmp_path):
    with mounted(tmp_path / "disk", "ro,size=1m") as disk:
        command = run([*DRILL, "--root", disk / "runs"], tmp_path, expect=2)
        assert "read-only" in last_line(command) and "--root" in command.error


def test_a_root_that_is_a_file(tmp_path):
    (tmp_path / "runs").write_text("")
    command = run([*DRILL, "--root", "runs"], tmp_path, expect=2)
    assert "--root" in last_line(command) and command.error.count("\n") == 1


@needs_mount
@pytest.mark.slow
@pytest.mark.parametrize("room", ["700k", "64k"])
def test_a_full_disk_while_training(whole, tmp_path, room):
    """The first checkpoint does not fit, or some do and then no more. With room, the same command goes on."""
    with mounted(tmp_path / "disk", f"size={room}") as disk:
        words = [*DRILL, "--root", disk / "runs"]
        command = run(words, tmp_path, expect=2)
        assert "--root" in last_line(command)
        assert f"cannot write checkpoints in {disk / 'runs/checkpoints'}: the disk is full" in command.error
        done = set(by_arm(disk / "runs"))
        subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
        run(words, tmp_path)
        found = by_arm(disk / "runs")
        assert done <= set(found) and {record["status"] for record in found.values()} == {"done"}
        assert_same(left_behind(disk / "runs"), whole.left)


def test_no_process_is_left():
    """After all of the above."""
    mine = psutil.Process().children(recursive=True)
    assert not [child for child in mine if "entry.py" in " ".join(child.cmdline())]
