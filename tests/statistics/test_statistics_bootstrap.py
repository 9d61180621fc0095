import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from repro.statistics.bootstrap import (
    cost_ratio_draws,
    difference_draws,
    effects,
    joint_draws,
    mean_draws,
    percentile_interval,
    ratio_draws,
)


def rng(seed=0):
    return np.random.default_rng(seed)


def scores(seeds=5, questions=40, seed=0):
    return rng(seed).integers(0, 9, size=(seeds, questions)) / 8


matrices = hnp.arrays(
    float, st.tuples(st.integers(2, 6), st.integers(2, 8)), elements=st.sampled_from([0.0, 0.25, 0.5, 1.0])
)


@given(matrices)
def test_effects_add_up_and_are_centred(matrix):
    parts = effects(matrix)
    assert parts.mean == pytest.approx(matrix.mean())
    assert parts.seeds.sum() == pytest.approx(0, abs=1e-9)
    assert parts.questions[0].sum() == pytest.approx(0, abs=1e-9)
    assert np.allclose(parts.mean + parts.seeds, matrix.mean(axis=1))


@given(matrices)
def test_an_arm_against_itself_differs_by_exactly_nothing(matrix):
    assert not difference_draws(matrix, matrix, rng(), 50).any()
    one, two = joint_draws(matrix, matrix, rng(), 50)
    assert np.array_equal(one, two)


@given(matrices, st.floats(-1, 1))
def test_a_constant_shift_moves_all_draws_and_widens_nothing(matrix, shift):
    assert np.allclose(difference_draws(matrix + shift, matrix, rng(), 50), shift)


def test_same_generator_same_draws():
    assert np.array_equal(mean_draws(scores(), rng(1), 100), mean_draws(scores(), rng(1), 100))
    assert not np.array_equal(mean_draws(scores(), rng(1), 100), mean_draws(scores(), rng(2), 100))


def test_difference_changes_sign_with_the_arms():
    one, two = scores(seed=1), scores(seed=2)
    assert np.allclose(difference_draws(one, two, rng(), 100), -difference_draws(two, one, rng(), 100))


def test_seed_level_has_the_quantiles_of_students_t():
    # Only the seeds vary: the interval must be mean ± t(4) * s / sqrt(5); 2.776 and 4.604 are t's table values.
    by_seed = np.array([0.1, 0.3, 0.5, 0.7, 0.9])
    matrix = np.repeat(by_seed[:, None], 10, axis=1)
    draws = mean_draws(matrix, rng(), 200_000)
    standard_error = by_seed.std(ddof=1) / math.sqrt(5)
    for level, t in ((0.95, 2.776), (0.99, 4.604)):
        lo, hi = percentile_interval(draws, level)
        assert hi - 0.5 == pytest.approx(t * standard_error, rel=0.06)
        assert lo - 0.5 == pytest.approx(-t * standard_error, rel=0.06)


def test_question_level_has_the_normal_standard_error():
    # All seeds agree: only the choice of questions is uncertain.
    row = rng(3).random(400)
    draws = mean_draws(np.repeat(row[None], 5, axis=0), rng(), 20_000)
    assert draws.std() == pytest.approx(row.std(ddof=1) / math.sqrt(400), rel=0.03)


def test_sampling_noise_does_not_count_twice():
    # Independent noise in every cell, nothing else: the variance is sigma^2 / (S Q), times 4 / 2, that of t(4).
    draws_spread, cells = [], []
    for seed in range(60):
        matrix = rng(seed).normal(size=(5, 200))
        draws_spread.append(np.var(mean_draws(matrix, rng(seed), 2000)))
        cells.append(matrix.mean())
    assert np.mean(draws_spread) == pytest.approx(2 / 1000, rel=0.35)
    assert np.var(cells) == pytest.approx(1 / 1000, rel=0.5)


