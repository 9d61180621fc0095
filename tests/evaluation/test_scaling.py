"""Scaling curves against slow loops over the same subsets, over all subsets, and against their identities."""

from __future__ import annotations

import itertools
import json
import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repro.errors import InputError
from repro.evaluation import pass_at_k
from repro.evaluation.entry import scaling_entry, scaling_metrics
from repro.evaluation.scaling import _permutations, budget_curves, curves, early_stop, powers_of_two
from repro.evaluation.voting import best_of_n, majority_vote, weighted_vote

KINDS = ("fine", "coarse", "equal", "zero", "tiny")
SUBSETS = 40


def random_pool(seed, questions=3, pool=9, kind="fine"):
    """Answers of which about a fifth are unparsed; 0 and 3 are the correct ones; `coarse` and `equal` scores tie."""
    rng = np.random.default_rng(seed)
    answers = rng.integers(-1, 5, (questions, pool))
    fine = rng.random((questions, pool))
    scores = {
        "fine": fine,
        "coarse": np.floor(fine * 4) / 10,
        "equal": np.full_like(fine, 0.1),
        "zero": np.zeros_like(fine),
        "tiny": 10.0 ** (-300 * fine),
    }[kind]
    return answers, np.isin(answers, (0, 3)), scores


def is_right(winner):
    return winner in (0, 3)


def as_list(answers):
    return [None if answer < 0 else int(answer) for answer in answers]


pools = st.builds(random_pool, st.integers(0, 2**32), st.integers(1, 3), st.integers(1, 9), st.sampled_from(KINDS))


@settings(max_examples=60)
@given(pools, st.integers(0, 3))
def test_equals_the_pure_rules_on_every_subset(pool, seed):
    answers, correct, scores = pool
    size = answers.shape[1]
    sizes = list(range(1, size + 1))
    found = curves(answers, correct, scores, sizes, SUBSETS, seed)
    permutations = _permutations(size, SUBSETS, seed)
    for q, (column, n) in itertools.product(range(len(answers)), enumerate(sizes)):
        # One sample needs no drawing, and the whole pool keeps its own order.
        subsets = {1: np.arange(size)[:, None], size: np.arange(size)[None]}.get(n, permutations[:, :n])
        if size == 1:
            subsets = np.array([[0]])
        majority = [is_right(majority_vote(as_list(answers[q, subset]))) for subset in subsets]
        weighted = [is_right(weighted_vote(as_list(answers[q, subset]), scores[q, subset])) for subset in subsets]
        assert found.majority[q, column] == pytest.approx(np.mean(majority), abs=1e-12)
        assert found.weighted[q, column] == pytest.approx(np.mean(weighted), abs=1e-12)


@settings(max_examples=40)
@given(st.builds(random_pool, st.integers(0, 2**32), st.just(2), st.integers(1, 6), st.sampled_from(KINDS)))
def test_best_of_n_and_none_equal_the_enumeration_of_all_ordered_subsets(pool):
    answers, correct, scores = pool
    size = answers.shape[1]
    found = curves(answers, correct, scores, range(1, size + 1), 1)
    for n in range(1, size + 1):
        orders = list(itertools.permutations(range(size), n)) if n < size else [tuple(range(size))]
        shares, empty = [], []
        for row, points in zip(answers, scores, strict=True):
            winners = [best_of_n(as_list(row[list(order)]), points[list(order)]) for order in orders]
            shares.append(np.mean([is_right(winner) for winner in winners]))
            empty.append(np.mean([winner is None for winner in winners]))
        assert found.best[:, n - 1] == pytest.approx(np.array(shares), abs=1e-12)
        assert found.none[n - 1] == pytest.approx(np.mean(empty), abs=1e-12)


def test_monte_carlo_agrees_with_the_enumeration_of_all_subsets():
    """Unbiased: with 20,000 subsets each question lies within 5 standard errors of the exact mean."""
    answers, correct, scores = random_pool(3, questions=6, pool=7)
    found = curves(answers, correct, scores, [3], 20_000, seed=1)
    for q in range(6):
        exact = [[], []]
        for order in itertools.permutations(range(7), 3):
            row = as_list(answers[q, list(order)])
            exact[0].append(is_right(majority_vote(row)))
            exact[1].append(is_right(weighted_vote(row, scores[q, list(order)])))
        error = 5 * 0.5 / math.sqrt(20_000)
        assert found.majority[q, 0] == pytest.approx(np.mean(exact[0]), abs=error)
        assert found.weighted[q, 0] == pytest.approx(np.mean(exact[1]), abs=error)


