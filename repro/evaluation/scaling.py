"""Test-time scaling: accuracy of the voting rules with N samples, estimated from one pool of M samples per question.

How the authors of RL^V (arXiv 2505.04842) average over N < M samples is not stated. Here a rule's value at N is its
mean over subsets of the pool drawn WITHOUT replacement, in random order:
- best-of-N is exact for every N, in closed form; so is the share of subsets without a parsed answer;
- majority and weighted voting are exact for N = 1 and N = M, and in between a mean over `subsets` random subsets;
- N = M has one subset, the whole pool; it keeps the pool's order, which matters for ties alone.
The subsets are the nested prefixes of random permutations that depend on the seed (and M) alone and that all questions
share. Each prefix of each permutation is a uniform draw, so the mean is unbiased for every single question, and since
the samples of a pool are exchangeable, sharing ties no two questions together. It makes arms comparable: the same
subsets, whatever the arm. Because pass@N is exact and these two means are not, they can exceed it by Monte-Carlo error
(a standard error of at most 0.5 / sqrt(subsets) per question), although no single subset ever does.
Inside a subset every rule is the function of `voting.py`, ties included; best-of-N averages over the tied samples, each
of which is equally likely to come first in a random order.

Shapes: Q questions, M samples in the pool. `answers` (Q, M) are whole numbers that name the answers of one question, -1
for unparsed; `correct` (Q, M) bool; `scores` (Q, M) finite and >= 0; `lengths` (Q, M) in tokens. An unparsed sample is
wrong, whatever `correct` says. An answer counts as the sample that gave it first in the subset does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from repro.errors import InputError
from repro.evaluation.voting import weighted_vote


@dataclass(frozen=True)
class Curves:
    """Chance of a correct result per question and size, float (Q, sizes); `none` (sizes,) share without an answer."""

    sizes: tuple[int, ...]
    majority: np.ndarray
    best: np.ndarray
    weighted: np.ndarray
    none: np.ndarray


@dataclass(frozen=True)
class BudgetCurves:
    """Mean accuracy over the questions, float (budgets, sizes)."""

    budgets: tuple[int, ...]
    sizes: tuple[int, ...]
    majority: np.ndarray
    weighted: np.ndarray


def powers_of_two(pool: int) -> list[int]:
    """1, 2, 4, ... up to `pool`, and `pool` itself."""
    return sorted({2**power for power in range(pool.bit_length())} | {pool})


def curves(
    answers: ArrayLike,
    correct: ArrayLike,
    scores: ArrayLike,
    sizes: Sequence[int],
    subsets: int = 1000,
    seed: int = 0,
) -> Curves:
    """Majority, best-of-N and weighted voting for every N of `sizes`; see the module's text for the estimators.

    Raises InputError for shapes that do not fit, a score that is negative or not finite, an N below 1 or beyond the
    pool, or fewer than one subset.
    """
    answers, correct, scores = _pool(answers, correct, scores)
    sizes = _sizes(sizes, answers.shape[1])
    majority, weighted = _votes(answers, correct, scores, sizes, _permutations(answers.shape[1], subsets, seed))
    best, none = _best(answers, correct, scores, sizes)
    return Curves(sizes, majority, best, weighted, none)


def budget_curves(
    answers: ArrayLike,
    correct: ArrayLike,
    scores: ArrayLike,
    lengths: ArrayLike,
    budgets: Sequence[int],
    sizes: Sequence[int],
    subsets: int = 1000,
    seed: int = 0,
) -> BudgetCurves:
    """The same voting with every sample longer than the budget unparsed: its answer does not exist yet.

    All budgets share their subsets. Errors as `curves`, and for budgets that do not increase or lengths of another
    shape.
    """
    answers, correct, scores = _pool(answers, correct, scores)
    lengths, budgets = _lengths(lengths, answers.shape), _budgets(budgets)
    sizes = _sizes(sizes, answers.shape[1])
    permutations = _permutations(answers.shape[1], subsets, seed)
    rows = []
    for budget in budgets:
        in_time = lengths <= budget
        pair = _votes(np.where(in_time, answers, -1), correct & in_time, scores, sizes, permutations)
        rows.append([values.mean(axis=0) for values in pair])
    majority, weighted = (np.array([row[rule] for row in rows]) for rule in range(2))
    return BudgetCurves(budgets, sizes, majority, weighted)


def early_stop(
    answers: ArrayLike,
    correct: ArrayLike,
    scores: ArrayLike,
    lengths: ArrayLike,
    budgets: Sequence[int],
    thresholds: Sequence[float],
    n: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Accuracy (thresholds,) and mean tokens per sample (thresholds,) when confidence chooses the length budget.

    Per question the budget rises step by step until the confidence of the weighted vote over the first `n` samples of
    the pool is at least the threshold; the last budget stops in any case. The paper says only that the confidence of
    RL^V passes a threshold. Here confidence is the mean score of the samples that gave the winning answer, and a vote
    without an answer has none and never stops before the last budget.
    Tokens of a sample are min(its length, the budget stopped at): a longer budget continues the sample and does not
    begin it anew. The one token of each verdict is not counted. Errors as `budget_curves`.
    """
    answers, correct, scores = _pool(answers, correct, scores)
    lengths, budgets = _lengths(lengths, answers.shape), _budgets(budgets)
    (n,) = _sizes([n], answers.shape[1])
    thresholds = np.asarray(thresholds, dtype=np.float64)
    if thresholds.ndim != 1 or not np.all(np.isfinite(thresholds)):
        raise InputError("early stop: thresholds must be a list of finite numbers")
    questions = len(answers)
    confidence, right = np.full((questions, len(budgets)), -np.inf), np.zeros((questions, len(budgets)), dtype=bool)
    for q in range(questions):
        for step, budget in enumerate(budgets):
            usable = (answers[q, :n] >= 0) & (lengths[q, :n] <= budget)
            given = [int(answer) if use else None for answer, use in zip(answers[q, :n], usable, strict=True)]
            winner = weighted_vote(given, scores[q, :n])
            if winner is not None:
                behind = usable & (answers[q, :n] == winner)
                confidence[q, step] = scores[q, :n][behind].mean()
                right[q, step] = correct[q, np.argmax(behind)]
    confidence[:, -1] = np.inf
    used = np.minimum(lengths[:, :n, None], np.array(budgets)).mean(axis=1)
    # (thresholds, Q): argmax finds the first budget that passes, and the last one always does.
    stop = (confidence[None] >= thresholds[:, None, None]).argmax(axis=2)
    row = np.arange(questions)
    return right[row, stop].mean(axis=1), used[row, stop].mean(axis=1)


