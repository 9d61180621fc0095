"""Show what differs between the resolved configs of two arms, such as `repro diff table1/ppo-n1 table1/tbrm-n1`.

JSON keys: a, b (trial ids), differences [{field, a, b}]; a field that one side does not have is "absent".
"""

from __future__ import annotations

import json
from typing import Any

from repro.cli.common import add_changes, add_json, add_scale, changes, columns, print_json
from repro.cli.show import first_config
from repro.experiments.resolve import flatten

ABSENT = "absent"


def add_arguments(parser) -> None:
    parser.add_argument("a", metavar="A", help="an arm, such as table1/ppo-n1 or table1@paper/ppo-n1/seed0")
    parser.add_argument("b", metavar="B", help="the arm to compare it with")
    add_scale(parser)
    add_changes(parser)
    add_json(parser)


def main(args) -> int:
    altered = changes(args)
    a, b = (first_config(name, args.scale, altered) for name in (args.a, args.b))
    found = differences(a.to_json(), b.to_json())
    if args.json:
        print_json({"a": a.id, "b": b.id, "differences": found})
    elif not found:
        print(f"{a.id} and {b.id} resolve to the same config")
    else:
        rows = [("field", a.id, b.id)]
        print(columns(rows + [(row["field"], _cell(row["a"]), _cell(row["b"])) for row in found], ""))
    return 0


def differences(a: dict[str, Any], b: dict[str, Any]) -> list[dict[str, Any]]:
    """Fields of two config JSONs that differ, in the order of `a`, then those only `b` has."""
    left, right = flatten(a), flatten(b)
    names = list(dict.fromkeys([*left, *right]))
    rows = [{"field": name, "a": left.get(name, ABSENT), "b": right.get(name, ABSENT)} for name in names]
    return [row for row in rows if row["a"] != row["b"]]


def _cell(value: Any) -> str:
    return value if value == ABSENT else json.dumps(value)