@given(pools)
def test_identities(pool):
    answers, correct, scores = pool
    questions, size = answers.shape
    sizes = powers_of_two(size)
    found = curves(answers, correct, scores, sizes, SUBSETS)
    single = correct.mean(axis=1)
    for values in (found.majority, found.best, found.weighted):
        assert values.shape == (questions, len(sizes))
        assert values[:, 0] == pytest.approx(single, abs=1e-12)
        assert (values >= 0).all() and (values <= 1).all()
    ceiling = np.array([pass_at_k(size, correct.sum(axis=1), n) for n in sizes]).T
    assert (found.best <= ceiling + 1e-12).all()
    perfect = curves(answers, correct, correct.astype(float), sizes, SUBSETS)
    assert perfect.best == pytest.approx(ceiling, abs=1e-12)
    # No subset exceeds its own ceiling, and perfect scores reach it: with shared subsets that holds for the means too.
    assert (found.majority <= perfect.weighted + 1e-12).all()
    assert (found.weighted <= perfect.weighted + 1e-12).all()
    equal = curves(answers, correct, np.full(answers.shape, 0.3), sizes, SUBSETS)
    assert np.array_equal(equal.weighted, equal.majority)
    assert np.array_equal(equal.majority, found.majority)


def test_a_function_of_the_seed_with_the_same_subsets_for_every_question():
    answers, correct, scores = random_pool(5, questions=4, pool=16)
    first, again = (curves(answers, correct, scores, [4, 8], 30, seed=7) for _ in range(2))
    assert np.array_equal(first.weighted, again.weighted)
    other = curves(answers, correct, scores, [4, 8], 30, seed=8)
    assert not np.array_equal(first.majority, other.majority)
    alone = curves(answers[2:3], correct[2:3], scores[2:3], [8], 30, seed=7)
    assert np.array_equal(alone.weighted[0], first.weighted[2, 1:])
    assert first.sizes == (4, 8)


def test_unparsed_samples_are_wrong_whatever_correct_says():
    found = curves([[-1, -1, 4]], [[True, True, False]], [[1.0, 1.0, 0.1]], [1, 2, 3], 10)
    assert not found.majority.any() and not found.best.any() and not found.weighted.any()
    assert found.none == pytest.approx([2 / 3, 1 / 3, 0])


def test_memory_stays_small():
    """The working memory is that of one question, so it does not grow with the questions: 1 GiB is far away."""
    rng = np.random.default_rng(0)
    answers = rng.integers(-1, 20, (6, 512))
    tracemalloc.start()
    curves(answers, answers == 0, rng.random(answers.shape), powers_of_two(512))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200 * 2**20


def test_sizes():
    assert powers_of_two(64) == [1, 2, 4, 8, 16, 32, 64]
    assert powers_of_two(6) == [1, 2, 4, 6]
    assert powers_of_two(1) == [1]


@settings(max_examples=30)
@given(pools, st.integers(0, 2**32))
def test_a_budget_makes_longer_samples_unparsed(pool, seed):
    answers, correct, scores = pool
    lengths = np.random.default_rng(seed).integers(1, 30, answers.shape)
    sizes, budgets = powers_of_two(answers.shape[1]), [5, 15, 30]
    found = budget_curves(answers, correct, scores, lengths, budgets, sizes, SUBSETS)
    for row, budget in enumerate(budgets):
        cut = np.where(lengths <= budget, answers, -1)
        expected = curves(cut, correct, scores, sizes, SUBSETS)
        assert found.majority[row] == pytest.approx(expected.majority.mean(axis=0), abs=1e-12)
        assert found.weighted[row] == pytest.approx(expected.weighted.mean(axis=0), abs=1e-12)
    assert (found.budgets, found.sizes) == ((5, 15, 30), tuple(sizes))


