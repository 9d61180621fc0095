"""The identities of TBRM (arXiv 2505.15311), sections 2.2, 2.3, 3.1 and Appendix F, and of its token-level ablation."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import one_hot

from repro.methods import catalogue
from repro.methods.brm import token_residuals
from repro.methods.tbrm import tbrm_loss, trajectory_residual
from repro.testing.toy import gradient, make_setup, micro_batch, ragged_mask

EXACT = {"rtol": 0.0, "atol": 1e-12}


def random_case(seed: int, rows: int = 6, length: int = 5, vocabulary: int = 4):
    """Logits (B, T, V), tokens, reference log-probs, ragged mask, 0/1 rewards; float64."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(rows, length, vocabulary, generator=generator, dtype=torch.float64)
    ref = torch.randn(rows, length, vocabulary, generator=generator, dtype=torch.float64).log_softmax(-1)
    ids = torch.randint(0, vocabulary, (rows, length, 1), generator=generator)
    mask = ragged_mask(rows, length, generator)
    rewards = torch.randint(0, 2, (rows,), generator=generator).double()
    return logits, ids, ref.gather(-1, ids)[..., 0], mask, rewards


def parts(logits, ids):
    """Chosen logits, state values and log-probs, each (B, T)."""
    chosen, values = logits.gather(-1, ids)[..., 0], logits.logsumexp(-1)
    return chosen, values, chosen - values


@settings(max_examples=50)
@given(seed=st.integers(0, 10**6), beta=st.floats(0.05, 2.0))
def test_the_three_forms_agree(seed, beta):
    logits, ids, ref, mask, rewards = random_case(seed)
    chosen, values, logps = parts(logits, ids)
    by_definition = torch.zeros_like(rewards)  # F1, transition by transition
    for row in range(mask.shape[0]):
        length = int(mask[row].sum())
        for t in range(length):
            reward = rewards[row] / beta if t == length - 1 else 0.0
            next_value = values[row, t + 1] if t + 1 < length else 0.0
            by_definition[row] += chosen[row, t] - (reward + ref[row, t]) - next_value
    telescoped = trajectory_residual(values[:, 0], logps, ref, mask, rewards, beta)  # F2
    tail = (logps * mask)[:, 1:].sum(1)
    first_logit = chosen[:, 0] + tail - (ref * mask).sum(1) - rewards / beta  # F3
    torch.testing.assert_close(telescoped, by_definition, **EXACT)
    torch.testing.assert_close(telescoped, first_logit, **EXACT)
    by_token = token_residuals(values, logps, ref, mask, rewards, beta)
    torch.testing.assert_close(by_token.sum(1), telescoped, **EXACT)
    torch.testing.assert_close(values[:, 0], chosen[:, 0] - logps[:, 0], **EXACT)  # V identity


def test_beta_scales_the_reward_and_nothing_else():
    logits, ids, ref, mask, _ = random_case(3)
    _, values, logps = parts(logits, ids)
    right, wrong = torch.ones(6, dtype=torch.float64), torch.zeros(6, dtype=torch.float64)
    no_reward = [trajectory_residual(values[:, 0], logps, ref, mask, wrong, beta) for beta in (0.002, 0.5)]
    torch.testing.assert_close(no_reward[0], no_reward[1], **EXACT)
    for beta in (0.002, 0.5):
        rewarded = trajectory_residual(values[:, 0], logps, ref, mask, right, beta)
        torch.testing.assert_close(no_reward[0] - rewarded, right / beta, **EXACT)


def soft_optimum(reward, ref, beta: float, length: int, vocabulary: int):
    """Q* and V* of a tabular task as dicts over prefixes, by backward induction; token 0 or the length ends a row."""
    q, v = {}, {}

    def value(prefix):
        if prefix and (prefix[-1] == 0 or len(prefix) == length):
            return 0.0
        q[prefix] = torch.zeros(vocabulary, dtype=torch.float64)
        for action in range(vocabulary):
            after = (*prefix, action)
            ends = action == 0 or len(after) == length
            step = reward[after] / beta if ends else 0.0
            q[prefix][action] = step + ref[prefix][action] + value(after)
        v[prefix] = float(q[prefix].logsumexp(0))
        return v[prefix]

    value(())
    return q, v


