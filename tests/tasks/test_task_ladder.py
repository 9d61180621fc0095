"""The ladder task: worked steps, its slips, disjoint splits, and base demonstrations of more kinds than RL sees."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repro import tasks
from repro.errors import InputError
from repro.tasks.outcome import Outcome

EVERY = [f"{kind}{count}" for kind in ("sum", "mix") for count in (1, 2, 3, 5)]


def ladder(**options):
    return tasks.load("ladder", options)


@given(st.sampled_from(EVERY), st.integers(0, 10**9))
@settings(max_examples=200, deadline=None)
def test_the_working_is_the_calculation_from_left_to_right_modulo_100(level, index):
    task = ladder(levels=[level])
    question = task.question_at(level, index % task.space(level))
    if question is None:  # a mix without a multiplication
        assert level.startswith("mix")
        return
    assert len(re.findall("[-+*]", question)) == int(level[3:]) and ("*" in question) == level.startswith("mix")
    text, answer = task.work_out(question)
    value = int(re.match("[0-9]+", question)[0])
    wanted = []
    for operator, digit in re.findall("([-+*])([0-9])", question):
        apply = {"+": int.__add__, "-": int.__sub__, "*": int.__mul__}[operator]
        units, value = apply(value % 10, int(digit)), apply(value, int(digit)) % 100
        wanted.append(f"{units}:{value};")
    assert text == "".join(wanted) + f"#{value}" and answer == value
    for working in (text, text.replace(";", ",")):
        steps = task.split_steps(working)
        assert "".join(steps) == working and len(steps) == len(wanted) + 1


def test_distinct_numbers_are_distinct_questions():
    task = ladder(levels=["mix1"])
    questions = [q for q in (task.question_at("mix1", i) for i in range(task.space("mix1"))) if q]
    assert len(set(questions)) == len(questions) == 90 * 8


def test_splits_are_disjoint_up_to_the_order_of_the_operations():
    task = ladder(levels=["sum2", "sum3"], rl=600, dev=100, test=200)
    lists = {split: {task.canonical(p.question) for p in task.prompts(split)} for split in ("rl", "dev", "test")}
    assert not lists["rl"] & lists["test"] and not lists["rl"] & lists["dev"] and not lists["dev"] & lists["test"]
    assert task.canonical("47+8-3=") == task.canonical("47-3+8=") != task.canonical("47+3-8=")


def binomial_is(count: int, of: int, share: float) -> bool:
    """Within five standard deviations: a false alarm in about a million."""
    return abs(count / of - share) < 5 * (share * (1 - share) / of) ** 0.5


def test_slips_come_as_often_as_the_module_says():
    task, rng = ladder(levels=["sum1"]), np.random.default_rng(0)
    prompts = task.prompts("rl", 100)
    exact = [task.work_out(prompt.question)[0] for prompt in prompts]
    assert set(task.check(exact, prompts)) == {Outcome.CORRECT}
    seen: Counter = Counter()
    for prompt in prompts:
        first, operator, digit = re.match("([0-9]+)([-+])([0-9])", prompt.question).groups()
        units = int(first) % 10 + int(digit) if operator == "+" else int(first) % 10 - int(digit)
        for _ in range(40):
            working, _, answer = task.demonstration(prompt, rng, 0.6).partition("#")
            shown = working.rpartition(":")
            assert working in (f"{units}:{answer};", f"{answer},")
            gap = (int(answer) - int(prompt.answer) + 50) % 100 - 50
            seen[bool(shown[0]), not 0 <= units <= 9, abs(gap)] += 1

    def total(careful=None, carries=None, gap=None) -> int:
        wanted = (careful, carries, gap)
        return sum(n for key, n in seen.items() if all(w is None or w == k for w, k in zip(wanted, key, strict=True)))

    assert binomial_is(total(careful=True), total(), 0.5)
    assert binomial_is(total(gap=1), total(), 0.03)
    # A carry is lost, or taken where there is none, only in a step that does not show its work.
    assert binomial_is(total(False, True, 10), total(False, True), 0.6)
    assert binomial_is(total(False, False, 10), total(False, False), 0.6)
    assert total(True, None, 10) == 0
    assert total() == total(gap=0) + total(gap=1) + total(gap=10)


def test_base_demonstrations_cover_kinds_that_rl_never_sees():
    task, rng = ladder(levels=["sum2"], base_levels=["sum2", "sum6", "mix2"]), np.random.default_rng(1)
    levels = Counter(task.base_prompt(rng).level for _ in range(300))
    assert set(levels) == {"sum2", "sum6", "mix2"}
    assert {prompt.level for prompt in task.prompts("rl", 50)} == {"sum2"}
    assert all(task.split_of(task.base_prompt(rng).question) == "base" for _ in range(20))


def test_answers_for_voting_agree_with_the_check():
    task = ladder(levels=["sum2"])
    prompts = task.prompts("test", 4)
    texts = [f"1;#{prompts[0].answer}", "5;#007", "1;3;", "#4;5"]
    assert task.answers(texts, prompts) == [prompts[0].answer, "7", None, None]
    outcomes = task.check(texts, prompts)
    assert [o is Outcome.UNPARSED for o in outcomes] == [False, False, True, True]


@pytest.mark.parametrize("levels", ["sum2", ["sum"], ["sum0"], ["div2"], [3], []])
def test_levels_that_do_not_exist_are_one_clear_line(levels):
    with pytest.raises(InputError, match="levels"):
        ladder(levels=levels)
