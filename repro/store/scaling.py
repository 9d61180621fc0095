"""What one set's scored pool of samples came to, as stored in a record: typed, and checked when it comes from outside.

Per question there is one pool of n samples, each with the model's own verdict P(Yes). A rule chooses one answer from N
of them: majority (the most frequent answer), best (the answer of the highest score), weighted (the highest sum of
scores). pass@N is not stored: it follows from the outcome letters.

Shape legend: Q questions, S sizes, B budgets, E thresholds. Shares lie in [0, 1]; scores are raw P(Yes) unless called
normalised, which is P(Yes) / (P(Yes) + P(No)).
"""

from __future__ import annotations

from typing import Any, TypedDict

from repro.errors import InputError
from repro.store.outcomes import RULES

BINS = 10
_SHARE = 1 + 1e-6  # single precision may end a hair above 1
_ANY = 10**15


class Verifier(TypedDict):
    right: list[int]  # Q: samples with a right verdict (raw score >= 0.5); unparsed ones are labelled wrong
    accuracy: float  # share of all samples
    accuracy_parsed: float | None  # among samples with an answer; null if there is none
    accuracy_normalised: float | None  # with the normalised score
    auc: float | None  # null where all samples have one label
    auc_normalised: float | None
    auc_within: float | None  # mean over the questions that have both labels
    base_rate: float  # share of samples that are correct
    yes_rate: float  # share with raw score >= 0.5
    mass: float  # mean of P(Yes) + P(No)
    calibration: list[list[Any]]  # 10 equal bins of the raw score: count, mean score, share correct (null if empty)


class Early(TypedDict):
    """Raise the budget step by step until the confidence of the weighted vote passes a threshold."""

    thresholds: list[float]  # E
    accuracy: list[float]  # E
    mean_tokens: list[float]  # E


class Budgets(TypedDict):
    """A sample longer than the budget counts as unparsed: its answer does not exist yet."""

    tokens: list[int]  # B, increasing
    sizes: list[int]  # S, as in Scaling
    majority: list[list[float]]  # (B, S), accuracy
    weighted: list[list[float]]  # (B, S), accuracy
    early: Early


class Scaling(TypedDict):
    sizes: list[int]  # S, increasing, at most n
    curves: dict[str, list[list[int]]]  # rule -> (S, Q): chance of a correct answer, in thousandths
    none: dict[str, list[float]]  # rule -> (S,): share of (question, subset) pairs without any parsed answer
    verifier: Verifier
    budgets: Budgets | None


class Vote(TypedDict):
    """Majority voting without a verifier."""

    sizes: list[int]  # N
    majority: list[list[int]]  # thousandths: one row per size, one number per question


def check_vote(where: str, vote: Any, questions: int, samples: int) -> None:
    """Raise `InputError` with one line unless `vote` is a `Vote` on `questions` of `samples` each."""
    where = f"{where}: vote"
    _require(isinstance(vote, dict), f"{where} is not an object")
    _increasing(f"{where}.sizes", vote.get("sizes"))
    _require(vote["sizes"][-1] <= samples, f"{where}.sizes go beyond the {samples} samples per question")
    _rows(f"{where}.majority", vote.get("majority"), len(vote["sizes"]), questions, whole=True, most=1000)


def check_scaling(where: str, scaling: Any, questions: int, samples: int) -> None:
    """Raise `InputError` with one line unless `scaling` is a `Scaling` of `questions` pools of `samples` each."""
    where = f"{where}: scaling"
    _require(isinstance(scaling, dict), f"{where} is not an object")
    sizes = scaling.get("sizes")
    _increasing(f"{where}.sizes", sizes)
    _require(sizes[-1] <= samples, f"{where}.sizes go beyond the {samples} samples per question")
    curves = _object(where, scaling, "curves")
    _require(set(curves) == set(RULES), f"{where}.curves must be of {', '.join(RULES)}")
    for rule, rows in curves.items():
        _rows(f"{where}.curves.{rule}", rows, len(sizes), questions, whole=True, most=1000)
    for rule, shares in _object(where, scaling, "none").items():
        _require(rule in RULES, f"{where}.none has the unknown rule {rule!r}")
        _numbers(f"{where}.none.{rule}", shares, len(sizes))
    _check_verifier(f"{where}.verifier", _object(where, scaling, "verifier"), questions, samples)
    if scaling.get("budgets") is not None:
        _check_budgets(f"{where}.budgets", _object(where, scaling, "budgets"), sizes)


