"""The code data sets as data: where each is, and how one row becomes a question with tests.

A problem's tests are the gold answer of its prompt, as JSON (`Criteria`), so that they are part of what identifies a
run.
"""

from __future__ import annotations

import ast
import json
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from repro.errors import InputError
from repro.tasks.files import Row

PYTHON3 = 3  # in the solutions of CodeContests
_LATE_SETUP = {
    "367": "its set-up code runs after the code, whose classes it uses",
    "927": "its set-up code runs after the code, whose classes it uses",
}


@dataclass(frozen=True)
class Criteria:
    """What decides about a program: source texts with assertions, or (input, expected output) cases.

    `entry` names the function under test. With `source` the cases are empty. Cases without an `entry` are standard
    input and output; with one they are arguments and value as JSON, and `setup` names the class of the method, if any.
    The first `public` cases, or statements of `source`, are shown in the question.
    """

    entry: str = ""
    header: str = ""  # goes before a program that defines the function
    stub: str = ""  # goes before a program that is only its body
    setup: str = ""
    source: str = ""
    late_setup: bool = False  # the set-up code uses the program's classes
    cases: tuple[tuple[str, str], ...] = ()
    public: int = 0

    def to_text(self) -> str:
        return json.dumps({name: value for name, value in asdict(self).items() if value})

    @classmethod
    def of(cls, text: str) -> Criteria:
        fields = json.loads(text)
        return cls(**{**fields, "cases": tuple(map(tuple, fields.get("cases", ())))})


@dataclass(frozen=True)
class Problem:
    """What a reader takes from a row."""

    question: str
    tests: Criteria
    level: str = ""
    solution: str | None = None  # a whole program
    source_id: str = ""


@dataclass(frozen=True)
class CodeSource:
    """One split of a code data set."""

    hub: str
    split: str  # the hub's name of the split
    folder: str
    stems: tuple[str, ...]
    reader: Callable[[Row], Problem | None]  # None: a problem that cannot be judged here; left out and counted
    config: str | None = None
    numbers: range | None = None  # task ids of the split, where one file holds all splits
    errata: dict[str, str] = field(default_factory=dict)


def _raw(row: Row, name: str, may_be_empty: bool = False) -> str:
    """A text field with its white space: code must not be stripped."""
    value = row.get(name)
    if not isinstance(value, str):
        raise InputError(f"{row.where}: field {name!r} is not text but {type(value).__name__}")
    if not may_be_empty and not value.strip():
        raise InputError(f"{row.where}: field {name!r} is empty")
    return value.replace("\r\n", "\n")


def _python(row: Row, name: str, text: str) -> ast.Module:
    try:
        with warnings.catch_warnings():  # about escapes in the data set's own strings
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError) as error:
        reason = getattr(error, "msg", None) or str(error)
        raise InputError(f"{row.where}: field {name!r} is not valid Python ({reason})") from error


def _texts(row: Row, name: str, value) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise InputError(f"{row.where}: field {name!r} is not a list of texts")
    return value


def _json(row: Row, name: str):
    value = row.get(name)
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{row.where}: field {name!r} is not valid JSON") from error


def _humaneval(row: Row) -> Problem:
    prompt, entry, tests = _raw(row, "prompt"), row.text("entry_point"), _raw(row, "test")
    solution = prompt + _raw(row, "canonical_solution")
    if "def check(" not in tests:
        raise InputError(f"{row.where}: field 'test' does not define check()")
    _python(row, "test", tests)
    at = prompt.rfind(f"def {entry}")
    if at < 0:
        raise InputError(f"{row.where}: field 'prompt' does not define {entry}, which field 'entry_point' names")
    question = f"Complete this Python function. Give the whole function.\n\n```python\n{prompt.strip()}\n```"
    source = f"{tests}\n\ncheck({entry})\n"
    found = Criteria(entry, prompt[:at].strip("\n"), prompt, source=source)
    return Problem(question, found, solution=solution, source_id=row.text("task_id"))


