"""The "scaling" entry of one evaluation set, as a record stores it, and the metrics that follow from it.

Curves are stored per question in whole thousandths, so that intervals over questions can be computed later. The metrics
are computed from the stored numbers, rounding included: a record agrees with itself. pass@N is not stored here: it
follows from the outcome letters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from repro.errors import InputError
from repro.evaluation.scaling import budget_curves, curves, early_stop, powers_of_two
from repro.evaluation.verifier import DECIMALS, summarise_verifier

RULES = ("majority", "best", "weighted")


def scaling_entry(
    answers: ArrayLike,
    correct: ArrayLike,
    yes: ArrayLike,
    no: ArrayLike,
    lengths: ArrayLike | None = None,
    budgets: Sequence[int] | None = None,
    thresholds: Sequence[float] = (),
    subsets: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Everything about one pool, JSON-able: sizes 1, 2, 4, ... M; curves, verifier, and budgets (None without any).

    Arrays (Q, M): `answers` whole numbers, -1 unparsed; `correct` 0/1; `yes`, `no` the verifier's P(Yes), P(No);
    `lengths` tokens, needed with `budgets`. The votes weigh by the raw P(Yes). Early stopping uses the whole pool.
    Raises InputError as `scaling.curves`, `budget_curves`, `early_stop` and `verifier.summarise_verifier` do.
    """
    answers = np.asarray(answers)
    found = curves(answers, correct, yes, powers_of_two(answers.shape[1] if answers.ndim == 2 else 0), subsets, seed)
    return {
        "sizes": list(found.sizes),
        "curves": {rule: np.rint(getattr(found, rule).T * 1000).astype(int).tolist() for rule in RULES},
        "none": {"majority": _rounded(found.none)},
        "verifier": summarise_verifier(yes, no, correct, answers >= 0),
        "budgets": _budget_entry(answers, correct, yes, lengths, budgets, thresholds, found.sizes, subsets, seed)
        if budgets
        else None,
    }


def vote_entry(answers: ArrayLike, correct: ArrayLike) -> dict[str, Any]:
    """Majority voting of N = 1, 2, 4, ... M samples without a verifier, JSON-able: sizes and thousandths.

    Arrays (Q, M) and errors as in `scaling_entry`.
    """
    answers = np.asarray(answers)
    sizes = powers_of_two(answers.shape[1] if answers.ndim == 2 else 0)
    found = curves(answers, correct, np.ones(answers.shape), sizes)
    return {"sizes": sizes, "majority": np.rint(found.majority.T * 1000).astype(int).tolist()}


def vote_metrics(entry: dict[str, Any]) -> dict[str, float]:
    """`majority@N` for every size: means over questions of the stored numbers."""
    return {
        f"majority@{size}": float(np.mean(row)) / 1000
        for size, row in zip(entry["sizes"], entry["majority"], strict=True)
    }


def answer_numbers(answers: Sequence[str | None], n: int) -> np.ndarray:
    """Whole numbers (Q, n) that name the answers of each question, -1 for none; `answers` has n per question."""
    numbers = np.full((len(answers) // n, n), -1)
    for question, row in enumerate(numbers):
        known: dict[str, int] = {}
        for place in range(n):
            answer = answers[question * n + place]
            if answer is not None:
                row[place] = known.setdefault(answer, len(known))
    return numbers


def scaling_metrics(entry: dict[str, Any], samples_n: int) -> dict[str, float]:
    """Metrics of one entry, without the set's name: means over questions, `samples_n` = samples per question.

    `majority@N`, `best@N`, `weighted@N` for every size; `verifier_accuracy`; `verifier_auc` and `verifier_auc_within`
    unless there is one class only; with budgets `joint@N` and `joint_majority@N` for every size: the mean over the
    budgets of the accuracy of weighted and majority voting.
    """
    sizes = entry["sizes"]
    metrics = {
        f"{rule}@{size}": float(np.mean(row)) / 1000
        for rule in RULES
        for size, row in zip(sizes, entry["curves"][rule], strict=True)
    }
    metrics["verifier_accuracy"] = float(np.mean(entry["verifier"]["right"])) / samples_n
    for name in ("auc", "auc_within"):
        if entry["verifier"][name] is not None:
            metrics[f"verifier_{name}"] = entry["verifier"][name]
    if entry["budgets"] is not None:
        for place, size in enumerate(sizes):
            metrics[f"joint@{size}"] = float(np.mean([row[place] for row in entry["budgets"]["weighted"]]))
            metrics[f"joint_majority@{size}"] = float(np.mean([row[place] for row in entry["budgets"]["majority"]]))
    return metrics


def _budget_entry(answers, correct, yes, lengths, budgets, thresholds, sizes, subsets, seed) -> dict[str, Any]:
    if lengths is None:
        raise InputError("scaling: budgets need the lengths of the samples")
    found = budget_curves(answers, correct, yes, lengths, budgets, sizes, subsets, seed)
    accuracy, tokens = early_stop(answers, correct, yes, lengths, budgets, thresholds, answers.shape[1])
    return {
        "tokens": list(found.budgets),
        "sizes": list(found.sizes),
        "majority": _rounded(found.majority),
        "weighted": _rounded(found.weighted),
        "early": {
            "thresholds": [float(threshold) for threshold in thresholds],
            "accuracy": _rounded(accuracy),
            "mean_tokens": _rounded(tokens),
        },
    }


def _rounded(values: np.ndarray) -> list[Any]:
    return np.round(values, DECIMALS).tolist()
