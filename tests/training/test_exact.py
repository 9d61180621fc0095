"""Closed forms of the bandit against brute force over every tuple of draws."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from repro.training.estimators import gradient, moments
from repro.training.exact import Bandits, bounded_variance

REWARDS = torch.tensor([[0.3, -1.2, 0.9, 2.0, -0.4], [5.0, 1.0, 2.0, 3.0, 4.0]], dtype=torch.float64)
UNIFORM = torch.zeros(5, dtype=torch.float64)
KINDS = [("mean", "unbiased"), ("mean", "biased"), ("pass", "unbiased"), ("pass", "biased"), ("pass", "naive")]
kinds = pytest.mark.parametrize(("objective", "variant"), KINDS)


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_expectations_of_any_policy(k):
    logits = torch.tensor([[0.1, 2.0, -1.0, 0.0, 0.5], [0.0, -3.0, 1.0, 1.0, 0.2]], dtype=torch.float64)
    policy = logits.softmax(dim=1)
    exact = Bandits(REWARDS)
    for row in range(2):
        chances, best = [], []
        for drawn in itertools.product(range(5), repeat=k):
            chances.append(math.prod(float(policy[row, a]) for a in drawn))
            best.append(max(float(REWARDS[row, a]) for a in drawn))
        assert float(exact.best_of(policy, k)[row]) == pytest.approx(
            sum(c * b for c, b in zip(chances, best, strict=True)), abs=1e-12
        )
        kl = float((policy[row] * (policy[row] * 5).log()).sum())
        assert float(exact.kl(policy, logits)[row]) == pytest.approx(kl, abs=1e-12)
    torch.testing.assert_close(exact.mean(policy), exact.best_of(policy, 1))


def test_kl_of_the_initial_and_of_a_collapsed_policy():
    exact, logits = Bandits(REWARDS), torch.zeros_like(REWARDS)
    assert exact.kl(logits.softmax(dim=1), logits).tolist() == pytest.approx([0, 0], abs=1e-12)
    logits[:, 3] = 1e4
    assert exact.kl(logits.softmax(dim=1), logits).tolist() == pytest.approx([math.log(5)] * 2)


@kinds
@pytest.mark.parametrize("k", [2, 3, 4, 5])
def test_variances_at_the_uniform_policy(objective, variant, k):
    found = Bandits(REWARDS).variance(objective, variant, k)
    for row, rewards in enumerate(REWARDS):
        _, expected = moments(UNIFORM, rewards, None, objective, variant, k)
        assert float(found[row]) == pytest.approx(expected, rel=1e-10)


@kinds
@pytest.mark.parametrize("k", [2, 3, 4, 5])
@pytest.mark.parametrize("right", [1, 2, 4])
def test_variances_of_bounded_rewards_by_the_number_of_right_samples(objective, variant, k, right):
    rewards = torch.tensor([1.0] * right + [0.0] * (5 - right), dtype=torch.float64)
    _, expected = moments(UNIFORM, rewards, None, objective, variant, k)
    assert bounded_variance(objective, variant, k, 5, right) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("k", [2, 3, 4])
def test_gradients_at_the_uniform_policy(k):
    exact = Bandits(REWARDS)
    for row, rewards in enumerate(REWARDS):
        expected = gradient(UNIFORM, rewards, None, "pass", k)[exact.order[row]]
        torch.testing.assert_close(exact._gradient(k)[row], expected, rtol=0, atol=1e-12)


def test_two_samples_give_the_centred_form_the_variance_of_the_mean_gradient():
    exact = Bandits(REWARDS)
    torch.testing.assert_close(exact.variance("pass", "biased", 2), exact.variance("mean", "unbiased", 2))
    assert bounded_variance("pass", "biased", 2, 10, 3) == pytest.approx(bounded_variance("mean", "unbiased", 2, 10, 3))
