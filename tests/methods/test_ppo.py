"""PPO: GAE against its definition, the loss token by token in plain Python, and the parts between them."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from repro.methods import catalogue
from repro.methods.ppo import explained_variance, gae, token_rewards, value_error, whiten
from repro.testing.toy import gradient, make_setup, micro_batch, policy_gradient, ragged_mask, total_loss

ALL = [torch.arange(8)]


def gae_by_definition(rewards, values, length, gamma, lam):
    """arXiv 1506.02438 Eq. 16 for one row: the discounted sum of later temporal differences, term by term."""
    value = lambda t: values[t] if t < length else 0.0  # noqa: E731
    delta = [rewards[t] + gamma * value(t + 1) - value(t) for t in range(length)]
    return [sum((gamma * lam) ** (s - t) * delta[s] for s in range(t, length)) for t in range(length)]


def random_rows(seed, rows=5, length=6):
    generator = torch.Generator().manual_seed(seed)
    rewards, values = torch.randn(2, rows, length, generator=generator, dtype=torch.float64)
    return rewards, values, ragged_mask(rows, length, generator)


@settings(max_examples=60)
@given(seed=st.integers(0, 10**6), gamma=st.floats(0, 1), lam=st.floats(0, 1))
def test_gae_equals_its_definition(seed, gamma, lam):
    rewards, values, mask = random_rows(seed)
    advantages, returns = gae(rewards, values, mask, gamma, lam)
    for row in range(5):
        length = int(mask[row].sum())
        expected = gae_by_definition(rewards[row], values[row], length, gamma, lam)
        assert advantages[row, :length].tolist() == pytest.approx([float(x) for x in expected], abs=1e-12)
    assert (advantages[~mask] == 0).all() and (returns[~mask] == 0).all()
    torch.testing.assert_close(returns[mask], (advantages + values)[mask])


def test_gae_at_lambda_one_and_zero():
    rewards, values, mask = random_rows(4)
    monte_carlo, returns = gae(rewards, values, mask, 1.0, 1.0)
    to_go = (rewards * mask).flip(1).cumsum(1).flip(1)
    torch.testing.assert_close(returns, to_go * mask)
    torch.testing.assert_close(monte_carlo, (to_go - values) * mask)
    one_step, _ = gae(rewards, values, mask, 0.9, 0.0)
    after = torch.cat([(values * mask)[:, 1:], torch.zeros(5, 1, dtype=torch.float64)], 1)
    torch.testing.assert_close(one_step, (rewards + 0.9 * after - values) * mask)


@given(seed=st.integers(0, 10**6))
def test_masked_tails_do_not_matter(seed):
    rewards, values, mask = random_rows(seed)
    clean = gae(rewards, values, mask, 0.97, 0.8)
    junk = gae(rewards.masked_fill(~mask, torch.nan), values.masked_fill(~mask, torch.inf), mask, 0.97, 0.8)
    assert torch.equal(clean[0], junk[0]) and torch.equal(clean[1], junk[1])


def test_gae_skips_holes_in_the_mask():
    rewards, values, _ = random_rows(2, rows=1, length=6)
    mask = torch.tensor([[True, False, True, True, False, False]])
    kept = mask[0]
    squeezed = gae(rewards[:, kept], values[:, kept], torch.ones(1, 3).bool(), 0.9, 0.7)
    spread = gae(rewards, values, mask, 0.9, 0.7)
    torch.testing.assert_close(spread[0][:, kept], squeezed[0])
    torch.testing.assert_close(spread[1][:, kept], squeezed[1])


def test_ppo_at_ratio_one_is_the_policy_gradient():
    options = {"name": "ppo", "entropy_coefficient": 0.0, "kl_coefficient": 0.2}
    setup = make_setup(catalogue.create(options))
    setup.batch.old_logps = setup.policy(setup.batch.completion_ids)["logps"].detach()
    setup.credit = setup.method.credit(setup.batch)
    expected = policy_gradient(setup, setup.credit.advantages, setup.credit.weights)
    actual, metrics = gradient(setup, ALL)
    actor = sum(p.numel() for name, p in setup.policy.named_parameters() if "critic" not in name)
    torch.testing.assert_close(actual[:actor], expected[:actor], rtol=1e-11, atol=1e-13)
    assert metrics["clip_fraction"] == 0
    assert actual[actor:].abs().max() > 0


def test_ppo_clips_once_the_policy_has_moved():
    setup = make_setup(catalogue.create({"name": "ppo"}))
    assert 0 < gradient(setup, ALL)[1]["clip_fraction"] < 1


@pytest.mark.parametrize("value_clip", [0.05, None])
def test_ppo_token_by_token(value_clip):
    """The whole of PPO in plain Python, from sampled log-probs to the loss: penalty, GAE, clips, entropy, mean."""
    c = {"gamma": 0.9, "lam": 0.8, "epsilon": 0.1, "value_coefficient": 0.7, "kl_coefficient": 0.3}
    options = {"name": "ppo", "whiten": False, "entropy_coefficient": 0.2, "value_clip": value_clip, **c}
    setup = make_setup(catalogue.create(options))
    batch, micro = setup.batch, micro_batch(setup, ALL[0])
    total, squared, clipped = 0.0, 0.0, 0
    for row in range(8):
        length = int(batch.mask[row].sum())
        pick = lambda tensor: tensor[row, :length].tolist()  # noqa: E731, B023
        old, ref, old_values, new = map(pick, (batch.old_logps, batch.ref_logps, batch.values, micro.logps))
        values, entropy = pick(micro.values), pick(micro.entropy)
        rewards = [-c["kl_coefficient"] * (o - f) for o, f in zip(old, ref, strict=True)]
        rewards[-1] += float(batch.rewards[row])
        advantages = gae_by_definition(rewards, old_values, length, c["gamma"], c["lam"])
        for t, advantage in enumerate(advantages):
            ratio = math.exp(new[t] - old[t])
            surrogate = min(ratio * advantage, min(max(ratio, 0.9), 1.1) * advantage)
            clipped += surrogate < ratio * advantage
            target = advantage + old_values[t]
            error = (values[t] - target) ** 2
            if value_clip is not None:
                near = min(max(values[t], old_values[t] - value_clip), old_values[t] + value_clip)
                error = max(error, (near - target) ** 2)
            squared += 0.5 * error
            total += -surrogate + 0.7 * 0.5 * error - 0.2 * entropy[t]
    tokens = int(batch.mask.sum())
    loss, metrics = total_loss(setup.method, micro)
    assert loss.item() == pytest.approx(total / tokens, rel=1e-12)
    assert float(metrics["value_loss"][0]) == pytest.approx(squared, rel=1e-12)
    assert float(metrics["clip_fraction"][0]) == clipped > 0
    assert int(metrics["value_loss"][1]) == tokens


def test_ppo_whitens_advantages_but_not_returns():
    plain = make_setup(catalogue.create({"name": "ppo", "whiten": False}))
    white = make_setup(catalogue.create({"name": "ppo"}))
    torch.testing.assert_close(white.credit.advantages, whiten(plain.credit.advantages, plain.batch.mask))
    assert (white.credit.advantages - plain.credit.advantages).abs().max() > 0.1
    assert torch.equal(white.credit.returns, plain.credit.returns)
    assert white.credit.metrics["explained_variance"] < 1


def test_token_rewards_put_the_outcome_on_the_last_token():
    mask = torch.tensor([[1, 1, 0], [1, 1, 1], [0, 0, 0]]).bool()
    penalty = torch.tensor([[0.1, 0.2, torch.nan], [0.0, 0.0, 0.5], [torch.nan] * 3])
    steps = token_rewards(torch.tensor([1.0, 2.0, 3.0]), mask, penalty)
    torch.testing.assert_close(steps, torch.tensor([[-0.1, 0.8, 0.0], [0.0, 0.0, 1.5], [0.0, 0.0, 0.0]]))
    assert token_rewards(torch.tensor([1.0, 2.0, 3.0]), mask).sum() == 3.0


@given(seed=st.integers(0, 10**6))
def test_whitened_advantages_have_mean_zero_and_variance_one(seed):
    values, _, mask = random_rows(seed, rows=8)
    done = whiten(values, mask)
    assert float(done[mask].mean()) == pytest.approx(0, abs=1e-12)
    assert float(done[mask].var()) == pytest.approx(1, abs=1e-6)
    assert (done[~mask] == 0).all()


def test_whitening_a_constant_gives_zero_not_nan():
    assert whiten(torch.full((2, 3), 0.5), torch.ones(2, 3).bool()).abs().max() == 0
    assert whiten(torch.full((1, 3), 0.5), torch.tensor([[True, False, False]])).abs().max() == 0


def test_value_error_is_pessimistic():
    old, returns = torch.zeros(4), torch.tensor([2.0, 2.0, -2.0, 0.1])
    new = torch.tensor([1.0, 0.3, 1.0, 0.1], requires_grad=True)
    clipped = value_error(new, old, returns, clip=0.5)
    torch.testing.assert_close(clipped, 0.5 * torch.tensor([1.5**2, 1.7**2, 3.0**2, 0.0]))
    clipped.sum().backward()
    assert new.grad.tolist() == pytest.approx([0.0, -1.7, 3.0, 0.0], abs=1e-6)
    torch.testing.assert_close(value_error(new, old, returns, None), 0.5 * (new - returns) ** 2)


def test_explained_variance():
    mask = torch.tensor([[True, True, True, False]])
    returns = torch.tensor([[1.0, 2.0, 3.0, torch.nan]])
    assert explained_variance(returns, returns, mask) == 1.0
    assert explained_variance(torch.zeros(1, 4), returns, mask) == 0.0
    assert explained_variance(returns, torch.ones(1, 4), mask) is None
