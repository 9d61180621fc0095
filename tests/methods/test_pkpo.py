"""PKPO and Pass@k Training: brute force over subsets, closed forms, and what they have in common."""

from __future__ import annotations

from itertools import combinations
from math import comb, sqrt

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from repro.errors import InputError
from repro.evaluation.pass_at_k import pass_at_k
from repro.methods import configs
from repro.methods.ksample import advantages
from repro.methods.passk_training import passk_advantages
from repro.methods.pkpo import pkpo_weights

from .enumeration import REWARDS, estimates, moments, true_gradient


def brute_force(rewards: list[float], k: int, baseline: str) -> list[float]:
    n = len(rewards)

    def share(of: list[int], i: int) -> float:
        return sum(max(rewards[j] for j in chosen) for chosen in combinations(of, k) if i in chosen) / comb(len(of), k)

    if baseline == "loo-1":
        return [
            sum(
                max(rewards[j] for j in chosen) - max(rewards[j] for j in chosen if j != i)
                for chosen in combinations(range(n), k)
                if i in chosen
            )
            / comb(n, k)
            for i in range(n)
        ]
    found = [share(list(range(n)), i) for i in range(n)]
    if baseline == "loo":
        for i in range(n):
            others = [j for j in range(n) if j != i]
            found[i] -= sum(share(others, j) for j in others) / (n - 1)
    return found


@pytest.mark.parametrize(("n", "k"), [(8, 2), (8, 4), (5, 5), (6, 3)])
@pytest.mark.parametrize("baseline", ["none", "loo", "loo-1"])
def test_closed_forms_are_the_sums_over_subsets(n, k, baseline):
    if baseline == "loo" and k == n:
        pytest.raises(InputError, pkpo_weights, torch.zeros(1, n), k, baseline)
        return
    generator = torch.Generator().manual_seed(n + k)
    rewards = torch.cat(
        [
            torch.randn(2, n, generator=generator, dtype=torch.float64),
            torch.randint(0, 2, (3, n), generator=generator).double(),
        ]
    )
    expected = torch.tensor([brute_force(row, k, baseline) for row in rewards.tolist()], dtype=torch.float64)
    torch.testing.assert_close(pkpo_weights(rewards, k, baseline), expected, rtol=0, atol=1e-14)


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=8))
def test_with_k_of_n_it_is_the_unbiased_pass_objective(rewards):
    rows = torch.tensor([rewards], dtype=torch.float64)
    torch.testing.assert_close(pkpo_weights(rows, len(rewards)), advantages(rows), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("n", "right", "k"), [(8, 2, 3), (8, 7, 4), (6, 0, 2), (5, 5, 2), (7, 1, 7)])
def test_binary_closed_forms(n, right, k):
    rows = torch.tensor([[1.0] * right + [0.0] * (n - right)], dtype=torch.float64)
    plain, loo = pkpo_weights(rows, k, "none")[0].tolist(), pkpo_weights(rows, k)[0].tolist()
    wrong = k / n * float(pass_at_k(n - 1, right, k - 1)) if right < n and k > 1 else 0.0
    assert plain == pytest.approx([k / n] * right + [wrong] * (n - right))
    assert loo == pytest.approx([comb(n - right, k - 1) / comb(n, k)] * right + [0.0] * (n - right))


@pytest.mark.parametrize("baseline", ["none", "loo", "loo-1"])
def test_every_baseline_is_unbiased_for_max_at_k(baseline):
    n, k = 4, 3
    mean, variance = moments(*estimates(lambda r, a: pkpo_weights(r, k, baseline), REWARDS, None, n))
    expected = true_gradient(lambda r, a: r.amax(1), REWARDS, None, k)
    torch.testing.assert_close(mean, expected, rtol=0, atol=1e-12)
    if baseline != "none":
        assert variance < moments(*estimates(lambda r, a: pkpo_weights(r, k, "none"), REWARDS, None, n))[1]


def test_pass_at_k_training_by_hand():
    rows = torch.tensor([[1.0, 1.0] + [0.0] * 6], dtype=torch.float64)
    found = passk_advantages(rows, 3)[0]
    assert found.tolist() == pytest.approx([0.745356] * 2 + [-0.248452] * 6, abs=1e-6)
    assert float(found.sum()) == pytest.approx(0, abs=1e-12)
    for row in (torch.zeros(1, 8), torch.ones(1, 8), torch.tensor([[1.0] * 7 + [0.0]])):
        assert passk_advantages(row, 3).tolist() == [[0.0] * 8]


@given(st.integers(2, 9), st.data())
def test_pass_at_k_training_is_pkpo_centred_and_scaled(n, data):
    right, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
    rows = torch.tensor([[1.0] * right + [0.0] * (n - right)], dtype=torch.float64)
    passed = float(pass_at_k(n, right, k))
    sigma = sqrt(passed * (1 - passed))
    expected = (n / k) * (pkpo_weights(rows, k, "none") - (k / n) * passed) / sigma if sigma > 1e-9 else 0 * rows
    torch.testing.assert_close(passk_advantages(rows, k), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: pkpo_weights(torch.zeros(2, 4), 5), "k from 2 to 4, not 5"),
        (lambda: pkpo_weights(torch.zeros(2, 4), 1), "k from 2 to 4, not 1"),
        (lambda: pkpo_weights(torch.zeros(4), 2), "prompts, n"),
        (lambda: pkpo_weights(torch.zeros(2, 4), 2, "mean"), "unknown baseline 'mean'"),
        (lambda: passk_advantages(torch.zeros(2, 4), 5), "k from 1 to the n=4"),
        (lambda: passk_advantages(torch.full((2, 4), 0.5), 2), "rewards of 0 and 1"),
        (lambda: configs.build("pkpo", {"n": 4, "k": 8}), "k=8 exceeds n=4"),
        (lambda: configs.build("pkpo", {"n": 4, "k": 4, "baseline": "loo"}), "needs k below n=4"),
        (lambda: configs.build("pkpo", {"k": 1}), "k must be at least 2"),
        (lambda: configs.build("passk-training", {"n": 2}), "k=4 exceeds n=2"),
    ],
)
def test_bad_input_is_one_line(call, message):
    with pytest.raises(InputError, match=message):
        call()
