"""Attacks on the sandbox: none passes, none reaches anything outside, and the next program is not harmed."""

import os
import socket
from pathlib import Path

import pytest
from sandbox_attacks import BOMBS, ESCAPES, FORGERIES, LOOK, WRONG

from repro.tasks.sandbox import Asserts, Calls, Limits, Stdio, run_jobs

pytestmark = pytest.mark.usefixtures("isolated")
TESTS = "import math\nassert abs(f(3) - 4) < 1e-9\nassert math.fabs(f(3) - 4) < 1e-9\nassert all([f(3) == 4])\n"
HONEST = Asserts("import re\nopen('/tmp/mine', 'x').write('1')\ndef f(x):\n    return x + 1\n", TESTS)
SHORT = Limits(cpu_seconds=1, wall_seconds=2.0, memory_bytes=256 << 20)


def code(attack: str) -> str:
    """An attack with the wrong function, unless it brings one of its own."""
    return attack if "def f(" in attack else WRONG + attack


@pytest.fixture(scope="module")
def forged(isolated):
    jobs = [job for attack in FORGERIES.values() for job in (Asserts(code(attack), TESTS), HONEST)]
    results = run_jobs(jobs, SHORT)
    return dict(zip(FORGERIES, zip(results[::2], results[1::2], strict=True), strict=True))


@pytest.mark.parametrize("name", FORGERIES)
def test_wrong_programs_do_not_pass(forged, name):
    attack, following = forged[name]
    assert not attack.passed, attack
    assert following.passed, following


def test_the_same_tricks_do_not_pass_stdio_or_call_jobs(isolated):
    attacks = [attack for attack in FORGERIES.values() if "passed" not in attack]
    printed = run_jobs([Stdio(attack, "", "4") for attack in attacks], SHORT)
    called = run_jobs([Calls(code(attack), ("f(3)",)) for attack in attacks], SHORT)
    assert not any(result.passed for result in printed)
    assert all(len(result.outputs) == 1 and result.outputs != ("4",) for result in called)


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_stopped_and_harm_nobody(name):
    attack, expected = BOMBS[name]
    bomb, following = run_jobs([Asserts(attack + WRONG, TESTS), HONEST], SHORT)
    assert bomb.status in expected, bomb
    assert following.passed, following


def test_one_sandbox_stands_all_bombs_in_a_row():
    quick = [attack for name, (attack, ends) in BOMBS.items() if "timeout" not in ends]
    results = run_jobs([job for attack in quick for job in (Asserts(attack + WRONG, TESTS), HONEST)], SHORT)
    assert [result.passed for result in results] == [False, True] * len(quick)


def test_output_is_bounded():
    endless = "while True: print('x' * 1000)"
    quiet = "import sys\nfor i in range(100000): print('x' * 100)\ndef f(x): return x + 1"
    first, second, third = run_jobs([Stdio(endless), Asserts(quiet, TESTS), Calls("", ("'x' * 10 ** 6",))], SHORT)
    assert first.status == "output" and not first.outputs
    assert second.passed  # what an assertion job prints goes nowhere
    assert third.outputs == (None,) and "too long" in third.message


def test_nothing_outside_can_be_read_written_reached_or_killed(tmp_path, monkeypatch):
    secret = tmp_path / "secret"
    secret.write_text("secret")
    monkeypatch.setenv("REPRO_TEST_SECRET", "secret")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        filled = {"SECRET": str(secret), "HOME": str(Path.home()), "PORT": str(listener.getsockname()[1]),
                  "PARENT": str(os.getpid())}  # fmt: skip
        expressions = []
        for expression in ESCAPES:
            for name, value in filled.items():
                expression = expression.replace(name, value)
            expressions.append(expression)
        result, following = run_jobs([Calls(LOOK, tuple(expressions)), HONEST])
    wrong = {e: out for e, out, ends in zip(ESCAPES, result.outputs, ESCAPES.values(), strict=True) if out not in ends}
    assert not wrong and result.status != "timeout"
    assert following.passed


def test_programs_of_one_batch_do_not_see_each_other():
    leave = "import builtins, math\nopen('/tmp/left', 'x')\nbuiltins.left = math.left = 1\ndef f(x): return x"
    look = ("__import__('os').listdir('/tmp')", "hasattr(__import__('builtins'), 'left')", "hasattr(math, 'left')",
            "__import__('os').listdir('/dev')")  # fmt: skip
    first, second = run_jobs([Calls(leave, ("f(1)",)), Calls("import math", look)])
    assert first.outputs == ("1",)
    assert second.outputs[:3] == ("[]", "False", "False") and "shm" not in second.outputs[3]


def test_the_tests_are_not_there_while_the_code_runs():
    seek = """
import gc, sys
frame, texts = sys._getframe(), []
while frame:
    texts += [repr(frame.f_locals), repr(frame.f_globals), repr(frame.f_code.co_consts)]
    frame = frame.f_back
texts += [repr(one) for one in gc.get_objects() if type(one) in (list, tuple, dict)][:5000]
seen = any("needle" in text for text in texts)
"""
    (result,) = run_jobs([Asserts(seek.replace('"needle"', '"".join(["nee", "dle"])'), "assert not seen  # needle")])
    assert result.passed, result
