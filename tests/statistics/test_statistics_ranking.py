"""P(best) against closed forms and against the bootstrap that it generalises."""

from statistics import NormalDist

import numpy as np
import pytest

from repro.statistics import ranking
from repro.statistics.bootstrap import joint_draws, mean_draws
from repro.statistics.ranking import chances_of_best, field_draws

SEEDS = (0, 1, 2, 3, 4)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def scores(share: float, seed: int, seeds: int = 5, questions: int = 100) -> np.ndarray:
    return (rng(seed).random((seeds, questions)) < share).astype(float)


def test_chances_add_up_and_follow_the_means():
    arms = [scores(share, seed) for seed, share in enumerate((0.2, 0.5, 0.52, 0.8))]
    chances = chances_of_best(arms, [SEEDS] * 4, rng())
    assert chances.sum() == pytest.approx(1) and chances[3] > 0.99 and chances[0] == 0
    close = chances_of_best(arms[:3], [SEEDS] * 3, rng())
    assert close[0] < 0.01 < close[1] < 1 and close.sum() == pytest.approx(1)


def test_equal_arms_share_every_draw():
    same = scores(0.5, 0)
    assert chances_of_best([same, same, same], [SEEDS] * 3, rng()) == pytest.approx(1 / 3)


def test_an_arm_ahead_on_every_seed_and_question_by_the_same_amount_is_certain():
    """Only pairing shows it: unpaired, the spread of questions would hide a lead of a thousandth."""
    one = rng(3).random((5, 40))
    assert chances_of_best([one, one + 0.001], [SEEDS] * 2, rng()) == pytest.approx([0, 1])
    assert chances_of_best([one, one + 0.001], [SEEDS, (5, 6, 7, 8, 9)], rng())[1] < 0.75


def test_draws_are_those_of_the_bootstrap():
    """Same mean, spread and correlation as the paired draws of two arms; the question level has a known variance."""
    one, two = scores(0.4, 1), scores(0.6, 2)
    field = field_draws([one, two], [SEEDS] * 2, rng(), 4000)
    pair = np.stack(joint_draws(one, two, rng(1), 20_000))
    assert field.mean(axis=1) == pytest.approx(pair.mean(axis=1), abs=0.003)
    assert np.quantile(field, (0.1, 0.5, 0.9), axis=1) == pytest.approx(
        np.quantile(pair, (0.1, 0.5, 0.9), axis=1), abs=0.01
    )
    assert np.corrcoef(field)[0, 1] == pytest.approx(np.corrcoef(pair)[0, 1], abs=0.1)


def test_with_one_seed_only_questions_vary():
    """The standard error of a mean of Q questions, in closed form."""
    arm = rng(4).random((1, 400))
    draws = field_draws([arm], [(0,)], rng(), 4000)[0]
    assert draws.std() == pytest.approx(arm.std(ddof=1) / np.sqrt(400), rel=0.05)
    assert mean_draws(arm, rng(1), 4000).std() == pytest.approx(draws.std(), rel=0.05)


def test_two_arms_against_the_normal_distribution():
    """One seed and many questions: the difference is normal, so P(best) is its distribution function."""
    one, two = rng(5).random((1, 2000)), rng(6).random((1, 2000))
    gap = (two - one)[0]
    expected = NormalDist(gap.mean(), gap.std(ddof=1) / np.sqrt(2000)).cdf(0)
    assert chances_of_best([one, two], [(0,), (0,)], rng())[0] == pytest.approx(expected, abs=0.04)


def test_several_sets_are_averaged():
    arms = [[scores(0.5, 1), scores(0.5, 2, questions=30)], [scores(0.5, 3), scores(0.9, 4, questions=30)]]
    draws = field_draws(arms, [SEEDS] * 2, rng())
    assert draws.mean(axis=1) == pytest.approx([np.mean([p.mean() for p in arm]) for arm in arms], abs=0.01)
    assert chances_of_best(arms, [SEEDS] * 2, rng())[1] > 0.99


def test_many_questions_get_fewer_draws(monkeypatch):
    monkeypatch.setattr(ranking, "MOST_CELLS", 200_000)
    monkeypatch.setattr(ranking, "_CHUNK", 10_000)
    assert field_draws([scores(0.5, 1)], [SEEDS], rng()).shape == (1, 2000)
    assert field_draws([scores(0.5, 1, questions=1000)], [SEEDS], rng()).shape == (1, ranking.FEWEST_DRAWS)
    assert field_draws([scores(0.5, 1)], [SEEDS], rng(), 500).shape == (1, 500)


def test_other_questions_are_refused():
    with pytest.raises(ValueError, match="same questions"):
        chances_of_best([scores(0.5, 1), scores(0.5, 2, questions=99)], [SEEDS] * 2, rng())
