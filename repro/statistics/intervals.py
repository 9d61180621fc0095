"""Accuracy of one arm with its interval, and the A/A contrast that shows the noise floor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from repro.statistics.bootstrap import RESAMPLES, Scores, effects, mean_draws, percentile_interval


@dataclass(frozen=True)
class Interval:
    estimate: float
    lo: float
    hi: float
    level: float
    seeds: int  # with 1 the interval covers the choice of questions only

    @property
    def half_width(self) -> float:
        return (self.hi - self.lo) / 2


def accuracy_interval(
    scores: Scores, rng: np.random.Generator, level: float = 0.95, resamples: int = RESAMPLES
) -> Interval:
    """Mean score over seeds and questions, `scores` (S, Q) within [0, 1] or a list of sets; cut to [0, 1]."""
    parts = effects(scores)
    lo, hi = percentile_interval(mean_draws(scores, rng, resamples), level)
    return Interval(parts.mean, max(lo, 0.0), min(hi, 1.0), level, len(parts.seeds))


def aa_interval(
    scores: Scores, rng: np.random.Generator, level: float = 0.95, resamples: int = RESAMPLES
) -> Interval | None:
    """The contrast of an arm with itself: every other seed against the rest, on the same questions.

    The true difference is 0, so estimate and interval show what noise alone does. The spread of the seeds is pooled
    within the two halves (S - 2 degrees of freedom), which differ in nothing but their seeds. Questions are the same
    answers' questions in both halves, so only the seed level is drawn. None with fewer than 4 seeds.
    """
    by_seed = effects(scores).seeds
    seeds = len(by_seed)
    if seeds < 4:
        return None
    halves = by_seed[0::2], by_seed[1::2]
    pooled = np.concatenate([half - half.mean() for half in halves])
    spread = np.sqrt(seeds / rng.chisquare(seeds - 2, size=resamples))
    noise = [pooled[rng.integers(seeds, size=(resamples, len(half)))].mean(axis=1) for half in halves]
    estimate = float(halves[0].mean() - halves[1].mean())
    lo, hi = percentile_interval(estimate + (noise[0] - noise[1]) * spread, level)
    return Interval(estimate, lo, hi, level, seeds)
