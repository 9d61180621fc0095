"""Answer checks per second: the numeric checker in process, the symbolic one through one worker.

`pytest benchmarks/bench_answers.py`; the table's OPS column times `extra_info["checks"]` is checks per second.
"""

import itertools

import pytest

from repro.tasks.answers import check_number, check_numeric, check_symbolic_many

SOLUTION = "First we add the 12 apples to the 30 pears, so $12 + 30 = 42$.\n" * 20
CHECKS = 200


def report(benchmark, checks):
    benchmark.extra_info["checks"] = checks
    benchmark.extra_info["checks_per_second"] = round(checks / benchmark.stats.stats.median)


@pytest.mark.parametrize(
    "ending", ["so \\boxed{42}", "#### 42", "The answer is 42 apples."], ids=["box", "hash", "final"]
)
def test_numeric(benchmark, ending):
    completion = SOLUTION + ending
    benchmark(lambda: [check_numeric(completion, "42") for _ in range(CHECKS)])
    report(benchmark, CHECKS)


def test_number_fragment(benchmark):
    benchmark(lambda: [check_number(" 42\n", "42") for _ in range(CHECKS)])
    report(benchmark, CHECKS)


def test_symbolic_plain_numbers(benchmark):
    pairs = [(SOLUTION + "\\boxed{42}", "42")] * CHECKS
    benchmark(lambda: check_symbolic_many(pairs))
    report(benchmark, CHECKS)


@pytest.mark.parametrize("form", ["\\frac{%d}{7}", "%d\\sqrt{2}"], ids=["fraction", "surd"])
def test_symbolic_math_verify(benchmark, form):
    check_symbolic_many([("\\boxed{1/2}", "\\frac{1}{2}")])  # start the worker outside the measurement
    fresh = itertools.count(1)  # never the same comparison twice: nothing is remembered

    def check():
        numbers = [next(fresh) for _ in range(CHECKS // 10)]
        check_symbolic_many([(f"\\boxed{{{form % number}}}", form % number + "+1") for number in numbers])

    benchmark.pedantic(check, rounds=5, warmup_rounds=1)
    report(benchmark, CHECKS // 10)
