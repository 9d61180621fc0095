"""T-SPMO's prefix tree: worked examples, path sums, a brute-force tree; replay; REINFORCE on its pairs."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from statistics import fmean

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from repro.errors import InputError
from repro.methods import catalogue
from repro.methods.base import GenerationBatch
from repro.methods.tspmo import prefix_advantages, tree_advantages
from repro.testing.toy import gradient, make_setup, micro_batch, policy_gradient

ALL = [torch.arange(8)]
END = ord("$")


def tree(*completions: str, rewards: list[float]) -> dict[tuple[str, str], float]:
    """Advantage by (prefix, token) of completions in letters."""
    ids = [[ord(letter) for letter in row] for row in completions]
    found = prefix_advantages(ids, rewards)
    pairs = {(completions[row][:t], completions[row][t]): value for row, t, value in found}
    assert len(pairs) == len(found), "a pair appears twice"
    return pairs


def brute_force(completions: list[list[int]], rewards: list[float]) -> list[tuple[int, int, float]]:
    """The reconstruction's definition, with prefixes as tuples."""
    behind = defaultdict(list)
    for row, reward in zip(completions, rewards, strict=True):
        for t in range(len(row) + 1):
            behind[tuple(row[:t])].append(reward)
    seen, found = set(), []
    for i, row in enumerate(completions):
        for t in range(len(row)):
            longer = tuple(row[: t + 1])
            if longer not in seen:
                seen.add(longer)
                found.append((i, t, fmean(behind[longer]) - fmean(behind[longer[:-1]])))
    return found


groups = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=6), min_size=1, max_size=7)


# ---- the tree


def test_the_published_example():
    found = tree("abc", "abd", "aec", "fcg", rewards=[1, 0, 1, 0])
    expected = {
        ("", "a"): 1 / 6, ("", "f"): -1 / 2, ("a", "b"): -1 / 6, ("a", "e"): 1 / 3, ("ab", "c"): 1 / 2,
        ("ab", "d"): -1 / 2, ("ae", "c"): 0, ("f", "c"): 0, ("fc", "g"): 0,
    }  # fmt: skip
    assert len(found) == 9 and found == pytest.approx(expected, abs=1e-15)
    assert sum(value != 0 for value in found.values()) == 6


def test_end_tokens_are_continuations():
    without = tree("a", "ab", rewards=[1, 0])
    assert without == {("", "a"): 0, ("a", "b"): -1 / 2}
    with_end = tree("a$", "ab$", rewards=[1, 0])
    assert with_end == {("", "a"): 0, ("a", "$"): 1 / 2, ("a", "b"): -1 / 2, ("ab", "$"): 0}


@given(groups, st.data())
def test_it_is_the_brute_force_tree(completions, data):
    rewards = data.draw(
        st.lists(st.sampled_from([0.0, 1.0, 0.3]), min_size=len(completions), max_size=len(completions))
    )
    found, expected = prefix_advantages(completions, rewards), brute_force(completions, rewards)
    assert [entry[:2] for entry in found] == [entry[:2] for entry in expected]
    assert [entry[2] for entry in found] == pytest.approx([entry[2] for entry in expected], abs=1e-12)


@given(groups, st.data())
def test_path_sums_and_count_weighted_zeros(completions, data):
    """With end tokens: a path's sum is its mean reward minus the root's; at each prefix the weighted sum is 0."""
    rewards = data.draw(st.lists(st.integers(0, 1), min_size=len(completions), max_size=len(completions)))
    ended = [[*row, END] for row in completions]
    advantage = {tuple(ended[i][: t + 1]): value for i, t, value in prefix_advantages(ended, rewards)}
    same = defaultdict(list)
    for row, reward in zip(ended, rewards, strict=True):
        same[tuple(row)].append(reward)
    at_prefix: dict[tuple, float] = defaultdict(float)
    for row in ended:
        path = [advantage[tuple(row[: t + 1])] for t in range(len(row))]
        assert sum(path) == pytest.approx(fmean(same[tuple(row)]) - fmean(rewards), abs=1e-12)
        for t, value in enumerate(path):  # every completion counts once, so a token's weight is its count
            at_prefix[tuple(row[:t])] += value
    assert list(at_prefix.values()) == pytest.approx([0] * len(at_prefix), abs=1e-12)


@given(groups)
def test_a_prefix_with_one_continuation_and_equal_rewards_give_exactly_zero(completions):
    assert all(value == 0 for _, _, value in prefix_advantages(completions, [0.7] * len(completions)))
    rewards = [0.1 * i for i in range(len(completions))]  # sums of tenths round: a difference would show here
    followers = defaultdict(set)
    for row in completions:
        for t in range(len(row) + 1):
            followers[tuple(row[:t])].add(row[t] if t < len(row) else None)
    for i, t, value in prefix_advantages(completions, rewards):
        if len(followers[tuple(completions[i][:t])]) == 1:
            assert value == 0


