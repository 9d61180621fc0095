"""The identities of A*-PO (arXiv 2505.20686): V* and its limits, the loss, its optimum, its gradient, its options."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import one_hot

from repro.errors import InputError
from repro.methods import catalogue
from repro.methods.astar_po import astar_po_loss, optimal_value
from repro.testing.toy import gradient, make_setup, micro_batch, policy_gradient, ragged_mask, total_loss

from . import tabular

ALL = [torch.arange(8)]
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


def counts(n: int, dtype=torch.float64) -> torch.Tensor:
    """Rewards (n + 1, n): row k has k ones."""
    return torch.ones(n + 1, n, dtype=dtype).tril(-1)


def random_case(seed: int, rows: int = 6, length: int = 5, vocabulary: int = 4):
    """Logits (B, T, V), tokens (B, T, 1), reference log-probs, ragged mask, 0/1 rewards, V*; float64."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(rows, length, vocabulary, generator=generator, dtype=torch.float64)
    ref = torch.randn(rows, length, vocabulary, generator=generator, dtype=torch.float64).log_softmax(-1)
    ids = torch.randint(0, vocabulary, (rows, length, 1), generator=generator)
    mask = ragged_mask(rows, length, generator)
    rewards = torch.randint(0, 2, (rows,), generator=generator).double()
    values = torch.rand(rows, generator=generator, dtype=torch.float64)
    return logits, ids, ref.gather(-1, ids)[..., 0], mask, rewards, values


def chosen(logits, ids):
    return logits.log_softmax(-1).gather(-1, ids)[..., 0]


# -- V* ------------------------------------------------------------------------------------------------------------


@DTYPES
def test_values_at_the_papers_setting(dtype):
    expected = [0, 0.2935, 0.4772, 0.6113, 0.7169, 0.8040, 0.8782, 0.9428, 1]
    values = optimal_value(counts(8, dtype), 0.5)
    assert values.dtype == dtype and values.tolist() == pytest.approx(expected, abs=5e-5)


@given(n=st.integers(1, 33), beta1=st.floats(0.05, 50))
def test_value_is_the_closed_form_of_binary_rewards(n, beta1):
    shares = torch.arange(n + 1, dtype=torch.float64) / n
    expected = beta1 * torch.log1p(shares * math.expm1(1 / beta1))
    torch.testing.assert_close(optimal_value(counts(n), beta1), expected, rtol=1e-12, atol=1e-13)