def _votes(
    answers: np.ndarray, correct: np.ndarray, scores: np.ndarray, sizes: tuple[int, ...], permutations: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Majority and weighted voting, each float (Q, sizes)."""
    questions, pool = answers.shape
    whole = np.arange(pool)[None]
    between = [size for size in dict.fromkeys(sizes) if 1 < size < pool]
    result = np.empty((2, questions, len(sizes)))
    for q in range(questions):
        one = float(correct[q].mean())
        found = {1: (one, one)}
        found |= _question(answers[q], correct[q], scores[q], whole, [pool])
        found |= _question(answers[q], correct[q], scores[q], permutations, between)
        result[:, q] = np.array([found[size] for size in sizes]).T
    return result[0], result[1]


def _question(
    answers: np.ndarray, correct: np.ndarray, scores: np.ndarray, permutations: np.ndarray, sizes: list[int]
) -> dict[int, tuple[float, float]]:
    """Share of the permutations (S, M) whose first N samples vote for a correct answer: {N: (majority, weighted)}."""
    parsed = answers >= 0
    distinct = np.unique(answers[parsed])
    if not sizes or not distinct.size:
        return dict.fromkeys(sizes, (0.0, 0.0))
    draws, pool = permutations.shape
    # One table cell per (answer, permutation); the unparsed samples fall into a last row, which is cut off.
    row = np.where(parsed, np.searchsorted(distinct, answers), distinct.size)
    shape, column = (distinct.size + 1, draws), np.arange(draws)[:, None]

    # Where an answer first occurs does not depend on N. Written from the back, so that the earliest position stays.
    longest = max(sizes)
    small = np.uint16 if pool < 2**16 else np.int64
    first = np.full(shape, pool, dtype=small)
    first[row[permutations[:, longest - 1 :: -1]], column] = np.arange(longest)[::-1]
    first = first[:-1]

    # Samples by ascending score: sums are then the additions of `weighted_vote`, in its order, because bincount adds
    # one element after the other.
    ascending = np.argsort(scores, kind="stable")
    rank = np.empty(pool, dtype=small)
    rank[ascending] = np.arange(pool)
    cell, weight = row[ascending] * draws, scores[ascending]
    found = {}
    for size in sizes:
        ranked = np.sort(rank[permutations[:, :size]], axis=1)
        cells = (cell[ranked] + column).ravel()
        counts = np.bincount(cells, minlength=shape[0] * draws).reshape(shape)[:-1]
        sums = np.bincount(cells, weight[ranked].ravel(), minlength=shape[0] * draws).reshape(shape)[:-1]
        most, _ = _first_of_the_best(counts, first)
        heaviest, total = _first_of_the_best(sums, first)
        shares = []
        for position in (most, np.where(total > 0, heaviest, most)):
            # No parsed answer among the first N: the position is N or beyond, and the N-th sample is as wrong as all.
            sample = permutations[column[:, 0], np.minimum(position, size - 1)]
            shares.append(float(np.mean(correct[sample])))
        found[size] = (shares[0], shares[1])
    return found


def _first_of_the_best(values: np.ndarray, first: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of the answers (K, S) with the largest value, the earliest first position (S,); and that value (S,)."""
    top = values.max(axis=0)
    return np.where(values == top, first, np.iinfo(first.dtype).max).min(axis=0), top


def _best(
    answers: np.ndarray, correct: np.ndarray, scores: np.ndarray, sizes: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Best-of-N (Q, sizes), and the share of (question, subset) pairs without a parsed answer (sizes,)."""
    questions, pool = answers.shape
    drawn, before = np.array(sizes)[:, None], np.arange(pool)
    # missed[i, a]: chance that a subset of sizes[i] holds none of `a` given samples, C(M-a, N) / C(M, N).
    ratios = np.maximum(pool - before - drawn, 0) / (pool - before)
    missed = np.concatenate([np.ones((len(sizes), 1)), np.cumprod(ratios, axis=1)], axis=1)
    parsed = answers >= 0
    best = np.zeros((questions, len(sizes)))
    for q in range(questions):
        usable = np.flatnonzero(parsed[q])
        if usable.size:
            order = usable[np.argsort(-scores[q, usable], kind="stable")]
            # A group of equal scores wins when the subset holds one of it and none of the better ones.
            start = np.flatnonzero(np.diff(scores[q, order], prepend=np.inf) != 0)
            end = np.append(start[1:], order.size)
            share = np.add.reduceat(correct[q, order].astype(np.float64), start) / (end - start)
            best[q] = (missed[:, start] - missed[:, end]) @ share
    top = np.where(parsed, scores, -1.0).argmax(axis=1)  # the first of equals: the whole pool keeps its order
    best[:, np.array(sizes) == pool] = correct[np.arange(questions), top][:, None]
    none = missed[:, parsed.sum(axis=1)].mean(axis=1)
    return np.clip(best, 0.0, 1.0), none


def _permutations(pool: int, subsets: int, seed: int) -> np.ndarray:
    """(subsets, pool) random permutations."""
    if isinstance(subsets, bool) or not isinstance(subsets, int | np.integer) or subsets < 1:
        raise InputError(f"scaling: subsets must be a whole number of at least 1, not {subsets}")
    rng = np.random.default_rng(seed)
    return rng.permuted(np.broadcast_to(np.arange(pool), (subsets, pool)), axis=1)


def _pool(answers: ArrayLike, correct: ArrayLike, scores: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The three arrays, checked; `correct` is False for unparsed samples."""
    answers, correct, scores = np.asarray(answers), np.asarray(correct), np.asarray(scores, dtype=np.float64)
    if answers.ndim != 2 or answers.size == 0:
        raise InputError(f"scaling: answers must have shape (questions, samples) and hold some, not {answers.shape}")
    if answers.dtype.kind not in "iu" or answers.min() < -1:
        raise InputError("scaling: answers must be whole numbers, 0 and up, or -1 for unparsed")
    for name, array in (("correct", correct), ("scores", scores)):
        if array.shape != answers.shape:
            raise InputError(f"scaling: {name} has shape {array.shape}, answers {answers.shape}; they must agree")
    if not np.all(np.isfinite(scores) & (scores >= 0)):
        raise InputError("scaling: scores must be finite and not negative")
    answers = answers.astype(np.int64)
    return answers, correct.astype(bool) & (answers >= 0), scores


def _lengths(lengths: ArrayLike, shape: tuple[int, ...]) -> np.ndarray:
    lengths = np.asarray(lengths)
    if lengths.shape != shape:
        raise InputError(f"scaling: lengths has shape {lengths.shape}, answers {shape}; they must agree")
    return lengths


def _budgets(budgets: Sequence[int]) -> tuple[int, ...]:
    budgets = tuple(budgets)
    whole = all(isinstance(budget, int | np.integer) for budget in budgets)
    if not whole or not budgets or budgets[0] < 1 or tuple(sorted(set(budgets))) != budgets:
        raise InputError(f"scaling: budgets must be one or more token counts that increase from 1 up, not {budgets}")
    return tuple(int(budget) for budget in budgets)


def _sizes(sizes: Sequence[int], pool: int) -> tuple[int, ...]:
    sizes = tuple(sizes)
    if not sizes or any(isinstance(size, bool) or not isinstance(size, int | np.integer) for size in sizes):
        raise InputError("scaling: sizes must be one or more whole numbers of samples")
    if min(sizes) < 1:
        raise InputError(f"scaling: N must be at least 1, not {min(sizes)}")
    if max(sizes) > pool:
        raise InputError(f"scaling: N beyond the pool: N = {max(sizes)} of {pool} samples; draw more or lower N")
    return tuple(int(size) for size in sizes)
