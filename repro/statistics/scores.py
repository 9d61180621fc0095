"""What a contrast needs from trial records: scores by seed and question, or the reason why not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from repro.errors import InputError
from repro.statistics.trial_metrics import TRIAL_METRICS, Missing
from repro.store.key import deciding
from repro.store.outcomes import KL, RULES, question_scores, rule_scores
from repro.store.records import newest

_QUESTION_METRICS = ("accuracy", "accuracy_lenient", "greedy", "truncated", "unparsed", "verifier_accuracy", *KL)
_COUNTED = ("pass", *RULES)  # with @N
_SET_METRICS = ("verifier_auc", "verifier_auc_within")  # one number per set, from the record's metrics
_COUNTED_SET_METRICS = ("joint", "joint_majority")  # with @N
COST_METRICS = ("time_per_step", "online_time_per_step", "predicted_peak", "planned_peak:NAME", "planned_flops:NAME")
EFFICIENCY = "efficiency"  # weighted@efficiency, see `repro.statistics.contrast`


def by_seed(records: list[dict], arm: str) -> dict[int, dict]:
    """The arm's finished trial records by seed, all of one configuration. `Missing` otherwise."""
    chosen = newest(r for r in records if r["arm"] == arm and r["kind"] == "trial")
    done = {r["seed"]: r for r in chosen if r["status"] == "done"}
    if not done:
        state = "failed on every seed" if chosen else "has no record"
        raise Missing(f"{arm} {state}")
    first = next(iter(done.values()))
    for record in done.values():
        if not _same_recipe(record, first):
            raise Missing(f"the records of {arm} differ in more than their seed: run it again")
    return dict(sorted(done.items()))


def arm_scores(chosen: dict[int, dict], metric: str) -> tuple[list[np.ndarray], list[Any]]:
    """Scores, one (S, Q_k) array per evaluation set, and the questions they belong to (to compare two arms).

    Metrics of a whole trial come as one (S, 1) array without questions; metrics of a whole set as one (S, 1) array per
    set, with None for its questions.
    """
    name, _, only = metric.partition(":")
    if name in TRIAL_METRICS:
        return [np.array([[TRIAL_METRICS[name](record)] for record in chosen.values()])], []
    stem = name.partition("@")[0] if "@" in name else ""
    if name in _SET_METRICS or stem in _COUNTED_SET_METRICS:
        return _set_scores(chosen, name, only), [(set_name, None) for set_name in _set_names(chosen, only)]
    if name not in _QUESTION_METRICS and stem not in _COUNTED:
        counted = (f"{word}@N" for word in (*_COUNTED, *_COUNTED_SET_METRICS))
        known = ", ".join((*_QUESTION_METRICS, *counted, *_SET_METRICS, *COST_METRICS, *TRIAL_METRICS))
        raise InputError(f"unknown metric {metric!r}: use one of {known}")
    scores, questions = [], []
    for set_name, entries in _entries(chosen, only, "kl" if name in KL else ""):
        scores.append(_stacked(chosen, set_name, [lambda e=entry: question_scores(e, name) for entry in entries]))
        questions.append((set_name, entries[0]["questions"]))
    return scores, questions


def arm_curves(chosen: dict[int, dict], rule: str, only: str) -> tuple[list[int], list[np.ndarray], list[Any]]:
    """A rule's accuracy over the sizes: sizes (N of them), one (S, Q_k, N) array per set, and the questions."""
    curves, questions, sizes = [], [], []
    for set_name, entries in _entries(chosen, only):
        curves.append(_stacked(chosen, set_name, [lambda e=entry: rule_scores(e, rule) for entry in entries]))
        questions.append((set_name, entries[0]["questions"]))
        sizes += [entry["scaling"]["sizes"] for entry in entries]
    if any(one != sizes[0] for one in sizes):
        raise Missing(f"the sizes N of {_arm(chosen)} differ between its seeds or sets")
    return sizes[0], curves, questions


def _set_names(chosen: dict[int, dict], only: str, column: str = "") -> list[str]:
    """The set called `only`, or all sets but dev (those that have `column`). `Missing` if the arm has none."""
    outcomes = next(iter(chosen.values()))["outcomes"]
    names = [only] if only else sorted(set(outcomes) - {"dev"}) or sorted(outcomes)
    if column and not only:
        names = [name for name in names if outcomes[name].get(column) is not None]
    if not names:
        raise Missing(f"{_arm(chosen)} has no " + (f"set with {column}" if column else "outcomes"))
    return names


def _entries(chosen: dict[int, dict], only: str, column: str = "") -> list[tuple[str, list[dict]]]:
    """(set, its outcomes by seed), with the same questions for every seed; `column` as in `_set_names`."""
    found = []
    for set_name in _set_names(chosen, only, column):
        entries = [record["outcomes"].get(set_name) for record in chosen.values()]
        if None in entries:
            raise Missing(f"{_arm(chosen)} has no outcomes for the set {set_name}")
        if any(entry["questions"] != entries[0]["questions"] for entry in entries):
            raise Missing(f"the seeds of {_arm(chosen)} were evaluated on different questions of {set_name}")
        found.append((set_name, entries))
    return found


def _stacked(chosen: dict[int, dict], set_name: str, readers: list[Callable[[], np.ndarray]]) -> np.ndarray:
    """What the readers return, seed by seed; `Missing` if one cannot, or if the shapes differ."""
    try:
        rows = [read() for read in readers]
    except InputError as error:
        raise Missing(f"{_arm(chosen)}, set {set_name}: {error}") from error
    if len({row.shape for row in rows}) > 1:
        raise Missing(f"the seeds of {_arm(chosen)} have different sizes N of {set_name}")
    return np.stack(rows)


def _set_scores(chosen: dict[int, dict], name: str, only: str) -> list[np.ndarray]:
    scores = []
    for set_name in _set_names(chosen, only):
        values = [record["metrics"].get(f"{set_name}/{name}") for record in chosen.values()]
        # Records may come from outside, and their metrics are not checked one by one.
        if not all(type(value) in (int, float) and np.isfinite(value) for value in values):
            raise Missing(f"{_arm(chosen)} has no {name} on the set {set_name}")
        scores.append(np.array(values, dtype=float)[:, None])
    return scores


def _arm(chosen: dict[int, dict]) -> str:
    return next(iter(chosen.values()))["arm"]


def _same_recipe(record: dict, first: dict) -> bool:
    if record.get("hashes") != first.get("hashes"):
        return False
    one, two = ({**r["config"], "seed": None} for r in (record, first))
    return one == two or deciding(one) == deciding(two)  # the first is the usual case, and quick
