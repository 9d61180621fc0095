"""Records from outside: everything in them is checked before any of it is stored, and nothing in them is obeyed.

A record must have the documented fields and no others, every one of its type; numbers are finite and small enough to
store, nothing is nested deep, names are names (no path, no markup). Its config must be one that this version would
accept, its key and its metrics must follow from its own content. Free text (prompts, completions, the command) is kept
as data: whoever shows it escapes it.

Not covered: whether the outcomes were honestly measured. Nothing here can tell, which is why such records are shown as
imported.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

from repro.errors import InputError
from repro.store.config import TrialConfig
from repro.store.cost import Timing
from repro.store.key import deciding, trial_key
from repro.store.outcomes import question_scores
from repro.store.published import MOST_LINE, bundle_lines, read_limited
from repro.store.record import DamagedRecord, HealthPoint, Record
from repro.store.records import decode_record
from repro.store.typed import check, require

_GZIP = b"\x1f\x8b"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+=-]{0,79}")
_FIGURE = re.compile(r"[a-z][a-z0-9_@]{0,39}")
_MOST_QUESTION, _MOST_METRIC = 200, 40  # characters of a source id, of a metric's name
_OWN_METRICS = ("verifier_auc", "verifier_auc_within", "joint", "joint_majority")  # not from the outcomes' letters


def read_foreign(path: Path) -> list[Record]:
    """The records of a file from outside: a bundle, or lines as the record files of a workspace hold them.

    `InputError` naming the line of the first record that fails a check.
    """
    data = read_limited(path)
    lines = bundle_lines(data, path) if data.startswith(_GZIP) else data.splitlines(keepends=True)
    records = [checked(line, f"{path}, line {number},") for number, line in enumerate(lines, start=1)]
    if not records:
        raise InputError(f"{path} holds no records")
    return records


def checked(line: bytes, where: str) -> Record:
    """The record in a line, if all of it is fit to be stored; `InputError` naming `where` otherwise."""
    if len(line) > MOST_LINE:
        raise DamagedRecord(f"{where} is longer than {MOST_LINE >> 20} MiB")
    try:
        record = decode_record(line, where)
        check(dict[str, Any], record)
        if record["kind"] == "timing" and record["status"] == "done":
            check(Timing, record["timing"], "timing")
        elif record["kind"] == "trial" and record["status"] == "done":
            _check_trial(record)
    except DamagedRecord:
        raise
    except InputError as error:
        raise DamagedRecord(f"{where} cannot be used: {error}") from error
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        # A part of another kind than the code expects: what it is does not matter.
        raise DamagedRecord(f"{where} cannot be used: it is malformed ({type(error).__name__})") from error
    return record


def _check_trial(record: Record) -> None:
    points = record.get("health")
    require(isinstance(points, list) and all(isinstance(point, dict) for point in points), "health is not a list")
    known = HealthPoint.__annotations__
    for point in points:
        check(HealthPoint, {name: value for name, value in point.items() if name in known}, "health")
        own = {name: value for name, value in point.items() if name not in known}
        check(dict[str, float | None], own, "health")
        require(all(_FIGURE.fullmatch(name) for name in own), "health has a figure whose name is not a name")
    check(Record, {**record, "health": []})
    config = TrialConfig.from_json(record["config"])
    # What a line is made from is the config as it stands, so a setting that is left out has no default here.
    require(deciding(record["config"]) == deciding(config.to_json()), "its config leaves out settings")
    for name in ("experiment", "scale", "variant", "arm", "seed"):
        require(record[name] == getattr(config, name), f"{name} differs from that of its config")
    require(trial_key(config, record["hashes"]) == record["key"], "its key does not follow from its config and hashes")
    for name, entry in record["outcomes"].items():
        require(bool(_NAME.fullmatch(name)), "outcomes have a set whose name is not a name")
        questions = entry["questions"]
        require(len(entry["levels"]) == len(questions) == len(set(questions)), f"outcomes of {name}: questions repeat")
        require(max(map(len, questions)) <= _MOST_QUESTION, f"outcomes of {name}: a question's id is too long")
    for name, value in record["metrics"].items():
        _check_metric(record, name, value)


def _check_metric(record: Record, name: str, value: float) -> None:
    set_name, _, metric = name.partition("/")
    entry = record["outcomes"].get(set_name)
    if entry is None or metric.partition("@")[0] in _OWN_METRICS:
        return
    require(len(metric) <= _MOST_METRIC, "metrics: a name is too long")
    same = math.isclose(float(question_scores(entry, metric).mean()), value, rel_tol=1e-9, abs_tol=1e-9)
    require(same, f"metrics: {name} does not follow from the outcomes (edited)")
