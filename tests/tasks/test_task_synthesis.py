"""Program synthesis: what is asked, what is demonstrated, and that programs are judged by what they do."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from repro.errors import InputError
from repro.tasks import load
from repro.tasks.outcome import Outcome
from repro.tasks.synthesis import LENGTH, LONGEST, OPERATIONS, TESTS, _apply, _programs, write

LEVELS = ("op1", "op2", "op3")
sandboxed = pytest.mark.usefixtures("isolated")


@pytest.fixture(scope="module")
def task():
    return load("synthesis", {"rl": 120, "dev": 60, "test": 60})


def run(program: str, digits) -> list:
    return eval(program, {"s": list(digits)})  # programs of the generator only


@pytest.mark.parametrize("count", [1, 2, 3])
def test_written_programs_do_what_the_generator_says_and_need_so_many_operations(count):
    simpler = {str([_apply(p, list(t)) for t in TESTS]) for n in range(1, count) for p in _programs(n)}
    seen = set()
    for program in _programs(count):
        outputs = [_apply(program, list(test)) for test in TESTS]
        assert [run(write(program), test) for test in TESTS] == outputs
        assert len(program) == count and str(outputs) not in simpler and outputs != [list(t) for t in TESTS]
        seen.add(str(outputs))
    assert len(seen) == len(_programs(count)), "one program per function"


def test_every_operation_works_behind_every_other():
    for first in range(len(OPERATIONS)):
        for second in range(len(OPERATIONS)):
            assert run(write((first, second)), TESTS[1]) == _apply((first, second), list(TESTS[1]))


def test_questions_show_one_list_and_its_result(task):
    for split in ("rl", "dev", "test"):
        prompts = task.prompts(split)
        assert Counter(prompt.level for prompt in prompts) == dict.fromkeys(LEVELS, len(prompts) // 3)
        for prompt in prompts:
            shown, _, result = prompt.question.rstrip("=").partition(">")
            assert len(shown) == LENGTH and 0 < len(result) <= LONGEST
            assert "".join(map(str, run(prompt.solution, map(int, shown)))) == result
            assert prompt.answer == ";".join(str(run(prompt.solution, test)) for test in TESTS)
            assert set(prompt.question + prompt.solution) <= set(task.vocabulary())


def test_no_example_is_in_two_splits(task):
    shown = [{prompt.question for prompt in task.prompts(split)} for split in ("rl", "dev", "test")]
    base = np.random.default_rng(0)
    shown.append({task.base_prompt(base).question for _ in range(300)})
    assert sum(map(len, shown)) == len(set().union(*shown))
    assert task.provenance()[0]["overlap"] == {"exact": 0}


def test_some_examples_fit_several_functions(task):
    fits = Counter()
    for prompt in task.prompts("test"):
        shown, _, result = prompt.question.rstrip("=").partition(">")
        functions = [p for level in (1, 2, 3) for p in _programs(level) if _text(p, shown) == result]
        fits[min(len(functions), 3)] += 1
    assert fits[3] > 10, fits


def _text(program, shown: str) -> str:
    return "".join(_apply(program, list(shown)))


def test_demonstrations(task):
    rng = np.random.default_rng(1)
    prompts = task.prompts("rl")
    assert [task.demonstration(p, rng, 0.0) for p in prompts] == [p.solution for p in prompts]
    slips = [task.demonstration(p, rng, 1.0) for p in prompts]
    assert all(run(text, TESTS[0]) is not None for text in slips)
    wrong = sum(text != p.solution for text, p in zip(slips, prompts, strict=True))
    assert wrong > 0.8 * len(prompts)


@sandboxed
def test_programs_are_judged_by_what_they_do(task):
    prompt = next(p for p in task.prompts("rl") if p.solution == "s[::-1]")
    texts = ["s[::-1]", "s[::-1][:]", "(s)[::-1]", "s[1:]", "s", "", "s[", "s)+(s", "1/0", "s[::-1] if s[4] else s"]
    outcomes = task.check(texts, [prompt] * len(texts))
    right, wrong, none = Outcome.CORRECT, Outcome.WRONG, Outcome.UNPARSED
    assert outcomes == [right, right, right, wrong, wrong, none, none, none, none, wrong]
    answers = task.answers(texts, [prompt] * len(texts))
    assert answers[0] == answers[1] == prompt.answer != answers[3]
    assert answers[5:9] == [None] * 4
    assert "-" in answers[9].split(";"), "the list of four has no fifth digit"
    assert task.check([p.solution for p in task.prompts("rl")], task.prompts("rl")) == [right] * 120


@sandboxed
def test_a_batch_executes_each_of_its_programs_once_whatever_ran_before(task, monkeypatch):
    from repro.tasks import sandbox

    ran = []
    real = sandbox.run_jobs
    monkeypatch.setattr(sandbox, "run_jobs", lambda jobs, limits: ran.append(len(jobs)) or real(jobs, limits))
    fresh = load("synthesis")
    prompts = task.prompts("rl")[:3]
    first = fresh.check(["s[1:]", "s[1:]", "s*2"], prompts)
    votes = fresh.answers(["s[1:]", "s[1:]", "s*2"], prompts)
    assert ran == [2] and votes[0] == votes[1] != votes[2]
    fresh.check(["s*2", "s[1:]", "s"], prompts)
    assert ran == [2, 3], "another batch pays for all its programs"
    assert fresh.check(["s[1:]", "s[1:]", "s*2"], prompts) == first
    assert fresh.answers(["s[1:]", "s[1:]", "s*2"], prompts) == votes
    assert ran == [2, 3, 2]


@sandboxed
def test_attacks_are_just_wrong_programs(task):
    prompt = task.prompts("rl")[0]
    attacks = [
        "[f for f in ().__class__.__base__.__subclasses__()]",
        "().__class__.__base__.__subclasses__()[0].mro()",
        "[x for x in iter(int, 1)]",
        "s*10**9",
        "9**9**9**9",
    ]
    assert Outcome.CORRECT not in task.check(attacks, [prompt] * len(attacks))
    assert task.check([prompt.solution], [prompt]) == [Outcome.CORRECT]


@pytest.mark.parametrize("levels", [["op4"], "op1", []])
def test_bad_levels_are_refused(levels):
    with pytest.raises(InputError, match="levels must be"):
        load("synthesis", {"levels": levels})