def test_residuals_vanish_at_the_soft_optimum():
    vocabulary, length, beta = 3, 3, 0.3
    generator = torch.Generator().manual_seed(0)
    prefixes = [p for size in range(length) for p in itertools.product(range(vocabulary), repeat=size) if 0 not in p]
    ref = {p: torch.randn(vocabulary, generator=generator, dtype=torch.float64).log_softmax(0) for p in prefixes}
    rows = [(*p, a) for p in prefixes for a in range(vocabulary) if a == 0 or len(p) == length - 1]
    reward = {row: float(torch.rand((), generator=generator)) for row in rows}
    q, v = soft_optimum(reward, ref, beta, length, vocabulary)
    probability = 0.0
    for row in rows:
        logps = torch.tensor([[float(q[row[:t]].log_softmax(0)[row[t]]) for t in range(len(row))]], dtype=torch.float64)
        ref_logps = torch.tensor([[float(ref[row[:t]][row[t]]) for t in range(len(row))]], dtype=torch.float64)
        values = torch.tensor([[v[row[:t]] for t in range(len(row))]], dtype=torch.float64)
        mask, r = torch.ones_like(logps).bool(), torch.tensor([reward[row]], dtype=torch.float64)
        assert trajectory_residual(values[:, 0], logps, ref_logps, mask, r, beta).abs() < 1e-12
        assert token_residuals(values, logps, ref_logps, mask, r, beta).abs().max() < 1e-12
        # The optimum is pi_ref × exp(r / beta) / Z with log Z = V(s_1).
        assert float(logps.sum()) == pytest.approx(float(ref_logps.sum()) + reward[row] / beta - v[()], abs=1e-12)
        probability += math.exp(float(logps.sum()))
    assert probability == pytest.approx(1.0, abs=1e-12)


def test_at_the_start_the_residual_is_the_value_minus_the_scaled_reward():
    logits, ids, _, mask, rewards = random_case(5)
    _, values, logps = parts(logits, ids)
    residual = trajectory_residual(values[:, 0], logps, logps, mask, rewards, beta=0.002)
    torch.testing.assert_close(residual, values[:, 0] - 500.0 * rewards, **EXACT)
    loss = tbrm_loss(values[:, 0], logps, logps, mask, torch.zeros_like(rewards), beta=0.002)
    torch.testing.assert_close(loss, (values[:, 0] ** 2).mean(), **EXACT)
    assert loss > 0.1


def test_gradient_passes_through_the_value_and_the_log_probs_but_not_the_reference():
    logits, ids, ref, mask, rewards = random_case(7)
    logits.requires_grad_()
    ref.requires_grad_()
    _, values, logps = parts(logits, ids)
    arguments = (logps, ref.detach(), mask, rewards, 0.1)
    (automatic,) = torch.autograd.grad(tbrm_loss(values[:, 0], *arguments), logits, retain_graph=True)
    residual = trajectory_residual(values[:, 0], *arguments).detach()
    # grad V = pi at the first position; grad log pi = onehot - pi at every sampled one; (2 / |D|) sum of delta × both.
    probabilities = logits.detach().softmax(-1)
    by_hand = (one_hot(ids[..., 0], 4) - probabilities) * mask[..., None]
    by_hand[:, 0] += probabilities[:, 0]
    by_hand = 2.0 / 6 * residual[:, None, None] * by_hand
    torch.testing.assert_close(automatic, by_hand, rtol=1e-12, atol=1e-12)
    (frozen,) = torch.autograd.grad(tbrm_loss(values[:, 0].detach(), *arguments), logits)
    assert (frozen - automatic).abs().max() > 0.1

    setup = make_setup(catalogue.create({"name": "tbrm"}))
    micro = micro_batch(setup, torch.arange(8))
    assert micro.state_values.requires_grad and not micro.ref_logps.requires_grad
    value_gradient = torch.autograd.grad(setup.method.loss(micro)[0], micro.state_values)[0]
    assert (value_gradient.abs() > 0).all()