def test_early_stop_by_hand():
    answers = [[1, 0, 0, 9], [0, -1, 2, 9]]
    correct = [[False, True, True, True], [True, False, False, True]]
    scores = [[0.4, 0.9, 0.7, 0.0], [0.6, 0.9, 0.2, 0.0]]
    lengths = [[3, 7, 12, 1], [6, 20, 3, 1]]
    # Confidence of the first three samples at budgets 5, 10, 20. Question 0: answer 1 (0.4), 0 (0.9), 0 (0.8).
    # Question 1: answer 2 (0.2), 0 (0.6), 0 (0.6).
    accuracy, tokens = early_stop(answers, correct, scores, lengths, [5, 10, 20], [0.0, 0.2, 0.4, 0.5, 0.7, 0.95], n=3)
    at = [[(3 + 5 + 5) / 3, (3 + 7 + 10) / 3, (3 + 7 + 12) / 3], [(5 + 5 + 3) / 3, (6 + 10 + 3) / 3, (6 + 20 + 3) / 3]]
    assert accuracy.tolist() == [0.0, 0.0, 0.5, 1.0, 1.0, 1.0]
    steps = [(0, 0), (0, 0), (0, 1), (1, 1), (1, 2), (2, 2)]
    assert tokens == pytest.approx([(at[0][a] + at[1][b]) / 2 for a, b in steps])


def test_early_stop_without_an_answer_goes_on_to_the_last_budget():
    accuracy, tokens = early_stop([[3, 3]], [[True, True]], [[0.9, 0.9]], [[11, 12]], [5, 10, 20], [0.0], n=2)
    assert (accuracy.tolist(), tokens.tolist()) == ([1.0], [11.5])
    accuracy, tokens = early_stop([[-1, -1]], [[True, True]], [[0.9, 0.9]], [[11, 40]], [5, 20], [0.0], n=2)
    assert (accuracy.tolist(), tokens.tolist()) == ([0.0], [15.5])


@settings(max_examples=30)
@given(pools, st.integers(0, 2**32))
def test_early_stop_limits(pool, seed):
    """A threshold out of reach spends the last budget on every question, and a higher threshold never spends less."""
    answers, correct, scores = pool
    n = answers.shape[1]
    lengths = np.random.default_rng(seed).integers(1, 30, answers.shape)
    accuracy, tokens = early_stop(answers, correct, scores, lengths, [5, 15, 25], [0.0, 0.3, 0.6, 2.0], n)
    last = budget_curves(answers, correct, scores, lengths, [25], [n], 1)
    assert accuracy[-1] == pytest.approx(last.weighted[0, 0])
    assert tokens[-1] == pytest.approx(np.minimum(lengths, 25).mean())
    assert (np.diff(tokens) >= -1e-12).all()


def small_entry(budgets=(4, 8), seed=0):
    rng = np.random.default_rng(seed)
    answers, correct, yes = random_pool(seed, questions=5, pool=6)
    lengths = rng.integers(1, 12, answers.shape)
    entry = scaling_entry(answers, correct, yes, 1 - yes, lengths, budgets, [0.2, 0.8], subsets=50)
    return entry, (answers, correct, yes, lengths)


def test_entry_holds_the_estimates_and_survives_json():
    entry, (answers, correct, yes, lengths) = small_entry()
    assert json.loads(json.dumps(entry, allow_nan=False)) == entry
    assert entry["sizes"] == [1, 2, 4, 6]
    found = curves(answers, correct, yes, entry["sizes"], 50)
    for rule in ("majority", "best", "weighted"):
        stored = np.array(entry["curves"][rule])
        assert stored.shape == (4, 5) and stored.dtype.kind == "i"
        assert stored / 1000 == pytest.approx(getattr(found, rule).T, abs=5.1e-4)
    assert entry["none"]["majority"] == pytest.approx(found.none.tolist(), abs=1e-6)
    assert len(entry["verifier"]["right"]) == 5 and len(entry["verifier"]["calibration"]) == 10
    assert entry["budgets"]["tokens"] == [4, 8] and entry["budgets"]["sizes"] == entry["sizes"]
    rows = budget_curves(answers, correct, yes, lengths, [4, 8], entry["sizes"], 50)
    assert np.array(entry["budgets"]["weighted"]) == pytest.approx(rows.weighted, abs=1e-6)
    assert np.array(entry["budgets"]["majority"]) == pytest.approx(rows.majority, abs=1e-6)
    stopped = early_stop(answers, correct, yes, lengths, [4, 8], [0.2, 0.8], 6)
    assert entry["budgets"]["early"]["accuracy"] == pytest.approx(stopped[0].tolist(), abs=1e-6)
    assert entry["budgets"]["early"]["mean_tokens"] == pytest.approx(stopped[1].tolist(), abs=1e-6)
    assert entry["budgets"]["early"]["thresholds"] == [0.2, 0.8]


