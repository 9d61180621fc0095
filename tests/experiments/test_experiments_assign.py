"""`--set` on an option that is a number or a word."""

from __future__ import annotations

import pytest

from repro.errors import InputError
from repro.experiments import assign
from repro.experiments.types import Arm

ARM = Arm("astar", "A*-PO", "astar-po", {})


def assigned(text: str) -> dict:
    method: dict = {}
    assign.apply(assign.parse_assignment(text), ARM, method, {}, {})
    return method


@pytest.mark.parametrize(("text", "value"), [("mean", "mean"), ("max", "max"), ("0.25", 0.25), ("1e-8", 1e-8)])
def test_a_number_or_a_word(text, value):
    assert assigned(f"astar.beta1={text}") == {"beta1": value}


def test_neither_is_refused_with_both_named():
    with pytest.raises(InputError, match="beta1 must be a number or one of mean, max, not 'median'"):
        assigned("astar.beta1=median")
