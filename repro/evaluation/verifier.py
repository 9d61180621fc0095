"""How good a verifier is: accuracy, ranking and calibration of its scores against the 0/1 rewards.

A score is P(Yes), raw: not divided by P(Yes) + P(No) unless a name says `normalised`. A score of exactly the threshold
is a Yes. The label of a sample is its reward; an unparsed sample is labelled 0. The authors' code (RL^V, arXiv
2505.04842) leaves unparsed samples out of the verifier's accuracy: that figure is `accuracy_parsed`. An untrained
judge's accuracy depends on the share of correct samples and on how often it says Yes, so both are stored beside it.
Proper scoring rules and calibration by regression are not covered.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from repro.errors import InputError

DECIMALS = 6
TOLERANCE = 1e-6  # rounding of float32 probabilities


def accuracy(scores: ArrayLike, correct: ArrayLike, threshold: float = 0.5) -> float:
    """Share of verdicts (Yes for a score >= threshold) that agree with the labels. Arrays of one shape, not empty."""
    scores, correct = _pair(scores, correct)
    return float(np.mean((scores >= threshold) == correct))


def auc(scores: ArrayLike, correct: ArrayLike) -> float | None:
    """Chance that a correct sample scores above a wrong one, ties counted half; None with one class only.

    The rank statistic: (sum of the correct samples' mid-ranks - c (c + 1) / 2) / (c w) for c correct, w wrong ones.
    """
    scores, correct = _pair(scores, correct)
    positives = int(correct.sum())
    negatives = correct.size - positives
    if not positives or not negatives:
        return None
    _, group, sizes = np.unique(scores.ravel(), return_inverse=True, return_counts=True)
    middle = np.cumsum(sizes) - (sizes - 1) / 2  # ranks from 1
    ranks = middle[group.ravel()][correct.ravel()]
    return float((ranks.sum() - positives * (positives + 1) / 2) / (positives * negatives))


def auc_within(scores: ArrayLike, correct: ArrayLike) -> float | None:
    """Mean AUC over the questions, arrays (Q, M), that have both correct and wrong samples; None if none has.

    Unlike `auc` it gives no credit for telling easy questions from hard ones, which does not help to vote.
    """
    scores, correct = _pair(scores, correct)
    if scores.ndim != 2:
        raise InputError(f"verifier: auc_within needs arrays (questions, samples), not of shape {scores.shape}")
    found = [auc(row, labels) for row, labels in zip(scores, correct, strict=True)]
    both = [value for value in found if value is not None]
    return float(np.mean(both)) if both else None


def calibration(scores: ArrayLike, correct: ArrayLike, bins: int = 10) -> list[list[Any]]:
    """[count, mean score, share correct] for each of `bins` equal parts of [0, 1]; [0, None, None] for an empty one.

    A part includes its lower edge; the last one includes 1 as well.
    """
    scores, correct = _pair(scores, correct)
    if bins < 1:
        raise InputError(f"verifier: calibration needs at least one bin, not {bins}")
    scores, correct = scores.ravel(), correct.ravel()
    part = np.clip((scores * bins).astype(np.int64), 0, bins - 1)
    counts = np.bincount(part, minlength=bins)
    totals, hits = np.bincount(part, scores, minlength=bins), np.bincount(part, correct, minlength=bins)
    return [
        [int(count), float(total / count), float(hit / count)] if count else [0, None, None]
        for count, total, hit in zip(counts, totals, hits, strict=True)
    ]


def normalise(yes: ArrayLike, no: ArrayLike) -> np.ndarray:
    """P(Yes) / (P(Yes) + P(No)), of the common shape; 0.5 where both are 0."""
    yes, no = np.asarray(yes, dtype=np.float64), np.asarray(no, dtype=np.float64)
    mass = yes + no
    return np.where(mass > 0, yes / np.where(mass > 0, mass, 1.0), 0.5)


def summarise_verifier(yes: ArrayLike, no: ArrayLike, correct: ArrayLike, parsed: ArrayLike) -> dict[str, Any]:
    """The "verifier" object of a record from arrays (Q, M): P(Yes), P(No), the rewards, and whether an answer exists.

    Plain numbers, rounded to six decimals. `right` counts the right verdicts of a question. `accuracy_parsed` is None
    when nothing was parsed, the AUCs when they have one class only; `auc` is over all samples of all questions,
    `auc_within` the mean over questions. Raises InputError for shapes that differ or values that are no probabilities.
    """
    arrays = [np.asarray(array) for array in (yes, no, correct, parsed)]
    if len({array.shape for array in arrays}) > 1 or arrays[0].ndim != 2 or arrays[0].size == 0:
        shapes = ", ".join(str(array.shape) for array in arrays)
        raise InputError(f"verifier: yes, no, correct, parsed need one shape (questions, samples), not {shapes}")
    yes, no = arrays[0].astype(np.float64), arrays[1].astype(np.float64)
    within = np.isfinite(yes) & np.isfinite(no) & (yes >= 0) & (no >= 0) & (yes + no <= 1 + TOLERANCE)
    if not np.all(within):
        raise InputError("verifier: P(Yes) and P(No) must be probabilities that sum to at most 1")
    parsed = arrays[3].astype(bool)
    labels = arrays[2].astype(bool) & parsed
    relative = normalise(yes, no)
    numbers = {
        "accuracy": accuracy(yes, labels),
        "accuracy_parsed": accuracy(yes[parsed], labels[parsed]) if parsed.any() else None,
        "accuracy_normalised": accuracy(relative, labels),
        "auc": auc(yes, labels),
        "auc_normalised": auc(relative, labels),
        "auc_within": auc_within(yes, labels),
        "base_rate": labels.mean(),
        "yes_rate": (yes >= 0.5).mean(),
        "mass": (yes + no).mean(),
    }
    return {
        "right": ((yes >= 0.5) == labels).sum(axis=1).tolist(),
        **{name: _rounded(value) for name, value in numbers.items()},
        "calibration": [[count, _rounded(mean), _rounded(share)] for count, mean, share in calibration(yes, labels)],
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), DECIMALS)


def _pair(scores: ArrayLike, correct: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    scores, correct = np.asarray(scores, dtype=np.float64), np.asarray(correct).astype(bool)
    if scores.shape != correct.shape or scores.size == 0:
        raise InputError(f"verifier: scores {scores.shape} and labels {correct.shape} must agree and hold something")
    if not np.all(np.isfinite(scores)):
        raise InputError("verifier: scores must be finite")
    return scores, correct
