"""What a contrast needs from records: scores by seed and question, costs by round, or the reason why not."""

from __future__ import annotations

from typing import Any

import numpy as np

from repro.errors import InputError
from repro.store.key import deciding
from repro.store.outcomes import question_scores
from repro.store.records import newest

_QUESTION_METRICS = ("accuracy", "greedy", "truncated", "unparsed")
_NOT_TRAINING = ("base", "generate", "extra_rollouts", "evaluate")
_LAST = 10  # generation batches behind "last_reward"


class Missing(Exception):
    """The contrast cannot be computed; the message is the reason shown beside "not run"."""


def by_seed(records: list[dict], arm: str) -> dict[int, dict]:
    """The arm's finished trial records by seed, all of one configuration. `Missing` otherwise."""
    chosen = [r for r in newest(records) if r["arm"] == arm and r["kind"] == "trial"]
    done = {r["seed"]: r for r in chosen if r["status"] == "done"}
    if not done:
        state = "failed on every seed" if chosen else "has no record"
        raise Missing(f"{arm} {state}")
    first = next(iter(done.values()))
    for record in done.values():
        if _recipe(record) != _recipe(first):
            raise Missing(f"the records of {arm} differ in more than their seed: run it again")
    return dict(sorted(done.items()))


def arm_scores(chosen: dict[int, dict], metric: str) -> tuple[list[np.ndarray], list[Any]]:
    """Scores, one (S, Q_k) array per evaluation set, and the questions they belong to (to compare two arms).

    Metrics of a whole trial come as one (S, 1) array.
    """
    name, _, only = metric.partition(":")
    if name in _TRIAL_METRICS:
        return [np.array([[_TRIAL_METRICS[name](record)] for record in chosen.values()])], []
    if name not in _QUESTION_METRICS and not name.startswith("pass@"):
        known = ", ".join((*_QUESTION_METRICS, "pass@k", "time_per_step", "predicted_peak", *_TRIAL_METRICS))
        raise InputError(f"unknown metric {metric!r}: use one of {known}")
    first = next(iter(chosen.values()))
    names = [only] if only else sorted(set(first["outcomes"]) - {"dev"}) or sorted(first["outcomes"])
    scores, questions = [], []
    for set_name in names:
        entries = [record["outcomes"].get(set_name) for record in chosen.values()]
        if None in entries:
            raise Missing(f"{first['arm']} has no outcomes for the set {set_name}")
        if any(entry["questions"] != entries[0]["questions"] for entry in entries):
            raise Missing(f"the seeds of {first['arm']} were evaluated on different questions of {set_name}")
        try:
            scores.append(np.stack([question_scores(entry, name) for entry in entries]))
        except InputError as error:
            raise Missing(f"{first['arm']}, set {set_name}: {error}") from error
        questions.append((set_name, entries[0]["questions"]))
    if not names:
        raise Missing(f"{first['arm']} has no outcomes")
    return scores, questions


def rounds(timing: dict | None, arm: str, held_equal: str) -> np.ndarray:
    """Seconds of each round of the arm, float (rounds,); `held_equal`: "prompts_equal" or "completions_equal"."""
    if timing is None or timing["status"] != "done":
        raise Missing("no timing record")
    table = timing["timing"].get(held_equal) or {}
    seconds = [item["seconds"] for item in table.get(arm, {}).get("rounds", [])]
    if not seconds:
        raise Missing(f"the timing record has no rounds of {arm} with {held_equal.replace('_', ' ')}")
    return np.array(seconds, dtype=float)


def predicted_peak(chosen: dict[int, dict]) -> float:
    """Predicted training peak in bytes: a function of the configuration, so the same for every seed."""
    totals = {(record["cost"].get("predicted_peak") or {}).get("total") for record in chosen.values()} - {None}
    arm = next(iter(chosen.values()))["arm"]
    if not totals:
        raise Missing(f"{arm} has no predicted peak")
    if len(totals) > 1:
        raise Missing(f"the predicted peaks of {arm} differ between seeds: run it again")
    return float(totals.pop())


def _measured_peak(record: dict) -> float:
    phases = record["cost"].get("phases", {})
    peaks = [cost.get("peak_allocated") for name, cost in phases.items() if name not in _NOT_TRAINING]
    peaks = [peak for peak in peaks if peak is not None]
    if not peaks:
        raise Missing(f"{record['arm']} has no measured peak (it is measured on CUDA only)")
    return float(max(peaks))


def _last_reward(record: dict) -> float:
    rewards = [point["reward"] for point in record["health"][-_LAST:] if point.get("reward") is not None]
    if not rewards:
        raise Missing(f"{record['arm']} has no training reward")
    return float(np.mean(rewards))


_TRIAL_METRICS = {"measured_peak": _measured_peak, "last_reward": _last_reward}


def _recipe(record: dict) -> tuple[Any, Any]:
    return deciding({**record["config"], "seed": None}), record.get("hashes")