def test_completions_without_a_common_prefix_credit_their_first_token_alone():
    found = tree("xab", "yab", "zcc", rewards=[1, 0, 0])
    assert {pair: value for pair, value in found.items() if pair[0]} == dict.fromkeys(
        [("x", "a"), ("xa", "b"), ("y", "a"), ("ya", "b"), ("z", "c"), ("zc", "c")], 0
    )
    assert [found["", v] for v in "xyz"] == pytest.approx([2 / 3, -1 / 3, -1 / 3])


def test_equal_completions_share_their_pairs():
    assert prefix_advantages([[5, 6], [5, 6], [7, 6]], [1, 0, 0]) == [
        (0, 0, pytest.approx(1 / 6)), (0, 1, 0.0), (2, 0, pytest.approx(-1 / 3)), (2, 1, 0.0)
    ]  # fmt: skip


@given(st.integers(0, 2**20))
def test_groups_of_a_batch_are_trees_of_their_own_and_padding_is_no_token(seed):
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, 6, (6, 1), generator=generator)
    mask = torch.arange(8) < lengths
    ids = torch.randint(0, 2, (6, 8), generator=generator)  # also behind the ends
    rewards = torch.randint(0, 2, (6,), generator=generator).double()
    advantages, unique = tree_advantages(ids, mask, rewards, 3)
    for first in (0, 3):
        rows = [ids[i, : lengths[i]].tolist() for i in range(first, first + 3)]
        expected = brute_force(rows, rewards[first : first + 3].tolist())
        places = unique[first : first + 3].nonzero().tolist()
        assert places == [[i, t] for i, t, _ in expected]
        values = advantages[first : first + 3][unique[first : first + 3]].tolist()
        assert values == pytest.approx([value for _, _, value in expected], abs=1e-12)
    assert (advantages[~unique] == 0).all()


@pytest.mark.parametrize(
    ("completions", "rewards", "message"),
    [
        ([], [], "at least one token each"),
        ([[1], []], [1, 0], "at least one token each: drop the empty ones"),
        ([[1], [2]], [1], "2 completions need as many rewards"),
    ],
)
def test_bad_input_is_one_line(completions, rewards, message):
    with pytest.raises(InputError, match=message) as caught:
        prefix_advantages(completions, rewards)
    assert "\n" not in str(caught.value)


def test_a_batch_with_an_empty_row_or_a_broken_group_is_refused():
    mask = torch.tensor([[True, True], [False, False]])
    with pytest.raises(InputError, match="at least one token each"):
        tree_advantages(mask.long(), mask, torch.zeros(2), 2)
    with pytest.raises(InputError, match="2 rows do not divide into groups of 3"):
        tree_advantages(mask.long(), mask, torch.zeros(2), 3)


# ---- the method


@pytest.mark.parametrize("normalise", ["pairs", "branching"])
def test_the_gradient_is_reinforce_on_unique_pairs(normalise):
    """A mean over the pairs of a tree, then over trees; every pair once, in the first row that has it."""
    setup = make_setup(catalogue.create({"name": "tspmo", "normalise": normalise}), vocabulary=3)
    batch = setup.batch
    weights, advantages = torch.zeros(8, 7).double(), torch.zeros(8, 7).double()
    for first in (0, 4):
        rows = [batch.completion_ids[i, batch.mask[i]].tolist() for i in range(first, first + 4)]
        found = brute_force(rows, batch.rewards[first : first + 4].tolist())
        counted = [entry for entry in found if normalise == "pairs" or abs(entry[2]) > 1e-12]
        for i, t, value in found:
            advantages[first + i, t] = value
            weights[first + i, t] = 1 / len(counted) / 2
    found, _ = gradient(setup, ALL)
    torch.testing.assert_close(found, policy_gradient(setup, advantages, weights), rtol=1e-11, atol=1e-13)
    assert float(found.abs().max()) > 1e-3


def test_only_trained_tokens_have_a_weight_and_both_shares_are_recorded():
    setup = make_setup(catalogue.create({"name": "tspmo"}), vocabulary=3)
    batch, credit = setup.batch, setup.credit
    advantages, unique = tree_advantages(batch.completion_ids, batch.mask, batch.rewards, 4)
    trained = advantages != 0
    assert torch.equal(credit.weights != 0, trained)
    assert credit.metrics == {
        "token_share": pytest.approx(float(trained.sum() / batch.mask.sum())),
        "branching": pytest.approx(float(trained.sum() / unique.sum())),
    }
    assert 0 < credit.metrics["token_share"] < credit.metrics["branching"] < 1
    assert credit.signal.view(2, 4).tolist() == [[bool(part.any())] * 4 for part in trained.view(2, -1)]


def test_equal_rewards_give_no_gradient_and_no_signal():
    setup = make_setup(catalogue.create({"name": "tspmo", "beta": 0.5}))
    setup.batch.rewards = torch.ones(8).double()
    setup.credit = setup.method.credit(setup.batch)
    assert (gradient(setup, ALL)[0] == 0).all() and not setup.credit.signal.any()
    assert setup.credit.metrics == {"token_share": 0.0, "branching": 0.0}


