"""The gradient of one generation batch does not depend on how its rows are cut into micro-batches."""

from __future__ import annotations

import pytest
import torch

from repro.methods.catalogue import create

from .helpers import METHODS, make_trainer, method_json, reward_by_text


def gradients(trainer) -> list[dict[str, torch.Tensor]]:
    """Gradients just before the first optimizer update, before clipping."""
    seen = []

    def clip(model):
        named = [*trainer.model.named_parameters()]
        if trainer.critic is not None:
            named += [(f"critic.{name}", p) for name, p in trainer.critic.named_parameters()]
        seen.append({name: p.grad.clone() for name, p in named if p.grad is not None})
        return torch.tensor(0.0)

    trainer._clip_grad_norm = clip
    reward_by_text(trainer)
    trainer.train()
    return seen


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("rows", [1, 2, 4])
def test_micro_batches_add_up_to_the_whole_batch(base, tmp_path, name, rows):
    minibatches = METHODS[name].get("minibatches", 1)
    if rows % create(method_json(name)).needs().unit:
        pytest.skip("the rows of a unit stay together")
    whole = gradients(make_trainer(base, name, tmp_path / "whole", steps=1, micro_batch=8 // minibatches))[0]
    if rows > 8 // minibatches:
        pytest.skip("more rows than an update has")
    parts = gradients(make_trainer(base, name, tmp_path / "parts", steps=1, micro_batch=rows))[0]
    assert whole.keys() == parts.keys()
    assert any(gradient.abs().max() > 0 for gradient in whole.values())
    for key, gradient in whole.items():
        scale = gradient.abs().max().clamp(min=1e-6)
        assert (gradient - parts[key]).abs().max() <= 2e-5 * scale, key


def test_minibatches_together_have_the_scale_of_the_whole_batch(base, tmp_path):
    """Each of M minibatch gradients stands for the whole batch: their mean is its gradient (learning rate 0)."""
    still = {"steps": 1, "learning_rate": 0.0}
    whole = gradients(make_trainer(base, "grpo", tmp_path / "a", micro_batch=8, **still))[0]
    halves = gradients(make_trainer(base, "grpo-minibatches", tmp_path / "b", micro_batch=4, **still))
    assert len(halves) == 2
    for key, gradient in whole.items():
        mean = (halves[0][key] + halves[1][key]) / 2
        # beta differs between the two (0.001 against 0), but KL and its gradient are 0 at the base model.
        assert (gradient - mean).abs().max() <= 2e-5 * gradient.abs().max().clamp(min=1e-6), key
