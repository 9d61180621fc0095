"""Metrics from outcome letters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repro.errors import InputError
from repro.evaluation import correct_matrix, summarize

outcome_sets = st.integers(1, 9).flatmap(
    lambda n: st.lists(st.text("cwuCWU", min_size=n, max_size=n), min_size=1, max_size=6)
)


def test_by_hand():
    metrics = summarize(["ccww", "wuwU", "CWww"], greedy="cwC")
    assert metrics == {
        "accuracy": pytest.approx((2 / 4 + 0 + 1 / 4) / 3),
        "pass@1": pytest.approx((2 / 4 + 0 + 1 / 4) / 3),
        "pass@2": pytest.approx((5 / 6 + 0 + 1 / 2) / 3),
        "pass@4": pytest.approx(2 / 3),
        "truncated": 3 / 12,
        "unparsed": 2 / 12,
        "greedy": pytest.approx(2 / 3),
    }


def test_powers_of_two_up_to_n_and_no_greedy_unless_given():
    assert [key for key in summarize(["c" * 6]) if key.startswith("pass")] == ["pass@1", "pass@2", "pass@4"]
    assert [key for key in summarize(["c"]) if key.startswith("pass")] == ["pass@1"]
    assert "greedy" not in summarize(["cw"])


@given(outcome_sets)
def test_bounds_and_order(samples):
    metrics = summarize(samples)
    assert all(0 <= value <= 1 for value in metrics.values())
    assert metrics["pass@1"] == pytest.approx(metrics["accuracy"], abs=1e-12)
    passes = [value for key, value in metrics.items() if key.startswith("pass")]
    assert all(low <= high + 1e-12 for low, high in zip(passes, passes[1:], strict=False))
    solved = sum("c" in row.lower() for row in samples) / len(samples)
    assert passes[-1] <= solved + 1e-12
    assert metrics["accuracy"] + metrics["unparsed"] <= 1 + 1e-12


@given(outcome_sets, st.randoms())
def test_the_order_of_samples_and_questions_does_not_matter(samples, random):
    shuffled = ["".join(random.sample(row, len(row))) for row in samples]
    random.shuffle(shuffled)
    assert summarize(samples) == pytest.approx(summarize(shuffled), abs=1e-12)


def test_truncation_does_not_change_correctness():
    assert correct_matrix(["cC", "wU"]).tolist() == [[True, True], [False, False]]
    assert summarize(["cw"])["accuracy"] == summarize(["CW"])["accuracy"]


@pytest.mark.parametrize(
    ("samples", "greedy", "message"),
    [
        ([], None, "no samples"),
        (["", ""], None, "no samples"),
        (["cw", "c"], None, "question 1 has 1 samples"),
        (["cw", "cx"], None, "letter 'x'"),
        (["cw"], "cc", "2 greedy letters for 1 questions"),
        (["cw"], "", "0 greedy letters"),
        (["cw"], "z", "letter 'z'"),
    ],
)
def test_malformed_outcomes_are_refused(samples, greedy, message):
    with pytest.raises(InputError, match=message):
        summarize(samples, greedy)
