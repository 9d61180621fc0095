"""Every reference solution of HumanEval and MBPP passes its tests in the sandbox; mutated ones fail."""

import ast

import pytest

from repro.tasks import files, load
from repro.tasks.code_sources import CODE, Criteria
from repro.tasks.outcome import Outcome
from repro.tasks.task import Prompt

pytestmark = [pytest.mark.usefixtures("isolated"), pytest.mark.filterwarnings("ignore:invalid escape")]
ROWS = {"humaneval": 164, "mbpp": 974}

WRAPPED = """
def _mutant(f):
    def changed(value):
        kind = type(value)
        if kind is bool: return not value
        if kind in (int, float, complex): return value + 1
        if kind is str: return value + "?"
        if kind is list: return value + [object()]
        if kind is tuple: return value + (object(),)
        return object()
    return lambda *a, **k: {expression}
{entry} = _mutant({entry})
"""
# No mutant of these kinds passes the tests of any problem.
MUTANTS = {
    "gives None": "(f(*a, **k), None)[1]",
    "gives another object": "(f(*a, **k), object())[1]",
    "gives a changed value": "changed(f(*a, **k))",
    "leaves": "__import__('os')._exit(0)",
    "raises": "1 // 0",
}
FLIPPED = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Lt: ast.GtE, ast.Gt: ast.LtE, ast.LtE: ast.Gt,
    ast.GtE: ast.Lt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Mod: ast.Mult, ast.Div: ast.Mult, ast.And: ast.Or,
    ast.FloorDiv: ast.Mult, ast.Or: ast.And, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip


def every_prompt(name: str, data_dir) -> list[Prompt]:
    """All rows of the file, also those that are in no split."""
    source = CODE[name]["test"]
    rows, _ = files.read(files.find(data_dir / source.folder, source.stems))
    problems = [source.reader(row) for row in rows]
    return [Prompt(n, p.question, p.tests.to_text(), solution=p.solution) for n, p in enumerate(problems)]


def fenced(program: str) -> str:
    return f"Here it is:\n```python\n{program}\n```\nDone."


@pytest.mark.parametrize("name", ROWS)
def test_all_reference_solutions_pass(name, data_dir):
    task, prompts = load(name, {}, data_dir), every_prompt(name, data_dir)
    assert len(prompts) == ROWS[name]
    outcomes = task.check([fenced(prompt.solution) for prompt in prompts], prompts)
    assert [n for n, outcome in enumerate(outcomes) if outcome is not Outcome.CORRECT] == []


@pytest.mark.parametrize("kind", MUTANTS)
@pytest.mark.parametrize("name", ROWS)
def test_mutants_of_a_kind_that_must_fail_all_fail(name, kind, data_dir):
    every = (
        3 if name == "mbpp" and kind not in ("gives a changed value", "leaves") else 1
    )  # enough, and a third of the time
    task, prompts = load(name, {}, data_dir), every_prompt(name, data_dir)[::every]
    mutants = [
        fenced(p.solution + WRAPPED.format(expression=MUTANTS[kind], entry=Criteria.of(p.answer).entry))
        for p in prompts
    ]
    assert set(task.check(mutants, prompts)) == {Outcome.WRONG}


class Flip(ast.NodeTransformer):
    def generic_visit(self, node):
        super().generic_visit(node)
        return FLIPPED[type(node)]() if type(node) in FLIPPED else node


@pytest.mark.parametrize(("name", "every", "survivors"), [("humaneval", 3, 0), ("mbpp", 15, 1)])
def test_flipped_operators_fail(name, every, survivors, data_dir):
    """All operators of a solution flipped at once; a few MBPP tests are too weak to notice."""
    task = load(name, {"seconds": 1}, data_dir)
    kept, mutants = [], []
    for prompt in every_prompt(name, data_dir)[::every]:
        before = ast.parse(prompt.solution)
        after = ast.unparse(Flip().visit(ast.parse(prompt.solution)))
        if after != ast.unparse(before):
            kept.append(prompt)
            mutants.append(fenced(after))
    assert len(kept) > 40
    assert task.check(mutants, kept).count(Outcome.CORRECT) <= survivors


@pytest.mark.parametrize(("name", "every", "without"), [("humaneval", 1, 2), ("mbpp", 5, 3)])
def test_reference_solutions_have_a_behaviour_to_vote_on(name, every, without, data_dir):
    """But for a few whose values are no plain ones, or whose tests make their inputs themselves."""
    task, prompts = load(name, {}, data_dir), every_prompt(name, data_dir)[::every]
    first = task.answers([fenced(prompt.solution) for prompt in prompts], prompts)
    again = task.answers([fenced("# again\n" + prompt.solution) for prompt in prompts], prompts)
    assert first == again and first.count(None) <= without
    wrong = task.answers([fenced(none_instead(prompt)) for prompt in prompts], prompts)
    assert sum(a == b for a, b in zip(first, wrong, strict=True) if a) <= 1  # one function gives None where it is shown


def none_instead(prompt: Prompt) -> str:
    entry = Criteria.of(prompt.answer).entry
    return prompt.solution + WRAPPED.format(expression=MUTANTS["gives None"], entry=entry)
