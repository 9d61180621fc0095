import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repro.statistics.bootstrap import joint_draws, percentile_interval
from repro.statistics.efficiency import compare_curves, curve_draws, efficiency, efficiency_draws, samples_to_reach

SIZES = [1, 2, 4, 8, 16, 32, 64]
curves = st.lists(st.floats(0, 1), min_size=len(SIZES), max_size=len(SIZES)).map(lambda row: np.array([row]))


def test_a_target_at_a_size_is_exact_and_between_sizes_lies_on_a_line_over_log_n():
    curve = np.array([[0.2, 0.4, 0.6, 0.6, 0.7, 0.7, 0.8]])
    assert samples_to_reach(SIZES, curve, 0.6)[0] == 4
    assert samples_to_reach(SIZES, curve, 0.5)[0] == pytest.approx(2 * np.sqrt(2))
    assert samples_to_reach(SIZES, curve, 0.2)[0] == samples_to_reach(SIZES, curve, 0.1)[0] == 1
    assert samples_to_reach(SIZES, curve, 0.81)[0] == np.inf
    many = samples_to_reach(SIZES, np.repeat(curve, 3, axis=0), np.array([0.4, 0.7, 0.9]))
    assert many.tolist() == [2, 16, np.inf]


def test_the_first_crossing_counts_even_if_the_curve_falls_again():
    assert samples_to_reach(SIZES, np.array([[0.1, 0.5, 0.3, 0.5, 0.5, 0.9, 0.9]]), 0.5)[0] == 2


def test_the_factor_and_its_two_bounds():
    base = np.array([[0.2, 0.3, 0.4, 0.5, 0.6, 0.6, 0.6]])  # best at N = 16
    assert efficiency(SIZES, base, np.array([[0.5, 0.6, 0.7, 0.7, 0.7, 0.7, 0.7]]))[0] == 8
    assert efficiency(SIZES, base, np.array([[0.9] * 7]))[0] == 16, "there with the smallest size"
    assert efficiency(SIZES, base, np.array([[0.1] * 7]))[0] == 16 / 128, "never there"
    assert efficiency(SIZES, base, np.array([[0.1] * 7]), censored=1)[0] == 16 / 64


@given(curves)
def test_equal_curves_have_factor_one(curve):
    assert efficiency(SIZES, curve, curve)[0] == 1


def test_rounding_does_not_make_a_curve_miss_its_target():
    flat = np.full((1, len(SIZES)), 0.1 + 0.2)
    assert efficiency(SIZES, flat, np.full_like(flat, 0.3))[0] == 1
    assert efficiency(SIZES, flat, np.full_like(flat, 0.3 - 1e-9))[0] == 1 / 128


@given(curves, curves, st.floats(0, 0.5))
def test_a_higher_curve_never_needs_more_samples_and_the_bounds_hold(base, curve, lift):
    low, high = efficiency(SIZES, base, curve)[0], efficiency(SIZES, base, curve + lift)[0]
    assert low <= high + 1e-9
    at_best = samples_to_reach(SIZES, base, base.max())[0]
    assert at_best in SIZES
    assert at_best / 128 - 1e-12 <= low <= at_best + 1e-9


@pytest.mark.parametrize(
    ("sizes", "curve", "words"),
    [
        ([2, 1], [[0.1, 0.2]], "increasing"),
        ([0, 1], [[0.1, 0.2]], "positive"),
        ([], [[]], "positive"),
        ([1, 2], [0.1, 0.2], "shape"),
        ([1, 2, 4], [[0.1, 0.2]], "shape"),
        ([1, 2], [[0.1, np.nan]], "finite"),
    ],
)
def test_mistakes(sizes, curve, words):
    with pytest.raises(ValueError, match=words):
        samples_to_reach(sizes, np.array(curve), 0.5)


