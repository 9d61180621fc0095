"""KRPO's filter against the tables of the papers' digest, its average over orders by brute force, and its controls."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from repro.errors import InputError
from repro.methods import catalogue, krpo
from repro.methods.grpo import group_advantages
from repro.methods.krpo import averaged_advantages, control_advantages, kalman_advantages, order_dependence
from repro.methods.rloo import leave_one_out_advantages
from repro.testing.toy import gradient, make_setup, policy_gradient

rewards_of = lambda *values: torch.tensor([values], dtype=torch.float64)  # noqa: E731
groups = st.lists(st.floats(-3, 3), min_size=1, max_size=9).map(lambda values: rewards_of(*values))
settings_of = st.fixed_dictionaries(
    {"q": st.floats(0, 0.1), "r": st.floats(1e-3, 2), "x0": st.floats(-1, 1), "p0": st.floats(1e-3, 5)}
)


# ---- the filter


def test_the_published_table():
    found = kalman_advantages(rewards_of(1, 0, 0, 1))
    assert found[0].tolist() == pytest.approx([0.0995027189, -7.04812546, -5.75136670, 10.0148143], rel=1e-8)
    assert float(found.sum()) == pytest.approx(-2.68517512, rel=1e-8)
    gains, variances = krpo._filter(4, 1e-5, 1e-2, 1.0)
    assert gains == pytest.approx([0.990099108, 0.497764830, 0.332783916, 0.250253367], rel=1e-8)
    assert variances == pytest.approx([0.00990099108, 0.00497764830, 0.00332783916, 0.00250253367], rel=1e-8)
    assert list(map(math.sqrt, variances)) == pytest.approx(
        [0.0995037240, 0.0705524507, 0.0576874264, 0.0500253303], rel=1e-8
    )
    means = rewards_of(1, 0, 0, 1)[0] - found[0] * (torch.tensor(variances, dtype=torch.float64).sqrt() + 1e-8)
    assert means.tolist() == pytest.approx([0.990099108, 0.497262594, 0.331781601, 0.499005505], rel=1e-8)
    plain = group_advantages(rewards_of(1, 0, 0, 1)[0], 4, eps=0.0)
    assert plain.tolist() == pytest.approx([0.8660254, -0.8660254, -0.8660254, 0.8660254], abs=1e-7)


def test_exact_fractions(monkeypatch):
    monkeypatch.setattr(krpo, "EPSILON", 0.0)
    gains, variances = krpo._filter(4, 0.0, 1.0, 1.0)
    assert gains == pytest.approx([1 / 2, 1 / 3, 1 / 4, 1 / 5]) and variances == pytest.approx(gains)
    found = kalman_advantages(rewards_of(1, 0, 0, 1), 0.0, 1.0)
    expected = [math.sqrt(1 / 2), -math.sqrt(1 / 3), -1 / 2, math.sqrt(9 / 5)]
    assert found[0].tolist() == pytest.approx(expected, abs=1e-14)
    assert expected == pytest.approx([0.7071068, -0.5773503, -0.5, 1.3416408], abs=1e-7)


@pytest.mark.parametrize(
    ("rewards", "expected"),
    [
        ((0, 1, 1, 0), [0, 7.11860601, 5.80887980, -9.96508960]),
        ((0, 0, 1, 1), [0, 0, 11.5660554, 9.99979229]),
        ((1, 1, 0, 0), [0.0995027, 0.0704805, -11.5085423, -9.9500676]),
    ],
)
def test_the_order_decides(rewards, expected):
    assert kalman_advantages(rewards_of(*rewards))[0].tolist() == pytest.approx(expected, rel=1e-6)


def test_one_right_of_twelve_and_all_alike():
    last = kalman_advantages(rewards_of(*[0] * 11, 1))[0]
    assert (last[:11] == 0).all() and float(last[11]) == pytest.approx(31.008, abs=5e-4)
    first = kalman_advantages(rewards_of(1, *[0] * 11))[0]
    assert first[[0, 1, 2, 11]].tolist() == pytest.approx([0.100, -7.048, -5.751, -2.761], abs=6e-4)
    assert (kalman_advantages(torch.zeros(3, 12)) == 0).all()
    right = kalman_advantages(torch.ones(1, 12).double())[0]
    assert right[[0, 11]].tolist() == pytest.approx([0.0995, 0.0276], abs=6e-5)
    assert (right.diff() < 0).all() and (right > 0).all()


@given(groups, settings_of)
def test_gains_and_means_obey_their_closed_forms(rewards, settings):
    q, r, x0, p0 = (settings[name] for name in ("q", "r", "x0", "p0"))
    size = rewards.shape[1]
    gains, variances = krpo._filter(size, q, r, p0)
    assert variances == pytest.approx([gain * r for gain in gains], rel=1e-9)
    _, still = krpo._filter(size, 0.0, r, p0)
    assert still == pytest.approx([p0 * r / (i * p0 + r) for i in range(1, size + 1)], rel=1e-9)
    found = kalman_advantages(rewards, 0.0, r, x0, p0)[0]
    sums = rewards[0].cumsum(0)
    for i in range(1, size + 1):
        mean = (r * x0 + p0 * float(sums[i - 1])) / (i * p0 + r)
        spread = math.sqrt(still[i - 1]) + 1e-8
        assert float(found[i - 1]) * spread == pytest.approx(float(rewards[0, i - 1]) - mean, abs=1e-9)


@given(groups, st.floats(-2, 2))
def test_it_is_linear_but_not_shift_invariant(rewards, factor):
    base = kalman_advantages(rewards)
    torch.testing.assert_close(kalman_advantages(factor * rewards), factor * base, rtol=1e-9, atol=1e-9)
    assert not torch.allclose(kalman_advantages(rewards + 1), base)


def test_the_filter_starts_anew_with_every_prompt():
    rows = torch.tensor([[1.0, 1, 1], [0, 1, 0], [0, 0, 1]]).double()
    together = kalman_advantages(rows)
    for row, found in zip(rows, together, strict=True):
        assert torch.equal(kalman_advantages(row[None])[0], found)


def test_dtypes():
    assert kalman_advantages(torch.tensor([[1, 0]])).dtype == torch.get_default_dtype()
    single = kalman_advantages(torch.tensor([[1.0, 0, 0, 1]]))
    assert single.dtype == averaged_advantages(torch.zeros(1, 2)).dtype == torch.float32
    assert torch.equal(single, kalman_advantages(rewards_of(1, 0, 0, 1)).float())


@pytest.mark.parametrize("function", [kalman_advantages, averaged_advantages])
def test_bad_input_is_one_line(function):
    for shape in ((4,), (2, 0)):
        with pytest.raises(InputError, match=r"\(prompts, group\)"):
            function(torch.zeros(shape))
    for settings in ({"q": -1e-9}, {"r": 0.0}, {"p0": 0.0}, {"p0": -1.0}):
        with pytest.raises(InputError, match="q >= 0, r > 0 and p0 > 0") as caught:
            function(torch.zeros(1, 2), **settings)
        assert "\n" not in str(caught.value)


# ---- orders


@pytest.mark.parametrize("size", [1, 2, 4, 5])
@pytest.mark.parametrize("settings", [{}, {"q": 0.1, "r": 0.5, "x0": 0.4, "p0": 2.0}], ids=str)
def test_the_average_over_all_orders(size, settings):
    rewards = torch.randn(2, size, generator=torch.Generator().manual_seed(size), dtype=torch.float64)
    orders = list(itertools.permutations(range(size)))
    total = torch.zeros_like(rewards)
    for order in map(list, orders):
        total[:, order] += kalman_advantages(rewards[:, order], **settings)
    expected = total / len(orders)
    torch.testing.assert_close(averaged_advantages(rewards, **settings), expected, rtol=1e-10, atol=1e-10)


@given(groups, settings_of, st.randoms())
def test_the_average_moves_with_the_rewards(rewards, settings, random):
    order = list(range(rewards.shape[1]))
    random.shuffle(order)
    moved = averaged_advantages(rewards[:, order], **settings)
    torch.testing.assert_close(moved, averaged_advantages(rewards, **settings)[:, order], rtol=1e-9, atol=1e-9)


def test_the_average_is_rloo_once_the_start_is_forgotten():
    """With a wide prior the first gain is 1: nothing is left of x0, and a constant times RLOO's advantage remains."""
    rewards = torch.tensor([[1.0, 0, 0.5, 0], [0, 1, 1, 1]]).double()
    loo = leave_one_out_advantages(rewards.flatten(), 4).view(2, 4)
    found = averaged_advantages(rewards, x0=0.3, p0=1e9)
    ratio = found / loo
    torch.testing.assert_close(ratio, torch.full_like(ratio, float(ratio[0, 0])), rtol=1e-7, atol=0)
    assert 5 < float(ratio[0, 0]) < 10