def bandit_losses(logits, values, ref, beta=0.1):
    """Loss of a two-armed bandit with rewards (1, 0) and uniform data; `values` is V at the only state."""
    logps = torch.tensor(logits, dtype=torch.float64).log_softmax(0)[:, None]
    value = torch.full((2,), values, dtype=torch.float64)
    ref_logps = torch.full((2, 1), ref, dtype=torch.float64)
    rewards = torch.tensor([1.0, 0.0], dtype=torch.float64)
    return float(tbrm_loss(value, logps, ref_logps, torch.ones(2, 1).bool(), rewards, beta))


@pytest.mark.parametrize("ref", [0.0, -math.log(2)], ids=["entropy form", "uniform reference"])
def test_toy_bandit_separates_tbrm_from_frozen_values(ref):
    """Appendix F: with V frozen at the uniform policy the useless candidate (0, 0) looks better than the optimum."""
    own = {q: math.log(sum(math.exp(logit) for logit in q)) for q in ((0.0, 0.0), (10.0, 0.0))}
    tbrm = {q: bandit_losses(q, own[q], ref) for q in own}
    frozen = {q: bandit_losses(q, math.log(2), ref) for q in own}
    assert tbrm[10.0, 0.0] < tbrm[0.0, 0.0]
    assert frozen[10.0, 0.0] > frozen[0.0, 0.0]
    if ref == 0.0:
        assert [round(frozen[0.0, 0.0], 1), round(frozen[10.0, 0.0], 1)] == [50.0, 86.6]
        assert tbrm[0.0, 0.0] == pytest.approx(50.0) and tbrm[10.0, 0.0] == pytest.approx(0.0, abs=1e-12)


def test_no_group_effect():
    method = catalogue.create({"name": "tbrm", "n": 4, "beta": 0.1})
    setup = make_setup(method)
    per_row = [gradient(setup, [torch.tensor([row])])[0] for row in range(8)]
    setup.batch.rewards[0] = 1.0 - setup.batch.rewards[0]
    setup.credit = method.credit(setup.batch)
    again = [gradient(setup, [torch.tensor([row])])[0] for row in range(8)]
    assert (per_row[0] - again[0]).abs().max() > 1e-3
    assert all(torch.equal(before, after) for before, after in zip(per_row[1:], again[1:], strict=True))


def test_the_log_prob_term_is_a_sum_over_tokens():
    logps = torch.full((2, 6), -1.0, dtype=torch.float64)
    mask = torch.arange(6) < torch.tensor([[6], [2]])
    nothing = torch.zeros(2, dtype=torch.float64)
    residual = trajectory_residual(nothing, logps, torch.zeros_like(logps), mask, nothing, beta=1.0)
    assert residual.tolist() == [-6.0, -2.0]


def test_method_loss_is_tbrm_loss():
    setup = make_setup(catalogue.create({"name": "tbrm", "beta": 0.4}))
    micro = micro_batch(setup, torch.arange(8))
    loss, metrics = setup.method.loss(micro)
    loss, first = loss.detach(), micro.state_values[:, 0].detach()
    torch.testing.assert_close(
        loss, tbrm_loss(first, micro.logps.detach(), micro.ref_logps, micro.mask, micro.rewards, 0.4)
    )
    assert float(metrics["residual_squared"][0] / metrics["residual_squared"][1]) == pytest.approx(float(loss))


def test_brm_loss_is_the_mean_over_transitions():
    setup = make_setup(catalogue.create({"name": "brm", "beta": 0.4}))
    micro = micro_batch(setup, torch.arange(8))
    residuals = token_residuals(micro.state_values, micro.logps, micro.ref_logps, micro.mask, micro.rewards, beta=0.4)
    torch.testing.assert_close(setup.method.loss(micro)[0], (residuals[micro.mask] ** 2).mean())
