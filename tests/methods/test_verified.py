"""Unified verification: lambda = 0 is the wrapped method bit for bit, the loss is a sum, the verdict loss by hand."""

from __future__ import annotations

import math
from dataclasses import asdict, fields, replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from repro.errors import InputError
from repro.methods import catalogue, configs
from repro.methods.verified import verdict_labels, verdict_weights, verified
from repro.testing.toy import gradient, make_setup, micro_batch, total_loss

ALL = [torch.arange(8)]
every_method = pytest.mark.parametrize("name", configs.TRAINED)
LOG_HALF = math.log(0.5)


def setups(name: str, **options):
    """The wrapped method's setup and its -v form's on the same batch, policy and sampled values."""
    return make_setup(catalogue.create({"name": name})), make_setup(catalogue.create({"name": f"{name}-v", **options}))


def verdicts(logps, rewards=None, **options):
    """A micro-batch of grpo-v with the given log-probabilities of the right verdicts, and the method."""
    setup = make_setup(catalogue.create({"name": "grpo-v", "n": 2, **options}), rows=len(logps))
    if rewards is not None:
        setup.batch.rewards = torch.tensor(rewards, dtype=torch.float64)
        setup.credit = setup.method.credit(setup.batch)
    micro = micro_batch(setup, torch.arange(len(logps)))
    micro.verdict_logps = torch.tensor(logps, dtype=torch.float64, requires_grad=True)
    return setup.method, micro


@every_method
def test_lambda_zero_is_the_wrapped_method_bit_for_bit(name):
    inner, outer = setups(name, verify_lambda=0)
    assert outer.method.needs() == inner.method.needs() and outer.method.needs().verdict == "none"
    for spec in fields(inner.credit):
        mine, theirs = getattr(outer.credit, spec.name), getattr(inner.credit, spec.name)
        assert torch.equal(mine, theirs) if isinstance(theirs, torch.Tensor) else mine == theirs, spec.name
    assert torch.equal(total_loss(outer.method, micro_batch(outer, ALL[0]))[0],
                       total_loss(inner.method, micro_batch(inner, ALL[0]))[0])  # fmt: skip
    (mine, mine_metrics), (theirs, their_metrics) = gradient(outer, ALL), gradient(inner, ALL)
    assert torch.equal(mine, theirs) and mine_metrics == their_metrics
    for setup in (inner, outer):
        torch.optim.Adam(setup.policy.parameters(), lr=0.1).step()
    for a, b in zip(inner.policy.parameters(), outer.policy.parameters(), strict=True):
        assert torch.equal(a, b)


@every_method
@pytest.mark.parametrize("verifier", ["policy", "head", "separate"])
def test_the_wrapped_credit_stays_and_the_gradients_add_up(name, verifier):
    inner, outer = setups(name, verify_lambda=0.25, verifier=verifier)
    assert outer.method.needs() == replace(inner.method.needs(), verdict=verifier)
    for spec in fields(inner.credit):
        mine, theirs = getattr(outer.credit, spec.name), getattr(inner.credit, spec.name)
        if spec.name == "verdict_weights":
            assert theirs is None and mine.tolist() == [1 / 8] * 8
        else:
            assert torch.equal(mine, theirs) if isinstance(theirs, torch.Tensor) else mine == theirs
    once, _ = gradient(outer, ALL)
    twice, metrics = gradient(make_setup(catalogue.create(
        {"name": f"{name}-v", "verify_lambda": 0.5, "verifier": verifier}
    )), ALL)  # fmt: skip
    base, base_metrics = gradient(inner, ALL)
    verdict = mean_verdict_gradient(outer)
    assert verdict.abs().max() > 1e-3
    scale = max(1.0, float(base.abs().max()))
    torch.testing.assert_close(once, base + 0.25 * verdict, rtol=1e-11, atol=1e-13 * scale)
    torch.testing.assert_close(twice, base + 0.5 * verdict, rtol=1e-11, atol=1e-13 * scale)
    assert set(metrics) == set(base_metrics) | {"verdict_loss", "verdict_accuracy"}
    assert {key: metrics[key] for key in base_metrics} == base_metrics


def mean_verdict_gradient(setup) -> torch.Tensor:
    """Gradient of J_verify's negative, written down from its definition."""
    logits = setup.policy.verdict_logits(setup.batch.completion_ids, setup.batch.mask)
    yes = torch.sigmoid(logits)
    chosen = torch.where(setup.batch.rewards == 1, yes, 1 - yes)
    parameters = list(setup.policy.parameters())
    slopes = torch.autograd.grad(-chosen.log().mean(), parameters, allow_unused=True)
    pairs = zip(slopes, parameters, strict=True)
    return torch.cat([(torch.zeros_like(p) if s is None else s).flatten() for s, p in pairs])


def test_verdict_loss_by_hand():
    method, micro = verdicts([LOG_HALF] * 4, verify_lambda=1.0)
    loss, metrics = method.verdict_loss(micro)
    assert float(loss.detach()) == pytest.approx(0.693147, abs=1e-6)
    assert float(metrics["verdict_loss"][0] / metrics["verdict_loss"][1]) == pytest.approx(0.693147, abs=1e-6)
    method, micro = verdicts([0.0] * 4, verify_lambda=1.0)
    assert float(method.verdict_loss(micro)[0].detach()) == 0
    method, micro = verdicts([math.log(0.9), math.log(0.2)], verify_lambda=0.3)
    loss, _ = method.verdict_loss(micro)
    assert float(loss.detach()) == pytest.approx(-0.3 * (math.log(0.9) + math.log(0.2)) / 2)
    (slope,) = torch.autograd.grad(loss, micro.verdict_logps)
    assert slope.tolist() == pytest.approx([-0.15, -0.15])


