"""What the three kinds of job do with honest programs, and what their results say."""

import pytest

from repro.errors import InputError
from repro.tasks.sandbox import Asserts, Calls, Limits, Stdio, run_jobs, same_output
from repro.tasks.sandbox.batch import judge

CASES = [
    (Asserts("def f(x):\n    return x + 1", "assert f(1) == 2"), "passed", ()),
    (Asserts("def f(x):\n    return x + 1", "assert f(1) == 3"), "failed", ()),
    (Asserts("def f(x):\n    return y", "assert f(1) == 3"), "error", ()),
    (Asserts("def f(x) return", "assert f(1) == 3"), "error", ()),
    (Asserts("z = y", "assert z == 5", setup="y = 5"), "passed", ()),
    (Asserts("def sum(a):\n    return 7", "assert sum(1) == 7", keeps=("sum",)), "passed", ()),
    (Asserts("def sum(a):\n    return 7", "assert sum([1]) == 1"), "passed", ()),
    (Asserts("def abs(x):\n    return 7", "assert eval('abs(-1)') == 1"), "passed", ()),
    (Asserts("def f(x):\n    return x", "assert f(1) == 1\nassert f(2) =="), "error", ()),
    (Asserts("def f(x):\n    return x", "assert f('\\d') is '\\d'\n\0"), "error", ()),
    (Asserts("import dataclasses as d\n@d.dataclass\nclass A:\n    x: int", "assert A(1) == A(1)"), "passed", ()),
    (Asserts("import threading\nt = threading.Thread(target=print)\nt.start()\nt.join()", "assert 1"), "passed", ()),
    (Asserts("x = input()", "assert 1"), "error", ()),
    (Asserts("x = [0] * 10 ** 10", "assert 1"), "memory", ()),
    (Asserts("if __name__ == '__main__':\n    raise ValueError", "assert 1"), "passed", ()),
    (Asserts("x = 'é\u2028\U0001f600'", "assert len(x) == 3"), "passed", ()),
    (Stdio("print(int(input()) + 1)", "3\n", "4"), "passed", ("4\n",)),
    (Stdio("print(int(input()) + 1)", "3\n", "5"), "failed", ("4\n",)),
    (Stdio("print(int(input()) + 1)", "3\n"), "passed", ("4\n",)),
    (Stdio("print(open(0).read().split()[-1])", "1 2 3", "3"), "passed", ("3\n",)),
    (Stdio("import sys\nsys.stdout.write('a')\nsys.exit()", "", "a"), "passed", ("a",)),
    (Stdio("import os\nos.write(1, b'a')\nos._exit(0)", "", "a"), "passed", ("a",)),
    (Stdio("print('a')\nraise SystemExit(3)", "", "a"), "error", ()),
    (Stdio("print('a')\n1 / 0", "", "a"), "error", ()),
    (Stdio("def main():\n    print(__name__)\nmain()", "", "__main__"), "passed", ("__main__\n",)),
    (Stdio("import threading as t\nt.Thread(target=lambda: print('late')).start()", "", "late"), "passed", ("late\n",)),
    (Calls("def f(x):\n    return x", ("f(1)", "f('a')", "f([1.5, (None,), {'k': True}])")), "passed",
     ("1", "'a'", "[1.5, (None,), {'k': True}]")),
    (Calls("def f(x):\n    return 1 / x", ("f(1)", "f(0)", "f(2)")), "error", ("1.0", None, "0.5")),
    (Calls("", ("{1}", "object()", "float('nan')", "10 ** 5000", "print", "1 +", "(1, 2)[0]")), "error",
     (None, None, "nan", None, None, None, "1")),
    (Calls("import sys\ndef f(x):\n    sys.exit(0)", ("1", "f(1)", "2")), "error", ("1", None, "2")),
    (Calls("import os\ndef f(x):\n    os._exit(0)", ("1", "f(1)", "2")), "error", ("1", None, None)),
    (Calls("def f(x):\n    while x: pass", ("f(0)", "f(1)")), "timeout", ("None", None)),
    (Calls("syntax error", ("1", "2")), "error", (None, None)),
    (Calls("x = 0\ndef f():\n    global x\n    x += 1\n    return x", ("f()", "f()")), "passed", ("1", "2")),
    (Calls("", ()), "passed", ()),
    (Calls("class I(int): pass\nloop = []\nloop.append(loop)", ("I(1)", "loop")), "error", (None, None)),
]  # fmt: skip


@pytest.fixture(scope="module")
def results(isolated):
    return run_jobs([job for job, *_ in CASES], Limits(cpu_seconds=1))


@pytest.mark.parametrize("number", range(len(CASES)))
def test_statuses_and_outputs(results, number):
    job, status, outputs = CASES[number]
    assert (results[number].status, results[number].outputs) == (status, outputs), results[number]
    assert "\n" not in results[number].message


def test_two_runs_agree(isolated):
    jobs = [job for job, status, _ in CASES if status != "timeout"]
    jobs.append(Calls("import random", ("[hash('a'), list({'a', 'b', 'c'}), random.random()]",)))
    assert run_jobs(jobs) == run_jobs(jobs)


def test_many_jobs_keep_their_order_and_large_ones_pass(isolated):
    many = [Calls(f"def f(): return {number}", ("f()",)) for number in range(700)]
    assert [result.outputs[0] for result in run_jobs(many)] == [str(number) for number in range(700)]
    text = "x" * 3_000_000
    assert run_jobs([Stdio("print(len(input()))", text, str(len(text)))])[0].passed
    tests = "\n".join(f"assert f({number}) == {number}" for number in range(20000))
    assert run_jobs([Asserts("def f(x): return x", tests), Asserts("def f(x): return 0", tests)])[0].passed
    assert run_jobs([]) == []


@pytest.mark.parametrize(
    ("printed", "expected", "same"),
    [
        ("4\n", "4", True),
        ("1 2\n3", "1  2 \r\n\n3\n\n", True),
        ("1 2 3", "1 2\n3", False),
        ("1.0", "1", False),
        ("YES", "Yes", False),
        ("", "\n \n", True),
        ("1", "", False),
        ("a\fb", "a b", True),
        ("a\u2028b", "a\nb", False),
        ("0 1", "01", False),
    ],
)
def test_the_rule_of_comparison(printed, expected, same):
    assert same_output(printed, expected) is same and same_output(expected, printed) is same


def test_nothing_in_a_reply_is_trusted():
    calls = Calls("", ("1",))
    assert judge(calls, "p", b"=1\0=2").status == "forged"
    assert judge(calls, "p", b"").status == "error"
    assert judge(calls, "p", b"\xff\xfe").outputs == (None,)
    assert judge(calls, "?", b"").status == "forged"
    assert judge(Asserts("", ""), "p", b"anything").passed  # the code alone says so, and the server sends it


@pytest.mark.parametrize(
    "limits", [{"cpu_seconds": 0}, {"wall_seconds": -1}, {"processes": 2.5}, {"memory_bytes": 1000}]
)
def test_bad_limits_are_refused(limits):
    with pytest.raises(InputError, match=f"sandbox limit {next(iter(limits))}"):
        Limits(**limits)
