"""From stored records to lines of the leaderboard: everything in a line is computed from its record and its timing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from repro.errors import InputError
from repro.experiments import registry
from repro.experiments._evaluate import NAME as EVALUATE
from repro.experiments.twins import TUNING_SUFFIX
from repro.report.summary import DEV, measured_peak, step_seconds
from repro.store.config import experiment_id
from repro.store.details import Details
from repro.store.entry import SCHEMA, Cost, Entry, Scores
from repro.store.key import before, content_hash, deciding
from repro.store.outcomes import RULES, question_scores
from repro.store.published import read_bundle
from repro.store.typed import require

Record = dict[str, Any]
MOST_SCORES = 30  # in a line, over all sets
_DIGITS = 6
# Settings of a set that change what is recorded of its answers, not the answers.
_LOOKED_AT = ("name", "n", "greedy", "verify", "kl", "vote", "lenient")
_STRANGE = re.compile(r"[^A-Za-z0-9 ()@.,+/_-]")


def entries_of(records: Sequence[Record], detail: str, keep: Callable[[Record], bool] = lambda _: True) -> list[Entry]:
    """One entry per finished trial that `keep` accepts, in the order given; `records`: all of one detail file.

    Timing records among them give the time per step of their arms. Trials without per-question outcomes (bandits) and
    tuning trials have no place here and are left out. `InputError` for a trial that does not fit into a line.
    """
    timings = timings_of(records)
    return [entry_of(r, timings.get(_run(r)), detail) for r in records if eligible(r) and keep(r)]


def eligible(record: Record) -> bool:
    """Whether a record is a finished trial that was measured on questions, and not one of a tuning grid."""
    done = record["kind"] == "trial" and record["status"] == "done" and bool(record["outcomes"])
    return done and not record["experiment"].endswith(TUNING_SUFFIX)


def timings_of(records: Iterable[Record]) -> dict[str, Record]:
    """Experiment id -> its timing record, the last one of several."""
    return {_run(record): record for record in records if record["kind"] == "timing"}


def entry_of(record: Record, timing: Record | None, detail: str) -> Entry:
    """The content of one trial's line. `detail`: sha256 of the file that holds the record.

    `InputError` for a record that does not fit into a line.
    """
    with _described(record["id"]):
        return _entry(record, timing, detail, scores_of(record), content_hash(record))


def recomputed(entry: Entry, record: Record, timings: dict[str, Record]) -> Entry:
    """The entry computed again from its record and the timing records beside it, but for its scores.

    These take long and are compared where they are shown. `InputError` if the record can have no line.
    """
    with _described(entry.trial):
        require(eligible(record), "it is no finished trial that is ranked")
        return _entry(record, timings.get(_run(record)), entry.detail, entry.scores, entry.record)


@contextmanager
def _described(name: str) -> Iterator[None]:
    """Say of which trial it is that something cannot be used. What kind of malformation it has does not matter."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{name} does not fit into a line of the leaderboard: {error}") from error
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        what = f"its record is malformed ({type(error).__name__})"
        raise InputError(f"{name} does not fit into a line of the leaderboard: {what}") from error


def _entry(record: Record, timing: Record | None, detail: str, scores: Scores, digest: str) -> Entry:
    """`digest`: sha256 of the record."""
    provenance, cost, method = record["provenance"], record["cost"], record["config"]["method"]
    predicted, trained = cost.get("predicted_peak") or {}, method["name"] != "none"
    entry = Entry(
        schema=SCHEMA,
        experiment=record["experiment"],
        scale=record["scale"],
        variant=record.get("variant"),
        arm=record["arm"],
        method=method["name"],
        semantics=method.get("semantics", 0),
        seed=record["seed"],
        task=record["config"]["task"]["name"],
        key=record["key"],
        recipe=content_hash([deciding({**record["config"], "seed": None}), record["hashes"]])[:16],
        setting=setting_of(record),
        scores=scores,
        cost=Cost(
            train_seconds=_number(cost.get("train_seconds")) if trained and not cost.get("resumed") else None,
            step_seconds=_number(step_seconds(timing, "prompts_equal", record["arm"])),
            predicted_peak=predicted.get("total"),
            measured_peak=measured_peak(record),
            completions=cost.get("completions", 0),
        ),
        hardware=_words(str(provenance.get("measured_on") or "unknown")),
        commit=provenance.get("commit"),
        dirty=provenance.get("dirty"),
        pins=content_hash([provenance.get("python"), provenance.get("packages")])[:16],
        finished=_date(provenance.get("finished")),
        record=digest,
        detail=detail,
    )
    entry.validate()
    return entry