def test_a_verdict_counts_as_right_above_one_half():
    method, micro = verdicts([math.log(0.51), LOG_HALF, math.log(0.49), 0.0])
    hits, rows = method.verdict_loss(micro)[1]["verdict_accuracy"]
    assert (int(hits), int(rows)) == (2, 4)


def test_the_verdict_loss_depends_on_nothing_but_the_verdicts():
    setup = make_setup(catalogue.create({"name": "grpo-v", "beta": 0.1}))
    micro = micro_batch(setup, ALL[0])
    loss, _ = setup.method.verdict_loss(micro)
    assert torch.autograd.grad(loss, micro.logps, retain_graph=True, allow_unused=True) == (None,)
    changed = replace(micro, logps=micro.logps - 3.0, advantages=2 * micro.advantages, weights=0 * micro.weights)
    assert torch.equal(setup.method.verdict_loss(changed)[0], loss)
    lone = replace(micro, logps=None, advantages=None, weights=None)
    assert torch.equal(setup.method.verdict_loss(lone)[0], loss)


def test_labels_and_one_example_per_rollout():
    rewards = torch.tensor([1.0, 0.0, 0.0, 1.0])
    assert verdict_labels(rewards).tolist() == [True, False, False, True]
    assert verdict_weights(rewards).tolist() == [0.25] * 4
    method, micro = verdicts([LOG_HALF] * 6, rewards=[1, 0, 0, 0, 0, 0])
    assert int(method.verdict_loss(micro)[1]["verdict_loss"][1]) == 6
    assert micro.verdict_weights.shape == (6,) and (micro.verdict_weights > 0).all()


def test_balanced_weights_by_hand():
    rewards = torch.tensor([1.0, 0.0, 0.0, 0.0], dtype=torch.float64)
    assert verdict_weights(rewards, balance=True).tolist() == pytest.approx([1 / 2, 1 / 6, 1 / 6, 1 / 6])
    assert verdict_weights(torch.ones(4), balance=True).tolist() == [0.25] * 4
    assert verdict_weights(torch.zeros(4), balance=True).tolist() == [0.25] * 4
    method, micro = verdicts([-1.0, -2.0, -4.0, -6.0], rewards=[1, 0, 0, 0], verify_lambda=1.0, balance=True)
    assert float(method.verdict_loss(micro)[0].detach()) == pytest.approx(0.5 * 1 + 0.5 * 4)
    method, micro = verdicts([-1.0, -2.0, -4.0, -6.0], rewards=[1, 0, 0, 0], verify_lambda=1.0)
    assert float(method.verdict_loss(micro)[0].detach()) == pytest.approx(13 / 4)


@given(st.lists(st.integers(0, 1), min_size=1, max_size=30), st.booleans())
def test_weights_add_up_to_one(labels, balance):
    rewards = torch.tensor(labels, dtype=torch.float32)
    weights = verdict_weights(rewards, balance)
    assert weights.dtype == torch.float32 and float(weights.sum()) == pytest.approx(1, abs=1e-5)
    if balance and 0 < sum(labels) < len(labels):
        assert float(weights[rewards == 1].sum()) == pytest.approx(0.5, abs=1e-5)


def test_a_separate_verifier_is_a_loss_of_its_own():
    setup = make_setup(catalogue.create({"name": "grpo-v", "verifier": "separate"}))
    plain = make_setup(catalogue.create({"name": "grpo"}))
    micro = replace(micro_batch(setup, ALL[0]), verdict_logps=None)
    loss, metrics = setup.method.loss(micro)
    assert torch.equal(loss, plain.method.loss(micro_batch(plain, ALL[0]))[0])
    assert "verdict_loss" not in metrics


def test_the_critic_is_the_wrapped_methods():
    inner, outer = setups("ppo")
    mine, metrics = outer.method.critic_loss(micro_batch(outer, ALL[0]))
    assert torch.equal(mine, inner.method.critic_loss(micro_batch(inner, ALL[0]))[0]) and set(metrics) == {"value_loss"}
    with pytest.raises(TypeError, match="no critic"):
        catalogue.create({"name": "grpo-v"}).critic_loss(None)


def test_what_does_not_verify_has_no_verdict_loss():
    for options in ({"name": "grpo"}, {"name": "grpo-v", "verify_lambda": 0}):
        with pytest.raises(TypeError, match="no verifier"):
            catalogue.create(options).verdict_loss(None)


@every_method
def test_the_wrapped_method_gets_a_config_of_its_own_type(name):
    options = {"verify_lambda": 0.4, "balance": True, "n": 8}
    config = configs.build(f"{name}-v", options)
    cls = catalogue.load(f"{name}-v")
    method = cls(config)
    assert type(method.inner.config) is configs.CONFIGS[name]
    extra = {"verify_lambda": 0.4, "balance": True, "verifier": "policy"}
    assert asdict(config) == asdict(method.inner.config) | extra
    assert method.inner.config == configs.build(name, {"n": 8})
    assert isinstance(config, configs.CONFIGS[name]) and config.updates == method.inner.config.updates
    assert list(asdict(config))[-3:] == ["verify_lambda", "verifier", "balance"]
    assert cls is verified(catalogue.load(name)) and cls.name == f"{name}-v"


def test_a_method_of_ones_own_can_be_wrapped():
    plain = catalogue.load("grpo")
    mine = type("Mine", (plain,), {"name": "mine"})
    wrapped = verified(mine)
    assert wrapped.name == "mine-v" and wrapped(wrapped.Config(verify_lambda=1)).needs().verdict == "policy"
    with pytest.raises(InputError, match="verify_lambda must be at least 0"):
        wrapped.Config(verify_lambda=-1)
