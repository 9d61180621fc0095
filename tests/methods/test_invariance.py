"""Every method of the suite keeps the contract that `repro.testing` checks of methods from outside."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from repro.methods import catalogue
from repro.testing import contract
from repro.testing.toy import make_setup, micro_batch, total_loss

from .invariance import METHOD_OPTIONS, option_id

every_method = pytest.mark.parametrize("options", METHOD_OPTIONS, ids=option_id)


@every_method
@pytest.mark.parametrize("check", contract.CHECKS, ids=lambda check: check.__name__)
def test_contract(options, check):
    check(catalogue.create(options))


@every_method
@settings(max_examples=12)
@given(seed=st.integers(0, 2**20), size=st.integers(1, contract.ROWS))
def test_any_partition_of_permuted_units_gives_the_same_gradient(options, seed, size):
    contract.cut_agrees(catalogue.create(options), seed % 5, size, order=seed)


@every_method
def test_no_gradient_into_reference_or_old_policy(options):
    setup = make_setup(catalogue.create(options))
    micro = micro_batch(setup, torch.arange(contract.ROWS))
    frozen = [getattr(micro, name) for name in ("ref_logps", "old_logps", "old_values", "returns")]
    assert all(tensor is None or not tensor.requires_grad for tensor in frozen)
    assert not setup.credit.weights.requires_grad and not setup.credit.advantages.requires_grad
    loss, _ = total_loss(setup.method, micro)
    assert loss.dtype == torch.float64 and loss.dim() == 0
