"""Metrics of one evaluation set from its outcome letters, as a record stores them.

One string per question, one letter per sample: `c` correct, `w` wrong, `u` unparsed (no answer found); a capital letter
marks a completion that was cut off at the length limit. A truncated completion can be correct, and counts as such.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from repro.errors import InputError
from repro.evaluation.pass_at_k import pass_at_k

LETTERS = "cwuCWU"


def letter_matrix(samples: Sequence[str]) -> np.ndarray:
    """(questions, n) array of single letters. Raises InputError when empty, ragged, or holding another letter."""
    if not samples or not samples[0]:
        raise InputError("outcomes: no samples to evaluate")
    n = len(samples[0])
    for index, row in enumerate(samples):
        if len(row) != n:
            raise InputError(f"outcomes: question {index} has {len(row)} samples, question 0 has {n}")
        unknown = set(row) - set(LETTERS)
        if unknown:
            raise InputError(f"outcomes: question {index} has letter {min(unknown)!r}; known are {LETTERS}")
    return np.array([list(row) for row in samples])


def correct_matrix(samples: Sequence[str]) -> np.ndarray:
    """(questions, n) bool: which samples are correct, truncated or not. Errors as `letter_matrix`."""
    return np.char.lower(letter_matrix(samples)) == "c"


def summarize(samples: Sequence[str], greedy: str | None = None) -> dict[str, float]:
    """Metrics of one set, all in 0..1, means over questions.

    - `accuracy`: mean over a question's n samples (Avg@n);
    - `pass@k` for k = 1, 2, 4, … up to n: the unbiased estimator;
    - `truncated`, `unparsed`: shares of the samples;
    - `greedy`: accuracy of the greedy completions, when `greedy` (one letter per question) is given.

    Raises InputError for malformed letters, or a `greedy` of another length.
    """
    letters = letter_matrix(samples)
    lowered = np.char.lower(letters)
    correct = (lowered == "c").sum(axis=1)
    questions, n = letters.shape
    metrics = {
        "accuracy": float(np.mean(correct / n)),
        "truncated": float(np.mean(letters != lowered)),
        "unparsed": float(np.mean(lowered == "u")),
    }
    for k in (2**power for power in range(n.bit_length())):
        metrics[f"pass@{k}"] = float(np.mean(pass_at_k(n, correct, k)))
    if greedy is not None:
        if len(greedy) != questions:
            raise InputError(f"outcomes: {len(greedy)} greedy letters for {questions} questions")
        metrics["greedy"] = float(np.mean(correct_matrix(list(greedy))))
    return metrics
