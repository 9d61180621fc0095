"""Symbolic checks against hostile text: a deadline that holds, workers that die and come back, and nothing executed."""

import multiprocessing
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from repro.errors import ReproError
from repro.tasks.answers import check_symbolic, check_symbolic_many, workers
from repro.tasks.answers.workers import Pool
from repro.tasks.outcome import Outcome

HALF = ("\\boxed{1/2}", "\\frac{1}{2}")
ENDLESS = "9^{9^{9^{9^{9^{9}}}}}"
PIECES = [
    "\\frac",
    "{",
    "}",
    "\\sqrt",
    "^",
    "_",
    "(",
    ")",
    "[",
    "]",
    "1",
    "2",
    "x",
    "\\pi",
    ",",
    "=",
    "<",
    "\\text",
    "or",
    "\\%",
    "\\begin{pmatrix}",
    "&",
    "\\\\",
]


@pytest.fixture
def pool():
    pool = Pool()
    yield pool
    pool.close()


def test_a_stuck_worker_is_killed_and_the_others_are_judged(pool):
    pool.compare([("x", "y")], 30.0, 1)
    stuck = pool.workers[0].process
    start = time.monotonic()
    items = [("\\frac{1}{2}", "0.5"), ("x^2", ENDLESS), ("x+1", "1+x"), ("x", "y")]
    outcomes = pool.compare(items, 2.0, 1)
    assert outcomes == [Outcome.CORRECT, Outcome.UNPARSED, Outcome.CORRECT, Outcome.WRONG]
    assert stuck.returncode == -signal.SIGKILL
    assert 2.0 <= time.monotonic() - start < 60.0
    assert [worker.process.poll() for worker in pool.workers] == [None], "a fresh worker stands by"


def test_the_deadline_does_not_count_the_queue(pool):
    """Twelve items that each take a while pass a deadline shorter than their sum."""
    pool.compare([("x", "y")], 30.0, 1)
    items = [(f"\\cot x + {k}", f"\\frac{{\\cos x}}{{\\sin x}} + {k}") for k in range(12)]
    start = time.monotonic()
    alone = pool.compare([("\\cot x + 99", "\\frac{\\cos x}{\\sin x} + 99")], 30.0, 1)
    one = time.monotonic() - start
    assert alone == [Outcome.CORRECT]
    assert pool.compare(items, max(1.0, 4 * one), 1) == [Outcome.CORRECT] * len(items)


def test_two_workers_judge_in_the_order_of_the_items(pool):
    items = [("\\frac{1}{2}", f"{k}/6") for k in range(6)]
    assert pool.compare(items, 30.0, 2) == [Outcome.CORRECT if k == 3 else Outcome.WRONG for k in range(6)]
    assert len(pool.workers) == 2


@pytest.mark.parametrize("when", ["idle", "at work"])
def test_a_worker_killed_from_outside_is_replaced(pool, when):
    assert pool.compare([("\\frac{1}{2}", "0.5")], 30.0, 1) == [Outcome.CORRECT]
    victim = pool.workers[0].process
    if when == "idle":
        victim.kill()
        victim.wait()
        assert pool.compare([("\\frac{1}{2}", "0.5")], 30.0, 1) == [Outcome.CORRECT]
    else:
        threading.Timer(0.5, victim.kill).start()
        assert pool.compare([("x^2", ENDLESS), ("\\frac{1}{2}", "0.5")], 30.0, 1) == [Outcome.UNPARSED, Outcome.CORRECT]


