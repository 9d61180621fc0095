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
# What each letter says, by its ASCII code, in one look for thousands of them; 0 for what is no letter of ours.
_KNOWN, _CORRECT, _UNPARSED, _TRUNCATED = 1, 2, 4, 8
_KINDS = np.zeros(256, dtype=np.uint8)
for _letter in LETTERS:
    _meaning = {"c": _CORRECT, "u": _UNPARSED}.get(_letter.lower(), 0) | (_TRUNCATED if _letter.isupper() else 0)
    _KINDS[ord(_letter)] = _KNOWN | _meaning
KL = {"kl": "sequence", "kl_token": "token"}  # metric -> column of a set's "kl"
RULES = ("majority", "best", "weighted")  # how one answer is chosen from N samples, see `repro.store.scaling`


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
    if len(set(map(len, samples))) > 1:
        raise InputError("outcomes are ragged: every question needs the same number of samples")
    flat = decode_greedy("".join(samples))
    shape = (len(samples), width)
    return Outcomes(flat.correct.reshape(shape), flat.unparsed.reshape(shape), flat.truncated.reshape(shape))


def decode_greedy(text: str) -> Outcomes:
    """One string of Q letters to arrays (Q,)."""
    kinds = _KINDS[np.frombuffer(text.encode("ascii", errors="replace"), dtype=np.uint8)]
    if not kinds.all():
        strange = min(set(text) - LETTERS)
        raise InputError(f"outcomes hold the unknown letter {strange!r}: known are c, w, u and their capitals")
    return Outcomes(kinds & _CORRECT > 0, kinds & _UNPARSED > 0, kinds & _TRUNCATED > 0)


def question_scores(entry: dict[str, Any], metric: str) -> np.ndarray:
    """Score of each question, float (Q,), from one set of a record's "outcomes".

    Metrics: accuracy (Avg@n), greedy, pass@k (1 - C(n-c, k) / C(n, k)), truncated, unparsed; where it was recorded,
    accuracy_lenient (the last number is the answer); where votes were recorded or the set's pool was scored, majority@N
    (chance that the rule's answer to N samples is correct); of a scored pool best@N and weighted@N as well, and
    verifier_accuracy (share of the samples judged rightly); kl and kl_token (nats per response and per token, to the
    base; may be negative). `InputError` if unknown, if k > n, if N is not among the sizes, or if the set was not
    decoded greedily, not read leniently, not scored, or not compared with the base.
    """
    if metric in KL:
        if entry.get("kl") is None:
            raise InputError("the KL divergence to the base was not measured on these questions")
        return np.asarray(entry["kl"][KL[metric]], dtype=float)
    if metric == "accuracy_lenient":
        if entry.get("lenient") is None:
            raise InputError("the answers to these questions were not read leniently")
        return np.asarray(entry["lenient"], dtype=float) / len(entry["samples"][0])
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
    if metric == "verifier_accuracy":
        return np.asarray(_scaling(entry)["verifier"]["right"], dtype=float) / outcomes.correct.shape[1]
    if prefix in RULES and _is_count(k_text):
        sizes = _curve(entry, prefix)[0]
        if int(k_text) not in sizes:
            raise InputError(f"no {metric}: the record has {prefix}@N for N = {', '.join(map(str, sizes))}")
        return rule_scores(entry, prefix)[:, sizes.index(int(k_text))]
    if prefix != "pass" or not _is_count(k_text):
        raise InputError(
            f"unknown metric {metric!r}: use accuracy, accuracy_lenient, greedy, pass@k, truncated, unparsed, "
            "majority@N, best@N, weighted@N, verifier_accuracy, kl or kl_token"
        )
    n, k = outcomes.correct.shape[1], int(k_text)
    if k > n:
        raise InputError(f"pass@{k} needs at least {k} samples per question, the record holds {n}")
    by_count = np.array([1 - math.comb(n - c, k) / math.comb(n, k) for c in range(n + 1)])
    return by_count[outcomes.correct.sum(axis=1)]


def rule_scores(entry: dict[str, Any], rule: str) -> np.ndarray:
    """Chance that the rule's answer is correct, float (Q, S): question by question, over the sizes of the set."""
    return np.asarray(_curve(entry, rule)[1], dtype=float).T / 1000


def _curve(entry: dict[str, Any], rule: str) -> tuple[list[int], list[list[int]]]:
    """Sizes, and thousandths per size and question."""
    if rule == "majority" and entry.get("vote") is not None:
        return entry["vote"]["sizes"], entry["vote"]["majority"]
    return _scaling(entry)["sizes"], _scaling(entry)["curves"][rule]


def _scaling(entry: dict[str, Any]) -> dict[str, Any]:
    if entry.get("scaling") is None:
        raise InputError("the samples of these questions were not scored by a verifier")
    return entry["scaling"]


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and int(text) > 0
