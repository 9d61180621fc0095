"""The program in a completion, and the calls that show its behaviour: pure functions."""

import pytest

from repro.tasks.behaviour import calls, value_is
from repro.tasks.code_sources import Criteria
from repro.tasks.programs import complete, defines, extract_program

BLOCK = "def f(x):\n    return x"


@pytest.mark.parametrize(
    ("text", "entry", "program"),
    [
        (f"Sure:\n```python\n{BLOCK}\n```\nDone.", "", BLOCK),
        (f"```\n{BLOCK}\n```", "", BLOCK),
        (f"```Python3\n{BLOCK}\n```", "", BLOCK),
        (f"~~~py\n{BLOCK}\n~~~", "", BLOCK),
        (f"```python\n{BLOCK}", "", BLOCK),  # cut off before its end
        (f"```python\nx = 1\n```\nbetter:\n```python\n{BLOCK}\n```", "", BLOCK),
        (f"```python\n{BLOCK}\n```\nUse it:\n```python\nprint(f(1))\n```", "f", BLOCK),
        (f"```python\ndef f(): 0\n```\n```python\n{BLOCK}\n```", "f", BLOCK),
        (f"```python\n{BLOCK}\n```\nInput:\n```\n1 2\n```", "", BLOCK),
        ("```bash\npip install x\n```", "", None),
        (f"- here\n  ```python\n  {BLOCK.replace(chr(10), chr(10) + '  ')}\n  ```", "", BLOCK),
        (f"<think>```python\nx\n```</think>\n```python\n{BLOCK}\n```", "", BLOCK),
        ("````python\nx = '''\n```\n'''\n````", "", "x = '''\n```\n'''"),
        (BLOCK, "", BLOCK),
        ("    return x\n", "f", "    return x\n"),
        ("", "", None),
        (" \n\t", "", None),
        ("```python\n\n```", "", None),
        ("```" * 5000, "", None),
    ],
)
def test_extract_program(text, entry, program):
    assert extract_program(text, entry) == program


def test_a_prompt_gives_its_header_or_its_stub():
    stub = 'import math\ndef g(): 1\ndef f(x):\n    """Doc."""\n'
    assert complete(BLOCK, "import math\ndef g(): 1", stub, "f") == f"import math\ndef g(): 1\n{BLOCK}"
    assert complete("    return x\n", "import math", stub, "f") == stub + "    return x\n"
    assert complete(BLOCK, "", "", "f") == BLOCK
    assert complete("print(1)", "", "", "") == "print(1)"
    assert defines("class f:\n", "f") and defines("f = g", "f") and defines("async def f(): 0", "f")
    assert not defines("def ff(): 0\n# def f\n  def f(self): 0", "f")


def test_calls_come_from_the_question_else_from_the_tests():
    source = "def check(candidate):\n    assert candidate(1, [2]) == 3\n    assert abs(candidate(x) - 1) < 1\ncheck(f)"
    tests = Criteria("f", source=source)
    assert calls("No examples.", tests, 8) == ("f(1, [2])",)
    shown = 'def f(x):\n    """\n    >>> f(5)\n    6\n    >>> g(5)\n    >>> f(\n    >>> f(7) + 1\n    """'
    assert calls(shown, tests, 8) == ("f(5)", "f(7) + 1") and calls(shown, tests, 1) == ("f(5)",)
    given = Criteria("f", source="assert f(1) == 2\nassert f(root) == 1\nassert f(9) == 9", public=2)
    assert calls("", given, 8) == ("f(1)", "f(root)")
    assert calls("", Criteria("f", source="x = 1"), 8) == ()


def test_values_of_contest_calls():
    assert value_is("'[1, 2]'", "[1, 2]") and value_is("'3'", "[3]") and value_is("'[3]'", "[3]")
    assert not value_is("'4'", "[3]") and not value_is(None, "null") and value_is("'null'", "null")
    assert value_is("'\"a\"'", '"a"')
