"""S-GRPO's token rule: every draw by enumeration, its inclusion probabilities, limits and readings."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from repro.errors import InputError
from repro.methods.sgrpo import READINGS, expected_tokens, select_tokens


def full(*lengths: int) -> torch.Tensor:
    return torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]


def positions(row: torch.Tensor) -> list[int]:
    return row.nonzero().flatten().tolist()


def scan(drawn: tuple[bool, ...], alpha: int, k: int | None) -> list[int]:
    """The rule as the formula has it: one token after the other; `drawn` says which Bernoulli draws succeed."""
    taken: list[int] = []
    for t, success in enumerate(drawn):
        if t < alpha or ((k is None or len(taken) < k) and success):
            taken.append(t)
    return taken


def every_draw(monkeypatch, length: int, alpha: int, k: int | None, p: float, reading: str = "so_far"):
    """All 2^length outcomes of the draws, their chances, and what is selected then (2^length, length)."""
    outcomes = list(itertools.product((False, True), repeat=length))
    numbers = torch.tensor([[0.5 * p if success else 0.5 + 0.5 * p for success in drawn] for drawn in outcomes])
    monkeypatch.setattr(torch, "rand", lambda size, **kwargs: numbers.double().flatten()[:size])
    selected = select_tokens(full(*[length] * len(outcomes)), alpha, k, p, None, reading)
    monkeypatch.undo()
    chances = torch.tensor([[p if success else 1 - p for success in drawn] for drawn in outcomes]).double().prod(dim=1)
    return outcomes, chances, selected


def test_exact_sets():
    row = full(6)
    assert positions(select_tokens(row, 2, 4, 1.0)[0]) == [0, 1, 2, 3]
    assert positions(select_tokens(row, 2, 4, 0.0)[0]) == [0, 1]
    assert positions(select_tokens(row, 0, None, 0.0)[0]) == []
    assert positions(select_tokens(row, 0, 0, 1.0)[0]) == []
    assert positions(select_tokens(row, 2, None, 1.0)[0]) == list(range(6))
    assert positions(select_tokens(row, 9, 0, 0.0)[0]) == list(range(6))
    for p in (0.0, 0.5, 1.0):  # k below alpha: the prefix alone
        assert positions(select_tokens(row, 3, 2, p)[0]) == [0, 1, 2]


def test_length_draws_only_in_completions_shorter_than_k():
    selected = select_tokens(full(3, 4, 5), 1, 4, 1.0, None, "length")
    assert [positions(row) for row in selected] == [[0, 1, 2], [0], [0]]
    assert select_tokens(full(3, 4, 5), 1, None, 1.0, None, "length").sum() == 12


@pytest.mark.parametrize(("alpha", "k"), [(2, 4), (0, 3), (2, None), (0, None), (3, 2), (7, 9), (2, 0)])
@pytest.mark.parametrize("p", [0.5, 0.3])
def test_every_draw_selects_what_the_scan_selects(monkeypatch, alpha, k, p):
    outcomes, _, selected = every_draw(monkeypatch, 6, alpha, k, p)
    assert [positions(row) for row in selected] == [scan(drawn, alpha, k) for drawn in outcomes]


def test_inclusion_probabilities_by_enumeration(monkeypatch):
    _, chances, selected = every_draw(monkeypatch, 6, 2, 4, 0.5)
    inclusion = (chances[:, None] * selected).sum(dim=0)
    assert inclusion.tolist() == pytest.approx([1, 1, 0.5, 0.5, 0.375, 0.25], abs=1e-12)
    assert float(inclusion.sum()) == pytest.approx(29 / 8) == pytest.approx(expected_tokens(6, 2, 4, 0.5))


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("k", [4, None])
def test_inclusion_probabilities_by_sampling(monkeypatch, reading, k):
    rows = 20_000
    selected = select_tokens(full(*[6] * rows), 2, k, 0.5, torch.Generator().manual_seed(0), reading)
    _, chances, every = every_draw(monkeypatch, 6, 2, k, 0.5, reading)
    expected = (chances[:, None] * every).sum(dim=0)
    if reading == "random_rest" and k is not None:  # which of the drawn are kept is a second choice, alike for all
        expected[2:] = expected[2:].mean()
    shares = selected.double().mean(dim=0)
    assert (shares - expected).abs().max() < 5 * (0.25 / rows) ** 0.5
    assert float(shares.sum()) == pytest.approx(expected_tokens(6, 2, k, 0.5, reading), abs=0.05)


@pytest.mark.parametrize(
    ("length", "expected"), [(100, 100.0), (400, 275.0), (532, 337.10), (1000, 341.0)], ids=lambda value: str(value)
)
def test_expected_numbers_with_iapos_settings(length, expected):
    assert expected_tokens(length, 150, 341, 0.5) == pytest.approx(expected, abs=5e-3)
    rough = 150 + min(341 - 150, 0.5 * (length - 150)) if length > 150 else length
    assert rough == {532: 341.0}.get(length, expected)


@given(
    st.integers(0, 7), st.integers(0, 9), st.none() | st.integers(0, 9), st.sampled_from([0.0, 0.3, 0.7, 1.0]),
    st.sampled_from(READINGS),
)  # fmt: skip
def test_expected_numbers_by_the_binomial(length, alpha, k, p, reading):
    later = max(0, length - alpha)
    if k is None:
        cap = later
    elif reading == "length":
        cap = later if length < k else 0
    else:
        cap = max(0, k - alpha)
    expected = float(min(alpha, length))
    for drawn in itertools.product((False, True), repeat=later):
        taken = sum(drawn)
        expected += p**taken * (1 - p) ** (later - taken) * min(cap, taken)
    assert expected_tokens(length, alpha, k, p, reading) == pytest.approx(expected, abs=1e-9)


@given(
    st.lists(st.integers(1, 12), min_size=1, max_size=6), st.integers(0, 9), st.none() | st.integers(0, 9),
    st.floats(0, 1), st.integers(0, 99), st.sampled_from(READINGS),
)  # fmt: skip
def test_bounds_of_every_selection(lengths, alpha, k, p, seed, reading):
    mask = full(*lengths)
    selected = select_tokens(mask, alpha, k, p, torch.Generator().manual_seed(seed), reading)
    assert selected.dtype == torch.bool and not (selected & ~mask).any()
    assert (selected | ~mask)[:, :alpha].all()
    if k is not None and reading != "length":
        assert (selected.sum(dim=1) <= max(k, alpha)).all()


@given(st.lists(st.integers(1, 12), min_size=1, max_size=6), st.integers(0, 99), st.sampled_from(READINGS))
def test_the_choice_does_not_depend_on_the_padding(lengths, seed, reading):
    mask = full(*lengths)
    wide = torch.cat([mask, torch.zeros(len(lengths), 5, dtype=torch.bool)], dim=1)
    narrow, wider = (
        select_tokens(m, 1, 4, 0.5, torch.Generator().manual_seed(seed), reading) for m in (mask, wide)
    )  # fmt: skip
    assert torch.equal(narrow, wider[:, : mask.shape[1]])
    # Rows that come later change nothing either.
    first = select_tokens(mask[:1, : lengths[0]], 1, 4, 0.5, torch.Generator().manual_seed(seed), reading)
    assert torch.equal(first[0], narrow[0, : lengths[0]])


@given(st.integers(0, 99), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_chance_keeps_what_a_smaller_one_selects(seed, one, other):
    few, many = (
        select_tokens(full(9, 5), 1, None, p, torch.Generator().manual_seed(seed)) for p in sorted((one, other))
    )
    assert (many | ~few).all()


def test_uniform_random_tokens_are_unbiased_and_the_prefix_is_not(monkeypatch):
    values = torch.arange(1.0, 7.0, dtype=torch.float64)
    for alpha, mean in ((0, 3.5), (2, 2.4608)):
        _, chances, selected = every_draw(monkeypatch, 6, alpha, None, 0.3)
        count = selected.sum(dim=1)
        found = (selected * values).sum(dim=1) / count.clamp(min=1)
        nonempty = chances * (count > 0)
        assert float((nonempty * found).sum() / nonempty.sum()) == pytest.approx(mean, abs=5e-5)
        if alpha == 0:
            assert float(chances[count == 0].sum()) == pytest.approx(0.7**6) == pytest.approx(0.1176, abs=5e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1, 4, 0.5), "alpha counts tokens and must be at least 0, not -1"),
        ((1, -4, 0.5), "k counts tokens and must be at least 0, not -4"),
        ((1, 4, 1.5), "p is a chance and must be between 0 and 1, not 1.5"),
        ((1, 4, -0.5), "between 0 and 1, not -0.5"),
        ((1, 4, float("nan")), "between 0 and 1, not nan"),
        ((1, 4, 0.5, None, "scan"), "unknown reading 'scan' of k: use so_far, length, random_rest"),
    ],
)
def test_bad_rules_are_one_line(arguments, message):
    with pytest.raises(InputError, match=message) as caught:
        select_tokens(full(3), *arguments)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=message):
        expected_tokens(3, *arguments[:3], *arguments[4:])
    with pytest.raises(InputError, match=r"\(rows, positions\), not \(3,\)"):
        select_tokens(torch.ones(3).bool(), 1, None, 0.5)