def test_more_mistakes():
    curve = np.array([[0.1, 0.2]])
    with pytest.raises(ValueError, match="target"):
        samples_to_reach([1, 2], curve, np.nan)
    with pytest.raises(ValueError, match="one shape"):
        efficiency([1, 2], curve, np.repeat(curve, 2, axis=0))
    with pytest.raises(ValueError, match="censored"):
        efficiency([1, 2], curve, curve, censored=0.5)


def pool(rng, mean, seeds=5, questions=60, luck=0.01):
    """(K, Q, S) accuracies around the curve `mean`: questions differ, and every seed has its own luck."""
    difficulty = rng.normal(0, 0.15, size=questions)
    shift = rng.normal(0, luck, size=seeds)
    noise = rng.normal(0, 0.05, size=(seeds, questions, len(mean)))
    return np.asarray(mean) + difficulty[:, None] + shift[:, None, None] + noise


def test_all_sizes_share_one_resample():
    """The same numbers at every size stay the same in every draw, so flat curves have a factor of 1 or the floor."""
    rng = np.random.default_rng(0)
    flat = np.repeat(pool(rng, [0.5])[..., :1], len(SIZES), axis=2)
    draws = efficiency_draws(SIZES, [flat], [flat], rng, 500)
    assert (draws == 1).all()
    lower = efficiency_draws(SIZES, [flat - 0.01], [flat], rng, 500)
    assert (lower == 1 / 128).all(), "0.01 below on every question is below in every resample"


@pytest.mark.parametrize("paired", [True, False])
def test_each_size_is_drawn_as_a_mean_is(paired):
    rng = np.random.default_rng(1)
    arm, rival = ([pool(rng, mean, luck=0.03), pool(rng, mean, questions=9)] for mean in ([0.5, 0.6], [0.4, 0.5]))
    sides = curve_draws(arm, rival, rng, 20_000, paired)
    for n in range(2):
        usual = joint_draws([item[..., n] for item in arm], [item[..., n] for item in rival], rng, 20_000, paired)
        here = [side[:, n] for side in sides]
        for one, other in zip(here, usual, strict=True):
            assert one.mean() == pytest.approx(other.mean(), abs=0.003)
            assert np.quantile(one, [0.1, 0.9]) == pytest.approx(np.quantile(other, [0.1, 0.9]), abs=0.004)
        assert np.corrcoef(here)[0, 1] == pytest.approx(np.corrcoef(usual)[0, 1], abs=0.15)


@pytest.mark.parametrize("paired", [True, False])
def test_the_interval_of_a_known_factor_covers_it(paired):
    """True curves: the rival's best is at N = 64, the arm has it between 8 and 16. 95 % intervals at five seeds."""
    base = np.array([0.40, 0.46, 0.52, 0.58, 0.64, 0.70, 0.76])
    arm = np.array([0.40, 0.50, 0.60, 0.70, 0.80, 0.85, 0.88])
    truth = efficiency(SIZES, base[None], arm[None])[0]
    rng = np.random.default_rng(8)
    runs, missed = 120, 0
    for _ in range(runs):
        draws = efficiency_draws(SIZES, [pool(rng, arm)], [pool(rng, base)], rng, 300, paired)
        lo, hi = percentile_interval(draws)
        missed += not lo <= truth <= hi
    assert missed / runs <= 0.10  # the true rate is near 5 %; 120 runs spread by 2 points


def test_chance_to_beat_a_seed_and_factor_of_the_means():
    base = np.array([0.2, 0.4, 0.6])
    seeds = np.stack([np.repeat(base[None] + shift, 4, axis=0) for shift in (0.0, 0.1)])  # (2, 4, 3)
    factor, chance = compare_curves([1, 2, 4], [seeds], [seeds])
    assert factor == 1
    assert chance == (1 + 0 + 0.5 + 0.5) / 4
    factor, chance = compare_curves([1, 2, 4], [seeds + 0.2, seeds + 0.4], [seeds, seeds])
    assert chance == 1 and 2 < factor < 4
