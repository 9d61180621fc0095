"""Adversarial answers with the outcome a careful reader would give; one line of `golden.jsonl` is one case."""

import json
from pathlib import Path

import pytest

from repro.tasks.answers import check_number, check_numeric, check_symbolic_many

ROWS = [json.loads(line) for line in Path(__file__).with_name("golden.jsonl").read_text().splitlines()]
IN_PROCESS = {"numeric": check_numeric, "number": check_number}


def rows(*kinds):
    return [pytest.param(row, id=f"{row['kind']}-{i}") for i, row in enumerate(ROWS) if row["kind"] in kinds]


def describe(row, outcome):
    return f"{row['completion'][:80]!r} against {row['gold']!r}: {outcome.name.lower()}, not {row['expected']}"


@pytest.mark.parametrize("row", rows("numeric", "number"))
def test_numbers(row):
    outcome = IN_PROCESS[row["kind"]](row["completion"], row["gold"])
    assert outcome.name.lower() == row["expected"], describe(row, outcome)


@pytest.fixture(scope="module")
def symbolic_outcomes():
    pairs = [(row["completion"], row["gold"]) for row in ROWS if row["kind"] == "symbolic"]
    return dict(zip(pairs, check_symbolic_many(pairs, deadline=30.0), strict=True))


@pytest.mark.parametrize("row", rows("symbolic"))
def test_symbolic(row, symbolic_outcomes):
    outcome = symbolic_outcomes[row["completion"], row["gold"]]
    assert outcome.name.lower() == row["expected"], describe(row, outcome)


def test_the_file_is_large_and_covers_every_kind_and_outcome():
    assert len(ROWS) >= 150
    assert {(row["kind"], row["expected"]) for row in ROWS} == {
        (kind, outcome) for kind in ("numeric", "number", "symbolic") for outcome in ("correct", "wrong", "unparsed")
    }
