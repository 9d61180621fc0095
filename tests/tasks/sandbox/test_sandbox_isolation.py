"""What counts as isolation, what happens without it, and that nothing is left behind."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from repro.cli.main import main
from repro.errors import InputError
from repro.store.provenance import collect
from repro.tasks import sandbox
from repro.tasks.sandbox import Asserts, Calls, Stdio, box, cgroup, isolation, probe, run_jobs

HONEST = Asserts("def f(x): return x + 1", "assert f(1) == 2")


@pytest.fixture
def fresh(monkeypatch):
    """The probe runs anew in this test, and its outcome is forgotten afterwards."""
    monkeypatch.delenv("REPRO_UNSAFE_CODE", raising=False)
    probe.isolation.cache_clear()
    yield monkeypatch
    probe.isolation.cache_clear()


def test_what_was_found_is_said_in_a_few_words(isolated):
    assert isolated.mechanism.startswith("bubblewrap 0.") and ", cgroup v" in isolated.mechanism
    assert sandbox.describe() == isolated.mechanism and sandbox.isolation() is isolated


def test_without_bubblewrap_code_is_refused_in_one_line(fresh):
    fresh.setenv("PATH", "")
    with pytest.raises(InputError, match="bubblewrap.*--unsafe-code") as caught:
        run_jobs([HONEST])
    assert "\n" not in str(caught.value) and not isolation().available


@pytest.mark.parametrize(
    ("version", "why"), [("0.4.1", "bubblewrap 0.4.1 is too old"), (None, "bubblewrap .* not installed")]
)
def test_an_old_or_absent_bubblewrap_does_not_count(fresh, version, why):
    fresh.setattr(probe, "bubblewrap_version", lambda: version)
    with pytest.raises(InputError, match=why):
        sandbox.require()


@pytest.mark.parametrize(
    ("memory", "processes", "why"), [(1 << 40, 12, "memory is not stopped"), (1 << 30, 500, "fork bomb is not stopped")]
)
def test_limits_that_do_not_hold_do_not_count(isolated, fresh, memory, processes, why):
    make = cgroup.Groups.make
    fresh.setattr(cgroup.Groups, "make", lambda self, *_: make(self, memory, processes))
    assert why in probe.isolation().missing


@pytest.mark.parametrize(
    ("gone", "more", "why"),
    [
        ("--unshare-net", [], "network"),
        ("", ["--proc", "/proc"], "/proc"),
        ("", ["--tmpfs", "/etc"], "file system"),
        ("", ["--ro-bind", "HOME", "HOME"], "home folder"),
        ("", ["--no-such-option"], "bubblewrap cannot start"),
    ],
)
def test_a_sandbox_with_a_hole_does_not_count(isolated, fresh, tmp_path, gone, more, why):
    home = tmp_path / "home"
    home.mkdir()
    (home / "letter").write_text("private")
    fresh.setenv("HOME", str(home))
    whole = box._bubblewrap
    extra = [str(home) if word == "HOME" else word for word in more]

    def holed(size):
        words = [word for word in whole(size) if word != gone]
        at = words.index("--remount-ro")
        return words[:at] + extra + words[at:]

    fresh.setattr(box, "_bubblewrap", holed)
    assert why in probe.isolation().missing


def test_no_writable_cgroup_does_not_count(fresh):
    def find():
        raise OSError("no cgroup file system")

    fresh.setattr(cgroup, "find", find)
    fresh.setattr(probe, "bubblewrap_version", lambda: "0.8.0")
    with pytest.raises(InputError, match="no cgroup can be made"):
        sandbox.require()


def test_unsafe_mode_runs_and_is_named(fresh):
    fresh.setenv("PATH", os.defpath)
    fresh.setenv("REPRO_UNSAFE_CODE", "1")
    fresh.setattr(probe, "bubblewrap_version", lambda: None)
    jobs = [HONEST, Asserts("import os; os._exit(0)", "1"), Stdio("print(input())", "a", "a"), Calls("", ("1",)),
            Calls("import os\nos.fork()\n1 / 0", ("2",)), HONEST]  # fmt: skip
    results = run_jobs(jobs)
    assert [result.status for result in results] == ["passed", "error", "passed", "passed", "error", "passed"]
    assert sandbox.describe() == "none: --unsafe-code"
    fresh.setenv("REPRO_UNSAFE_CODE", "0")
    with pytest.raises(InputError):
        run_jobs([HONEST])


def test_the_record_says_how_code_was_run_and_only_if_it_was():
    assert "sandbox" not in collect("repro run")
    assert collect("repro run", "none: --unsafe-code")["sandbox"] == "none: --unsafe-code"


@pytest.fixture
def doctor_row(capsys):
    def row():
        main(["doctor"])
        return next(line for line in capsys.readouterr().out.splitlines() if " sandbox " in line)

    return row


def test_doctor_has_a_row(isolated, fresh, doctor_row):
    assert doctor_row().startswith("ok") and "bubblewrap" in doctor_row()
    fresh.setenv("REPRO_UNSAFE_CODE", "1")
    assert doctor_row().startswith("warn")
    fresh.setenv("REPRO_UNSAFE_CODE", "")
    fresh.setattr(probe, "bubblewrap_version", lambda: None)
    probe.isolation.cache_clear()
    assert doctor_row().startswith("warn") and "--unsafe-code" in doctor_row()


def leftovers(pid: int) -> list[Path]:
    groups = cgroup.find()
    return [path for base in {groups.memory, groups.pids} for path in base.glob(f"{cgroup.PREFIX}-{pid}-*")]


def descendants(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found + [one for child in found for one in descendants(child)]


def test_nothing_is_left_behind(isolated):
    run_jobs([HONEST, Calls("import os\nfor _ in range(5): os.fork()", ("1",)), Calls("x = [0] * 10 ** 10", ("1",))])
    assert not leftovers(os.getpid())
    started = []
    for pid in descendants(os.getpid()):
        try:
            started.append(Path(f"/proc/{pid}/cmdline").read_bytes())
        except OSError:  # it has ended
            continue
    assert not [command for command in started if b"--unshare-pid" in command]


def test_a_killed_caller_takes_its_sandbox_along(isolated):
    text = """