# ---- the method


def credit_of(rewards: torch.Tensor, **options) -> torch.Tensor:
    """Advantages (P, G) that method `krpo` gives to rewards (P, G)."""
    setup = make_setup(catalogue.create({"name": "krpo", "n": rewards.shape[1], **options}), rows=rewards.numel())
    setup.batch.rewards = rewards.flatten()
    setup.batch.generator.manual_seed(3)
    return setup.method.credit(setup.batch).advantages.view_as(rewards)


ROWS = torch.tensor([[1.0, 0, 0, 1], [0, 1, 1, 0]]).double()


def test_by_default_it_filters_in_sampling_order_with_the_authors_settings():
    assert torch.equal(credit_of(ROWS), kalman_advantages(ROWS))
    assert torch.equal(credit_of(ROWS, q=0.1, x0=0.5), kalman_advantages(ROWS, q=0.1, x0=0.5))
    assert torch.equal(credit_of(ROWS, order="averaged", r=0.3), averaged_advantages(ROWS, r=0.3))


def test_shuffled_is_the_filter_in_another_order_drawn_for_every_prompt():
    rows = torch.randn(64, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = credit_of(rows, order="shuffled")
    assert torch.equal(found, credit_of(rows, order="shuffled")), "the batch's generator decides"
    used = set()
    for row, advantages in zip(rows, found, strict=True):
        for order in itertools.permutations(range(4)):
            expected = torch.zeros(4, dtype=torch.float64)
            expected[list(order)] = kalman_advantages(row[None, list(order)])[0]
            if torch.equal(expected, advantages):
                used.add(order)
                break
        else:
            pytest.fail("no order of the rewards gives these advantages")
    assert len(used) > 12  # of 24


def test_unit_scale_is_a_constant_that_makes_the_average_as_large_as_rloos():
    for order in ("sampling", "averaged"):
        ratio = credit_of(ROWS + 0.1, order=order) / credit_of(ROWS + 0.1, order=order, scale="unit")
        torch.testing.assert_close(ratio, torch.full_like(ratio, float(ratio[0, 0])))
    loo = leave_one_out_advantages(ROWS.flatten(), 4).view(2, 4)
    unit = credit_of(ROWS, order="averaged", scale="unit")
    assert float((unit - loo).abs().max()) < 0.02  # what the prior leaves
    assert float(credit_of(ROWS).abs().max() / unit.abs().max()) > 8


def test_controls_by_hand():
    mean = torch.tensor([[1, 1 / 2, 1 / 3, 1 / 2], [0, 1 / 2, 2 / 3, 1 / 2]]).double()
    deviation = math.sqrt(1 / 3) + 1e-4
    torch.testing.assert_close(credit_of(ROWS, baseline="running-mean"), (ROWS - mean) / deviation)
    places = torch.tensor([1.0, 2, 3, 4]).double().sqrt()
    expected = 10 * places * (ROWS - 0.5) / deviation
    torch.testing.assert_close(credit_of(ROWS, baseline="group-mean"), expected)
    torch.testing.assert_close(credit_of(ROWS, baseline="group-mean", r=1.0), expected / 10)
    assert control_advantages(ROWS.float(), "group-mean").dtype == torch.float32


def test_the_filter_is_about_ten_root_i_times_the_running_residual():
    """What the controls take apart: from the second place on the default filter differs from it by under 2 %."""
    rows = torch.randint(0, 2, (40, 8), generator=torch.Generator().manual_seed(0)).double()
    places = torch.arange(1.0, 9.0).double()
    residual = 10 * places.sqrt() * (rows - rows.cumsum(1) / places)
    assert float((kalman_advantages(rows) - residual)[:, 1:].abs().max() / residual.abs().max()) < 0.02


@pytest.mark.parametrize("order", ["sampling", "shuffled", "averaged"])
def test_one_update_is_reinforce_on_means_of_completions(order):
    setup = make_setup(catalogue.create({"name": "krpo", "order": order, "beta": 0.0}))
    mask = setup.batch.mask.double()
    expected = policy_gradient(setup, setup.credit.advantages[:, None], mask / mask.sum(1, keepdim=True) / 8)
    torch.testing.assert_close(gradient(setup, [torch.arange(8)])[0], expected, rtol=1e-12, atol=1e-14)


def test_order_dependence_is_measured_on_the_batch_and_averaging_removes_it():
    rewards = torch.tensor([[1.0, 0, 0, 1], [0, 1, 1, 0]], dtype=torch.float64)

    def measured(**options):
        method = catalogue.create({"name": "krpo", "n": 4, **options})
        return order_dependence(rewards, method._advantages, torch.Generator().manual_seed(3))

    assert measured() > 0.3
    assert measured(order="averaged") == pytest.approx(0, abs=1e-12)
    assert order_dependence(torch.zeros(2, 4), lambda r, _: torch.zeros_like(r), None) == 0.0
