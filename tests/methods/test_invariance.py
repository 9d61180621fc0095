"""Gradients and metrics do not depend on how the rows are split: 1×8 = 8×1 = permuted units, for every method."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from repro.methods import catalogue

from .invariance import METHOD_OPTIONS, gradient, make_setup, micro_batch, option_id, permute_units, total_loss

ROWS = 8
every_method = pytest.mark.parametrize("options", METHOD_OPTIONS, ids=option_id)


def assert_same(first, second):
    torch.testing.assert_close(first[0], second[0], rtol=1e-11, atol=1e-12 * max(1.0, float(first[0].abs().max())))
    assert first[1] == pytest.approx(second[1], rel=1e-11, abs=1e-12)


@every_method
def test_eight_single_rows_equal_one_batch_of_eight(options):
    setup = make_setup(catalogue.create(options), ROWS)
    whole = gradient(setup, [torch.arange(ROWS)])
    assert torch.isfinite(whole[0]).all()
    assert whole[0].abs().max() > 1e-3
    unit = setup.method.needs().unit
    assert_same(whole, gradient(setup, list(torch.arange(ROWS).split(unit))))


@every_method
@settings(max_examples=12)
@given(seed=st.integers(0, 2**20), size=st.integers(1, ROWS))
def test_any_partition_of_permuted_units_gives_the_same_gradient(options, seed, size):
    setup = make_setup(catalogue.create(options), ROWS, seed=seed % 5)
    unit = setup.method.needs().unit
    order = permute_units(ROWS, unit, torch.Generator().manual_seed(seed))
    assert_same(gradient(setup, [torch.arange(ROWS)]), gradient(setup, list(order.split(size * unit))))


@every_method
def test_wider_padding_changes_nothing(options):
    method = catalogue.create(options)
    setup = make_setup(method, ROWS, length=7)
    wide = make_setup(method, ROWS, length=7)
    for name in ("mask", "completion_ids", "old_logps", "ref_logps", "values", "steps", "entropies"):
        tensor = getattr(wide.batch, name)
        if tensor is not None:
            outside = torch.nan if tensor.is_floating_point() else -1 if name == "steps" else 0
            filler = torch.full((ROWS, 3), outside).to(tensor.dtype)
            setattr(wide.batch, name, torch.cat([tensor, filler], dim=1))
    for name in ("position", "critic_position"):
        parameter = getattr(wide.policy, name)
        extra = torch.zeros(3, *parameter.shape[1:], dtype=parameter.dtype)
        setattr(wide.policy, name, torch.nn.Parameter(torch.cat([parameter.detach(), extra])))
    wide.batch.generator.manual_seed(0)  # as `make_setup` left it to the first credit
    wide.credit = method.credit(wide.batch)
    _, narrow_metrics = gradient(setup, [torch.arange(ROWS)])
    _, wide_metrics = gradient(wide, [torch.arange(ROWS)])
    assert narrow_metrics == pytest.approx(wide_metrics, rel=1e-11)
    assert wide.policy.position.grad[7:].abs().sum() == 0
    torch.testing.assert_close(wide.policy.position.grad[:7], setup.policy.position.grad, rtol=1e-11, atol=1e-9)
    torch.testing.assert_close(wide.policy.previous.grad, setup.policy.previous.grad, rtol=1e-11, atol=1e-9)


@every_method
def test_float32_stays_float32(options):
    setup = make_setup(catalogue.create(options), ROWS)
    setup.policy.float()
    for name in ("rewards", "old_logps", "ref_logps", "values", "step_values", "prompt_values"):
        tensor = getattr(setup.batch, name)
        setattr(setup.batch, name, None if tensor is None else tensor.float())
    setup.credit = setup.method.credit(setup.batch)
    loss, _ = total_loss(setup.method, micro_batch(setup, torch.arange(ROWS)))
    assert loss.dtype == torch.float32
    assert torch.isfinite(loss)


@every_method
def test_weights_are_zero_outside_the_mask_and_credit_has_no_gradient(options):
    setup = make_setup(catalogue.create(options), ROWS)
    assert setup.credit.weights.shape == setup.batch.mask.shape
    assert (setup.credit.weights[~setup.batch.mask] == 0).all()
    if setup.credit.kl_weights is not None:
        assert setup.credit.kl_weights.shape == setup.batch.mask.shape
        assert (setup.credit.kl_weights[~setup.batch.mask] == 0).all()
    assert not setup.credit.weights.requires_grad and not setup.credit.advantages.requires_grad
    assert setup.credit.advantages.shape in (setup.batch.rewards.shape, setup.batch.mask.shape)
    assert torch.isfinite(setup.credit.advantages).all()


@every_method
def test_no_gradient_into_reference_or_old_policy(options):
    setup = make_setup(catalogue.create(options), ROWS)
    micro = micro_batch(setup, torch.arange(ROWS))
    frozen = [getattr(micro, name) for name in ("ref_logps", "old_logps", "old_values", "returns")]
    assert all(tensor is None or not tensor.requires_grad for tensor in frozen)
    loss, _ = total_loss(setup.method, micro)
    assert loss.dtype == torch.float64 and loss.dim() == 0
