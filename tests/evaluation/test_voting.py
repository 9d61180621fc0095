"""The voting rules: the worked examples, their identities, ties, unparsed samples, refusals."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from repro.errors import InputError
from repro.evaluation.voting import best_of_n, majority_vote, weighted_vote

ANSWERS = st.lists(st.sampled_from(["A", "B", "C", "D", None]), max_size=12)
SCORES = st.floats(0, 1)


@st.composite
def scored(draw, scores=SCORES, min_size=0):
    answers = draw(st.lists(st.sampled_from(["A", "B", "C", "D", None]), min_size=min_size, max_size=12))
    return answers, draw(st.lists(scores, min_size=len(answers), max_size=len(answers)))


@pytest.mark.parametrize(("b_score", "weighted"), [(0.5, "B"), (0.3, "A")])
def test_the_two_worked_examples(b_score, weighted):
    answers, scores = ["A", "B", "B", "C"], [0.9, b_score, b_score, 0.2]
    assert majority_vote(answers) == "B"
    assert best_of_n(answers, scores) == "A"
    assert weighted_vote(answers, scores) == weighted


@given(st.sampled_from(["A", None]), SCORES)
def test_one_sample_is_its_own_vote(answer, score):
    assert majority_vote([answer]) == best_of_n([answer], [score]) == weighted_vote([answer], [score]) == answer


@given(ANSWERS, st.one_of(st.just(0.0), st.just(5e-324), st.floats(0, 1e300)))
def test_equal_scores_weigh_like_votes(answers, score):
    assert weighted_vote(answers, [score] * len(answers)) == majority_vote(answers)


@given(st.lists(st.sampled_from(["A", "B", "C"]), min_size=1, max_size=12), st.sets(st.sampled_from("ABC")))
def test_perfect_scores_make_best_of_n_the_ceiling(answers, right):
    """With a score of 1 for correct samples and 0 for wrong ones, best-of-N succeeds exactly when some sample does."""
    scores = [float(answer in right) for answer in answers]
    assert (best_of_n(answers, scores) in right) == any(answer in right for answer in answers)


@given(scored())
def test_a_vote_returns_a_sampled_answer_so_it_stays_below_the_ceiling(pool):
    answers, scores = pool
    given_answers = {answer for answer in answers if answer is not None} or {None}
    assert {majority_vote(answers), best_of_n(answers, scores), weighted_vote(answers, scores)} <= given_answers


@given(scored(min_size=1), st.data())
def test_order_matters_for_ties_alone(pool, data):
    answers, scores = pool
    order = data.draw(st.permutations(range(len(answers))))
    shuffled, moved = [answers[i] for i in order], [scores[i] for i in order]
    counts = sorted((answers.count(answer) for answer in {*answers} - {None}), reverse=True)
    if counts[:1] != counts[1:2]:
        assert majority_vote(shuffled) == majority_vote(answers)
        if not any(score for answer, score in zip(answers, scores, strict=True) if answer is not None):
            assert weighted_vote(shuffled, moved) == weighted_vote(answers, scores)
    parsed = sorted((s for a, s in zip(answers, scores, strict=True) if a is not None), reverse=True)
    if parsed[:1] != parsed[1:2]:
        assert best_of_n(shuffled, moved) == best_of_n(answers, scores)


@given(scored(st.floats(0, 1).map(lambda x: round(x * 64) / 64), min_size=1), st.data())
def test_exact_sums_decide_and_only_equal_ones_depend_on_the_order(pool, data):
    """Scores in 64ths add without rounding, so the winner must hold the largest exact sum, in any order."""
    answers, scores = pool
    assume(any(answer is not None for answer in answers) and any(scores))
    sums: dict[str, Fraction] = {}
    for answer, score in zip(answers, scores, strict=True):
        if answer is not None:
            sums[answer] = sums.get(answer, Fraction(0)) + Fraction(score)
    best = [answer for answer, total in sums.items() if total == max(sums.values())]
    assert weighted_vote(answers, scores) in best
    if any(sums.values()):
        assert weighted_vote(answers, scores) == best[0]
        order = data.draw(st.permutations(range(len(answers))))
        again = weighted_vote([answers[i] for i in order], [scores[i] for i in order])
        assert again == best[0] if len(best) == 1 else again in best


def test_ties_go_to_the_first_occurrence():
    assert majority_vote(["C", "A", "B", "A", "C"]) == "C"
    assert best_of_n(["B", "A"], [0.5, 0.5]) == "B"
    assert weighted_vote(["B", "A", "A"], [0.5, 0.25, 0.25]) == "B"
    assert weighted_vote(["A", "B", "A"], [0.25, 0.5, 0.25]) == "A"


def test_the_order_of_the_same_scores_makes_no_difference_by_rounding():
    """0.1 + 0.2 + 0.3 and 0.3 + 0.2 + 0.1 differ in floats when added as they come; here they tie."""
    assert 0.1 + 0.2 + 0.3 != 0.3 + 0.2 + 0.1
    for scores in ([0.1, 0.2, 0.3], [0.3, 0.2, 0.1]):
        assert weighted_vote(list("AAABBB"), scores + scores[::-1]) == "A"
        assert weighted_vote(list("BBBAAA"), scores + scores[::-1]) == "B"


def test_unparsed_samples_never_win():
    assert majority_vote([None, None, "A"]) == "A"
    assert best_of_n([None, "A"], [1.0, 0.0]) == "A"
    assert weighted_vote([None, None, "A"], [1.0, 1.0, 0.0]) == "A"
    for answers in ([], [None], [None] * 3):
        scores = np.ones(len(answers))
        assert majority_vote(answers) is best_of_n(answers, scores) is weighted_vote(answers, scores) is None


@pytest.mark.parametrize("vote", [best_of_n, weighted_vote])
@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ([0.5], "2 answers but scores of shape"),
        ([[0.5, 0.5]], "one score each"),
        ([0.5, -1e-9], "finite and not negative"),
        ([0.5, float("nan")], "finite and not negative"),
        ([0.5, float("inf")], "finite and not negative"),
        (["high", "low"], "must be numbers"),
    ],
)
def test_bad_scores_are_refused(vote, scores, message):
    with pytest.raises(InputError, match=message):
        vote(["A", None], scores)