@given(
    rewards=st.lists(st.floats(-5, 5), min_size=2, max_size=9), beta1=st.floats(0.05, 20), shift=st.floats(-100, 100)
)
def test_value_of_any_rewards(rewards, beta1, shift):
    rewards = torch.tensor([rewards], dtype=torch.float64)
    expected = beta1 * ((rewards / beta1).logsumexp(1) - math.log(rewards.shape[1]))
    value = optimal_value(rewards, beta1)
    torch.testing.assert_close(value, expected, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(optimal_value(rewards + shift, beta1), value + shift, rtol=1e-9, atol=1e-9)


@DTYPES
@pytest.mark.parametrize("beta1", [1.4e-3, 1e-3, 1e-4, 1e-8, 1e-45, 1e-50, 1e-300])
def test_tiny_beta1_is_the_maximum_without_overflow(dtype, beta1):
    """exp(1 / beta1) leaves float64 below 0.0014, and float32 below 0.012; beta1 itself leaves float32 at 1e-46."""
    values = optimal_value(counts(8, dtype), beta1)
    assert values.dtype == dtype and torch.isfinite(values).all()
    assert values.tolist() == pytest.approx([0.0] + [1.0] * 8, abs=beta1 * math.log(8) + 1e-7)
    scale = optimal_value(1000 * counts(8, dtype), beta1)
    assert scale.tolist() == pytest.approx([0.0] + [1000.0] * 8, rel=1e-5)
    single = optimal_value(torch.tensor([[1.0, 0.0]], dtype=torch.float64), max(beta1, 1e-4))
    assert float(single) == pytest.approx(1 - max(beta1, 1e-4) * math.log(2), rel=1e-12)


@DTYPES
@pytest.mark.parametrize("beta1", [1e6, 1e12, 1e30, 1e300])
def test_huge_beta1_is_the_mean_without_cancellation(dtype, beta1):
    """logsumexp - ln N would lose everything here: at 1e17 both are equal in float64."""
    shares = (torch.arange(9, dtype=torch.float64) / 8).tolist()
    assert optimal_value(counts(8, dtype), beta1).tolist() == pytest.approx(shares, abs=2e-7)


def test_named_limits_are_exact_and_bound_every_value():
    rewards = counts(8)
    mean, best = optimal_value(rewards, "mean"), optimal_value(rewards, "max")
    assert mean.tolist() == [k / 8 for k in range(9)] and best.tolist() == [0.0] + [1.0] * 8
    ladder = torch.stack([best, *(optimal_value(rewards, b) for b in (1e-3, 0.05, 0.25, 0.5, 1.0, 5.0, 100.0)), mean])
    falls = -ladder.diff(dim=0)
    assert (falls >= 0).all() and (falls[:, 1:8] > 0).all()  # strictly between, except for all wrong and all right


@pytest.mark.parametrize("beta1", [0, 0.0, -0.5, -1, float("nan"), float("inf"), "median", None, True])
def test_a_beta1_that_is_no_strength_names_both_limits(beta1):
    with pytest.raises(InputError, match='"mean".*"max"') as caught:
        optimal_value(counts(8), beta1)
    assert "\n" not in str(caught.value) and repr(beta1) in str(caught.value)


def test_value_refuses_rewards_of_another_shape():
    for rewards in (torch.zeros(8), torch.zeros(2, 2, 2), torch.zeros(3, 0)):
        with pytest.raises(InputError, match="shape"):
            optimal_value(rewards, 0.5)
    whole = optimal_value(torch.tensor([[0, 1], [1, 1]]), 0.5)
    assert whole.is_floating_point() and float(whole[1]) == 1


# -- the optimum ---------------------------------------------------------------------------------------------------


def optimum(beta: float, seed: int = 0):
    """Reference table, rewards, exact V* and the optimal table of the tree's KL-regularised problem."""
    ref = tabular.table(seed)
    rewards = torch.randint(0, 2, (len(tabular.ROWS),), generator=torch.Generator().manual_seed(seed)).double()
    value = beta * (tabular.row_logps(ref) + rewards / beta).logsumexp(0)
    return ref, rewards, value, tabular.tilted(ref, rewards / beta)


@pytest.mark.parametrize("beta", [0.05, 0.5, 3.0])
def test_advantage_is_beta_times_the_optimal_log_ratio(beta):
    ref, rewards, value, best = optimum(beta)
    ratio = tabular.row_logps(best) - tabular.row_logps(ref)
    torch.testing.assert_close(rewards - value, beta * ratio, rtol=1e-12, atol=1e-12)
    assert float(tabular.row_logps(best).exp().sum()) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("beta", [0.05, 0.5, 3.0])
def test_loss_vanishes_at_the_optimum_and_nowhere_else(beta):
    ref, rewards, value, best = optimum(beta)
    values = value.expand(len(tabular.ROWS))

    def loss(table, values=values):
        return astar_po_loss(tabular.logps(table), tabular.logps(ref), tabular.MASK, rewards, values, beta)

    point = best.clone().requires_grad_()
    at_best = loss(point)
    at_best.backward()
    assert float(at_best.detach()) < 1e-24 and point.grad.abs().max() < 1e-12
    assert loss(ref) > 1e-3 and loss(best + 0.1 * tabular.table(9)) > 1e-6
    assert loss(best, values + 0.1) == pytest.approx(0.01)  # another V* has no policy without loss
    found = tabular.minimise(loss, ref)
    torch.testing.assert_close(found.log_softmax(-1), best.log_softmax(-1), rtol=1e-5, atol=1e-5)


def test_stage_one_gives_the_exact_value_when_its_samples_are_the_distribution():
    """Under a uniform reference all rows of the deepest level are equally likely: N samples, one of each."""
    beta, rewards = 0.3, torch.tensor([1.0, 0, 0, 1, 0, 0, 0, 0, 0], dtype=torch.float64)
    value = optimal_value(rewards[None], beta)[0]
    log_ref = torch.full((9,), -math.log(9), dtype=torch.float64)
    best = (log_ref + rewards / beta).log_softmax(0)
    loss = astar_po_loss(best[:, None], log_ref[:, None], torch.ones(9, 1).bool(), rewards, value.expand(9), beta)
    assert float(loss) < 1e-28


# -- the loss ------------------------------------------------------------------------------------------------------


@given(seed=st.integers(0, 10**6), beta2=st.floats(1e-3, 2.0))
def test_loss_row_by_row(seed, beta2):
    logits, ids, ref, mask, rewards, values = random_case(seed)
    logps, total = chosen(logits, ids), 0.0
    for row in range(6):
        log_ratio = sum(float(logps[row, t] - ref[row, t]) for t in range(int(mask[row].sum())))
        total += (beta2 * log_ratio + float(values[row]) - float(rewards[row])) ** 2
    loss = astar_po_loss(logps, ref, mask, rewards, values, beta2)
    assert float(loss) == pytest.approx(total / 6, rel=1e-11)


def test_gradient_is_the_closed_form_and_reaches_the_policy_alone():
    logits, ids, ref, mask, rewards, values = random_case(3)
    logits.requires_grad_()
    frozen = [tensor.clone().requires_grad_() for tensor in (ref, values)]
    beta2 = 0.3
    automatic, *rest = torch.autograd.grad(
        astar_po_loss(chosen(logits, ids), frozen[0], mask, rewards, frozen[1], beta2),
        [logits, *frozen],
        allow_unused=True,
    )
    assert rest == [None, None]
    log_ratio = ((chosen(logits, ids) - ref) * mask).sum(1).detach()
    factor = 2 * beta2 * (beta2 * log_ratio + values - rewards) / 6
    slope = (one_hot(ids[..., 0], 4) - logits.detach().softmax(-1)) * mask[..., None]
    torch.testing.assert_close(automatic, factor[:, None, None] * slope, rtol=1e-12, atol=1e-14)


def test_at_the_start_the_loss_is_the_variance_around_v_and_the_step_is_reinforce():
    setup = make_setup(catalogue.create({"name": "astar-po", "beta2": 0.25}))
    setup.batch.ref_logps = setup.policy(setup.batch.completion_ids)["logps"].detach()
    advantages = setup.batch.rewards - setup.batch.prompt_values
    loss, metrics = setup.method.loss(micro_batch(setup, ALL[0]))
    assert float(loss.detach()) == pytest.approx(float((advantages**2).mean()), rel=1e-13)
    assert float(metrics["kl"][0]) == 0 and float(metrics["advantage"][0]) == pytest.approx(float(advantages.sum()))
    actual, _ = gradient(setup, ALL)
    expected = policy_gradient(setup, advantages[:, None], 2 * 0.25 / 8 * setup.batch.mask.double())
    torch.testing.assert_close(actual, expected, rtol=1e-11, atol=1e-14)
    logps, mask = setup.batch.ref_logps, setup.batch.mask
    same = astar_po_loss(logps, logps, mask, setup.batch.rewards, setup.batch.rewards, 0.25)
    assert float(same) == 0  # V* = r: the reference is where it stays


def test_the_end_token_counts_padding_does_not_and_tokens_are_summed():
    logps = torch.tensor([[-1.0, -1.0, -3.0, torch.nan], [-1.0, -3.0, torch.nan, torch.inf]], dtype=torch.float64)
    mask = torch.tensor([[True, True, True, False], [True, True, False, False]])  # the last True is the end token
    nothing = torch.zeros(2, dtype=torch.float64)
    loss = astar_po_loss(logps, torch.zeros_like(logps), mask, nothing, nothing, 1.0)
    assert float(loss) == (25 + 16) / 2  # without the end token (4 + 1) / 2, as means of tokens (25 / 9 + 4) / 2
    longer = torch.cat([mask, torch.zeros(2, 3).bool()], dim=1)
    wide = torch.cat([logps, torch.full((2, 3), torch.nan).double()], dim=1)
    assert astar_po_loss(wide, torch.zeros_like(wide), longer, nothing, nothing, 1.0) == loss


# -- the method ----------------------------------------------------------------------------------------------------


def test_method_loss_is_astar_po_loss():
    setup = make_setup(catalogue.create({"name": "astar-po", "n": 2, "beta2": 0.4}))
    micro, batch = micro_batch(setup, ALL[0]), setup.batch
    loss, metrics = setup.method.loss(micro)
    expected = astar_po_loss(micro.logps, micro.ref_logps, batch.mask, batch.rewards, batch.prompt_values, 0.4)
    torch.testing.assert_close(loss, expected, rtol=1e-13, atol=0)
    ratios = {key: float(total) / float(count) for key, (total, count) in metrics.items()}
    assert ratios["residual_squared"] == pytest.approx(float(loss.detach()))
    assert ratios["advantage"] == pytest.approx(float((batch.rewards - batch.prompt_values).mean()))
    assert ratios["kl"] > 0 and int(metrics["kl"][1]) == int(batch.mask.sum())
    assert set(metrics) == {"kl", "advantage", "residual", "residual_squared"}


def test_rows_do_not_see_each_other():
    setup = make_setup(catalogue.create({"name": "astar-po", "n": 4, "beta2": 0.4}))
    per_row = [gradient(setup, [torch.tensor([row])])[0] for row in range(8)]
    setup.batch.rewards[0] = 1.0 - setup.batch.rewards[0]
    setup.credit = setup.method.credit(setup.batch)
    again = [gradient(setup, [torch.tensor([row])])[0] for row in range(8)]
    assert (per_row[0] - again[0]).abs().max() > 1e-3
    assert all(torch.equal(before, after) for before, after in zip(per_row[1:], again[1:], strict=True))


@pytest.mark.parametrize("beta1", [0.5, "mean", "max"])
def test_prompt_values_follow_the_option(beta1):
    method, rewards = catalogue.create({"name": "astar-po", "beta1": beta1}), counts(8)
    assert torch.equal(method.prompt_values(rewards), optimal_value(rewards, beta1))
    wrapped = catalogue.create({"name": "astar-po-v", "beta1": beta1})
    assert torch.equal(wrapped.prompt_values(rewards), optimal_value(rewards, beta1))


@pytest.mark.parametrize("name", ["astar-po", "astar-po-v"])
def test_the_filter_drops_all_wrong_prompts_and_never_all_right_ones(name):
    rewards = counts(8)
    off, on = (catalogue.create({"name": name, "filter_wrong": flag}) for flag in (False, True))
    assert off.kept_prompts(rewards).tolist() == [True] * 9
    assert on.kept_prompts(rewards).tolist() == [False] + [True] * 8
    assert torch.equal(on.prompt_values(rewards), off.prompt_values(rewards))


@pytest.mark.parametrize(
    "values", [None, torch.zeros(4), torch.tensor([0.0, torch.nan] * 4), torch.tensor([0.0, torch.inf] * 4)]
)
def test_prompts_without_a_value_are_one_clear_error(values):
    setup = make_setup(catalogue.create({"name": "astar-po", "n": 2}))
    setup.batch.prompt_values = values
    with pytest.raises(InputError, match="prompts without V\\*.*stage 1") as caught:
        setup.method.credit(setup.batch)
    assert "\n" not in str(caught.value)


def test_entropy_term_is_the_mean_of_row_means():
    """The authors' masked mean over a micro-batch, with their micro-batches of one row each, averaged over them."""
    plain = make_setup(catalogue.create({"name": "astar-po", "beta2": 0.5}))
    bonus = make_setup(catalogue.create({"name": "astar-po", "beta2": 0.5, "entropy_coefficient": 0.2}))
    assert plain.credit.kl_weights is None
    entropy = bonus.policy(bonus.batch.completion_ids)["entropy"].detach()
    per_row = [float(entropy[row][bonus.batch.mask[row]].mean()) for row in range(8)]
    without, with_term = (total_loss(one.method, micro_batch(one, ALL[0]))[0].detach() for one in (plain, bonus))
    assert float(without - with_term) == pytest.approx(0.2 * sum(per_row) / 8, rel=1e-12)
    assert sum(per_row) / 8 != pytest.approx(float(entropy[bonus.batch.mask].mean()), rel=1e-3)  # not the token mean
    assert (gradient(plain, ALL)[0] - gradient(bonus, ALL)[0]).abs().max() > 1e-3