def _check_verifier(where: str, verifier: dict[str, Any], questions: int, samples: int) -> None:
    _numbers(f"{where}.right", verifier.get("right"), questions, whole=True, most=samples)
    for name in ("accuracy", "base_rate", "yes_rate", "mass"):
        _require(_number(verifier.get(name), _SHARE), f"{where}.{name} is not a share")
    for name in ("accuracy_parsed", "accuracy_normalised", "auc", "auc_normalised", "auc_within"):
        value = verifier.get(name)
        _require(value is None or _number(value, _SHARE), f"{where}.{name} is neither a share nor null")
    bins = verifier.get("calibration")
    _require(isinstance(bins, list) and len(bins) == BINS, f"{where}.calibration needs {BINS} bins")
    for one in bins:
        _require(isinstance(one, list) and len(one) == 3, f"{where}.calibration: a bin is [count, score, share]")
        count, *means = one
        _require(_number(count, questions * samples, whole=True), f"{where}.calibration: {count!r} is not a count")
        good = all(_number(mean, _SHARE) for mean in means) if count else means == [None, None]
        _require(good, f"{where}.calibration: a bin has means exactly if it is not empty")


def _check_budgets(where: str, budgets: dict[str, Any], sizes: list[int]) -> None:
    _increasing(f"{where}.tokens", budgets.get("tokens"))
    _require(budgets.get("sizes") == sizes, f"{where}.sizes differ from the sizes of the curves")
    for rule in ("majority", "weighted"):
        _rows(f"{where}.{rule}", budgets.get(rule), len(budgets["tokens"]), len(sizes))
    early = _object(where, budgets, "early")
    thresholds = early.get("thresholds")
    _require(isinstance(thresholds, list), f"{where}.early.thresholds are not a list")
    for name, most in (("thresholds", _ANY), ("accuracy", _SHARE), ("mean_tokens", _ANY)):
        _numbers(f"{where}.early.{name}", early.get(name), len(thresholds), most=most)


def _object(where: str, parent: dict[str, Any], name: str) -> dict[str, Any]:
    value = parent.get(name)
    _require(isinstance(value, dict), f"{where}.{name} is not an object")
    return value


def _increasing(where: str, values: Any) -> None:
    good = isinstance(values, list) and values and all(_number(v, _ANY, whole=True) and v > 0 for v in values)
    _require(bool(good), f"{where} must be positive whole numbers")
    _require(all(a < b for a, b in zip(values, values[1:], strict=False)), f"{where} must increase")


def _rows(where: str, rows: Any, height: int, width: int, whole: bool = False, most: float = _SHARE) -> None:
    _require(isinstance(rows, list) and len(rows) == height, f"{where} needs {height} rows")
    for row in rows:
        _numbers(where, row, width, whole, most)


def _numbers(where: str, values: Any, length: int, whole: bool = False, most: float = _SHARE) -> None:
    _require(isinstance(values, list) and len(values) == length, f"{where} needs {length} numbers in a row")
    kind = "whole numbers" if whole else "numbers"
    _require(all(_number(v, most, whole) for v in values), f"{where} must be {kind} from 0 to {most:.6g}")


def _number(value: Any, most: float, whole: bool = False) -> bool:
    kinds = (int,) if whole else (int, float)
    # `type`, because a JSON true is an int to Python. Infinity and NaN fail the comparisons.
    return type(value) in kinds and 0 <= value <= most


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise InputError(f"record: {message}")
