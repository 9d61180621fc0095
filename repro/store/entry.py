"""One line of the leaderboard: what a trial came to, in at most 1,500 bytes (for people: docs/leaderboard.md).

A line is canonical JSON with two keys before the content:

    {"id": sha256 of the content, "prev": id of the line before, <content, sorted keys>}

`id` leaves `prev` out, so a line keeps its id wherever it stands, and two leaderboards can be united by id.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
from dataclasses import dataclass
from typing import Any

from repro.errors import InputError
from repro.store.config import SCALES, experiment_id
from repro.store.key import canonical
from repro.store.typed import build, require

SCHEMA = 1
GENESIS = "0" * 64  # prev of the first line
MOST_BYTES = 1500  # of a line, its newline included
_LARGEST = 2**63  # costs stay below it, so that they fit every format that they are exported to

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+=-]{0,79}")
_METRIC = re.compile(r"[a-z_]{1,20}(@[1-9][0-9]{0,5})?")
_A_NAME = _NAME, "a name of letters, digits and . _ + = -"
_HEX64, _HEX40, _HEX16, _HEX8 = (
    (re.compile(rf"[0-9a-f]{{{digits}}}"), f"a hash of {digits} hex digits") for digits in (64, 40, 16, 8)
)
_HARDWARE = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ()@.,+/_-]{0,79}"), "a text of up to 80 plain characters"
_DATE = re.compile(r"[0-9]{4}(-[0-9]{2}){2}T[0-9]{2}(:[0-9]{2}){2}Z"), "a date such as 2030-01-31T12:00:00Z"
_FORMS = {
    "experiment": _A_NAME, "arm": _A_NAME, "method": _A_NAME, "task": _A_NAME, "variant": _HEX8, "key": _HEX64,
    "recipe": _HEX16, "setting": _HEX16, "hardware": _HARDWARE, "commit": _HEX40, "pins": _HEX16, "finished": _DATE,
    "record": _HEX64, "detail": _HEX64,
}  # fmt: skip
_HEAD = re.compile(rb'\{"id":"([0-9a-f]{64})","prev":"([0-9a-f]{64})",(?=")')


@dataclass(frozen=True, slots=True)
class Scores:
    """Means over questions, shares of 1, rounded to 6 decimals; null where a set has no such score."""

    metrics: tuple[str, ...]
    """Names of the scores, in the order of every list in `sets`."""
    sets: dict[str, Any]
    """Evaluation set -> its scores."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What the trial cost; null where it was not measured."""

    train_seconds: float | None
    """Wall time of training, stage 1 included; null for a resumed trial."""
    step_seconds: float | None
    """Median time of the arm's training step at equal prompts, from the timing record beside the trial."""
    predicted_peak: int | None
    """Predicted peak memory of a training step, bytes."""
    measured_peak: int | None
    """Largest measured allocation of a training phase, bytes; accelerators only."""
    completions: int
    """Completions sampled in training."""


@dataclass(frozen=True, slots=True)
class Entry:
    """The content of a line. `validate` is called by `entry_from`."""

    schema: int
    """Version of these fields."""
    experiment: str
    """Name of the experiment."""
    scale: str
    """smoke, micro, small or paper."""
    variant: str | None
    """Hash of what --set, --task or --model changed; null for the experiment as registered."""
    arm: str
    """Name of the arm."""
    method: str
    """Name of the arm's method; "none" evaluates the base model."""
    semantics: int
    """Version of the method's meaning."""
    seed: int
    """Seed of the trial."""
    task: str
    """Task that was trained on."""
    key: str
    """The trial key: sha256 of all that decides the result."""
    recipe: str
    """16 hex digits of the hash of all that decides the result but the seed: equal for the seeds of one arm."""
    setting: str
    """16 hex digits of the hash of base model, questions and sampling of the evaluation: only equal settings are
    ranked together."""
    scores: Scores
    """How the trained model did."""
    cost: Cost
    """What it cost."""
    hardware: str
    """Where it ran, in words."""
    commit: str | None
    """Commit of the suite, if known."""
    dirty: bool | None
    """Whether that checkout had uncommitted changes, if known."""
    pins: str
    """16 hex digits of the hash of the versions of Python and of the packages that can change a result."""
    finished: str
    """End of the trial, UTC, to the second."""
    record: str
    """sha256 of the whole record (outcomes, curve, settings …): the one in its first bytes."""
    detail: str
    """sha256 of the compressed file that holds the record, and with it the outcomes and the curve."""

    @property
    def experiment_id(self) -> str:
        """With scale and variant: table1, table1@smoke."""
        return experiment_id(self.experiment, self.scale, self.variant)

    @property
    def trial(self) -> str:
        """The trial's id, for people: table1/tbrm-n4/seed0."""
        return f"{self.experiment_id}/{self.arm}/seed{self.seed}"

    def score(self, metric: str, only: str = "") -> float | None:
        """The mean of a metric over the sets, or on the set `only`; None if one of them lacks it."""
        if metric not in self.scores.metrics or (only and only not in self.scores.sets):
            return None
        place = self.scores.metrics.index(metric)
        values = [row[place] for name, row in self.scores.sets.items() if not only or name == only]
        return None if None in values else sum(values) / len(values)

    def to_json(self) -> dict[str, Any]:
        content = {name: getattr(self, name) for name in _FIELDS}
        for name, parts in _PARTS.items():
            content[name] = {part: getattr(content[name], part) for part in parts}
        return content

    def validate(self) -> None:
        """Raise `InputError` with one line for the first field that cannot be used."""
        for name, (form, what) in _FORMS.items():
            value = getattr(self, name)
            if value is not None and not form.fullmatch(value):
                raise InputError(f"{name} is not {what}")
        require(self.scale in SCALES, "scale is not one of smoke, micro, small and paper")
        require(0 <= self.seed < 2**32, "seed must lie in [0, 2**32)")
        require(0 <= self.semantics < 2**31, "semantics must lie in [0, 2**31)")
        _check_scores(self.scores)
        for name in _PARTS["cost"]:
            value = getattr(self.cost, name)
            if value is not None and not (0 <= value < _LARGEST and math.copysign(1, value) > 0):
                raise InputError(f"cost.{name} is out of range")


