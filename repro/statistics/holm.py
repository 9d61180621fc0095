"""Holm's step-down levels over the claims of one experiment.

The m claims with an interval are ordered by evidence, the smallest two-sided p-value first. The first is judged at
level 1 - 0.05/m, the next at 1 - 0.05/(m-1), the last at 1 - 0.05/1: the rank of a claim is the number of claims whose
evidence is not stronger, itself included. The procedure stops at the first claim that its interval leaves undecided;
that one and all after it are inconclusive. So the chance of even one wrong "supported" or "contradicted" is at most 5 %
in total.

Exact claims carry no error and claims that were not run test nothing: neither counts in m.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

ALPHA = 0.05


def p_value(draws: np.ndarray, boundary: float) -> float:
    """Two-sided bootstrap p-value of "the effect equals `boundary`" from draws (R,); never below 2 / (R + 1)."""
    draws = np.asarray(draws)
    below, above = np.sum(draws <= boundary), np.sum(draws >= boundary)
    return float(min(1.0, 2 * (min(below, above) + 1) / (draws.size + 1)))


def holm_order(p_values: Sequence[float]) -> list[int]:
    """Indices of the claims, strongest evidence first; ties in the order given."""
    return sorted(range(len(p_values)), key=lambda index: p_values[index])


def holm_levels(p_values: Sequence[float], alpha: float = ALPHA) -> list[float]:
    """Interval level 1 - alpha/rank of each claim, in the order given."""
    levels = [0.0] * len(p_values)
    for position, index in enumerate(holm_order(p_values)):
        levels[index] = 1 - alpha / (len(p_values) - position)
    return levels


def step_down(p_values: Sequence[float], decided: Sequence[bool]) -> list[bool]:
    """Which claims keep their verdict: those before the first undecided one in order of evidence."""
    kept = [False] * len(p_values)
    for index in holm_order(p_values):
        if not decided[index]:
            break
        kept[index] = True
    return kept
