"""GRPO on high-entropy tokens: TRL's rule, GRPO itself at share 1, normaliser and KL term."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from trl import GRPOTrainer

from repro.errors import InputError
from repro.methods import catalogue
from repro.methods.grpo import group_advantages
from repro.methods.grpo_entropy import high_entropy_tokens
from repro.testing.toy import gradient, make_setup, policy_gradient, ragged_mask

ALL = [torch.arange(8)]


@given(st.integers(0, 2**20), st.sampled_from([0.05, 0.2, 0.5, 0.8, 1.0]), st.booleans())
def test_the_mask_is_trls(seed, share, ties):
    generator = torch.Generator().manual_seed(seed)
    mask = ragged_mask(6, 7, generator)
    entropies = torch.rand(6, 7, generator=generator)
    if ties:
        entropies = (entropies * 4).round() / 4
    alone = SimpleNamespace(pad_across_processes=lambda tensor, **_: tensor, gather=lambda tensor: tensor)
    expected = GRPOTrainer.get_high_entropy_mask(SimpleNamespace(accelerator=alone), entropies, mask, 1 - share)
    poisoned = torch.where(mask, entropies, torch.nan)
    assert torch.equal(high_entropy_tokens(poisoned, mask, share), expected)


def test_the_share_of_tokens():
    entropies = torch.tensor([[0.9, 0.1, 0.5, 7.0], [0.7, 0.3, 7.0, 7.0]])
    mask = torch.tensor([[1, 1, 1, 0], [1, 1, 0, 0]]).bool()
    assert high_entropy_tokens(entropies, mask, 0.4).tolist() == [[True, False, False, False], [True] + [False] * 3]
    assert torch.equal(high_entropy_tokens(entropies, mask, 1.0), mask)
    assert not high_entropy_tokens(entropies, torch.zeros_like(mask), 0.4).any()
    for share in (0.0, -0.1, 1.1):
        with pytest.raises(InputError, match="share of tokens must be above 0 and at most 1"):
            high_entropy_tokens(entropies, mask, share)


@pytest.mark.parametrize(
    "options",
    [{}, {"aggregate": "sequence-mean"}, {"beta": 0.2}, {"epochs": 2, "beta": 0.1, "epsilon": 0.1}, {"scale": "none"}],
    ids=str,
)
def test_with_all_tokens_it_is_grpo(options):
    setups = [
        make_setup(catalogue.create({"name": name, **options, **extra}))
        for name, extra in (("grpo", {}), ("grpo-entropy", {"top_entropy": 1.0}))
    ]
    (theirs, their_metrics), (mine, metrics) = (gradient(setup, ALL) for setup in setups)
    torch.testing.assert_close(mine, theirs, rtol=1e-13, atol=1e-15)
    assert metrics == pytest.approx(their_metrics) and setups[1].credit.metrics == {"token_share": 1.0}


def test_the_normaliser_counts_all_tokens():
    setup = make_setup(catalogue.create({"name": "grpo-entropy", "top_entropy": 0.3}))
    mask, selected = setup.batch.mask, setup.credit.weights != 0
    assert torch.equal(selected, high_entropy_tokens(setup.batch.entropies, mask, 0.3))
    share = float(selected.sum() / mask.sum())
    assert setup.credit.metrics == {"token_share": pytest.approx(share)} and 0.2 < share < 0.4
    advantages = group_advantages(setup.batch.rewards, 4)[:, None]
    expected = policy_gradient(setup, advantages, selected.double() / mask.sum())
    torch.testing.assert_close(gradient(setup, ALL)[0], expected, rtol=1e-12, atol=1e-14)


def test_the_planner_is_told_the_share():
    assert catalogue.create({"name": "grpo-entropy", "top_entropy": 0.3}).selected_tokens(40) == pytest.approx(12)


def test_the_kl_term_stays_on_all_tokens():
    setup = make_setup(catalogue.create({"name": "grpo-entropy", "top_entropy": 0.3, "beta": 0.2}))
    mask = setup.batch.mask.double()
    assert torch.equal(setup.credit.kl_weights, mask / mask.sum())
