"""Finite differences: autograd's derivative of every method's loss is the loss's derivative."""

from __future__ import annotations

import pytest
import torch

from repro.methods import catalogue
from repro.testing.toy import make_setup, micro_batch, total_loss

from .invariance import METHOD_OPTIONS, option_id

# Their ratio is 1 with one update per batch.
RATIO_ONE = (
    "grpo", "rloo", "ksample", "pkpo", "passk-training", "sgrpo", "tspmo", "krpo", "grpo-entropy",
)  # fmt: skip
LIVE = ("logps", "values", "state_values", "entropy", "verdict_logps")


@pytest.mark.parametrize("options", METHOD_OPTIONS, ids=option_id)
@pytest.mark.parametrize("seed", [0, 1])
def test_gradcheck_of_the_loss(options, seed):
    setup = make_setup(catalogue.create(options), rows=4, length=4, seed=seed)
    if setup.batch.old_logps is None and options["name"].removesuffix("-v") in RATIO_ONE:
        # With one update per batch the old log-probs are the new ones, detached: a numerical derivative would see them
        # move. Freeze them at the same point; the analytic gradient is unchanged (test_group_methods).
        setup.batch.old_logps = setup.policy(setup.batch.completion_ids)["logps"].detach()
    micro = micro_batch(setup, torch.arange(4))
    names = [name for name in LIVE if getattr(micro, name) is not None]
    # gradcheck perturbs masked positions as well: they must be finite for it, and their derivative 0.
    inputs = tuple(torch.nan_to_num(getattr(micro, name).detach(), nan=0.3).requires_grad_() for name in names)

    def loss(*tensors):
        for name, tensor in zip(names, tensors, strict=True):
            setattr(micro, name, tensor)
        return total_loss(setup.method, micro)[0]

    assert torch.autograd.gradcheck(loss, inputs, eps=1e-6, atol=1e-6, rtol=1e-4)
    gradients = torch.autograd.grad(loss(*inputs), inputs, allow_unused=True)
    for name, derivative in zip(names, gradients, strict=True):
        if derivative is not None and derivative.shape == micro.mask.shape:
            assert (derivative[~micro.mask] == 0).all(), name
