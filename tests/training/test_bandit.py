"""The bandit learner: the derived table of the paper's claims, its identities, and its random numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from repro.errors import TrialError
from repro.methods.ksample import advantages
from repro.training import bandit
from repro.training.bandit import Settings, draw, learn, logged_steps, rewards_of
from repro.training.estimators import reference

LN_100 = math.log(100)


def run(objective="pass", variant="unbiased", k=4, instances=300, steps=1000, rate=1.0, factor=1.0, seed=0):
    return learn(Settings(seed, instances, 100, k, objective, variant, factor, steps, rate))


def near(run, name, step, published, error, slack=0.0):
    """Whether a mean over instances is the published one, up to 3.5 standard errors of both."""
    values = run.curves[name][run.steps.index(step)]
    ours = values.std(ddof=1) / math.sqrt(len(values))
    assert values.mean() == pytest.approx(published, abs=3.5 * math.hypot(ours, error) + slack), (name, step)


@pytest.mark.parametrize(
    ("objective", "variant", "table"),
    [
        ("mean", "unbiased", {100: (2.075, 2.103, 0.16), 1000: (2.123, 2.124, 0.01)}),
        ("pass", "unbiased", {100: (1.871, 2.283, 1.42), 1000: (2.284, 2.490, 0.76)}),
        ("pass", "biased", {100: (1.997, 2.243, 0.95), 1000: (2.354, 2.448, 0.40)}),
    ],
)
def test_the_derived_table_of_1000_seeds(objective, variant, table):
    found = run(objective, variant, instances=1000)
    for step, (mean, best, entropy) in table.items():
        near(found, "mean_reward", step, mean, 0.017)
        near(found, "max", step, best, 0.017)
        near(found, "kl", step, LN_100 - entropy, 0.005, slack=0.015)  # the table has two decimals
    near(found, "mean_reward", 0, 0.0, 0.003)
    near(found, "max", 0, 1.02, 0.01)


@pytest.mark.parametrize(
    ("options", "mean", "best"),
    [
        ({"variant": "naive"}, 1.715, 1.717),
        ({"objective": "mean", "k": 2}, 1.860, 1.860),
        ({"objective": "mean", "k": 8}, 2.223, 2.225),
        ({"k": 8}, 1.905, 2.502),
        ({"variant": "biased", "k": 8}, 2.034, 2.502),
        ({"objective": "mean", "rate": 4.0}, 1.763, 1.763),
    ],
)
def test_the_derived_results_after_1000_steps(options, mean, best):
    """Naive, and the mean gradient at k times the learning rate, collapse early; at k = 8 the mean gradient leads."""
    found = run(**options)
    near(found, "mean_reward", 1000, mean, 0.032)
    near(found, "max", 1000, best, 0.032)


def test_centred_at_k_2_is_the_mean_gradient_step_by_step():
    one, two = run("pass", "biased", k=2, instances=50, steps=200), run("mean", k=2, instances=50, steps=200)
    for name, curve in one.curves.items():
        np.testing.assert_allclose(curve, two.curves[name], atol=1e-9)


def test_k_times_the_learning_rate_is_the_matched_scale():
    """So no arm of its own: k is a power of 2, and the updates are equal to the bit."""
    one, two = (
        run("mean", instances=20, steps=50, rate=4.0).logits,
        run("mean", instances=20, steps=50, factor=4.0).logits,
    )
    assert torch.equal(one, two)


def test_two_runs_agree_to_the_bit_and_seeds_differ():
    one, two = run(instances=20, steps=60), run(instances=20, steps=60)
    assert torch.equal(one.logits, two.logits) and np.array_equal(one.at_kl, two.at_kl, equal_nan=True)
    assert not torch.equal(one.logits, run(instances=20, steps=60, seed=1).logits)


def test_draws_do_not_depend_on_history_or_k():
    assert np.array_equal(rewards_of(3, 10, 5), rewards_of(3, 10, 5))
    few, many = (bandit.generator(0, bandit.UNIFORMS, 7).random((k, 10)) for k in (2, 8))
    assert np.array_equal(few, many[:2])
    assert not np.array_equal(few, bandit.generator(0, bandit.UNIFORMS, 8).random((2, 10)))


def test_draws_follow_the_policy_and_never_what_is_impossible():
    policy = torch.tensor([[0.0, 0.25, 0.0, 0.75, 0.0]], dtype=torch.float64)
    uniforms = torch.tensor([[0.0, 0.2499, 0.25, 0.5, 1 - 2**-53]], dtype=torch.float64)
    assert draw(policy, uniforms).tolist() == [[1, 1, 3, 3, 3]]


def test_a_step_is_the_gradient_of_the_weighted_log_probabilities():
    settings = Settings(0, 6, 5, 3, "pass", "biased", 1.0, 1, 0.5)
    found = learn(settings)
    logits = torch.zeros(6, 5, dtype=torch.float64, requires_grad=True)
    uniforms = torch.from_numpy(bandit.generator(0, bandit.UNIFORMS, 0).random((3, 6))).T.contiguous()
    actions = draw(logits.detach().softmax(dim=1), uniforms)
    weights = advantages(found.rewards.gather(1, actions), "pass", variant="biased")
    (weights * logits.log_softmax(dim=1).gather(1, actions)).sum().backward()
    torch.testing.assert_close(found.logits, 0.5 * logits.grad, rtol=0, atol=1e-14)


def test_the_kl_grid_is_read_where_it_is_first_reached():
    crossing = bandit._Crossing(2)
    for mean, kl in (([0.0, 0.0], [0.0, 0.0]), ([1.0, 2.0], [0.5, 0.2]), ([3.0, 4.0], [0.1, 0.3]), ([9, 9], [2, 0.3])):
        crossing.see(torch.tensor(mean, dtype=torch.float64), torch.tensor(kl, dtype=torch.float64))
    assert crossing.reward[0, :2].tolist() == pytest.approx([0.5, 1.0])
    assert crossing.reward[1, 0] == pytest.approx(3.0) and crossing.reward[1, 1:].isnan().all()
    assert crossing.reward[0, 3] == pytest.approx(3 + 6 * 0.9 / 1.9), "KL fell in between: only a first time counts"


def test_logged_steps():
    assert logged_steps(4) == [0, 1, 2, 3, 4]
    steps = logged_steps(1000)
    assert steps == sorted(set(steps)) and {0, 10, 100, 1000} <= set(steps) and len(steps) < 60


def test_a_learning_rate_without_bounds_fails_at_a_step():
    with pytest.raises(TrialError, match="not finite") as caught:
        run(instances=5, steps=20, rate=1e308)
    assert caught.value.step


def test_the_reference_rows_are_the_published_ones():
    published = {
        ("pass", 2): (0.0943, 1.464, 0.556, 0.3732), ("pass", 3): (0.0748, 2.7288, 0.2426, 0.3031),
        ("pass", 4): (0.0447, 4.0873, 0.1065, 0.1709), ("mean", 2): (0, 0.8737, 0.3732, 0.3732),
        ("mean", 3): (0, 1.2223, 0.1633, 0.1633), ("mean", 4): (0, 1.5476, 0.1011, 0.1011),
        ("majority", 2): (0, 0.4581, 0.18, 0.18), ("majority", 3): (0.0758, 0.817, 0.2315, 0.0809),
        ("majority", 4): (0.0323, 1.0058, 0.4158, 0.3353),
    }  # fmt: skip
    found = {variant: reference(variant) for variant in ("naive", "unbiased", "biased")}
    for at, row in enumerate(found["biased"]):
        bias, *variances = published[row["objective"], row["k"]]
        assert row["bias"] == pytest.approx(bias, abs=6e-5) and row["bias_fewer"] <= 1e-12
        assert [found[v][at]["variance"] for v in found] == pytest.approx(variances, abs=6e-5)
        assert found["unbiased"][at]["bias"] <= 1e-12 and found["naive"][at]["bias"] <= 1e-12