def published_entries(path: Path, details: Details) -> list[Entry]:
    """The entries of a published bundle: its core arms, in the experiment's order; [] for tuning and for bandits."""
    records = read_bundle(path)
    core = registry.get(records[0]["experiment"]).core_arms
    order = {arm.id: place for place, arm in enumerate(core)}
    detail = next(sha for sha, bundle in details.published.items() if bundle == path)
    entries = entries_of(records, detail, lambda record: record["arm"] in order)
    return sorted(entries, key=lambda entry: (order[entry.arm], entry.seed))


def scores_of(record: Record) -> Scores:
    """Of every set but dev, what matters most as far as a line has room: see `_metrics` for the order."""
    sets = {name: entry for name, entry in record["outcomes"].items() if name != DEV} or record["outcomes"]
    most = max(4, MOST_SCORES // len(sets))
    metrics = list(dict.fromkeys(metric for entry in sets.values() for metric in _metrics(entry)))[:most]
    return Scores(
        metrics=tuple(metrics),
        sets={name: [_score(sets[name], metric) for metric in metrics] for name in sorted(sets)},
    )


def setting_of(record: Record) -> str:
    """16 hex digits: what two arms must share to be ranked together. Base model, questions, how answers are sampled.

    Of `repro evaluate` the models themselves are the arms.
    """
    names = sorted({name for name in record["outcomes"] if name != DEV} or record["outcomes"])
    hashes, evaluation = record["hashes"], before(record["config"]["evaluation"])
    sets = [{name: value for name, value in one.items() if name not in _LOOKED_AT} for one in evaluation["sets"]]
    content = {
        "base": None if record["experiment"] == EVALUATE else hashes["base"],
        "template": hashes["template"],
        "prompts": {name: hashes["prompts"].get(name) for name in names},
        "questions": {name: record["outcomes"][name]["questions"] for name in names},
        "sets": sets,
        "max_completion": evaluation["max_completion"],
    }
    return content_hash(content)[:16]


def _metrics(entry: dict[str, Any]) -> Iterable[str]:
    """Accuracy, greedy, pass@k at the largest power of 2, votes over the largest pool, then pass@8 and smaller k."""
    samples = len(entry["samples"][0])
    powers = [2**power for power in range(1, samples.bit_length())]
    yield "accuracy"
    if entry.get("greedy") is not None:
        yield "greedy"
    if entry.get("lenient") is not None:
        yield "accuracy_lenient"
    yield from (f"pass@{k}" for k in powers[-1:])
    if entry.get("vote") is not None:
        yield f"majority@{entry['vote']['sizes'][-1]}"
    if entry.get("scaling") is not None:
        yield from (f"{rule}@{entry['scaling']['sizes'][-1]}" for rule in RULES)
        yield "verifier_accuracy"
    yield from (f"pass@{k}" for k in sorted(powers, key=lambda k: (k > 8, -k if k <= 8 else k)))


def _score(entry: dict[str, Any], metric: str) -> float | None:
    try:
        return round(float(np.mean(question_scores(entry, metric))), _DIGITS)
    except InputError:  # other sets have it
        return None


def _run(record: Record) -> str:
    return experiment_id(record["experiment"], record["scale"], record.get("variant"))


def _number(value: float | None) -> float | None:
    return None if value is None else round(float(value), _DIGITS)


def _words(text: str) -> str:
    """Plain characters only: hardware is described by the machine it ran on."""
    return _STRANGE.sub("-", text)[:80].lstrip(" ()@.,+/_-") or "unknown"


def _date(text: str | None) -> str:
    try:
        when = datetime.fromisoformat(str(text))
    except ValueError:
        raise InputError(f"the date {text!r} of a record cannot be read") from None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
