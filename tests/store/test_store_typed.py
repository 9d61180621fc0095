"""Plain JSON data against typing hints."""

from __future__ import annotations

import json
from typing import Any, NotRequired, TypedDict

import pytest

from repro.errors import InputError
from repro.store.typed import LARGEST, MOST_DEPTH, check


class Inner(TypedDict):
    share: float | None
    names: list[str]


class Outer(TypedDict):
    inner: dict[str, Inner]
    count: int
    more: NotRequired[list[dict[str, Any]] | None]


GOOD = {"inner": {"a": {"share": 1, "names": ["x"]}, "b": {"share": None, "names": []}}, "count": 3}


@pytest.mark.parametrize("more", [{}, {"more": None}, {"more": [{"x": [1, "2", None, True, 0.5, {"y": {}}]}]}])
def test_good_data_passes(more):
    check(Outer, GOOD | more)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"count": True}, "count"),
        ({"count": 1.0}, "count"),
        ({"count": "1"}, "count"),
        ({"count": LARGEST}, "count"),
        ({"inner": []}, "inner"),
        ({"inner": {"a": {"share": 0.5}}}, "inner.a.names is missing"),
        ({"inner": {"a": {"share": 0.5, "names": [], "path": "/etc"}}}, "unknown field inner.a.path"),
        ({"inner": {"a": {"share": float("nan"), "names": []}}}, "inner.a.share"),
        ({"inner": {"a": {"share": float("-inf"), "names": []}}}, "inner.a.share"),
        ({"inner": {"a": {"share": 0.5, "names": ["x", 1]}}}, "inner.a.names"),
        ({"more": 5}, "more"),
        ({"more": [5]}, "more"),
        ({"more": [{"x": float("inf")}]}, "more"),
    ],
)
def test_what_does_not_fit_is_named(changes, said):
    with pytest.raises(InputError, match=said):
        check(Outer, GOOD | changes)


@pytest.mark.parametrize("mark", ["[]", '{"a":}'], ids=["lists", "objects"])
def test_depth_is_limited(mark):
    def nested(depth):
        return json.loads(mark[:-1] * depth + "1" + mark[-1] * depth)

    check(Any, nested(MOST_DEPTH))
    with pytest.raises(InputError, match="nested too deep"):
        check(Any, nested(MOST_DEPTH + 2))