def test_a_worker_outlives_neither_its_deadline_nor_its_parent():
    """The parent is killed while a worker is stuck: the worker ends by itself."""
    program = (
        "from repro.tasks.answers import workers as w; import threading, time\n"
        f"threading.Thread(target=w.compare, args=([('x^2', {ENDLESS!r})], 2.0, 1), daemon=True).start()\n"
        "while not w._pool.workers or w._pool.workers[0].item is None: time.sleep(0.05)\n"
        "print(w._pool.workers[0].process.pid, flush=True); time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    worker = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    until = time.monotonic() + 20
    while running(worker) and time.monotonic() < until:
        time.sleep(0.1)
    assert not running(worker)


def running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_threads_may_share_the_pool():
    found = []
    threads = [threading.Thread(target=lambda: found.append(check_symbolic(*HALF))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [Outcome.CORRECT] * 3


def _in_a_fork(connection):
    connection.send(check_symbolic(*HALF).name)


def test_a_fork_gets_workers_of_its_own():
    assert check_symbolic(*HALF) is Outcome.CORRECT
    mine = [worker.process.pid for worker in workers._pool.workers]
    receiver, sender = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(target=_in_a_fork, args=(sender,), daemon=True)
    child.start()
    assert receiver.poll(120) and receiver.recv() == "CORRECT"
    child.join()
    assert check_symbolic(*HALF) is Outcome.CORRECT
    assert [worker.process.pid for worker in workers._pool.workers] == mine


ATTACKS = [
    "__import__('os').system('touch {path}')",
    '__import__("os").system("touch {path}")',
    "\\text{__import__('os').system('touch {path}')}",
    "\\gcd(\\text{__import__('os').system('touch {path}')}, 2)",
    "\\operatorname{__import__('os').system('touch {path}')}(2)",
    "\\variable{__import__('os').system('touch {path}')}",
    "f(\\mathrm{eval}, open('{path}','w'))",
    "\\input{{path}}",
    "`touch {path}`; $(touch {path})",
    "x if open('{path}', 'w') else y",
]


@pytest.mark.parametrize("attack", ATTACKS)
def test_model_text_is_never_executed(attack, tmp_path, pool):
    path = tmp_path / "touched"
    text = attack.replace("{path}", str(path))
    for completion in (f"\\boxed{{{text}}}", f"#### {text}", text):
        for gold in ("1", "\\frac{1}{2}", text):
            check_symbolic(completion, gold, deadline=10.0)
    pool.compare([("1", text), (text, "1")], 10.0, 1)  # past every filter of the parent
    assert not path.exists()


def test_the_walls_inside_a_worker_hold(tmp_path):
    """Even code that runs inside a worker can start no program, write no file and evaluate no name."""
    checker = Path(workers.__file__).with_name("checker.py")
    program = f"""
import runpy, os, subprocess
runpy.run_path({str(checker)!r}, run_name="checker")["wall_in"]()
from sympy import sympify
def refused(act, *kinds):
    try:
        act()
    except kinds:
        return True
print(refused(lambda: os.system("true"), PermissionError),
      refused(lambda: subprocess.run(["true"]), PermissionError),
      refused(lambda: open({str(tmp_path / "file")!r}, "w").write("x" * 9999), OSError),
      refused(lambda: sympify("print(1)"), Exception),
      refused(lambda: bytearray(2**33), MemoryError), sympify("1+2"))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["True"] * 5 + ["3"], done.stderr


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.one_of(st.text(max_size=60), st.lists(st.sampled_from(PIECES), max_size=12).map("".join)),
    st.sampled_from(["\\frac{1}{2}", "x^2", "(1,2)", "x=5", "\\text{a}"]),
)
def test_any_text_gives_an_outcome(text, gold):
    assert isinstance(check_symbolic(f"\\boxed{{{text}}}", gold, deadline=3.0), Outcome)


def test_the_gold_goes_first(monkeypatch):
    asked = []
    monkeypatch.setattr(workers, "compare", lambda items, *_: asked.extend(items) or [Outcome.WRONG] * len(items))
    check_symbolic_many([("\\boxed{a+b}", "c+d"), ("\\boxed{a+b}", "c+d"), ("\\boxed{5}", "5")])
    assert asked == [("c+d", "a+b")], "plain numbers need no worker, equal comparisons are made once"


def test_a_broken_installation_is_an_error_not_an_outcome(monkeypatch, tmp_path, pool):
    broken = tmp_path / "checker.py"
    broken.write_text("import os; os.write(1, b'!ImportError: no math_verify\\n')")
    monkeypatch.setattr(workers, "_CHECKER", broken)
    with pytest.raises(ReproError, match="no math_verify.*reinstall math-verify"):
        pool.compare([("x", "y")], 5.0, 1)


def test_importing_the_checkers_is_light():
    heavy = ("torch", "sympy", "math_verify", "pandas")
    program = f"import sys, repro.tasks.answers; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
