"""Paired differences and the number of seeds that would settle them: closed forms, limits, and simulation."""

import math

import numpy as np
import pytest
from scipy import stats

from repro.statistics.bootstrap import effects
from repro.statistics.pairwise import (
    POWER,
    Spread,
    half_width,
    p_improvement,
    paired_difference,
    power_at,
    seeds_to_settle,
    settled_by_seeds,
    spread,
)


def scores(rng, seeds=6, questions=40, mean=0.1, seed=0.05, question=0.1, noise=0.2):
    """(S, Q): the sum of a seed effect, a question effect and noise."""
    return (
        mean
        + seed * rng.standard_normal((seeds, 1))
        + question * rng.standard_normal((1, questions))
        + noise * rng.standard_normal((seeds, questions))
    )


def test_the_share_of_draws_above_zero_counts_zeros_half():
    assert p_improvement(np.array([1.0, 2.0, 0.0, -1.0])) == 2.5 / 4
    assert p_improvement(np.zeros(7)) == 0.5
    draws = np.random.default_rng(0).standard_normal(999)
    assert p_improvement(draws) + p_improvement(-draws) == pytest.approx(1)


def test_an_arm_against_itself_is_no_difference():
    one = scores(np.random.default_rng(0))
    found = paired_difference(one, one, np.random.default_rng(1))
    assert (found.estimate, found.lo, found.hi, found.p_improvement) == (0, 0, 0, 0.5)
    assert found.spread == Spread(0, 6, 0, 0) and seeds_to_settle(found.spread) is None


def test_only_the_paired_difference_counts():
    rng = np.random.default_rng(2)
    one, two, shared = scores(rng), scores(rng), 5 * rng.standard_normal((6, 40))
    plain = paired_difference(one, two, np.random.default_rng(3))
    moved = paired_difference(one + shared, two + shared, np.random.default_rng(3))
    assert moved.estimate == pytest.approx(plain.estimate)
    assert (moved.lo, moved.hi) == pytest.approx((plain.lo, plain.hi))
    back = paired_difference(two, one, np.random.default_rng(3))
    assert back.estimate == -plain.estimate and back.spread.between_seeds == pytest.approx(plain.spread.between_seeds)


def test_the_two_levels_of_the_variance_are_what_they_are_by_hand():
    # Seed means 0, 1, 2 on every question: no question effect, no noise.
    found = spread(np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]]))
    assert (found.mean, found.seeds, found.between_seeds, found.of_questions) == (1, 3, 1, 0)
    # Question means 0 and 2 in every seed: variance 2 of one question, 1 of the mean of both.
    found = spread(np.array([[0.0, 2.0]] * 3))
    assert (found.mean, found.between_seeds, found.of_questions) == (1, 0, 1)
    assert spread(np.array([[0.0, 2.0]])).between_seeds is None


def test_sets_count_alike():
    rng = np.random.default_rng(4)
    one, two = scores(rng, questions=30), scores(rng, questions=90)
    both, alone = spread([one, two]), [spread(one), spread(two)]
    assert both.mean == pytest.approx((alone[0].mean + alone[1].mean) / 2)
    assert both.of_questions == pytest.approx((alone[0].of_questions + alone[1].of_questions) / 4)


def test_the_parts_of_the_variance_are_those_of_the_model():
    rng = np.random.default_rng(5)
    found = [spread(scores(rng, seeds=8, questions=60)) for _ in range(2000)]
    # A seed's mean over 60 questions has the seed's own variance and its answers' noise.
    assert np.mean([one.between_seeds for one in found]) == pytest.approx(0.05**2 + 0.2**2 / 60, rel=0.05)
    assert np.mean([one.of_questions for one in found]) == pytest.approx(0.1**2 / 60, rel=0.05)


def test_half_width_without_a_question_part_is_students():
    found = Spread(0.1, 5, 0.04, 0.0)
    for seeds in (2, 5, 30):
        wide = stats.t.ppf(0.975, seeds - 1) * 0.2 / math.sqrt(seeds)
        assert half_width(found, seeds) == pytest.approx(wide)


def test_half_width_without_a_seed_part_is_normal_and_the_same_for_any_number_of_seeds():
    found = Spread(0.1, 5, 0.0, 0.0009)
    assert half_width(found, 5) == half_width(found, 500) == pytest.approx(stats.norm.ppf(0.975) * 0.03)


