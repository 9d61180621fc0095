"""Leave-one-out PPO: its advantages by hand, its loss token by token, and what tells it from RLOO and GRPO."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from repro.methods import catalogue
from repro.methods.grpo import group_advantages
from repro.methods.rloo import leave_one_out_advantages
from repro.testing.toy import gradient, make_setup, micro_batch, policy_gradient

ALL = [torch.arange(8)]


def test_advantages_by_hand():
    rewards = torch.tensor([1.0, 0.0, 0.0, 1.0], dtype=torch.float64)
    assert leave_one_out_advantages(rewards, 4).tolist() == pytest.approx([2 / 3, -2 / 3, -2 / 3, 2 / 3])
    # GRPO on the same rewards: ±1 with the population's deviation, ±0.866025 with the sample's.
    sample = group_advantages(rewards, 4, eps=0.0)
    assert sample.tolist() == pytest.approx([0.866025, -0.866025, -0.866025, 0.866025], abs=1e-6)
    assert (sample * math.sqrt(4 / 3)).tolist() == pytest.approx([1.0, -1.0, -1.0, 1.0])
    equal = torch.ones(8, dtype=torch.float64)
    assert leave_one_out_advantages(equal, 4).tolist() == group_advantages(equal, 4).tolist() == [0.0] * 8


@given(st.lists(st.integers(0, 1), min_size=2, max_size=9))
def test_credit_is_the_stretched_deviation_and_sums_to_zero(rewards):
    size = len(rewards)
    setup = make_setup(catalogue.create({"name": "loo", "n": size}), rows=size)
    setup.batch.rewards = torch.tensor(rewards, dtype=torch.float64)
    advantages = setup.method.credit(setup.batch).advantages
    mean = sum(rewards) / size
    expected = [size / (size - 1) * (reward - mean) for reward in rewards]
    assert advantages.tolist() == pytest.approx(expected, abs=1e-12)
    assert float(advantages.sum()) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("beta", [0.0, 0.2])
def test_loss_token_by_token(beta):
    setup = make_setup(catalogue.create({"name": "loo", "epsilon": 0.1, "beta": beta}))
    batch, micro = setup.batch, micro_batch(setup, ALL[0])
    total, clipped, tokens = 0.0, 0, int(batch.mask.sum())
    for row in range(8):
        group = batch.rewards[row // 4 * 4 : row // 4 * 4 + 4].tolist()
        own = group[row % 4]
        advantage = own - (sum(group) - own) / 3
        for t in range(int(batch.mask[row].sum())):
            new, old = float(micro.logps[row, t].detach()), float(batch.old_logps[row, t])
            ratio = math.exp(new - old)
            surrogate = min(ratio * advantage, min(max(ratio, 0.9), 1.1) * advantage)
            clipped += surrogate < ratio * advantage
            total -= surrogate
            if beta:
                difference = float(batch.ref_logps[row, t]) - new
                total += beta * (math.exp(difference) - difference - 1)
    loss, metrics = setup.method.loss(micro)
    assert float(loss.detach()) == pytest.approx(total / tokens, rel=1e-12)
    assert float(metrics["clip_fraction"][0]) == clipped > 0
    assert ("kl" in metrics) == (beta > 0)


def test_at_ratio_one_it_is_reinforce_with_the_leave_one_out_baseline():
    setup = make_setup(catalogue.create({"name": "loo"}))
    setup.batch.old_logps = setup.policy(setup.batch.completion_ids)["logps"].detach()
    mask = setup.batch.mask.double()
    advantages = leave_one_out_advantages(setup.batch.rewards, 4)[:, None]
    actual, metrics = gradient(setup, ALL)
    torch.testing.assert_close(actual, policy_gradient(setup, advantages, mask / mask.sum()), rtol=1e-11, atol=1e-13)
    assert metrics["clip_fraction"] == 0
    value = -(advantages * mask).sum() / mask.sum()
    torch.testing.assert_close(setup.method.loss(micro_batch(setup, ALL[0]))[0], value, rtol=1e-12, atol=1e-14)


def test_tokens_are_clipped_one_by_one_not_the_sequence():
    """Two tokens whose ratios cancel: RLOO's sequence ratio stays 1, here either token may be outside the range."""
    counts = {}
    for name in ("loo", "rloo"):
        setup = make_setup(catalogue.create({"name": name, "n": 2, "minibatches": 2}), rows=2, length=2)
        setup.batch.mask[:] = True
        setup.batch.rewards = torch.tensor([1.0, 0.0], dtype=torch.float64)
        shift = torch.tensor([0.5, -0.5], dtype=torch.float64)
        setup.batch.old_logps = setup.policy(setup.batch.completion_ids)["logps"].detach() - shift
        setup.credit = setup.method.credit(setup.batch)
        _, metrics = setup.method.loss(micro_batch(setup, torch.arange(2)))
        counts[name] = float(metrics["clip_fraction"][0])
    assert counts == {"loo": 2.0, "rloo": 0.0}


def test_groups_may_change_places():
    setup = make_setup(catalogue.create({"name": "loo"}))
    swapped = torch.cat([setup.batch.rewards[4:], setup.batch.rewards[:4]])
    again = leave_one_out_advantages(swapped, 4)
    assert torch.equal(torch.cat([again[4:], again[:4]]), setup.credit.advantages)
    assert not torch.equal(again, setup.credit.advantages)
