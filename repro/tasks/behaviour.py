"""Calls that show what a function does, taken from the text of its problem. Pure; only text of the data set is parsed.

Not covered: calls whose arguments are made in loops or by helpers of the tests; such tests give no calls.
"""

from __future__ import annotations

import ast
import builtins
import json
import re
import warnings

from repro.tasks.code_sources import Criteria
from repro.tasks.sandbox import Calls

_CANDIDATE = "candidate"  # what HumanEval's tests call the function


def calls(question: str, tests: Criteria, most: int) -> tuple[str, ...]:
    """At most so many calls of the function under test as expressions, without the values they should give.

    Those that the question shows (`>>>` lines, or the first `public` statements of the tests), else those of all tests.
    """
    found = [line for line in re.findall(r"(?m)^[ \t]*>>>[ \t]*(.+?)[ \t]*$", question) if _is_call(line, tests.entry)]
    if not found:
        with warnings.catch_warnings():  # about escapes in the data set's own strings
            warnings.simplefilter("ignore")
            body = ast.parse(tests.source).body
        for statement in body[: tests.public or None]:
            for node in ast.walk(statement):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                    if node.func.id in (_CANDIDATE, tests.entry) and (tests.public or _closed(node)):
                        node.func.id = tests.entry
                        found.append(ast.unparse(node))
    return tuple(dict.fromkeys(found))[:most]


def _is_call(text: str, entry: str) -> bool:
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError):
        return False
    return any(isinstance(node, ast.Name) and node.id == entry for node in ast.walk(tree))


def _closed(call: ast.Call) -> bool:
    """Whether the arguments use no names but builtins."""
    parts = [*call.args, *(keyword.value for keyword in call.keywords)]
    names = {node.id for part in parts for node in ast.walk(part) if isinstance(node, ast.Name)}
    return names <= set(dir(builtins)) and not any(isinstance(node, ast.Starred) for node in parts)


def case_call(program: str, tests: Criteria, arguments: str) -> Calls:
    """The call of a contest's function with JSON arguments. Its value comes back as JSON text: tuples are lists."""
    callee = f"{tests.setup}().{tests.entry}" if tests.setup else tests.entry
    given = json.loads(arguments)
    listed = ", ".join(map(repr, given if isinstance(given, list) else [given]))
    return Calls(program, (f"__import__('json').dumps({callee}({listed}))",))


def value_is(output: str | None, wanted: str) -> bool:
    """Whether a call of `case_call` gave this JSON value, or the only element of it (both are in use)."""
    value = json.loads(wanted)
    accepted = [value, value[0]] if isinstance(value, list) and len(value) == 1 else [value]
    return output in {repr(json.dumps(one)) for one in accepted}
