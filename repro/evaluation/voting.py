"""Three rules that turn N sampled answers into one: majority, best-of-N and weighted voting (RL^V, arXiv 2505.04842).

An answer is any hashable value, usually the parsed text; None stands for a sample without a parsed answer. Such a
sample never wins against a parsed one, whatever its score; with no parsed answer at all every rule returns None.
Ties (exactly equal counts, sums or scores) go to the answer whose first occurrence comes first. The paper states no
rule for ties or for unparsed samples: both are choices of this suite.

Sums of scores are taken in ascending order of score, one float addition after the other. So a sum depends on the scores
alone and not on the order of the samples, equal scores give equal sums for equal counts and larger sums for larger
ones, and `scaling.curves` can repeat the very same additions. Scores that are all zero say nothing: the weighted vote
then counts votes, which keeps "equal scores: weighted = majority" true at zero as well.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from repro.errors import InputError


def majority_vote(answers: Sequence[str | None]) -> str | None:
    """The most frequent parsed answer; None when there is none."""
    counts: dict[str, int] = {}
    for answer in answers:
        if answer is not None:
            counts[answer] = counts.get(answer, 0) + 1
    # A dict keeps the order of first occurrence, and max returns the first of equals: that is the tie rule.
    return max(counts, key=counts.__getitem__, default=None)


def best_of_n(answers: Sequence[str | None], scores: Sequence[float]) -> str | None:
    """The answer of the parsed sample with the highest score; None when there is none.

    Raises InputError unless `scores` holds one finite number >= 0 for each answer.
    """
    scores = _checked(answers, scores)
    parsed = [index for index, answer in enumerate(answers) if answer is not None]
    return answers[max(parsed, key=scores.__getitem__)] if parsed else None


def weighted_vote(answers: Sequence[str | None], scores: Sequence[float]) -> str | None:
    """The parsed answer with the largest sum of scores; None when there is none. Errors as `best_of_n`."""
    scores = _checked(answers, scores)
    sums = {answer: 0.0 for answer in answers if answer is not None}
    for index in sorted(range(len(scores)), key=scores.__getitem__):
        if answers[index] is not None:
            sums[answers[index]] += scores[index]
    if not any(sums.values()):
        return majority_vote(answers)
    return max(sums, key=sums.__getitem__)


def _checked(answers: Sequence[str | None], scores: Sequence[float]) -> list[float]:
    """The scores as plain floats, in the order given."""
    try:
        array = np.asarray(scores, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError("voting: scores must be numbers") from None
    if array.shape != (len(answers),):
        raise InputError(f"voting: {len(answers)} answers but scores of shape {array.shape}; give one score each")
    if not np.all(np.isfinite(array) & (array >= 0)):
        raise InputError("voting: scores must be finite and not negative")
    return array.tolist()
