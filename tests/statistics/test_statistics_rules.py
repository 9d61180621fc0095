import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repro.statistics.aggregate import iqm, probability_of_improvement
from repro.statistics.holm import holm_levels, holm_order, p_value, step_down
from repro.statistics.intervals import aa_interval, accuracy_interval
from repro.statistics.verdict import boundary, no_verdict_reason, oriented, verdict

numbers = st.floats(-5, 5, allow_nan=False)


@pytest.mark.parametrize(
    ("kind", "lo", "hi", "margin", "contrast", "word"),
    [
        ("direction", 0.01, 0.05, 0, "difference", "supported"),
        ("direction", -0.05, -0.01, 0, "difference", "contradicted"),
        ("direction", -0.01, 0.05, 0, "difference", "inconclusive"),
        ("direction", 0.0, 0.05, 0, "difference", "inconclusive"),
        ("direction", 1.1, 1.2, 0, "ratio", "supported"),
        ("direction", 0.8, 0.9, 0, "ratio", "contradicted"),
        ("threshold", 1.31, 1.4, 1.3, "ratio", "supported"),
        ("threshold", 1.16, 1.22, 1.3, "ratio", "contradicted"),
        ("threshold", 0.16, 0.18, 0.30, "difference", "contradicted"),  # "over 30 %" measured at 17 ± 1 %
        ("threshold", 0.25, 0.35, 0.30, "difference", "inconclusive"),
        ("non-inferior", -0.010, 0.02, 0.013, "difference", "supported"),
        ("non-inferior", -0.020, 0.02, 0.013, "difference", "inconclusive"),
        ("non-inferior", -0.020, -0.014, 0.013, "difference", "contradicted"),
        ("non-inferior", 0.95, 1.05, 0.1, "ratio", "supported"),
        ("non-inferior", 0.80, 0.85, 0.1, "ratio", "contradicted"),
        ("exact", 1.6, 1.6, 1.5, "ratio", "supported"),
        ("exact", 1.5, 1.5, 1.5, "ratio", "contradicted"),
    ],
)
def test_verdicts(kind, lo, hi, margin, contrast, word):
    assert verdict(kind, lo, hi, margin, contrast) == word


@given(st.sampled_from(["direction", "threshold", "non-inferior"]), numbers, numbers, st.floats(0, 3))
def test_wider_intervals_never_decide_more(kind, a, b, margin):
    lo, hi = min(a, b), max(a, b)
    if verdict(kind, lo - 0.1, hi + 0.1, margin) != "inconclusive":
        assert verdict(kind, lo - 0.1, hi + 0.1, margin) == verdict(kind, lo, hi, margin)


@given(numbers, numbers)
def test_direction_turns_round_with_the_sign(a, b):
    lo, hi = min(a, b), max(a, b)
    swap = {"supported": "contradicted", "contradicted": "supported", "inconclusive": "inconclusive"}
    assert verdict("direction", -hi, -lo) == swap[verdict("direction", lo, hi)]


def test_effects_favour_the_arm():
    assert oriented(0.6, 0.5, "difference", "higher") == pytest.approx(0.1)
    assert oriented(0.5, 0.6, "difference", "lower") == pytest.approx(0.1)
    assert oriented(3.0, 2.0, "ratio", "higher") == 1.5
    assert oriented(2.0, 3.0, "ratio", "lower") == 1.5
    for contrast, better in (("sum", "higher"), ("ratio", "more")):
        with pytest.raises(ValueError):
            oriented(1, 1, contrast, better)


def test_bad_claims_are_refused():
    for call in (
        lambda: boundary("guess"),
        lambda: boundary("non-inferior", -0.1),
        lambda: verdict("direction", 1, 0),
        lambda: verdict("direction", float("nan"), 1),
    ):
        with pytest.raises(ValueError):
            call()


def test_seed_rule():
    assert no_verdict_reason("micro", 5) is None
    assert "needs at least 5 seeds, has 4" in no_verdict_reason("micro", 4)
    assert "smoke" in no_verdict_reason("smoke", 50)


def test_holm_levels_by_hand():
    assert holm_levels([0.04, 0.001, 0.02]) == pytest.approx([0.95, 1 - 0.05 / 3, 0.975])
    assert holm_order([0.04, 0.001, 0.02]) == [1, 2, 0]
    assert holm_levels([]) == []
    assert step_down([0.04, 0.001, 0.02], [True, True, False]) == [False, True, False]


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_rejects_exactly_what_the_textbook_rejects(p_values):
    # adjusted p(i) = max over j <= i of min(1, (m - j + 1) p(j)); rejected iff adjusted p <= alpha
    levels = holm_levels(p_values)
    decided = [p <= 1 - level for p, level in zip(p_values, levels, strict=True)]
    expected, running = [False] * len(p_values), 0.0
    for position, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        running = max(running, (len(p_values) - position) * p_values[index])
        expected[index] = running <= 0.05
    margin = min((abs(p - (1 - level)) for p, level in zip(p_values, levels, strict=True)), default=1)
    if margin > 1e-12:  # 1 - (1 - x) rounds
        assert step_down(p_values, decided) == expected


def test_p_value():
    draws = np.arange(-10, 90)
    assert p_value(draws, 0) == pytest.approx(2 * 12 / 101)
    assert p_value(draws, 200) == pytest.approx(2 / 101)
    assert p_value(draws, 39.5) == 1.0


def test_iqm_is_the_mean_of_the_middle_half():
    assert iqm(np.array([0, 1, 2, 3, 4, 5, 6, 100.0])) == 3.5
    assert iqm(np.array([[7.0]])) == 7
    stats = pytest.importorskip("scipy.stats")
    for size in range(1, 30):
        x = np.random.default_rng(size).normal(size=size)
        assert iqm(x) == pytest.approx(stats.trim_mean(x, 0.25))


@given(st.lists(numbers, min_size=1, max_size=6), st.lists(numbers, min_size=1, max_size=6))
def test_probability_of_improvement_counts_pairs(one, two):
    count = sum((a > b) + 0.5 * (a == b) for a in one for b in two) / (len(one) * len(two))
    assert probability_of_improvement(np.array(one), np.array(two)) == pytest.approx(count)
    assert probability_of_improvement(np.array(one), np.array(one)) == pytest.approx(0.5)


def test_probability_of_improvement_averages_tasks():
    one, two = np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([[0.0, 1.0]])
    assert probability_of_improvement(one, two) == 0.5
    with pytest.raises(ValueError):
        probability_of_improvement(one, two[:, :1])


def test_accuracy_interval_stays_within_0_and_1():
    rng = np.random.default_rng(0)
    row = accuracy_interval(np.clip(rng.normal(0.97, 0.05, size=(5, 30)), 0, 1), rng)
    assert 0 <= row.lo < row.estimate < row.hi <= 1
    assert row.seeds == 5 and row.half_width == pytest.approx((row.hi - row.lo) / 2)


def test_aa_needs_four_seeds():
    assert aa_interval(np.zeros((3, 5)), np.random.default_rng(0)) is None
    row = aa_interval(np.zeros((4, 5)), np.random.default_rng(0))
    assert (row.estimate, row.lo, row.hi) == (0, 0, 0)
