"""Per-question outcomes as letters, and back as arrays.

One string per question, one letter per sample: c correct, w wrong, u unparsed; a capital letter means that the
completion was truncated. Shape legend: Q questions, n samples per question.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from repro.errors import InputError

LETTERS = frozenset("cwuCWU")


@dataclass(frozen=True)
class Outcomes:
    """Three boolean arrays of one shape, (Q, n) for samples or (Q,) for greedy answers."""

    correct: np.ndarray
    unparsed: np.ndarray
    truncated: np.ndarray


def encode(letters: Any, truncated: Any) -> list[str]:
    """`letters` (Q, n) of "c", "w", "u" and `truncated` (Q, n) of bool to Q strings of n letters."""
    cut = np.asarray(truncated, dtype=bool)
    grid = np.asarray(letters, dtype="U1").reshape(cut.shape)
    if cut.ndim != 2:
        raise ValueError(f"outcomes must have shape (questions, samples), not {cut.shape}")
    if not np.isin(grid, ["c", "w", "u"]).all():
        raise ValueError("outcomes must be the letters c, w and u")
    return ["".join(row) for row in np.where(cut, np.char.upper(grid), grid).tolist()]


def encode_greedy(letters: Any, truncated: Any) -> str:
    """`letters` (Q,) and `truncated` (Q,) to one string of Q letters."""
    return encode([list(letters)], [list(truncated)])[0]


def decode(samples: list[str]) -> Outcomes:
    """Q strings of n letters to arrays (Q, n); `InputError` if ragged or with another letter."""
    width = len(samples[0]) if samples else 0
    if any(len(row) != width for row in samples):
        raise InputError("outcomes are ragged: every question needs the same number of samples")
    flat = decode_greedy("".join(samples))
    shape = (len(samples), width)
    return Outcomes(flat.correct.reshape(shape), flat.unparsed.reshape(shape), flat.truncated.reshape(shape))


def decode_greedy(text: str) -> Outcomes:
    """One string of Q letters to arrays (Q,)."""
    strange = set(text) - LETTERS
    if strange:
        raise InputError(f"outcomes hold the unknown letter {min(strange)!r}: known are c, w, u and their capitals")
    codes = np.frombuffer(text.encode("ascii"), dtype=np.uint8)
    lower = codes | 32
    return Outcomes(lower == ord("c"), lower == ord("u"), codes != lower)


def question_scores(entry: dict[str, Any], metric: str) -> np.ndarray:
    """Score of each question, float (Q,), from one set of a record's "outcomes".

    Metrics: accuracy (Avg@n), greedy, pass@k (1 - C(n-c, k) / C(n, k)), truncated, unparsed. `InputError` if unknown,
    if k > n, or if the set was not decoded greedily.
    """
    if metric == "greedy":
        if entry.get("greedy") is None:
            raise InputError("these questions were not decoded greedily")
        return decode_greedy(entry["greedy"]).correct.astype(float)
    outcomes = decode(entry["samples"])
    if metric == "accuracy":
        return outcomes.correct.mean(axis=1)
    if metric in ("truncated", "unparsed"):
        return getattr(outcomes, metric).mean(axis=1)
    prefix, _, k_text = metric.partition("@")
    if prefix != "pass" or not k_text.isdigit() or int(k_text) == 0:
        raise InputError(f"unknown metric {metric!r}: use accuracy, greedy, pass@k, truncated or unparsed")
    n, k = outcomes.correct.shape[1], int(k_text)
    if k > n:
        raise InputError(f"pass@{k} needs at least {k} samples per question, the record holds {n}")
    by_count = np.array([1 - math.comb(n - c, k) / math.comb(n, k) for c in range(n + 1)])
    return by_count[outcomes.correct.sum(axis=1)]