_FIELDS = tuple(item.name for item in dataclasses.fields(Entry))
_PARTS = {name: tuple(f.name for f in dataclasses.fields(cls)) for name, cls in (("scores", Scores), ("cost", Cost))}


@dataclass(frozen=True, slots=True)
class Line:
    """A line as it stands in a file."""

    number: int  # from 1
    id: str
    prev: str
    entry: Entry


def entry_from(content: Any) -> Entry:
    """The entry of a line's content; `InputError` with one line for the first field that cannot be used."""
    if isinstance(content, dict) and content.get("schema") != SCHEMA:
        version = content.get("schema")
        shown = version if type(version) is int and abs(version) < 10**6 else "of another kind"
        raise InputError(f"schema version {shown} is unknown: this version of repro reads {SCHEMA}")
    entry = build(Entry, content)
    entry.validate()
    return entry


def entry_id(entry: Entry) -> str:
    """sha256 of the canonical JSON of the content."""
    return hashlib.sha256(canonical(entry.to_json())).hexdigest()


def encode_line(entry: Entry, prev: str) -> bytes:
    """One line, newline included. `InputError` if the entry cannot be stored or its line would be too long."""
    entry.validate()
    content = canonical(entry.to_json())
    line = f'{{"id":"{hashlib.sha256(content).hexdigest()}","prev":"{prev}",'.encode() + content[1:] + b"\n"
    if len(line) > MOST_BYTES:
        raise InputError(f"the line of {entry.trial} would have {len(line)} bytes, more than {MOST_BYTES}")
    return line


def decode_line(line: bytes, number: int, where: str) -> Line:
    """The line in `line` of `encode_line`; `InputError` naming `where` and the number if a single byte is amiss.

    Only `canonical_line` tells a line that is valid but was not written by `encode_line`: it takes as long again.
    """

    def damaged(what: str) -> InputError:
        return InputError(f"{where}, line {number}: {what}")

    if len(line) > MOST_BYTES:
        raise damaged(f"longer than {MOST_BYTES} bytes")
    head = _HEAD.match(line)
    if head is None or not line.endswith(b"}\n"):
        raise damaged("not a whole line of a leaderboard (torn, or edited)")
    content = b"{" + line[head.end() : -1]
    try:
        entry = entry_from(json.loads(content))
    except InputError as error:
        raise damaged(str(error)) from error
    except (ValueError, RecursionError) as error:
        raise damaged("not JSON") from error
    found, prev = (part.decode() for part in head.groups())
    if hashlib.sha256(content).hexdigest() != found:
        raise damaged(f"does not match its id {found[:12]} (edited)")
    return Line(number, found, prev, entry)


def canonical_line(line: Line) -> bool:
    """Whether the line's content has the one form in which `encode_line` writes it, so that its id is the only one."""
    return entry_id(line.entry) == line.id


def _check_scores(scores: Scores) -> None:
    require(bool(scores.metrics) and bool(scores.sets), "scores are empty")
    require(len(set(scores.metrics)) == len(scores.metrics), "scores.metrics names one twice")
    require(all(_METRIC.fullmatch(name) for name in scores.metrics), "scores.metrics holds what is not a metric")
    for name, row in scores.sets.items():
        require(bool(_NAME.fullmatch(name)), "scores.sets has a set whose name is not a name")
        good = isinstance(row, list) and len(row) == len(scores.metrics)
        require(good and all(map(_is_share, row)), f"scores.sets.{name} needs one share or null per metric")


def _is_share(value: Any) -> bool:
    """1 and -0.0 are refused beside 1.0 and 0.0: equal numbers must not give one record two ids."""
    # NaN and infinity fail the comparison.
    return value is None or (type(value) is float and 0 <= value <= 1 and math.copysign(1, value) > 0)