def test_metrics_follow_from_the_stored_entry_alone():
    entry, _ = small_entry()
    metrics = scaling_metrics(json.loads(json.dumps(entry)), samples_n=6)
    rules = ("majority", "best", "weighted", "joint", "joint_majority")
    every = {f"{rule}@{n}" for rule in rules for n in (1, 2, 4, 6)}
    assert set(metrics) == every | {"verifier_accuracy", "verifier_auc", "verifier_auc_within"}
    assert metrics["weighted@4"] == sum(entry["curves"]["weighted"][2]) / 5 / 1000
    assert metrics["verifier_accuracy"] == sum(entry["verifier"]["right"]) / 5 / 6
    assert metrics["verifier_accuracy"] == pytest.approx(entry["verifier"]["accuracy"], abs=1e-6)
    assert metrics["joint@6"] == pytest.approx(sum(row[3] for row in entry["budgets"]["weighted"]) / 2)
    assert metrics["joint_majority@6"] == pytest.approx(sum(row[3] for row in entry["budgets"]["majority"]) / 2)


def test_entry_without_budgets_or_with_one_class():
    entry = scaling_entry([[0, 0]], [[True, True]], [[0.9, 0.8]], [[0.1, 0.1]], subsets=5)
    assert entry["budgets"] is None and entry["verifier"]["auc"] is None
    assert scaling_metrics(entry, 2) == {
        **{f"{rule}@{n}": 1.0 for rule in ("majority", "best", "weighted") for n in (1, 2)},
        "verifier_accuracy": 1.0,
    }


GOOD = ([[0, 1]], [[True, False]], [[0.5, 0.5]])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: curves(*GOOD, [4]), "N beyond the pool: N = 4 of 2 samples"),
        (lambda: curves(*GOOD, [0]), "at least 1, not 0"),
        (lambda: curves(*GOOD, []), "one or more whole numbers"),
        (lambda: curves(*GOOD, [1.5]), "whole numbers of samples"),
        (lambda: curves(*GOOD, [1], subsets=0), "subsets must be"),
        (lambda: curves([], [], [], [1]), "must have shape"),
        (lambda: curves([[0.5]], [[True]], [[1.0]], [1]), "whole numbers, 0 and up"),
        (lambda: curves([[-2]], [[True]], [[1.0]], [1]), "-1 for unparsed"),
        (lambda: curves([[0, 1]], [[True]], [[0.5, 0.5]], [1]), "correct has shape"),
        (lambda: curves([[0, 1]], [[True, True]], [[0.5, -0.5]], [1]), "finite and not negative"),
        (lambda: budget_curves(*GOOD, [[1]], [4], [1]), "lengths has shape"),
        (lambda: budget_curves(*GOOD, [[1, 1]], [], [1]), "budgets must be"),
        (lambda: budget_curves(*GOOD, [[1, 1]], [8, 4], [1]), "that increase"),
        (lambda: budget_curves(*GOOD, [[1, 1]], [2.5], [1]), "budgets must be"),
        (lambda: early_stop(*GOOD, [[1, 1]], [4], [0.5], n=3), "N beyond the pool"),
        (lambda: early_stop(*GOOD, [[1, 1]], [4], [float("nan")], n=2), "finite numbers"),
        (lambda: scaling_entry([], [], [], []), "must have shape|at least 1"),
        (lambda: scaling_entry(*GOOD, [[0.5, 0.5]], budgets=[4]), "need the lengths"),
    ],
)
def test_bad_input_is_one_clear_line(call, message):
    with pytest.raises(InputError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
