"""The identities of REBEL (arXiv 2404.16767): the two scales, the pairs, the minimiser, the first step, the penalty."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import one_hot

from repro.errors import InputError
from repro.methods import catalogue
from repro.methods.rebel import rebel_loss
from repro.testing.toy import gradient, make_setup, micro_batch, policy_gradient, ragged_mask

from . import tabular

ALL = [torch.arange(8)]
# Every ordered pair of different rows of the tree, row 2p against row 2p + 1.
PAIRS = torch.tensor(list(itertools.permutations(range(len(tabular.ROWS)), 2))).flatten()


def random_case(seed: int, pairs: int = 3, length: int = 5, vocabulary: int = 4):
    """Logits (2P, T, V), tokens (2P, T, 1), log-probs of the sampling policy, ragged mask, rewards; float64."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2 * pairs, length, vocabulary, generator=generator, dtype=torch.float64)
    old = torch.randn(2 * pairs, length, vocabulary, generator=generator, dtype=torch.float64).log_softmax(-1)
    ids = torch.randint(0, vocabulary, (2 * pairs, length, 1), generator=generator)
    mask = ragged_mask(2 * pairs, length, generator)
    rewards = torch.randint(0, 2, (2 * pairs,), generator=generator).double()
    return logits, ids, old.gather(-1, ids)[..., 0], mask, rewards


def chosen(logits, ids):
    return logits.log_softmax(-1).gather(-1, ids)[..., 0]


@given(seed=st.integers(0, 10**6), eta=st.floats(0.05, 20))
def test_loss_pair_by_pair_and_the_codes_scale(seed, eta):
    logits, ids, old, mask, rewards = random_case(seed)
    logps, paper, code = chosen(logits, ids), 0.0, 0.0
    for pair in range(3):
        d = [
            sum(float(logps[row, t] - old[row, t]) for t in range(int(mask[row].sum())))
            for row in (2 * pair, 2 * pair + 1)
        ]
        gap = float(rewards[2 * pair] - rewards[2 * pair + 1])
        paper += ((d[0] - d[1]) / eta - gap) ** 2 / 3
        code += (d[0] - d[1] - eta * gap) ** 2 / 3
    assert float(rebel_loss(logps, old, mask, rewards, eta)) == pytest.approx(paper, rel=1e-10)
    assert float(rebel_loss(logps, old, mask, rewards, eta, "code")) == pytest.approx(code, rel=1e-10)
    assert code == pytest.approx(eta**2 * paper, rel=1e-10)


def test_gradient_by_hand_reaches_the_current_policy_alone():
    logits, ids, old, mask, rewards = random_case(4)
    logits.requires_grad_()
    frozen, eta = old.clone().requires_grad_(), 0.7
    automatic, none = torch.autograd.grad(
        rebel_loss(chosen(logits, ids), frozen, mask, rewards, eta), [logits, frozen], allow_unused=True
    )
    assert none is None
    d = ((chosen(logits, ids).detach() - old) * mask).sum(1)
    residual = (d[0::2] - d[1::2]) / eta - (rewards[0::2] - rewards[1::2])
    factor = 2 / 3 / eta * torch.stack([residual, -residual], dim=1).flatten()
    slope = (one_hot(ids[..., 0], 4) - logits.detach().softmax(-1)) * mask[..., None]
    torch.testing.assert_close(automatic, factor[:, None, None] * slope, rtol=1e-12, atol=1e-14)


def on_all_pairs(logits, old, rewards, eta, scale="paper"):
    return rebel_loss(
        tabular.logps(logits)[PAIRS], tabular.logps(old)[PAIRS], tabular.MASK[PAIRS], rewards[PAIRS], eta, scale
    )