import os
from repro.tasks.sandbox import *
print(isolation().available, flush=True)
run_jobs([Calls("import os, time\\nif os.fork() == 0: os.setsid()\\ntime.sleep(600)", ("1",))],
         Limits(wall_seconds=600.0))
"""
    caller = subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE)
    try:
        assert caller.stdout.readline() == b"True\n"
        ends = time.monotonic() + 20
        while len(inside := descendants(caller.pid)) < 4 and time.monotonic() < ends:
            time.sleep(0.05)
        assert len(inside) >= 4  # bubblewrap, the server, the program and its child
    finally:
        caller.kill()
        caller.wait()
        caller.stdout.close()
    ends = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in inside) and time.monotonic() < ends:
        time.sleep(0.05)
    assert not [pid for pid in inside if Path(f"/proc/{pid}").exists()]
    run_jobs([HONEST])  # the next sandbox, here or in any other process, removes what nobody was there to remove
    assert not leftovers(caller.pid)


def test_cgroups_are_found_by_version_and_place(tmp_path):
    proc = tmp_path / "proc"
    proc.mkdir()

    def mounted(kinds, own):
        lines = [f"1 0 0:1 / {tmp_path}/{place} rw - {kind} {kind} rw,{options}" for kind, place, options in kinds]
        (proc / "mountinfo").write_text("".join(line + "\n" for line in lines))
        (proc / "cgroup").write_text(own)

    for name in ("memory/job", "pids/job", "unified/job/inner"):
        (tmp_path / name).mkdir(parents=True)
    mounted([("cgroup", "memory", "memory"), ("cgroup", "pids", "pids")], "8:pids:/job\n4:memory:/elsewhere\n0::/\n")
    found = cgroup.find(proc)
    assert (found.version, found.memory, found.pids) == (1, tmp_path / "memory", tmp_path / "pids/job")
    mounted([("cgroup2", "unified", "")], "0::/job/inner\n")
    for folder in ("unified/job", "unified/job/inner"):
        (tmp_path / folder / "cgroup.procs").write_text("")
        (tmp_path / folder / "cgroup.subtree_control").write_text("cpu\n")
    (tmp_path / "unified/job/cgroup.subtree_control").write_text("memory pids\n")
    (tmp_path / "unified/job/inner/cgroup.subtree_control").chmod(0o444)
    found = cgroup.find(proc)
    assert found.version == 2 and found.memory == found.pids and found.memory.is_relative_to(tmp_path / "unified/job")
    made = found.make(1 << 28, 7)
    assert (made.memory / "memory.max").read_text() == str(1 << 28) and (made.pids / "pids.max").read_text() == "7"
    mounted([], "")
    with pytest.raises(OSError, match="no cgroup file system"):
        cgroup.find(proc)


def test_cgroups_of_dead_processes_are_swept_and_of_living_ones_kept(tmp_path):
    groups = cgroup.Groups(2, tmp_path, tmp_path)
    alive = f"{cgroup.PREFIX}-{os.getpid()}-{cgroup.started(os.getpid())}-0"
    for name in (alive, f"{cgroup.PREFIX}-{os.getpid()}-1-0", f"{cgroup.PREFIX}-99999999-5-0", "other-99999999-5-0"):
        (tmp_path / name).mkdir()
    cgroup.sweep(groups)
    assert {path.name for path in tmp_path.iterdir()} == {alive, "other-99999999-5-0"}
