"""Verifier accuracy, AUC, calibration and their summary, against slow definitions."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repro.errors import InputError
from repro.evaluation.verifier import accuracy, auc, auc_within, calibration, normalise, summarise_verifier

PAIRS = st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.5, 0.7, 1.0]), st.booleans()), min_size=1, max_size=12)


def test_a_score_of_exactly_one_half_is_a_yes():
    assert accuracy([0.5, 0.5], [True, False]) == 0.5
    assert accuracy([0.49999, 0.5, 0.9], [False, True, True]) == 1.0
    assert accuracy([0.3, 0.1], [True, False], threshold=0.2) == 1.0


@given(PAIRS)
def test_auc_is_the_share_of_pairs_in_the_right_order(pairs):
    scores, labels = zip(*pairs, strict=True)
    right = [score for score, label in pairs if label]
    wrong = [score for score, label in pairs if not label]
    compared = [(high > low) + 0.5 * (high == low) for high, low in itertools.product(right, wrong)]
    expected = sum(compared) / len(compared) if compared else None
    found = auc(scores, labels)
    assert found is None if expected is None else found == pytest.approx(expected, abs=1e-12)
    if found is not None:
        flipped = auc(scores, [not label for label in labels])
        assert found + flipped == pytest.approx(1, abs=1e-12)
        assert auc(np.array(scores) ** 3 / 7, labels) == pytest.approx(found, abs=1e-12)  # only the order counts


def test_auc_within_gives_no_credit_for_telling_questions_apart():
    scores = [[0.9, 0.9], [0.1, 0.1], [0.4, 0.6]]
    labels = [[True, True], [False, False], [True, False]]
    assert auc_within(scores, labels) == 0.0
    assert auc(scores, labels) == pytest.approx(8 / 9)
    assert auc_within(scores[:2], labels[:2]) is None
    assert auc_within([[0.4, 0.6], [0.2, 0.2]], [[False, True], [True, False]]) == pytest.approx((1 + 0.5) / 2)


def test_calibration_bins():
    table = calibration([0.0, 0.05, 0.1, 0.95, 1.0], [False, True, True, True, False])
    assert len(table) == 10
    assert table[0] == [2, pytest.approx(0.025), 0.5]
    assert table[1] == [1, pytest.approx(0.1), 1.0]
    assert table[9] == [2, pytest.approx(0.975), 0.5]
    assert table[2:9] == [[0, None, None]] * 7
    assert calibration([0.2, 0.6], [True, False], bins=1) == [[2, pytest.approx(0.4), 0.5]]


@given(PAIRS, st.integers(1, 12))
def test_calibration_adds_up(pairs, bins):
    scores, labels = zip(*pairs, strict=True)
    table = [row for row in calibration(scores, labels, bins) if row[0]]
    assert sum(count for count, _, _ in table) == len(pairs)
    assert sum(count * mean for count, mean, _ in table) == pytest.approx(sum(scores))
    assert sum(count * share for count, _, share in table) == pytest.approx(sum(labels))
    means = [mean for _, mean, _ in table]
    assert means == sorted(means)


def test_normalise():
    assert normalise([0.3, 0.0, 0.0, 0.2], [0.1, 0.0, 0.4, 0.2]).tolist() == pytest.approx([0.75, 0.5, 0.0, 0.5])


def test_summary_by_hand():
    summary = summarise_verifier(
        yes=[[0.3, 0.6], [0.5, 0.2]],
        no=[[0.1, 0.3], [0.5, 0.0]],
        correct=[[1, 1], [1, 0]],
        parsed=[[True, True], [False, True]],
    )
    assert summary.pop("calibration")[2:7] == [
        [1, 0.2, 0.0],
        [1, 0.3, 1.0],
        [0, None, None],
        [1, 0.5, 0.0],
        [1, 0.6, 1.0],
    ]
    assert summary == {
        "right": [1, 1],
        "accuracy": 0.5,
        "accuracy_parsed": 0.666667,
        "accuracy_normalised": 0.5,
        "auc": 0.75,
        "auc_normalised": 0.5,  # 0.75 and 0.667 against 0.5 and 1.0
        "auc_within": None,
        "base_rate": 0.5,
        "yes_rate": 0.5,
        "mass": 0.625,
    }


def test_raw_and_normalised_verdicts_differ():
    """P(Yes) = 0.3, P(No) = 0.1: raw 0.3 is a No, normalised 0.75 a Yes."""
    summary = summarise_verifier([[0.3]], [[0.1]], [[1]], [[True]])
    assert (summary["accuracy"], summary["accuracy_normalised"]) == (0.0, 1.0)


@given(st.integers(1, 4), st.integers(1, 6), st.integers(0, 2**32))
def test_summary_is_consistent_and_json(questions, n, seed):
    rng = np.random.default_rng(seed)
    yes, no = rng.dirichlet([1, 1, 1], (questions, n))[..., :2].transpose(2, 0, 1)
    parsed = rng.random((questions, n)) < 0.7
    summary = summarise_verifier(yes, no, rng.random((questions, n)) < 0.5, parsed)
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert summary["accuracy"] == pytest.approx(sum(summary["right"]) / (questions * n), abs=1e-6)
    assert sum(row[0] for row in summary["calibration"]) == questions * n
    if not parsed.any():
        assert summary["accuracy_parsed"] is None


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: accuracy([], []), "hold something"),
        (lambda: accuracy([0.5], [True, False]), "must agree"),
        (lambda: auc([float("nan")], [True]), "finite"),
        (lambda: auc_within([0.5], [True]), "questions, samples"),
        (lambda: calibration([0.5], [True], bins=0), "at least one bin"),
        (lambda: summarise_verifier([[0.5]], [[0.6]], [[1]], [[1]]), "sum to at most 1"),
        (lambda: summarise_verifier([[-0.5]], [[0.6]], [[1]], [[1]]), "probabilities"),
        (lambda: summarise_verifier([[0.5]], [[0.5]], [[1, 0]], [[1]]), "one shape"),
        (lambda: summarise_verifier([], [], [], []), "one shape"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()
