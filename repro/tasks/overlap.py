"""How many test questions a model has seen in training: exact repeats, and repeats up to the numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence


def normalise(question: str) -> str:
    """A question without differences of case and white space."""
    return " ".join(question.casefold().split())


def mask_numbers(question: str) -> str:
    """The normalised question with every number replaced by one sign: siblings made from one pattern become equal."""
    return re.sub(r"[0-9][0-9,]*(?:\.[0-9]+)?", "#", normalise(question))


def overlap(train: Iterable[str], test: Sequence[str]) -> dict[str, int]:
    """Counts over the test questions: `exact` are in train; `masked` are not, but are once numbers are masked."""
    train = list(train)
    exact, masked = {normalise(question) for question in train}, {mask_numbers(question) for question in train}
    repeats = [normalise(question) in exact for question in test]
    return {
        "exact": sum(repeats),
        "masked": sum(
            mask_numbers(question) in masked and not repeat for question, repeat in zip(test, repeats, strict=True)
        ),
    }
