"""The critic's alignment: values[:, t] is V before token t, so it may depend on earlier tokens and on nothing later."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModel

from repro.training.critic import Critic, recompute

KEEP, PROMPT = 5, 4


@pytest.fixture
def critic(base):
    critic = Critic.from_base(base).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        critic.head.weight.copy_(torch.randn(critic.head.weight.shape, generator=generator))
        critic.head.bias.fill_(0.3)
    return critic


def row():
    return torch.tensor([[5, 6, 14, 7, 3, 17, 5, 6, 1]])


@torch.no_grad()
def values(critic, ids):
    out = critic(ids, torch.ones_like(ids), KEEP)
    assert out.shape == (len(ids), KEEP) and out.dtype == torch.float32
    return out


@pytest.mark.parametrize("t", range(KEEP))
def test_a_value_sees_the_tokens_before_it_and_no_others(critic, t):
    ids, changed = row(), row()
    changed[0, PROMPT + t] = 9
    before, after = values(critic, ids), values(critic, changed)
    assert torch.allclose(before[:, : t + 1], after[:, : t + 1], atol=1e-6)
    assert ((before - after)[:, t + 1 :].abs() > 1e-4).all()


def test_the_first_value_sees_the_whole_prompt(critic):
    for position in range(PROMPT):
        changed = row()
        changed[0, position] = 9
        assert (values(critic, row())[0, 0] - values(critic, changed)[0, 0]).abs() > 1e-5


def test_left_padding_changes_nothing(critic):
    ids = torch.cat([torch.zeros(1, 3, dtype=torch.long), row()], dim=1)
    with torch.no_grad():
        padded = critic(ids, (torch.arange(ids.shape[1]) >= 3).long()[None], KEEP)
    assert torch.allclose(padded, values(critic, row()), atol=1e-5)


def test_it_starts_from_the_base_with_values_of_zero(base):
    fresh = Critic.from_base(base)
    assert (values(fresh, row()) == 0).all()
    network = AutoModel.from_pretrained(base, dtype=torch.float32).state_dict()
    assert network and all(torch.equal(fresh.network.state_dict()[name], tensor) for name, tensor in network.items())


def test_the_gradient_reaches_head_and_network(critic):
    critic(row(), torch.ones_like(row()), KEEP).sum().backward()
    assert critic.head.bias.grad.item() == KEEP
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in critic.network.parameters())


def test_recomputed_activations_change_no_gradient(critic, base):
    other = Critic.from_base(base)
    other.load_state_dict(critic.state_dict())
    recompute(other)
    calls = []
    for network in (critic, other):
        network.network.layers[0].mlp.register_forward_pre_hook(lambda *_, n=network: calls.append(n))
        network(row(), torch.ones_like(row()), KEEP).pow(2).sum().backward()
    assert calls.count(critic) == 1 and calls.count(other) == 2, "nothing was recomputed"
    for one, two in zip(critic.parameters(), other.parameters(), strict=True):
        assert torch.equal(one.grad, two.grad)


def test_saved_and_loaded_it_is_the_same(critic, base, tmp_path):
    critic.save(tmp_path)
    other = Critic.from_base(base)
    other.load(tmp_path)
    assert torch.equal(values(other, row()), values(critic, row()))