def test_the_order_of_a_groups_rows_does_not_matter():
    setup = make_setup(catalogue.create({"name": "tspmo", "beta": 0.2}), vocabulary=3)
    first, _ = gradient(setup, ALL)
    order = torch.tensor([2, 0, 3, 1, 7, 6, 4, 5])
    for name in ("rewards", "mask", "completion_ids", "ref_logps"):
        setattr(setup.batch, name, getattr(setup.batch, name)[order])
    setup.credit = setup.method.credit(setup.batch)
    torch.testing.assert_close(gradient(setup, ALL)[0], first, rtol=1e-11, atol=1e-13)


def test_the_regulariser_is_on_the_trained_tokens_alone():
    setup = make_setup(catalogue.create({"name": "tspmo", "beta": 0.4}), vocabulary=3)
    micro = micro_batch(setup, ALL[0])
    logps = torch.nan_to_num(micro.logps.detach(), nan=-0.7).requires_grad_()
    loss, _ = setup.method.loss(replace(micro, logps=logps))
    (slope,) = torch.autograd.grad(loss, logps)
    gap = torch.where(micro.weights != 0, micro.ref_logps - logps.detach(), 0.0)
    expected = micro.weights * (-micro.advantages + 0.4 * (1 - gap.exp()))
    torch.testing.assert_close(slope, expected, rtol=1e-11, atol=1e-14)


# ---- replay


def fresh_batch(lengths: list[int], group_size: int, seed: int) -> GenerationBatch:
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    nothing = torch.zeros(len(lengths), dtype=torch.bool)
    return GenerationBatch(
        rewards=torch.zeros(len(lengths)), mask=mask, completion_ids=mask.long(), group_size=group_size,
        truncated=nothing, unparsed=nothing, generator=torch.Generator().manual_seed(seed),
    )  # fmt: skip


def test_a_replay_restarts_strictly_inside_a_completion_of_the_group():
    method = catalogue.create({"name": "tspmo", "n": 2, "replay": True})
    lengths = [1, 4, 2, 3, 1, 1]
    seen = defaultdict(int)
    for seed in range(3000):
        restarts = method.replay_from(fresh_batch(lengths, 2, seed))
        assert restarts.dtype == torch.long and restarts.shape == (3, 2)
        for prompt, (row, kept) in enumerate(restarts.tolist()):
            assert 0 <= row < 2
            seen[2 * prompt + row, kept] += 1
    # By hand: a completion with chance 1/2, then a cut inside it; one of a single token has none and starts again.
    chances = {(0, 0): 1 / 2, (1, 1): 1 / 6, (1, 2): 1 / 6, (1, 3): 1 / 6, (2, 1): 1 / 2, (3, 1): 1 / 4, (3, 2): 1 / 4,
               (4, 0): 1 / 2, (5, 0): 1 / 2}  # fmt: skip
    assert set(seen) == set(chances)
    assert all(abs(seen[place] / 3000 - chance) < 5 * 0.5 / 3000**0.5 for place, chance in chances.items())


def test_a_replayed_group_is_a_tree_whose_root_is_the_restart():
    """Fresh and replayed rows of a prompt never share a pair, and every tree weighs the same."""
    setup = make_setup(catalogue.create({"name": "tspmo", "n": 4, "replay": True, "normalise": "branching"}))
    batch = setup.batch
    batch.completion_ids[4:] = batch.completion_ids[:4]  # the replay says the same again
    batch.mask[4:] = batch.mask[:4]
    batch.rewards = torch.tensor([1.0, 0, 0, 0, 0, 1, 0, 1]).double()
    whole = setup.method.credit(batch)
    assert whole.weights[:4].sum() == pytest.approx(0.5) and whole.weights[4:].sum() == pytest.approx(0.5)
    lone = replace(
        batch, rewards=batch.rewards[4:], mask=batch.mask[4:], completion_ids=batch.completion_ids[4:], replayed=None
    )
    assert torch.equal(setup.method.credit(lone).advantages, whole.advantages[4:])


def test_fewer_than_two_tokens_per_completion_are_trained_however_long_they_are():
    """A tree of n leaves has at most 2 (n - 1) branches; a binary comb of rewards 1, 0, 1, … attains it."""
    generator = torch.Generator().manual_seed(0)
    method = catalogue.create({"name": "tspmo", "n": 8})
    for _ in range(200):
        ids = torch.randint(0, 2, (8, 30), generator=generator)
        advantages, _ = tree_advantages(
            ids, torch.ones_like(ids).bool(), torch.rand(8, generator=generator, dtype=torch.float64), 8
        )
        assert int((advantages != 0).sum()) <= 8 * method.selected_tokens(30) == 14
    comb = torch.tensor([[1] * i + [2] + [3] * (9 - i) for i in range(7)] + [[1] * 10])
    rewards = torch.arange(8, dtype=torch.float64) ** 2
    advantages, _ = tree_advantages(comb, torch.ones_like(comb).bool(), rewards, 8)
    assert int((advantages != 0).sum()) == 14
    assert method.selected_tokens(1) == 1
