"""The chance of each arm of a field to be the best one, under the paired two-level bootstrap.

Every draw resamples questions, the same ones for all arms, and seeds, the same ones for all arms that have the same
seeds; an arm's draw is its mean, its seed part and its question part as in `repro.statistics.bootstrap`. An arm's
chance is the share of draws in which its mean is the highest; equal means share the draw.

Questions are resampled by counting how often each is picked: one matrix product serves all arms, and the number of
draws goes down where there are very many questions, so that the time is bounded.

Shape legend: A arms, S seeds, Q questions, R draws.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from repro.statistics.bootstrap import RESAMPLES, Scores, effects, seed_means

MOST_CELLS = 2_000_000  # questions x draws
FEWEST_DRAWS = 1000
_CHUNK = 1 << 21  # cells held at once


def chances_of_best(
    arms: Sequence[Scores], seeds: Sequence[Sequence[int]], rng: np.random.Generator, resamples: int = RESAMPLES
) -> np.ndarray:
    """P(best), float (A,), adding up to 1. `arms`: scores on the same questions as in `bootstrap`; `seeds`: of each."""
    draws = field_draws(arms, seeds, rng, resamples)
    best = draws == draws.max(axis=0)
    return (best / best.sum(axis=0)).mean(axis=1)


def field_draws(
    arms: Sequence[Scores], seeds: Sequence[Sequence[int]], rng: np.random.Generator, resamples: int = RESAMPLES
) -> np.ndarray:
    """Draws (A, R) of the mean scores of all arms. `ValueError` unless all have the same numbers of questions.

    R is `resamples`, or less (but at least FEWEST_DRAWS) where more than MOST_CELLS would have to be drawn.
    """
    parts = [effects(scores) for scores in arms]
    shapes = {tuple(len(part) for part in one.questions) for one in parts}
    if len(shapes) != 1:
        raise ValueError("all arms need the same questions")
    (sizes,) = shapes
    resamples = min(resamples, max(FEWEST_DRAWS, MOST_CELLS // sum(sizes)))
    draws = np.repeat(np.array([[one.mean] for one in parts]), resamples, axis=1)
    groups: dict[tuple[int, ...], list[int]] = {}
    for place, own in enumerate(seeds):
        groups.setdefault(tuple(own), []).append(place)
    for places in groups.values():
        draws[places] += seed_means([parts[place].seeds for place in places], rng, resamples)
    shrunk = [one.shrunk() for one in parts]
    for index, questions in enumerate(sizes):
        if questions > 1:
            stacked = np.stack([one[index] for one in shrunk])
            draws += _resampled(stacked, rng, resamples) * np.sqrt(questions / (questions - 1)) / len(sizes)
    return draws


def _resampled(stacked: np.ndarray, rng: np.random.Generator, resamples: int) -> np.ndarray:
    """(A, R): means of the rows of `stacked` (A, Q), one resample of the Q for all rows."""
    size = stacked.shape[1]
    means = np.empty((len(stacked), resamples))
    step = max(1, _CHUNK // size)
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        picked = rng.integers(size, size=(rows, size), dtype=np.int64)
        picked += size * np.arange(rows)[:, None]
        counts = np.bincount(picked.ravel(), minlength=rows * size).reshape(rows, size)
        means[:, start : start + rows] = stacked @ counts.T.astype(float) / size
    return means