def test_half_width_of_many_seeds_is_that_of_two_normals():
    found = Spread(0.1, 5, 0.04, 0.0004)
    wide = stats.norm.ppf(0.975) * math.sqrt(0.04 / 100_000 + 0.0004)
    assert half_width(found, 100_000) == pytest.approx(wide, rel=1e-3)


def test_half_width_is_that_of_the_bootstrap():
    rng = np.random.default_rng(6)
    for question in (0.0, 0.1, 0.4):
        one = scores(rng, seeds=8, questions=80, question=question)
        found = paired_difference(one, np.zeros_like(one), rng)
        assert half_width(found.spread, 8) == pytest.approx((found.hi - found.lo) / 2, rel=0.08)


def test_half_width_needs_two_seeds():
    with pytest.raises(ValueError, match="at least 2"):
        half_width(Spread(0.1, 5, 0.04, 0.0), 1)
    with pytest.raises(ValueError, match="at least 2"):
        half_width(Spread(0.1, 1, None, 0.01), 5)


def test_the_seeds_that_settle_are_the_fewest_with_that_chance():
    for found in (Spread(0.02, 5, 0.001, 0.0), Spread(-0.03, 5, 0.004, 0.0001), Spread(0.5, 5, 0.02, 0.01)):
        needed = seeds_to_settle(found)
        assert power_at(found, needed) >= POWER
        assert needed == 5 or power_at(found, needed - 1) < POWER


def test_the_seeds_that_settle_in_closed_form():
    """Without a question part and with many seeds: (z(0.975) + z(0.8))^2 s^2 / d^2, the textbook's number."""
    z = stats.norm.ppf(0.975) + stats.norm.ppf(0.8)
    found = Spread(0.01, 5, 0.01, 0.0)
    assert seeds_to_settle(found) == pytest.approx(z**2 * 0.01 / 0.01**2, rel=0.01)
    half = Spread(0.005, 5, 0.01, 0.0)
    assert seeds_to_settle(half) == pytest.approx(4 * seeds_to_settle(found), rel=0.01)


@pytest.mark.parametrize("seeds", [5, 6, 8, 20])
def test_the_power_without_a_question_part_is_that_of_a_t_test(seeds):
    for effect in (0.5, 1.0, 1.6):  # in standard deviations between seeds
        exact = stats.nct.sf(stats.t.ppf(0.975, seeds - 1), seeds - 1, effect * math.sqrt(seeds))
        assert power_at(Spread(effect * 0.2, 5, 0.04, 0.0), seeds) == pytest.approx(exact, abs=0.01)


def test_a_clear_difference_takes_the_fewest_seeds_that_give_a_verdict():
    assert seeds_to_settle(Spread(1.0, 5, 0.001, 0.0)) == 5


def test_seeds_alone_do_not_settle_what_the_questions_leave_open():
    error = 0.01
    limit = stats.norm.ppf(0.975) * error
    below, above = Spread(0.999 * limit, 5, 0.01, error**2), Spread(1.02 * limit, 5, 0.01, error**2)
    assert not settled_by_seeds(below) and seeds_to_settle(below) is None
    assert settled_by_seeds(above) and seeds_to_settle(above) > 10_000
    assert seeds_to_settle(Spread(0.5, 1, None, 0.0)) is None, "one seed does not say how far seeds differ"


@pytest.mark.parametrize(("mean", "seed", "question"), [(0.05, 0.06, 0.0), (0.04, 0.05, 0.15), (-0.03, 0.03, 0.1)])
def test_at_that_number_of_seeds_the_interval_excludes_zero_as_often_as_said(mean, seed, question):
    """Simulated on fixed questions whose mean effect is the true difference, with new seeds every time."""
    rng = np.random.default_rng(7)
    questions, noise = 100, 0.1
    effect = question * rng.standard_normal(questions)
    effect += mean - effect.mean()
    truth = Spread(mean, 5, seed**2 + noise**2 / questions, effect.var(ddof=1) / questions)
    needed = seeds_to_settle(truth)
    settled = 0
    for _ in range(200):
        drawn = effect + seed * rng.standard_normal((needed, 1)) + noise * rng.standard_normal((needed, questions))
        parts = effects(drawn)
        settled += abs(parts.mean) > half_width(spread(drawn), needed)
    assert settled / 200 == pytest.approx(POWER, abs=0.07)
