import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from repro.errors import InputError
from repro.store.outcomes import decode, decode_greedy, encode, encode_greedy, question_scores, rule_scores


@given(hnp.arrays(np.int8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=6), elements=st.integers(0, 5)))
def test_round_trip(codes):
    letters, truncated = np.array(list("cwu"))[codes % 3], codes >= 3
    rows = encode(letters, truncated)
    back = decode(rows)
    assert np.array_equal(back.correct, letters == "c")
    assert np.array_equal(back.unparsed, letters == "u")
    assert np.array_equal(back.truncated, truncated)


def test_letters():
    assert encode([["c", "w", "u"], ["c", "w", "u"]], [[0, 0, 0], [1, 1, 1]]) == ["cwu", "CWU"]
    assert encode_greedy(["c", "u"], [False, True]) == "cU"
    assert decode_greedy("cU").truncated.tolist() == [False, True]


@pytest.mark.parametrize("samples", [["cw", "c"], ["cx"], ["cé"]])
def test_bad_letters_are_refused(samples):
    with pytest.raises(InputError):
        decode(samples)


def test_encode_refuses_other_letters():
    with pytest.raises(ValueError):
        encode([["x"]], [[False]])


def test_scores():
    entry = {"questions": ["a", "b"], "samples": ["ccWu", "wwwU"], "greedy": "cw"}
    assert question_scores(entry, "accuracy").tolist() == [0.5, 0.0]
    assert question_scores(entry, "truncated").tolist() == [0.25, 0.25]
    assert question_scores(entry, "unparsed").tolist() == [0.25, 0.25]
    assert question_scores(entry, "greedy").tolist() == [1.0, 0.0]
    assert question_scores(entry, "pass@2").tolist() == [1 - math.comb(2, 2) / math.comb(4, 2), 0.0]
    assert question_scores(entry, "pass@1").tolist() == question_scores(entry, "accuracy").tolist()
    for metric in ("pass@5", "pass@0", "pass@x", "loss"):
        with pytest.raises(InputError):
            question_scores(entry, metric)
    with pytest.raises(InputError):
        question_scores({**entry, "greedy": None}, "greedy")


def test_scores_of_scored_pools():
    scaling = {
        "sizes": [1, 2, 4],
        "curves": {
            "majority": [[500, 0], [625, 0], [1000, 0]],
            "best": [[1, 2], [3, 4], [5, 6]],
            "weighted": [[0, 0]] * 3,
        },
        "verifier": {"right": [3, 4]},
    }
    entry = {"questions": ["a", "b"], "samples": ["ccWu", "wwwU"], "greedy": None, "scaling": scaling}
    assert question_scores(entry, "majority@2").tolist() == [0.625, 0.0]
    assert question_scores(entry, "best@4").tolist() == [0.005, 0.006]
    assert question_scores(entry, "weighted@1").tolist() == [0.0, 0.0]
    assert question_scores(entry, "verifier_accuracy").tolist() == [0.75, 1.0]
    assert rule_scores(entry, "majority").tolist() == [[0.5, 0.625, 1.0], [0.0, 0.0, 0.0]]
    assert question_scores(entry, "pass@2").tolist() == question_scores({**entry, "scaling": None}, "pass@2").tolist()
    with pytest.raises(InputError, match="N = 1, 2, 4"):
        question_scores(entry, "majority@8")
    for metric in ("majority@0", "majority@x", "worst@2", "majority"):
        with pytest.raises(InputError, match="unknown metric"):
            question_scores(entry, metric)
    for other in ({**entry, "scaling": None}, {key: entry[key] for key in ("questions", "samples", "greedy")}):
        for metric in ("majority@2", "verifier_accuracy"):
            with pytest.raises(InputError, match="not scored"):
                question_scores(other, metric)


def test_lenient_accuracy_is_read_where_it_was_recorded():
    entry = {"questions": ["a", "b"], "samples": ["ccwu", "wwwU"], "greedy": None, "lenient": [3, 0]}
    assert question_scores(entry, "accuracy_lenient").tolist() == [0.75, 0.0]
    with pytest.raises(InputError, match="not read leniently"):
        question_scores({**entry, "lenient": None}, "accuracy_lenient")


def test_pass_at_k_agrees_with_the_evaluator():
    from repro.evaluation import pass_at_k

    entry = {"samples": ["c" * c + "w" * (8 - c) for c in range(9)]}
    for k in (1, 2, 4, 8):
        assert np.allclose(question_scores(entry, f"pass@{k}"), pass_at_k(np.full(9, 8), np.arange(9), k))