@pytest.mark.parametrize("eta", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("scale", ["paper", "code"])
def test_minimiser_is_the_old_policy_tilted_by_the_reward(eta, scale):
    old = tabular.table(1)
    rewards = torch.rand(len(tabular.ROWS), generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    best = tabular.tilted(old, eta * rewards)
    by_row = (tabular.row_logps(old) + eta * rewards).log_softmax(0)
    torch.testing.assert_close(tabular.row_logps(best), by_row, rtol=1e-12, atol=1e-12)
    assert float(on_all_pairs(best, old, rewards, eta, scale)) < 1e-24
    assert on_all_pairs(old, old, rewards, eta, scale) > 1e-3
    assert on_all_pairs(tabular.tilted(old, 1.1 * eta * rewards), old, rewards, eta, scale) > 1e-5
    found = tabular.minimise(lambda logits: on_all_pairs(logits, old, rewards, eta, scale), old)
    torch.testing.assert_close(tabular.row_logps(found), by_row, rtol=1e-6, atol=1e-6)


def test_equal_rewards_only_hold_the_log_ratios_together():
    logits, ids, old, mask, _ = random_case(6)
    logps, right = chosen(logits, ids), torch.ones(6, dtype=torch.float64)
    d = ((logps - old) * mask).sum(1)
    expected = (((d[0::2] - d[1::2]) / 0.5) ** 2).mean()
    torch.testing.assert_close(rebel_loss(logps, old, mask, right, 0.5), expected)
    torch.testing.assert_close(rebel_loss(logps, old, mask, 0 * right, 0.5), expected)
    assert float(rebel_loss(old, old, mask, right, 0.5)) == 0


@pytest.mark.parametrize("scale", ["paper", "code"])
def test_the_first_step_has_no_log_ratio_and_is_reinforce_with_the_other_as_baseline(scale):
    eta = 0.4
    setup = make_setup(catalogue.create({"name": "rebel", "eta": eta, "scale": scale}))
    setup.batch.old_logps = setup.policy(setup.batch.completion_ids)["logps"].detach()
    gaps = setup.batch.rewards[0::2] - setup.batch.rewards[1::2]
    assert (gaps != 0).any()
    actual, metrics = gradient(setup, ALL)
    assert metrics["dlogratio"] == 0
    size = eta**2 if scale == "code" else 1.0
    assert metrics["residual_squared"] == pytest.approx(size * float((gaps**2).mean()))
    signed = torch.stack([gaps, -gaps], dim=1).flatten()
    weights = 2 * size / eta / 4 * setup.batch.mask.double()
    expected = policy_gradient(setup, signed[:, None], weights)
    torch.testing.assert_close(actual, expected, rtol=1e-11, atol=1e-14)


def test_the_log_ratio_is_to_the_sampling_policy_not_to_the_base():
    setup = make_setup(catalogue.create({"name": "rebel", "kl_coefficient": 0.1}))
    micro = micro_batch(setup, ALL[0])
    before = setup.method.loss(micro)[0]
    micro.ref_logps = micro.ref_logps - 1.0  # the penalty was taken at the roll-out; the loss reads it no more
    assert torch.equal(setup.method.loss(micro)[0], before)
    micro.old_logps = micro.old_logps - torch.arange(8)[:, None]
    assert not torch.equal(setup.method.loss(micro)[0], before)


def test_the_penalty_goes_into_the_reward_summed_over_the_sequence():
    setup = make_setup(catalogue.create({"name": "rebel", "n": 4, "kl_coefficient": 0.3}))
    batch = setup.batch
    for row in range(8):
        length = int(batch.mask[row].sum())
        gap = sum(float(batch.old_logps[row, t] - batch.ref_logps[row, t]) for t in range(length))
        assert float(setup.credit.advantages[row]) == pytest.approx(float(batch.rewards[row]) - 0.3 * gap, rel=1e-12)
    plain = make_setup(catalogue.create({"name": "rebel", "n": 4}))
    assert torch.equal(plain.credit.advantages, plain.batch.rewards)


def test_method_loss_is_rebel_loss():
    setup = make_setup(catalogue.create({"name": "rebel", "n": 4, "eta": 0.6, "scale": "code"}))
    micro = micro_batch(setup, ALL[0])
    loss, metrics = setup.method.loss(micro)
    expected = rebel_loss(micro.logps, micro.old_logps, micro.mask, setup.batch.rewards, 0.6, "code")
    torch.testing.assert_close(loss, expected, rtol=1e-13, atol=0)
    assert set(metrics) == {"pairs_with_signal", "dlogratio", "residual", "residual_squared"}
    assert float(metrics["dlogratio"][0]) > 0
    penalised = make_setup(catalogue.create({"name": "rebel", "kl_coefficient": 0.1}))
    assert penalised.method.loss(micro_batch(penalised, ALL[0]))[1]["kl"][0] > 0


def test_signal_is_counted_on_the_tasks_rewards():
    """With a penalty no two rewards are equal any more; the share still tells how many answers differ."""
    for options in ({}, {"kl_coefficient": 0.2}):
        setup = make_setup(catalogue.create({"name": "rebel", **options}))
        setup.batch.rewards = torch.tensor([1, 1, 1, 0, 0, 0, 0, 1], dtype=torch.float64)
        setup.credit = setup.method.credit(setup.batch)
        hits, pairs = setup.method.loss(micro_batch(setup, ALL[0]))[1]["pairs_with_signal"]
        assert (float(hits), int(pairs)) == (2, 4)


def test_a_pair_may_be_turned_around_but_not_broken():
    logits, ids, old, mask, rewards = random_case(8)
    rewards = torch.tensor([1, 0, 0, 1, 1, 1], dtype=torch.float64)
    logps = chosen(logits, ids)
    loss = rebel_loss(logps, old, mask, rewards, 1.0)
    turned, broken = torch.tensor([1, 0, 2, 3, 5, 4]), torch.tensor([5, 0, 1, 2, 3, 4])
    torch.testing.assert_close(rebel_loss(logps[turned], old[turned], mask[turned], rewards[turned], 1.0), loss)
    other = rebel_loss(logps[broken], old[broken], mask[broken], rewards[broken], 1.0)
    assert abs(float(other - loss)) > 1e-3


def test_the_end_token_counts_padding_does_not_and_tokens_are_summed():
    logps = torch.tensor([[-1.0, -1.0, -3.0], [-2.0, torch.nan, torch.inf]], dtype=torch.float64)
    mask = torch.tensor([[True, True, True], [True, False, False]])  # the last True is the end token
    loss = rebel_loss(logps, torch.zeros_like(logps), mask, torch.zeros(2).double(), 1.0)
    assert float(loss) == 9  # -5 against -2


def test_bad_arguments_are_one_clear_line():
    row, mask = torch.zeros(3, 2), torch.ones(3, 2).bool()
    with pytest.raises(InputError, match="even number of rows"):
        rebel_loss(row, row, mask, torch.zeros(3), 1.0)
    pair, mask = torch.zeros(2, 2), torch.ones(2, 2).bool()
    for eta in (0, -1.0, math.nan):
        with pytest.raises(InputError, match="eta must be above 0"):
            rebel_loss(pair, pair, mask, torch.zeros(2), eta)
    with pytest.raises(InputError, match="paper or code, not 'std'"):
        rebel_loss(pair, pair, mask, torch.zeros(2), 1.0, "std")