def test_pairing_removes_what_the_arms_share():
    base = rng(5).random((1, 200)) + rng(6).normal(0, 0.05, size=(5, 1))
    arm = base + 0.01 + rng(7).normal(0, 1e-3, size=(5, 200))
    paired = percentile_interval(difference_draws(arm, base, rng(), 2000))
    unpaired = percentile_interval(difference_draws(arm, base, rng(), 2000, paired=False))
    assert paired[0] > 0.005 and paired[1] < 0.015
    assert unpaired[1] - unpaired[0] > 10 * (paired[1] - paired[0])


def test_unpaired_seeds_may_differ_in_number_but_questions_may_not():
    draws = difference_draws(scores(5), scores(7, seed=2), rng(), 100, paired=False)
    assert np.isfinite(draws).all()
    for paired in (True, False):
        with pytest.raises(ValueError, match="questions"):
            difference_draws(scores(5, 40), scores(5, 41), rng(), 100, paired=paired)
    with pytest.raises(ValueError, match="seeds"):
        difference_draws(scores(5), scores(7), rng(), 100)
    with pytest.raises(ValueError, match="seeds"):
        joint_draws(scores(5), scores(7), rng(), 100)


def test_several_sets_weigh_the_same_whatever_their_size():
    small, large = np.ones((5, 2)), np.zeros((5, 100))
    assert effects([small, large]).mean == 0.5
    assert mean_draws([small, large], rng(), 10) == pytest.approx(0.5)
    two = difference_draws([small, large], [large[:, :2], large], rng(), 10)
    assert two == pytest.approx(0.5)


def test_one_seed_gives_the_question_level_only():
    matrix = scores(1, 200)
    draws = mean_draws(matrix, rng(), 20_000)
    assert draws.std() == pytest.approx(matrix.std(ddof=1) / math.sqrt(200), rel=0.05)


@pytest.mark.parametrize(
    "bad", [np.zeros(5), np.zeros((0, 3)), np.full((2, 2), np.nan), [np.zeros((2, 2)), np.zeros((3, 2))]]
)
def test_bad_shapes_are_refused(bad):
    with pytest.raises(ValueError):
        effects(bad)


def test_ratio_of_accuracies():
    one, two = np.full((5, 10), 0.6), np.full((5, 10), 0.3)
    assert ratio_draws(one, two, rng(), 10) == pytest.approx(2.0)
    assert np.isinf(ratio_draws(one, 0 * two, rng(), 10)).all()
    assert ratio_draws(0 * one, 0 * two, rng(), 10) == pytest.approx(1.0)


@given(st.lists(st.tuples(st.floats(0.1, 10), st.floats(0.1, 10)), min_size=2, max_size=8))
def test_cost_ratio_is_reciprocal_when_the_arms_change_places(pairs):
    arm, rival = np.array(pairs).T
    assert np.allclose(cost_ratio_draws(arm, rival, rng(), 50) * cost_ratio_draws(rival, arm, rng(), 50), 1)


def test_cost_ratio_pairs_the_rounds():
    # The machine slows down tenfold, the ratio of the arms does not move.
    rival = np.geomspace(1, 10, 8)
    assert cost_ratio_draws(0.83 * rival, rival, rng(), 100) == pytest.approx(0.83)
    for bad in (-rival, rival[:3], 0 * rival):
        with pytest.raises(ValueError):
            cost_ratio_draws(bad, rival, rng(), 10)


def test_percentile_interval():
    assert percentile_interval(np.arange(1001.0), 0.9) == (50.0, 950.0)
    assert percentile_interval(np.array([1.0, np.inf, np.inf]), 0.9) == (1.0, np.inf)
    with pytest.raises(ValueError):
        percentile_interval(np.zeros(3), 1.0)


def test_ten_thousand_resamples_of_5_by_512_take_less_than_a_second():
    one, two = scores(5, 512, 1), scores(5, 512, 2)
    started = time.process_time()
    assert difference_draws(one, two, rng()).shape == (10_000,)
    assert time.process_time() - started < 1