def _mbpp(row: Row) -> Problem:
    text, code, number = row.text("text", "prompt"), _raw(row, "code"), row.text("task_id")
    shown = _texts(row, "test_list", row.get("test_list"))
    if not shown:
        raise InputError(f"{row.where}: field 'test_list' is empty")
    hidden = _texts(row, "challenge_test_list", row.data.get("challenge_test_list") or [])
    setup = str(row.data.get("test_setup_code") or "").replace("\r\n", "\n")
    tree = _python(row, "test_list", "\n".join(shown))
    _python(row, "challenge_test_list", "\n".join(hidden))
    defined = {node.name for node in ast.walk(_python(row, "code", code)) if isinstance(node, ast.FunctionDef)}
    called = [node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    entry = next((name for name in called if name in defined), "")
    if not entry:
        raise InputError(f"{row.where}: field 'test_list' calls no function that field 'code' defines")
    listed = "\n".join(line.strip() for line in shown)
    question = f"{text}\nThe code should pass these tests:\n\n```python\n{listed}\n```"
    tests = Criteria(entry, setup=setup, source="\n".join(shown + hidden), late_setup=number in _LATE_SETUP,
                  public=len(shown))  # fmt: skip
    return Problem(question, tests, solution=code, source_id=number)


def _code_contests(row: Row) -> Problem | None:
    """The hub's rows, and those of a judge's fixture with fields `content`, `test` and `labels`."""
    if "content" in row.data:
        cases = _json(row, "test")
        try:
            pairs = [(case["input"]["stdin"], case["output"]["stdout"]) for case in cases]
        except (KeyError, TypeError) as error:
            raise InputError(f"{row.where}: field 'test' is not a list of input.stdin and output.stdout") from error
        _all_text(row, "test", pairs)
        return Problem(row.text("content"), Criteria(cases=tuple(pairs), public=1), source_id=row.optional("id"))
    if row.optional("input_file") or row.optional("output_file"):
        return None  # it reads or writes files, which a judge of standard input and output cannot serve
    public = _cases(row, "public_tests")
    pairs = [*public, *_cases(row, "private_tests"), *_cases(row, "generated_tests")]
    if not pairs:
        return None
    solutions = row.data.get("solutions") or {}
    known = zip(solutions.get("language", ()), solutions.get("solution", ()), strict=False)
    solution = next((text for language, text in known if language in (PYTHON3, "PYTHON3")), None)
    level = str(row.data.get("difficulty", ""))
    tests = Criteria(cases=tuple(pairs), public=max(1, len(public)))
    return Problem(row.text("description"), tests, level, solution, row.optional("name"))


def _cases(row: Row, name: str) -> list[tuple[str, str]]:
    value = row.data.get(name) or {"input": [], "output": []}
    if not isinstance(value, dict):
        raise InputError(f"{row.where}: field {name!r} is not an object with input and output")
    inputs, outputs = (_texts(row, f"{name}.{part}", list(value.get(part, ()))) for part in ("input", "output"))
    if len(inputs) != len(outputs):
        raise InputError(f"{row.where}: field {name!r} has {len(inputs)} inputs and {len(outputs)} outputs")
    return list(zip(inputs, outputs, strict=True))


def _all_text(row: Row, name: str, pairs: list) -> None:
    if not pairs or not all(isinstance(part, str) for pair in pairs for part in pair):
        raise InputError(f"{row.where}: field {name!r} holds a case that is not text, or none")


def _taco(row: Row) -> Problem | None:
    """Standard input and output, or a function (`fn_name`) whose arguments and value are JSON."""
    tests = _json(row, "input_output")
    if not isinstance(tests, dict) or not isinstance(tests.get("inputs"), list) or not isinstance(
        tests.get("outputs"), list
    ):  # fmt: skip
        raise InputError(f"{row.where}: field 'input_output' has no lists inputs and outputs")
    inputs, outputs = tests["inputs"], tests["outputs"]
    if not inputs or len(inputs) != len(outputs):
        return None
    entry = tests.get("fn_name") or ""
    if not isinstance(entry, str) or (entry and not entry.isidentifier()):
        raise InputError(f"{row.where}: field 'input_output' has an fn_name that is no name of a function")
    if entry:
        pairs = [(json.dumps(given), json.dumps(wanted)) for given, wanted in zip(inputs, outputs, strict=True)]
    else:
        pairs = [(_lines(given), _lines(wanted)) for given, wanted in zip(inputs, outputs, strict=True)]
    starter = row.optional("starter_code")
    question = row.text("question") + (f"\n\n```python\n{starter}\n```" if starter else "")
    solutions = _json(row, "solutions") if row.data.get("solutions") else []
    solution = solutions[0] if isinstance(solutions, list) and solutions and isinstance(solutions[0], str) else None
    header = "Solution" if "class Solution" in starter else ""  # the function is a method of this class
    found = Criteria(entry, setup=header if entry else "", cases=tuple(pairs), public=1)
    return Problem(question, found, row.optional("difficulty"), solution, row.optional("url"))


def _lines(value) -> str:
    return "\n".join(map(str, value)) if isinstance(value, list) else str(value)


def _mbpp_source(split: str, numbers: range) -> CodeSource:
    return CodeSource(
        "google-research-datasets/mbpp", split, "mbpp", ("mbpp",), _mbpp, "full", numbers, errata=_LATE_SETUP
    )


def _contests_source(split: str) -> CodeSource:
    return CodeSource("deepmind/code_contests", split, "code_contests", (split,), _code_contests)


CODE: dict[str, dict[str, CodeSource]] = {
    "humaneval": {
        "test": CodeSource("openai/openai_humaneval", "test", "humaneval", ("HumanEval", "test"), _humaneval)
    },
    # The split of the paper: tasks 1-10 are for few-shot prompts.
    "mbpp": {
        "rl": _mbpp_source("train", range(601, 975)),
        "dev": _mbpp_source("validation", range(511, 601)),
        "test": _mbpp_source("test", range(11, 511)),
    },
    "code_contests": {
        "rl": _contests_source("train"), "dev": _contests_source("valid"), "test": _contests_source("test"),
    },
    "taco": {"test": CodeSource("BAAI/TACO", "test", "taco", ("test",), _taco)},
}  # fmt: skip
