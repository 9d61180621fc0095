"""GRPO and RLOO against closed forms, enumeration, and TRL's own code."""

from __future__ import annotations

import itertools
from collections import defaultdict
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from trl import GRPOTrainer
from trl.trainer.utils import nanstd

from repro.errors import InputError
from repro.methods import catalogue
from repro.methods.grpo import group_advantages
from repro.methods.rloo import leave_one_out_advantages
from repro.methods.terms import clipped_surrogate, k3
from repro.testing.toy import gradient, make_setup, micro_batch, policy_gradient

ALL = [torch.arange(8)]
rewards_strategy = st.lists(st.floats(-2, 2, width=32), min_size=4, max_size=24).map(lambda r: r[: len(r) // 4 * 4])


@given(rewards=rewards_strategy, scale=st.sampled_from(["std", "none"]))
def test_group_advantages_equal_trl(rewards, scale):
    """TRL 1.16 `_generate_and_score_completions`: nan-aware sample deviation (in float32), eps 1e-4."""
    rewards = torch.tensor(rewards, dtype=torch.float64)
    mean = torch.nanmean(rewards.view(-1, 4), dim=1).repeat_interleave(4)
    expected = rewards - mean
    if scale == "std":
        expected = expected / (nanstd(rewards.view(-1, 4), dim=1).repeat_interleave(4) + 1e-4)
    torch.testing.assert_close(group_advantages(rewards, 4, scale), expected, rtol=1e-6, atol=1e-6)


def test_group_advantages_by_hand():
    rewards = torch.tensor([1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0], dtype=torch.float64)
    assert group_advantages(rewards, 4, "none").tolist() == [0.75, -0.25, -0.25, -0.25, 0, 0, 0, 0]
    assert group_advantages(rewards, 4)[0] == pytest.approx(0.75 / (0.5 + 1e-4), rel=1e-12)
    assert group_advantages(rewards, 4, eps=0.5)[0] == pytest.approx(0.75)
    assert group_advantages(rewards, 1).tolist() == [0.0] * 8
    assert group_advantages(rewards, 1, "none").tolist() == [0.0] * 8
    assert group_advantages(torch.tensor([1, 0]), 2, "none").tolist() == [0.5, -0.5]


@pytest.mark.parametrize("function", [group_advantages, leave_one_out_advantages])
def test_group_sizes_that_do_not_fit_are_refused(function):
    for size in (0, 3, 5):
        with pytest.raises(InputError, match="group"):
            function(torch.zeros(4), size)
    with pytest.raises(InputError):
        function(torch.zeros(4, 2), 2)
    with pytest.raises(InputError):
        leave_one_out_advantages(torch.zeros(4), 1)
    with pytest.raises(InputError):
        group_advantages(torch.zeros(4), 2, "batch")


@given(rewards=rewards_strategy)
def test_leave_one_out_is_the_centred_reward_stretched(rewards):
    rewards = torch.tensor(rewards, dtype=torch.float64)
    direct = torch.stack([group[i] - (sum(group) - group[i]) / 3 for group in rewards.view(-1, 4) for i in range(4)])
    advantages = leave_one_out_advantages(rewards, 4)
    torch.testing.assert_close(advantages, direct, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(advantages, group_advantages(rewards, 4, "none") * 4 / 3, rtol=1e-10, atol=1e-10)


def bandit_expectation(method_options: dict, group: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Expected gradient of the method's loss over ALL outcomes of a group on a 3-armed bandit; the true gradient."""
    method = catalogue.create(method_options)
    logits = torch.tensor([0.3, -0.2, 0.5], dtype=torch.float64, requires_grad=True)
    values = torch.tensor([1.0, 0.0, 0.4], dtype=torch.float64)
    log_probs = logits.log_softmax(0)
    expected = torch.zeros(3, dtype=torch.float64)
    mask = torch.ones(group, 1, dtype=torch.bool)
    for arms in itertools.product(range(3), repeat=group):
        arms = torch.tensor(arms)
        batch = SimpleNamespace(rewards=values[arms], mask=mask, group_size=group)
        credit = method.credit(batch)
        micro = SimpleNamespace(
            logps=log_probs[arms][:, None], mask=mask, weights=credit.weights, advantages=credit.advantages[:, None],
            rewards=batch.rewards, old_logps=None, ref_logps=None,
        )  # fmt: skip
        loss, _ = method.loss(micro)
        (slope,) = torch.autograd.grad(loss, logits, retain_graph=True)
        expected += log_probs[arms].sum().exp().detach() * slope
    (true,) = torch.autograd.grad(-(log_probs.exp() * values).sum(), logits)
    return expected, true


def test_rloo_is_unbiased_by_enumeration():
    for group in (2, 3, 4):
        expected, true = bandit_expectation({"name": "rloo", "n": group}, group)
        torch.testing.assert_close(expected, true, rtol=0, atol=1e-14)


def test_grpo_without_std_is_biased_only_in_scale():
    """The group mean holds the own reward: the expectation is (n - 1) / n of the true gradient; with std it is not."""
    for group in (2, 4):
        expected, true = bandit_expectation({"name": "grpo", "n": group, "scale": "none"}, group)
        torch.testing.assert_close(expected, true * (group - 1) / group, rtol=0, atol=1e-14)
    scaled, true = bandit_expectation({"name": "grpo", "n": 4}, 4)
    assert torch.nn.functional.cosine_similarity(scaled, true, dim=0) > 0.9
    assert (scaled / scaled.norm() - true / true.norm()).abs().max() > 1e-3


@pytest.mark.parametrize("aggregate", ["token-mean", "sequence-mean", "fixed"])
def test_one_grpo_update_is_reinforce_with_a_group_baseline(aggregate):
    fixed = 11 if aggregate == "fixed" else None
    setup = make_setup(catalogue.create({"name": "grpo", "aggregate": aggregate, "fixed_length": fixed}))
    mask = setup.batch.mask.double()
    weights = {
        "token-mean": mask / mask.sum(), "sequence-mean": mask / mask.sum(1, keepdim=True) / 8, "fixed": mask / 88
    }[aggregate]  # fmt: skip
    groups = setup.batch.rewards.view(-1, 4)
    advantages = ((groups - groups.mean(1, keepdim=True)) / (groups.std(1, keepdim=True) + 1e-4)).view(-1, 1)
    expected = policy_gradient(setup, advantages, weights)
    torch.testing.assert_close(gradient(setup, ALL)[0], expected, rtol=1e-12, atol=1e-14)
    assert gradient(setup, ALL)[1]["clip_fraction"] == 0


def test_one_rloo_update_is_reinforce_on_whole_sequences():
    setup = make_setup(catalogue.create({"name": "rloo", "n": 4}))
    weights = setup.batch.mask.double() / 8
    expected = policy_gradient(setup, leave_one_out_advantages(setup.batch.rewards, 4)[:, None], weights)
    torch.testing.assert_close(gradient(setup, ALL)[0], expected, rtol=1e-12, atol=1e-14)


def test_rloo_penalty_is_the_sequence_kl_in_the_reward():
    setup = make_setup(catalogue.create({"name": "rloo", "n": 4, "beta": 0.3}))
    batch = setup.batch
    difference = torch.where(batch.mask, batch.old_logps - batch.ref_logps, 0.0).sum(1)
    expected = leave_one_out_advantages(batch.rewards - 0.3 * difference, 4)
    torch.testing.assert_close(setup.credit.advantages, expected)


def test_clipped_surrogate_has_no_gradient_beyond_the_range():
    ratio = torch.tensor([0.5, 0.9, 1.1, 1.5, 0.5, 1.5], dtype=torch.float64)
    advantages = torch.tensor([-1.0, -1.0, 1.0, 1.0, 1.0, -1.0], dtype=torch.float64)
    log_ratio = ratio.log().requires_grad_()
    objective, active = clipped_surrogate(log_ratio, advantages, 0.2, 0.2)
    objective.sum().backward()
    assert active.tolist() == [True, False, False, True, False, False]
    assert (log_ratio.grad == 0).tolist() == active.tolist()
    assert objective.tolist() == pytest.approx([-0.8, -0.9, 1.1, 1.2, 0.5, -1.5])
    higher, active = clipped_surrogate(log_ratio, advantages, 0.2, 0.6)
    assert active.tolist() == [True, False, False, False, False, False]
    assert higher.tolist() == pytest.approx([-0.8, -0.9, 1.1, 1.5, 0.5, -1.5])


def test_k3_is_an_unbiased_non_negative_kl():
    logits = torch.randn(2, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    policy, ref = logits.log_softmax(-1)
    estimate = k3(policy, ref)
    assert (estimate >= 0).all()
    assert float((policy.exp() * estimate).sum()) == pytest.approx(float((policy.exp() * (policy - ref)).sum()))


@pytest.mark.parametrize("updates", [1, 2])
@pytest.mark.parametrize(
    ("aggregate", "loss_type"), [("token-mean", "dapo"), ("sequence-mean", "grpo"), ("fixed", "dr_grpo")]
)
def test_grpo_loss_and_gradient_equal_trls_own_code(aggregate, loss_type, updates):
    """TRL's `_compute_loss`, unmodified, on a stand-in trainer that hands it our tensors."""
    fixed = 12 if aggregate == "fixed" else None
    options = {"name": "grpo", "aggregate": aggregate, "fixed_length": fixed, "beta": 0.1, "epochs": updates}
    setup = make_setup(catalogue.create(options))
    live = torch.where(setup.batch.mask, micro_batch(setup, ALL[0]).logps, 0.0)
    fill = lambda tensor: None if tensor is None else torch.where(setup.batch.mask, tensor, 0.0)  # noqa: E731
    stand_in = trl_stand_in(live, loss_type, max_length=12)
    mask = setup.batch.mask.long()
    inputs = {
        "prompt_ids": mask[:, :1], "prompt_mask": mask[:, :1], "completion_ids": setup.batch.completion_ids,
        "completion_mask": mask, "advantages": setup.credit.advantages, "num_items_in_batch": mask.sum(),
        "ref_per_token_logps": fill(setup.batch.ref_logps), "old_per_token_logps": fill(setup.batch.old_logps),
    }  # fmt: skip
    theirs = GRPOTrainer._compute_loss(stand_in, None, {k: v for k, v in inputs.items() if v is not None})
    slopes = torch.autograd.grad(theirs, list(setup.policy.parameters()), allow_unused=True)
    ours, metrics = setup.method.loss(micro_batch(setup, ALL[0]))
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-14)
    flat = torch.cat([s.flatten() for s in slopes if s is not None])
    torch.testing.assert_close(gradient(setup, ALL)[0][: flat.numel()], flat, rtol=1e-11, atol=1e-13)
    logged = stand_in._metrics["train"]
    assert float(metrics["kl"][0] / metrics["kl"][1]) == pytest.approx(logged["kl"][0])
    clip_fraction = float(metrics["clip_fraction"][0] / metrics["clip_fraction"][1])
    assert clip_fraction == pytest.approx(logged["clip_ratio/region_mean"][0])
    assert (clip_fraction > 0) == (updates > 1)


def trl_stand_in(logps: torch.Tensor, loss_type: str, max_length: int):
    """What `GRPOTrainer._compute_loss` reads of its trainer in TRL 1.16, for one full batch and no accumulation."""
    entropies = torch.zeros_like(logps)
    accelerator = SimpleNamespace(
        gather=lambda x: x, gather_for_metrics=lambda x: x, reduce=lambda x, reduction: x, num_processes=1,
        sync_gradients=True,
    )  # fmt: skip
    return SimpleNamespace(
        _get_per_token_logps_and_entropies=lambda *a, **k: (logps, entropies, None),
        top_entropy_quantile=1.0, beta=0.1, use_vllm=False, off_policy_mask_threshold=None, tools=None,
        importance_sampling_level="token", loss_type=loss_type, epsilon_low=0.2, epsilon_high=0.2,
        max_completion_length=max_length, current_gradient_accumulation_steps=1, aux_loss_enabled=False,
        _entropy_bonus_enabled=False, model=SimpleNamespace(training=True), accelerator=accelerator,
        args=SimpleNamespace(delta=None, use_bias_correction_kl=False, steps_per_generation=1),
        _metrics={"train": defaultdict(list)},
    )  # fmt: skip


def test_grpo_clip_higher_reaches_the_loss():
    setup = make_setup(catalogue.create({"name": "grpo", "minibatches": 2, "epsilon": 0.05, "epsilon_high": 0.5}))
    micro = micro_batch(setup, ALL[0])
    ratio = (micro.logps - micro.old_logps).exp()
    bounded = torch.minimum(ratio * micro.advantages, ratio.clamp(0.95, 1.5) * micro.advantages)
    assert ((ratio > 1.05) & (ratio < 1.5) & (micro.advantages > 0)).any()
    torch.testing.assert_close(setup.method.loss(micro)[0], -bounded[micro.mask].mean())


def test_rloo_clips_the_ratio_of_whole_sequences():
    setup = make_setup(catalogue.create({"name": "rloo", "n": 4, "minibatches": 2, "epsilon": 0.3}))
    micro = micro_batch(setup, ALL[0])
    ratio = torch.where(micro.mask, micro.logps - micro.old_logps, 0.0).sum(1).exp()
    advantages = setup.credit.advantages
    bounded = torch.minimum(ratio * advantages, ratio.clamp(0.7, 1.3) * advantages)
    loss, metrics = setup.method.loss(micro)
    torch.testing.assert_close(loss, -bounded.mean())
    assert int(metrics["clip_fraction"][0]) == int((bounded < ratio * advantages).sum()) > 0
