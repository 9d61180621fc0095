"""S-GRPO as a method: full-token GRPO as its special case, its gradient, its warning (its rule: test_select_tokens)."""

from __future__ import annotations

import warnings
from dataclasses import replace

import pytest
import torch

from repro.methods import catalogue
from repro.methods.grpo import group_advantages
from repro.methods.sgrpo import READINGS, Sgrpo
from repro.methods.terms import selected_loss
from repro.testing.toy import gradient, make_setup, micro_batch, policy_gradient

ALL = [torch.arange(8)]


@pytest.fixture(autouse=True)
def already_said(monkeypatch):
    """The warning of full-token GRPO in disguise has its own tests."""
    monkeypatch.setattr(Sgrpo, "_warned", True)


# ---- the loss


@pytest.mark.parametrize(
    "rule", [{"alpha": 0, "p": 1.0}, {"alpha": 7, "p": 0.0}, {"alpha": 2, "k": 7, "p": 1.0}], ids=str
)
@pytest.mark.parametrize("beta", [0.0, 0.3])
def test_with_all_tokens_it_is_full_token_grpo(rule, beta):
    """Value and gradient, the KL term included; and REINFORCE with a group baseline written down."""
    sgrpo = make_setup(catalogue.create({"name": "sgrpo", "beta": beta, **rule}))
    grpo = make_setup(catalogue.create({"name": "grpo", "aggregate": "sequence-mean", "beta": beta}))
    assert torch.equal(sgrpo.credit.weights, grpo.credit.weights)
    values = [setup.method.loss(micro_batch(setup, ALL[0]))[0] for setup in (sgrpo, grpo)]
    assert torch.equal(*values)
    (mine, _), (theirs, _) = gradient(sgrpo, ALL), gradient(grpo, ALL)
    assert torch.equal(mine, theirs)
    if beta == 0:
        mask = sgrpo.batch.mask.double()
        advantages = group_advantages(sgrpo.batch.rewards, 4)[:, None]
        written = policy_gradient(sgrpo, advantages, mask / mask.sum(1, keepdim=True) / 8)
        torch.testing.assert_close(mine, written, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("options", [{"alpha": 0, "p": 1.0}, {"p": 0.5}, {"alpha": 1, "beta": 0.3}], ids=str)
def test_the_gradient_is_the_slope_of_the_papers_objective(options):
    """Central differences of J with the ratio's denominator frozen, weight by weight of a softmax policy."""
    setup = make_setup(catalogue.create({"name": "sgrpo", **options}), length=4, vocabulary=3)
    found, _ = gradient(setup, ALL)
    batch, mask = setup.batch, setup.batch.mask
    selected = (setup.credit.weights != 0).double()
    start = setup.policy(batch.completion_ids)["logps"].detach()
    reference = 0.0 if batch.ref_logps is None else torch.where(mask, batch.ref_logps, 0.0)

    def objective() -> float:
        logps = setup.policy(batch.completion_ids)["logps"].detach()
        gain = (logps - start).exp() * batch_advantages[:, None]
        if setup.method.config.beta:
            gap = torch.where(mask, reference - logps, 0.0)
            gain = gain - setup.method.config.beta * (gap.exp() - 1 - gap)
        per_row = (selected * gain).sum(dim=1) / selected.sum(dim=1).clamp(min=1)
        return float(per_row.mean())

    groups = batch.rewards.view(-1, 4)
    batch_advantages = ((groups - groups.mean(1, keepdim=True)) / (groups.std(1, keepdim=True) + 1e-4)).flatten()
    slopes = []
    with torch.no_grad():
        for parameter in setup.policy.parameters():
            flat = parameter.view(-1)
            for i in range(flat.numel()):
                kept, values = float(flat[i]), []
                for step in (1e-5, -1e-5):
                    flat[i] = kept + step
                    values.append(objective())
                flat[i] = kept
                slopes.append((values[0] - values[1]) / 2e-5)
    difference = (found + torch.tensor(slopes, dtype=torch.float64)).abs().max()  # the loss is minus the objective
    assert float(difference) < 1e-9 and float(found.abs().max()) > 1e-3


def test_completions_count_alike_however_many_of_their_tokens_are_selected():
    setup = make_setup(catalogue.create({"name": "sgrpo", "alpha": 0, "p": 0.4}))
    selected = setup.credit.weights != 0
    count = selected.sum(dim=1)
    assert 0 < int((count == 0).sum()) < 8, "some row must be empty for this test to see one"
    assert setup.credit.weights.sum(dim=1).tolist() == pytest.approx([0.125 * bool(c) for c in count])
    assert setup.credit.metrics["token_share"] == pytest.approx(float(count.sum() / setup.batch.mask.sum()))


def test_without_any_token_loss_and_gradient_are_zero():
    setup = make_setup(catalogue.create({"name": "sgrpo", "alpha": 0, "p": 0.0, "beta": 0.3}))
    micro = micro_batch(setup, ALL[0])
    loss, _ = setup.method.loss(micro)
    assert float(loss.detach()) == 0
    assert (gradient(setup, ALL)[0] == 0).all()
    assert setup.credit.metrics == {"token_share": 0.0, "disguised": 0.0}


@pytest.mark.parametrize("reading", READINGS)
def test_no_gradient_outside_the_selected_tokens(reading):
    setup = make_setup(catalogue.create({"name": "sgrpo", "p": 0.5, "k": 4, "reading": reading, "scale": "none"}))
    micro = micro_batch(setup, ALL[0])
    logps = torch.nan_to_num(micro.logps.detach(), nan=-0.7).requires_grad_()
    loss, _ = setup.method.loss(replace(micro, logps=logps))
    (slope,) = torch.autograd.grad(loss, logps)
    selected = setup.credit.weights != 0
    assert (slope[~selected] == 0).all()
    expected = -setup.credit.weights * setup.credit.advantages[:, None]
    torch.testing.assert_close(slope, expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(("scale", "factor"), [("none", 2.0), ("std", 1.0)])
def test_doubled_rewards_double_the_gradient_only_without_the_deviation(scale, factor):
    setup = make_setup(catalogue.create({"name": "sgrpo", "scale": scale}))
    single, _ = gradient(setup, ALL)
    setup.batch.rewards = 2 * setup.batch.rewards
    setup.batch.generator.manual_seed(0)
    setup.credit = setup.method.credit(setup.batch)
    torch.testing.assert_close(gradient(setup, ALL)[0], factor * single, rtol=1e-3, atol=1e-12)


def test_the_loss_value_says_nothing_but_the_kl_term():
    setup = make_setup(catalogue.create({"name": "sgrpo", "alpha": 1, "p": 0.5, "beta": 0.2}))
    micro = micro_batch(setup, ALL[0])
    loss, metrics = setup.method.loss(micro)
    gap = torch.where(micro.weights != 0, micro.ref_logps - micro.logps.detach(), 0.0)
    kl = gap.exp() - 1 - gap
    assert float(loss.detach()) == pytest.approx(0.2 * float((micro.weights * kl).sum()), abs=1e-12)
    total, count = metrics["kl"]
    assert int(count) == int((micro.weights != 0).sum()) and float(total) == pytest.approx(float(kl.sum()))


def test_a_clip_changes_nothing_at_ratio_one():
    setup = make_setup(catalogue.create({"name": "sgrpo", "beta": 0.1}))
    slopes = []
    for clip in ({}, {"clip": 0.2}):
        micro = micro_batch(setup, ALL[0])
        loss, metrics = selected_loss(micro, 0.1, **clip)
        slopes.append(torch.autograd.grad(loss, setup.policy.position)[0])
        assert float(metrics["clip_fraction"][0]) == 0
    assert torch.equal(*slopes) and float(slopes[0].abs().max()) > 1e-3


def test_the_kl_term_on_all_tokens_is_a_mean_per_completion():
    setup = make_setup(catalogue.create({"name": "sgrpo", "beta": 0.2, "kl_scope": "all"}))
    mask = setup.batch.mask.double()
    assert torch.equal(setup.credit.kl_weights, mask / mask.sum(1, keepdim=True) / 8)
    assert float((setup.credit.weights != 0).sum()) < float(mask.sum())


def test_the_published_advantage_example():
    rewards = torch.tensor([1.0, 0.0, 0.0, 1.0], dtype=torch.float64)
    assert group_advantages(rewards, 4, "none").tolist() == [0.5, -0.5, -0.5, 0.5]
    sample = group_advantages(rewards, 4, "std", eps=0.0)
    assert sample.tolist() == pytest.approx([0.8660254, -0.8660254, -0.8660254, 0.8660254], abs=1e-7)
    population = sample * (4 / 3) ** 0.5  # the sample deviation is the default here
    assert population.tolist() == pytest.approx([1, -1, -1, 1])


def test_the_planner_is_told_the_expected_number():
    method = catalogue.create({"name": "sgrpo", "alpha": 150, "k": 341, "p": 0.5})
    assert method.selected_tokens(532) == pytest.approx(337.10, abs=5e-3)


# ---- full-token GRPO in disguise


@pytest.mark.parametrize(
    ("rule", "disguised"),
    [
        ({"alpha": 7, "p": 0.0}, 1.0),
        ({"alpha": 0, "p": 1.0}, 1.0),
        ({"alpha": 3, "p": 0.5}, 0.5),
        ({"alpha": 0, "p": 1.0, "k": 4}, 0.75),
        ({"alpha": 0, "p": 0.99}, 0.0),
    ],
    ids=str,
)
def test_the_share_of_covered_completions_is_recorded(rule, disguised):
    setup = make_setup(catalogue.create({"name": "sgrpo", **rule}))
    setup.batch.mask = torch.arange(7) < torch.tensor([[1], [2], [3], [3], [4], [4], [6], [7]])
    setup.batch.generator.manual_seed(0)
    assert setup.method.credit(setup.batch).metrics["disguised"] == disguised


def test_full_token_grpo_in_disguise_is_said_once(monkeypatch):
    monkeypatch.setattr(Sgrpo, "_warned", False)
    with pytest.warns(UserWarning, match="alpha=9, k=None, p=0.3 .* full-token GRPO in disguise"):
        make_setup(catalogue.create({"name": "sgrpo", "alpha": 9}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make_setup(catalogue.create({"name": "sgrpo", "alpha": 8}))


def test_nothing_is_said_while_a_completion_is_longer_than_alpha(monkeypatch):
    monkeypatch.setattr(Sgrpo, "_warned", False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        setup = make_setup(catalogue.create({"name": "sgrpo", "alpha": 6}))
    assert 0 < setup.credit.metrics["disguised"] < 1
