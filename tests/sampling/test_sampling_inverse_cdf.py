"""The logits processor turns a uniform into the token that the model's probabilities give it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from repro.sampling.transformers_backend import InverseCdf

LARGEST = 1 - 2.0**-53  # the largest float64 below 1, the largest that `uniforms` can return
LOGITS = torch.tensor([1.5, -0.5, 0.0, 2.0, -3.0])


def choose(uniform, logits: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
    """The token chosen for each of the uniforms (N,), all under the same `logits` (V,)."""
    table = np.asarray(uniform, dtype=np.float64)[:, None]
    scores = logits.expand(len(table), -1).clone()
    out = InverseCdf(table, 3, temperature)(torch.zeros(len(table), 3, dtype=torch.long), scores)
    assert torch.isfinite(out).sum(1).tolist() == [1] * len(table)  # exactly one token is left per row
    return out.argmax(1)


@pytest.mark.parametrize("temperature", [1.0, 0.5, 2.0])
def test_an_even_grid_of_uniforms_gives_every_token_its_share(temperature):
    count = 10_000
    chosen = choose((np.arange(count) + 0.5) / count, LOGITS, temperature)
    expected = count * torch.softmax(LOGITS.double() / temperature, 0)
    assert (torch.bincount(chosen, minlength=5) - expected).abs().max() <= 1


def test_random_uniforms_match_the_probabilities_within_sampling_error():
    count = 40_000
    chosen = choose(np.random.default_rng(0).random(count), LOGITS)
    p = torch.softmax(LOGITS.double(), 0)
    standard_error = (p * (1 - p) / count).sqrt()
    assert ((torch.bincount(chosen, minlength=5) / count - p).abs() < 4 * standard_error).all()


@pytest.mark.parametrize("allowed", [[2], [0, 4], [1, 2], [3], [0], [4]])
def test_a_token_of_probability_zero_is_never_chosen(allowed):
    logits = torch.full((5,), -torch.inf)
    logits[allowed] = LOGITS[allowed]
    chosen = choose([0.0, 2.0**-53, 0.25, 0.5, 0.75, LARGEST], logits)
    assert set(chosen.tolist()) <= set(allowed)
    assert chosen[0] == min(allowed) and chosen[-1] == max(allowed)


def test_both_ends_of_the_unit_interval():
    assert choose([0.0, LARGEST], LOGITS).tolist() == [0, 4]


def test_every_token_of_a_large_vocabulary_is_reached():
    size = 151_936
    wanted = torch.tensor([0, 1, size // 3, size - 2, size - 1])
    chosen = choose((wanted.double().numpy() + 0.5) / size, torch.zeros(size))
    assert chosen.tolist() == wanted.tolist()


def test_the_tail_of_a_sharp_distribution_is_reached():
    """After one token of nearly all the probability, a float32 cumulative sum is 1 and stays there."""
    logits = torch.zeros(1001)
    logits[0] = 25.0
    p = torch.softmax(logits.double(), 0)
    assert 1e-11 < p[1] < 2e-11
    wanted = [1, 500, 999]
    assert choose([float(p[:token].sum() + p[token] / 2) for token in wanted], logits).tolist() == wanted


def test_each_position_reads_its_own_column():
    table = np.array([[0.0, LARGEST], [LARGEST, 0.0]])
    processor = InverseCdf(table, 2, 1.0)
    first = processor(torch.zeros(2, 2, dtype=torch.long), LOGITS.repeat(2, 1))
    second = processor(torch.zeros(2, 3, dtype=torch.long), LOGITS.repeat(2, 1))
    assert first.argmax(1).tolist() == [0, 4]
    assert second.argmax(1).tolist() == [4, 0]
