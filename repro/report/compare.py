"""How a fresh run's numbers compare with the published ones, arm by arm, as lines of text.

Two arms are identical when, on every seed both have, the records agree in everything that is not measured (seconds,
bytes, dates, machine). Otherwise the difference comes with its 95 % two-level interval, on the same test questions.

Not covered: times and memory. Those of different machines are never compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

import numpy as np

from repro.report.bandit import last_reward
from repro.report.format import fixed, percent, signed
from repro.report.summary import set_names
from repro.statistics.bootstrap import difference_draws, percentile_interval
from repro.statistics.scores import arm_scores, by_seed
from repro.statistics.trial_metrics import Missing
from repro.store.key import deciding
from repro.store.record import strip_measured

Record = dict[str, Any]


def compare_with_published(records: Sequence[Record], published_records: Sequence[Record]) -> list[str]:
    """One line per arm of the fresh run, in the order of the published records; the first line is a heading.

    Only published records of the same experiment, scale and variant count.
    """
    fresh = [r for r in records if r["kind"] == "trial" and r["status"] == "done"]
    if not fresh:
        return ["No finished trial to compare with the published records."]
    settings = {(r["experiment"], r["scale"], r.get("variant")) for r in fresh}
    published = [r for r in published_records if r["kind"] == "trial" and r["status"] == "done"]
    published = [r for r in published if (r["experiment"], r["scale"], r.get("variant")) in settings]
    if not published:
        return [f"No published records of {_name(fresh[0])}: nothing to compare with."]
    theirs, ours = _by_arm(published), _by_arm(fresh)
    what = "mean reward" if "bandit" in fresh[0] else "accuracy, %"
    lines = [f"Compared with the published records of {_name(published[0])} ({what}):"]
    width = max(len(arm) for arm in ours)
    for arm in [*[a for a in theirs if a in ours], *[a for a in ours if a not in theirs]]:
        text = _line(ours[arm], theirs[arm]) if arm in theirs else "not published"
        lines.append(f"  {arm.ljust(width)}  {text}")
    return lines


def _line(ours: list[Record], theirs: list[Record]) -> str:
    head = f"{_score(ours)} here ({_seeds(ours)}), {_score(theirs)} published ({_seeds(theirs)}): "
    pairs = [(a, b) for a in ours for b in theirs if a["seed"] == b["seed"]]
    if any(a["key"] != b["key"] for a, b in pairs):
        return head + f"other settings or code than published; {_difference_or_reason(ours, theirs)}"
    if pairs and all(_content(a) == _content(b) for a, b in pairs):
        return head + ("identical" if len(pairs) == len(theirs) == len(ours) else f"identical on {_shared(len(pairs))}")
    return head + _difference_or_reason(ours, theirs)


def _content(record: Record) -> Record:
    """What two runs of one trial must agree on. Settings that came later are absent from older records' configs."""
    return {**strip_measured(record), "config": deciding(record["config"])}


def _difference_or_reason(ours: list[Record], theirs: list[Record]) -> str:
    try:
        return _difference(ours, theirs)
    except Missing as reason:
        return str(reason)


def _difference(ours: list[Record], theirs: list[Record]) -> str:
    if "bandit" in ours[0]:
        return f"{signed(_reward(ours) - _reward(theirs), 3)}"
    mine, other = by_seed(ours, ours[0]["arm"]), by_seed(theirs, theirs[0]["arm"])
    (one, questions), (two, others) = arm_scores(mine, "accuracy"), arm_scores(other, "accuracy")
    if questions != others:
        return "other test questions, so no interval"
    draws = difference_draws(one, two, np.random.default_rng(0), paired=set(mine) == set(other))
    lo, hi = percentile_interval(draws)
    place = "within" if lo <= 0 <= hi else "beyond"
    difference = _accuracy(ours) - _accuracy(theirs)
    shown, low, high = (signed(100 * value, 1) for value in (difference, lo, hi))
    return f"{shown} points, 95 % interval [{low}, {high}]: {place} noise"


def _score(own: list[Record]) -> str:
    return fixed(_reward(own), 3) if "bandit" in own[0] else percent(_accuracy(own))


def _reward(own: list[Record]) -> float:
    return fmean(map(last_reward, own))


def _accuracy(own: list[Record]) -> float:
    """Mean accuracy over sets and seeds."""
    return fmean(r["metrics"][f"{name}/accuracy"] for r in own for name in set_names(own))


def _by_arm(records: Sequence[Record]) -> dict[str, list[Record]]:
    arms: dict[str, list[Record]] = {}
    for record in records:
        arms.setdefault(record["arm"], []).append(record)
    return {arm: sorted(own, key=lambda r: r["seed"]) for arm, own in arms.items()}


def _name(record: Record) -> str:
    return record["id"].split("/")[0]


def _seeds(own: list[Record]) -> str:
    return f"{len(own)} seed{'s' if len(own) != 1 else ''}"


def _shared(count: int) -> str:
    return f"the {count} seeds both have" if count != 1 else "the one seed both have"
