"""Aggregates over runs as rliable (Agarwal et al. 2021) defines them: interquartile mean, P(improvement)."""

from __future__ import annotations

import numpy as np


def iqm(scores: np.ndarray) -> float:
    """Mean of the middle half of all scores, any shape; floor(N / 4) are dropped at each end (scipy's `trim_mean`)."""
    flat = np.sort(np.asarray(scores, dtype=float), axis=None)
    if flat.size == 0:
        raise ValueError("iqm needs at least one score")
    cut = flat.size // 4
    return float(flat[cut : flat.size - cut].mean())


def probability_of_improvement(arm: np.ndarray, rival: np.ndarray) -> float:
    """P(a random run of `arm` scores above a random run of `rival`), ties counting half, averaged over tasks.

    `arm` (S, tasks) or (S,), `rival` (S', tasks) or (S',): the Mann-Whitney statistic over S x S'.
    """
    one, two = (np.asarray(item, dtype=float) for item in (arm, rival))
    one, two = (item[:, None] if item.ndim == 1 else item for item in (one, two))
    if one.size == 0 or two.size == 0 or one.shape[1] != two.shape[1]:
        raise ValueError("both arms need runs on the same tasks")
    left, right = one[:, None, :], two[None, :, :]
    return float(((left > right) + 0.5 * (left == right)).mean())
