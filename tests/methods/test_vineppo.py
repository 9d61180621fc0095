"""VinePPO: telescoping advantages, cap, whitening, the KL term and its reduction, and the splitter of prose."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from repro.errors import InputError
from repro.methods import catalogue
from repro.methods.terms import clamped_k3, k3
from repro.methods.vineppo import KL_LIMIT, LONG, TINY, capped_values, split_steps, step_advantages
from repro.testing.toy import gradient, make_setup, micro_batch, policy_gradient

ALL = [torch.arange(8)]


def plain(**options):
    return make_setup(catalogue.create({"name": "vineppo", "whiten": False, "beta": 0.0, **options}))


# ---- advantages


def test_step_advantages_by_hand():
    values = [4 / 9, 6 / 9, 3 / 9, 0.0]
    right, wrong = step_advantages(values, 1), step_advantages(values, 0.0)
    assert right.tolist() == pytest.approx([2 / 9, -1 / 3, 2 / 3]) and float(right.sum()) == pytest.approx(5 / 9)
    assert wrong.tolist() == pytest.approx([2 / 9, -1 / 3, -1 / 3]) and float(wrong.sum()) == pytest.approx(-4 / 9)
    assert step_advantages(torch.tensor([0.25, 0.0]), torch.tensor(1.0)).tolist() == [0.75]  # one step: r - V(s_0)
    assert step_advantages([0, 1, 0], 0).tolist() == [1.0, -1.0]
    assert step_advantages(torch.tensor([0, 1, 0]), 0).dtype == torch.float64
    assert step_advantages(torch.zeros(3), 1.0).dtype == torch.float32


@given(st.integers(1, 9), st.lists(st.floats(0, 1), min_size=1, max_size=30), st.booleans())
def test_advantages_telescope(k, shares, right):
    hits = [round(share * k) for share in shares]
    advantages = step_advantages([*(hit / k for hit in hits), 0.0], float(right))
    assert advantages.shape == (len(hits),)
    assert float(advantages.sum()) == pytest.approx(right - hits[0] / k, abs=1e-9)


@pytest.mark.parametrize("values", [[0.5, 1.0], [0.5, math.nan], [0.0], [], [[0.5, 0.0]]])
def test_a_terminal_value_or_shape_that_cannot_be_is_refused(values):
    with pytest.raises(InputError, match="terminal|one row") as caught:
        step_advantages(values, 1.0)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("options", [{}, {"cap": 1}, {"cap": 2}], ids=str)
def test_every_row_telescopes_and_every_token_has_its_steps_advantage(options):
    setup = plain(**options)
    batch = setup.batch
    for row in range(8):
        steps = batch.steps[row, batch.mask[row]].tolist()
        count = steps[-1] + 1
        advantages = setup.credit.advantages[row, batch.mask[row]].tolist()
        by_step = [{a for a, s in zip(advantages, steps, strict=True) if s == step} for step in range(count)]
        assert all(len(found) == 1 for found in by_step)  # the end token shares the last step's
        by_step = [found.pop() for found in by_step]
        values, reward = batch.step_values[row].tolist(), float(batch.rewards[row])
        assert sum(by_step) == pytest.approx(reward - values[0], abs=1e-12)
        cap = options.get("cap", count)
        values = [value if step < cap else reward for step, value in enumerate(values[:count])] + [0.0]
        assert by_step == pytest.approx(step_advantages(values, reward).tolist(), abs=1e-12)
        assert all(found == 0 for found in by_step[cap:])
    assert int(batch.steps.max()) >= 3, "the cap must cut some row"
    assert (setup.credit.advantages[~batch.mask] == 0).all()


def test_capped_states_need_no_estimate():
    values = torch.tensor([[0.5, math.nan, math.nan, 0.0], [0.25, 0.0, 0.0, 0.0]])
    filled = capped_values(values, torch.tensor([3, 1]), torch.tensor([1.0, 1.0]), cap=1)
    assert filled.tolist() == [[0.5, 1.0, 1.0, 0.0], [0.25, 0.0, 0.0, 0.0]]
    assert capped_values(values, torch.tensor([3, 1]), torch.ones(2), None) is values
    setup = plain(cap=1)
    estimates = setup.batch.step_values.clone()
    counts = setup.batch.steps.max(1).values + 1
    index = torch.arange(estimates.shape[1])
    setup.batch.step_values[(index >= 1) & (index < counts[:, None])] = torch.nan
    again = setup.method.credit(setup.batch)
    assert torch.equal(again.advantages, setup.credit.advantages)
    assert again.metrics["state_value"] == pytest.approx(float(estimates[:, 0].mean()))


def test_values_of_the_trainer_are_checked():
    setup = plain()
    setup.batch.step_values[:, -1] = 1.0  # the last of a row that has ended
    with pytest.raises(InputError, match="terminal state must be 0"):
        setup.method.credit(setup.batch)
    setup = plain()
    setup.batch.step_values = setup.batch.step_values[:, : int(setup.batch.steps.max()) + 1]
    with pytest.raises(InputError, match=r"steps need \d+ values"):
        setup.method.credit(setup.batch)


def test_whitening_covers_the_batch_and_leaves_padding_out():
    raw, setup = plain(), make_setup(catalogue.create({"name": "vineppo", "beta": 0.0}))
    chosen = setup.credit.advantages[setup.batch.mask]
    assert float(chosen.mean()) == pytest.approx(0, abs=1e-12) and float(chosen.std()) == pytest.approx(1, abs=1e-6)
    assert (~setup.batch.mask).any() and (setup.credit.advantages[~setup.batch.mask] == 0).all()
    tokens = raw.credit.advantages[raw.batch.mask]
    torch.testing.assert_close(chosen, (tokens - tokens.mean()) / tokens.std(), rtol=1e-6, atol=1e-7)


def test_groups_may_change_places():
    setup = make_setup(catalogue.create({"name": "vineppo"}))
    order = torch.tensor([4, 5, 6, 7, 0, 1, 2, 3])
    names = ("rewards", "mask", "completion_ids", "steps", "step_values", "old_logps", "ref_logps")
    moved = replace(setup.batch, **{name: getattr(setup.batch, name)[order] for name in names})
    again = setup.method.credit(moved)
    torch.testing.assert_close(again.advantages, setup.credit.advantages[order], rtol=1e-12, atol=1e-14)


def test_metrics_of_the_credit():
    setup = plain()
    counts = (setup.batch.steps.max(1).values + 1).tolist()
    known = [value for row, n in enumerate(counts) for value in setup.batch.step_values[row, :n].tolist()]
    assert setup.credit.metrics["state_value"] == pytest.approx(sum(known) / len(known))
    assert setup.credit.metrics["prompt_value"] == pytest.approx(float(setup.batch.step_values[:, 0].mean()))
    assert setup.credit.metrics["steps_per_row"] == pytest.approx(sum(counts) / 8)


# ---- loss


def test_at_ratio_one_the_loss_is_minus_the_mean_advantage_and_its_gradient_reinforce():
    setup = plain()
    setup.batch.old_logps = setup.policy(setup.batch.completion_ids)["logps"].detach()
    mask = setup.batch.mask.double()
    loss, metrics = setup.method.loss(micro_batch(setup, ALL[0]))
    assert float(loss.detach()) == pytest.approx(-float(setup.credit.advantages[setup.batch.mask].mean()), rel=1e-12)
    assert float(metrics["clip_fraction"][0]) == 0
    expected = policy_gradient(setup, setup.credit.advantages, mask / mask.sum())
    torch.testing.assert_close(gradient(setup, ALL)[0], expected, rtol=1e-11, atol=1e-13)


def test_loss_token_by_token():
    setup = make_setup(catalogue.create({"name": "vineppo", "beta": 0.3, "epsilon": 0.1}))
    batch, micro = setup.batch, micro_batch(setup, ALL[0])
    surrogates, kl_sums, clipped = [], [], 0
    for row in range(8):
        kl_sums.append(0.0)
        for t in range(int(batch.mask[row].sum())):
            new, advantage = float(micro.logps[row, t].detach()), float(micro.advantages[row, t])
            ratio = math.exp(new - float(batch.old_logps[row, t]))
            surrogates.append(min(ratio * advantage, min(max(ratio, 0.9), 1.1) * advantage))
            clipped += surrogates[-1] < ratio * advantage
            difference = float(batch.ref_logps[row, t]) - new
            kl_sums[-1] += min(math.exp(difference) - difference - 1, 10.0)
    loss, metrics = setup.method.loss(micro)
    expected = -sum(surrogates) / len(surrogates) + 0.3 * sum(kl_sums) / 8
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-12)
    assert float(metrics["clip_fraction"][0]) == clipped > 0
    assert float(metrics["kl"][0]) == pytest.approx(sum(kl_sums)) and int(metrics["kl"][1]) == len(surrogates)


def test_the_kl_is_summed_over_tokens_before_the_mean_over_rows():
    """Twice as long rows at the same k3 per token double the term; a token mean would leave it alone."""

    def kl_term(length):
        setup = make_setup(catalogue.create({"name": "vineppo", "beta": 1.0}), length=length)
        setup.batch.mask[:] = True
        setup.batch.steps = torch.zeros(8, length, dtype=torch.long)
        setup.batch.step_values[:] = 0.0
        setup.credit = setup.method.credit(setup.batch)
        setup.credit.advantages.zero_()
        setup.batch.old_logps = setup.policy(setup.batch.completion_ids)["logps"].detach()
        setup.batch.ref_logps = setup.batch.old_logps + 1.0
        return float(setup.method.loss(micro_batch(setup, ALL[0]))[0].detach())

    assert kl_term(3) == pytest.approx(3 * (math.e - 2))
    assert kl_term(6) == pytest.approx(6 * (math.e - 2))


def test_clamped_k3_values():
    at = lambda d: float(clamped_k3(torch.zeros(1, dtype=torch.float64), torch.full((1,), d).double(), KL_LIMIT))  # noqa: E731
    assert at(0.0) == 0
    for difference, value in (
        (math.log(2), 0.306853), (-math.log(2), 0.193147), (1.0, 0.718282), (-1.0, 0.367879)
    ):  # fmt: skip
        assert at(difference) == pytest.approx(value, abs=1e-6)
    assert at(2.6108) < 10 == at(2.6109) and at(-10.9999) < 10 == at(-11.0)
    assert at(500.0) == at(-500.0) == 10


@given(st.floats(-5, 2.6))
def test_below_the_limit_the_clamp_changes_nothing(difference):
    logps, ref = torch.zeros(1, dtype=torch.float64), torch.tensor([difference], dtype=torch.float64)
    torch.testing.assert_close(clamped_k3(logps, ref, KL_LIMIT), k3(logps, ref), rtol=0, atol=1e-15)


def test_beyond_the_limit_the_gradient_is_zero_even_where_exp_overflows():
    logps = torch.zeros(5, requires_grad=True)
    clamped_k3(logps, torch.tensor([1.0, 3.0, 200.0, -12.0, torch.inf]), KL_LIMIT).sum().backward()
    assert logps.grad.tolist() == pytest.approx([1.0 - math.e, 0, 0, 0, 0])


# ---- splitter


TEXT = (
    "Let $x = 5. Then$ be the first number. Dr. No says it is 3.5 at most, e.g. three.\n\n"
    "So we get\n\\[\nx + y = 7. \\\\\nY = 2\n\\]\nand that is all. Hence \\boxed{2}.\n"
)


def test_steps_of_a_worked_solution():
    assert split_steps(TEXT) == [
        "Let $x = 5. Then$ be the first number.",
        " Dr. No says it is 3.5 at most, e.g. three.\n\n",
        "So we get\n\\[\nx + y = 7. \\\\\nY = 2\n\\]\n",
        "and that is all. Hence \\boxed{2}.\n",
    ]


def test_formulas_and_figures_are_never_cut():
    for block in ("$a. B$", "$$a. B\n\nC$$", r"\(a. B\)", "\\[a. B\nC\\]", "\\begin{align*}a. B\nC\\end{align*}",
                  "[asy]draw(A. B);\nlabel(C);[/asy]"):  # fmt: skip
        long = block.replace("a. B", "a + b + c. B " * 12)
        for body in (block, long):
            text = f"We look at the following thing. Consider it now: {body} as before. Then we are done with it."
            steps = split_steps(text)
            assert sum(body in step for step in steps) == 1 and len(steps) >= 3, body
    assert len(split_steps("It costs \\$5 for the first one. Then it costs \\$6 for the second one.")) == 2


def test_short_pieces_are_merged_and_long_ones_broken():
    tiny = "Yes.\nNo.\nThe answer to this one is 5.\nOk.\n"
    assert split_steps(tiny) == [tiny]
    assert split_steps("") == [] and split_steps(" \n ") == [" \n "] and split_steps("5") == ["5"]
    words = "alpha beta gamma delta " * 30
    steps = split_steps(words)
    assert len(steps) > 5 and all(TINY <= len(step) <= LONG for step in steps)
    assert split_steps("x" * 500) == ["x" * 500]  # a word is never broken
    assert split_steps("x" * 300 + " " + "y" * 50) == ["x" * 300, " " + "y" * 50]


pieces = st.sampled_from(
    ["$", "$$", "\\[", "\\]", "\\(", "\\)", ". ", ".", "\n", "\n\n", " ", "A", "the number ", "Hence ", "\\begin{a}",
     "\\end{a}", "[asy]", "[/asy]", "\\$", "x + y = 3", "\t", "\r\n", "é", "a fairly long run of words without an end "]
)  # fmt: skip


@settings(max_examples=300)
@given(st.lists(pieces, max_size=40).map("".join) | st.text(max_size=200))
@example(TEXT)
def test_steps_join_back_to_the_text(text):
    steps = split_steps(text)
    assert "".join(steps) == text
    assert all(steps)
    if len(steps) > 1:  # only a part broken at white space may fall short, by what strip() takes away
        assert all(len(step) >= TINY for step in steps)
