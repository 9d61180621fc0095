"""The checkers by name: how they read one answer differently, and what they refuse."""

import subprocess
import sys

import pytest

from repro import tasks
from repro.errors import InputError
from repro.plugins.checkers import get as named
from repro.tasks.checkers import CHECKERS, get
from repro.tasks.task import Prompt


class Maths:
    """A task in name and template alone; its own checker finds nothing."""

    name, answer_kind, executes = "sums", "numeric", False

    def __init__(self, template="plain"):
        self.template = tasks.load("svamp", {"template": template}).template

    def check(self, completions, prompts):
        return tasks.load("svamp", {"template": self.template.name}).check(completions, prompts)

    def check_lenient(self, completions, prompts):
        return tasks.load("svamp", {"template": self.template.name}).check_lenient(completions, prompts)


def letters(name, completions, gold="5", task=None):
    task = task or Maths()
    prompts = [Prompt(place, "?", gold) for place in range(len(completions))]
    return "".join(outcome.value for outcome in get(name).check(task, completions, prompts))


@pytest.mark.parametrize(
    ("name", "expected"),
    # The answer in a box, behind a marker, in running text, in an expression, nowhere, and wrong.
    [("task", "cccuuw"), ("lenient", "cccwuw"), ("marker", "ucuuuu"), ("numeric", "cccuuw"), ("symbolic", "cccuuw"),
     ("math-verify", "cccuuw")],
)  # fmt: skip
def test_one_answer_read_by_each(name, expected):
    said = ["so \\boxed{5}", "2+3=#5", "The answer is 5.", "x is 10-5-1*1", "no idea", "\\boxed{6}"]
    assert letters(name, said) == expected


def test_what_follows_a_stop_string_is_no_answer():
    for name in ("task", "lenient", "numeric", "symbolic", "math-verify"):
        assert letters(name, ["Answer: 5\nQuestion: what is 6?"]) == "c", name
        assert letters(name, ["<answer>5</answer> or 6"], task=Maths("r1")) == ("w" if name == "lenient" else "c"), name


def test_math_verify_alone_lacks_the_rules_of_the_canonical_form():
    said, gold = (
        ["\\boxed{4=5}", "\\boxed{seat}", "\\boxed{50\\%}", "\\boxed{\\frac{10}{2}}"],
        ["5", "east", "0.5", "5"],
    )
    pairs = list(zip(said, gold, strict=True))
    assert [letters("symbolic", [text], right) for text, right in pairs] == ["u", "w", "w", "c"]
    assert [letters("math-verify", [text], right) for text, right in pairs] == ["c", "c", "c", "c"]


@pytest.mark.parametrize(
    "text", ["\\boxed{__import__('os')}", "\\boxed{" + "1+" * 400 + "1}", "\\boxed{\\input{x}}", ""]
)
def test_math_verify_is_handed_nothing_but_short_latex(text):
    assert letters("math-verify", [text]) == "u"


def test_strict_is_an_option_of_the_task():
    strict = tasks.load("svamp", {"template": "plain", **CHECKERS["strict"].options})
    assert letters("strict", ["The answer is 5.", "\\boxed{5}", "#### 5"], task=strict) == "ucc"


def test_what_a_checker_cannot_read_is_refused():
    class Code(Maths):
        executes = True

    class Words(Maths):
        answer_kind = "symbolic"

    for name in CHECKERS.keys() - {"task"}:
        with pytest.raises(InputError, match="programs"):
            letters(name, ["5"], task=Code())
    for name in ("lenient", "marker", "numeric"):
        with pytest.raises(InputError, match="symbolic ones"):
            letters(name, ["5"], task=Words())


def test_unknown_names_the_nearest():
    with pytest.raises(InputError, match="did you mean lenient"):
        named("leniant")
    with pytest.raises(InputError, match="known: task, strict"):
        named("xyz")


def test_a_checker_from_a_file(tmp_path):
    file = tmp_path / "ends_with.py"
    file.write_text('"""Whatever ends with the answer."""\n\ndef check(completion, gold):\n'
                    "    return completion.endswith(gold) if completion else None\n")  # fmt: skip
    checker = named(str(file))
    assert (checker.name, checker.summary) == ("ends_with", "Whatever ends with the answer.")
    prompts = [Prompt(0, "?", "5")] * 3
    assert [outcome.value for outcome in checker.check(Maths(), ["15", "6", ""], prompts)] == ["c", "w", "u"]


@pytest.mark.parametrize(
    ("code", "said"),
    [("check = 5", "must define check"), ("import nothing_of_that_name", "ModuleNotFoundError"),
     ("def check(completion, gold): return 1", "not int"), ("def check(completion, gold): return 1 / 0", "line 1")],
)  # fmt: skip
def test_a_file_that_is_no_checker_is_one_line(tmp_path, code, said):
    (tmp_path / "bad.py").write_text(code)
    with pytest.raises(InputError, match=said) as error:
        named(str(tmp_path / "bad.py")).check(Maths(), ["5"], [Prompt(0, "?", "5")])
    assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="name a Python file"):
        named(str(tmp_path / "absent.py"))


def test_listing_loads_nothing_heavy():
    code = "import sys, repro.tasks.checkers; print([m for m in ('torch', 'numpy', 'sympy') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
