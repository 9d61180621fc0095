"""One line of the leaderboard: its form, its limits, and its description for people."""

import dataclasses
import hashlib
import json
import re
from pathlib import Path

import pytest
from leaderboard_records import trial

from repro.errors import InputError
from repro.report.entries import entry_of
from repro.store import entry as module
from repro.store.entry import (
    GENESIS,
    MOST_BYTES,
    SCHEMA,
    Cost,
    Entry,
    Scores,
    canonical_line,
    decode_line,
    encode_line,
    entry_id,
)
from repro.store.key import canonical
from repro.store.leaderboard import NAME, read

DOCS = Path(__file__).resolve().parents[2] / "docs" / "leaderboard.md"


@pytest.fixture
def entry() -> Entry:
    return entry_of(trial(), None, "0" * 64)


def relined(content: dict, prev: str = GENESIS) -> bytes:
    """A line with a right id, whatever its content."""
    text = canonical(content)
    return f'{{"id":"{hashlib.sha256(text).hexdigest()}","prev":"{prev}",'.encode() + text[1:] + b"\n"


def test_a_line_is_read_as_it_was_written(entry):
    line = encode_line(entry, "1" * 64)
    read = decode_line(line, 7, "here")
    assert (read.entry, read.prev, read.number, read.id) == (entry, "1" * 64, 7, entry_id(entry))
    assert canonical_line(read) and line.endswith(b"}\n") and len(line) <= MOST_BYTES
    parsed = json.loads(line)
    assert parsed.pop("id") == hashlib.sha256(canonical({k: v for k, v in parsed.items() if k != "prev"})).hexdigest()
    assert encode_line(entry, "2" * 64) == line.replace(b'"prev":"' + b"1" * 64, b'"prev":"' + b"2" * 64)


def test_every_changed_byte_is_noticed_but_those_of_prev(entry):
    line = encode_line(entry, GENESIS)
    start = line.index(b'"prev":"') + 8
    for place in range(len(line)):
        changed = bytearray(line)
        changed[place] ^= 1
        if start <= place < start + 64 and chr(changed[place]) in "0123456789abcdef":
            assert decode_line(bytes(changed), 1, "x").prev != GENESIS  # the chain notices this one
            continue
        with pytest.raises(InputError, match="x, line 3"):
            decode_line(bytes(changed), 3, "x")


def test_torn_at_every_byte(entry):
    line = encode_line(entry, GENESIS)
    for end in range(len(line)):
        with pytest.raises(InputError, match="line 1"):
            decode_line(line[:end], 1, "x")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"schema": 2}, "schema version 2 is unknown"),
        ({"schema": None}, "schema version"),
        ({"schema": "\x1b[31m"}, "schema version of another kind"),
        ({"arm": "../../etc/passwd"}, "arm is not a name"),
        ({"arm": "<script>alert(1)</script>"}, "arm is not a name"),
        ({"arm": "a\x1b[2J"}, "arm is not a name"),
        ({"arm": "a" * 81}, "arm is not a name"),
        ({"arm": ""}, "arm is not a name"),
        ({"experiment": "a/b"}, "experiment is not a name"),
        ({"method": "m;rm"}, "method is not a name"),
        ({"task": "t t"}, "task is not a name"),
        ({"scale": "huge"}, "scale is not one of"),
        ({"variant": "1a2b"}, "variant is not a hash"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**32}, "seed"),
        ({"seed": True}, "seed"),
        ({"semantics": -1}, "semantics"),
        ({"key": "A" * 64}, "key is not a hash"),
        ({"detail": "../" + "0" * 61}, "detail is not a hash"),
        ({"record": "0" * 63}, "record is not a hash"),
        ({"commit": "HEAD"}, "commit is not a hash"),
        ({"hardware": "<img src=x>"}, "hardware"),
        ({"hardware": "=1+1"}, "hardware"),
        ({"finished": "yesterday"}, "finished is not a date"),
        ({"finished": "٢٠٣٠-01-01T00:00:00Z"}, "finished is not a date"),
        ({"dirty": "no"}, "dirty"),
        ({"path": "/etc"}, "unknown field path"),
        ({"scores": {"metrics": [], "sets": {}}}, "scores are empty"),
        ({"scores": {"metrics": ["accuracy"], "sets": {"a": [0.5, 0.5]}}}, "one share or null per metric"),
        ({"scores": {"metrics": ["accuracy"], "sets": {"a": [1.5]}}}, "one share or null per metric"),
        ({"scores": {"metrics": ["accuracy"], "sets": {"a": ["1"]}}}, "one share or null per metric"),
        ({"scores": {"metrics": ["accuracy"], "sets": {"a": [1]}}}, "one share or null per metric"),
        ({"scores": {"metrics": ["accuracy"], "sets": {"a": [-0.0]}}}, "one share or null per metric"),
        ({"scores": {"metrics": ["accuracy"], "sets": {"../a": [0.5]}}}, "a set whose name is not a name"),
        ({"scores": {"metrics": ["a b"], "sets": {"a": [0.5]}}}, "not a metric"),
        ({"scores": {"metrics": ["greedy", "greedy"], "sets": {"a": [0.5, 0.5]}}}, "twice"),
        ({"cost": None}, "cost"),
    ],
)
def test_a_field_that_cannot_be_used_is_named(entry, changes, said):
    with pytest.raises(InputError, match=said) as caught:
        decode_line(relined(entry.to_json() | changes), 4, "x")
    assert "x, line 4" in str(caught.value)


@pytest.mark.parametrize("value", [-1, 2**63, 10**400], ids=["negative", "64 bits", "huge"])
@pytest.mark.parametrize("name", [item.name for item in dataclasses.fields(Cost)])
def test_costs_are_in_range(entry, name, value):
    content = entry.to_json()
    content["cost"] = content["cost"] | {name: value}
    with pytest.raises(InputError, match="line 1: cost"):
        decode_line(relined(content), 1, "x")


@pytest.mark.parametrize("word", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"1" * 400])
def test_numbers_that_are_none(entry, word):
    line = encode_line(entry, GENESIS)
    content = b"{" + line.split(b'",', 2)[2][:-1].replace(b'"seed":0', b'"seed":' + word)
    bad = f'{{"id":"{hashlib.sha256(content).hexdigest()}","prev":"{GENESIS}",'.encode() + content[1:] + b"\n"
    with pytest.raises(InputError, match="line 1"):
        decode_line(bad, 1, "x")


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_deep_nesting_is_refused(opening):
    content = b'{"schema":' + opening * 200
    line = f'{{"id":"{"0" * 64}","prev":"{GENESIS}",'.encode() + content[1:] + b"}\n"
    with pytest.raises(InputError, match="not JSON"):
        decode_line(line, 1, "x")


def test_a_long_line_is_not_read_or_written(entry):
    with pytest.raises(InputError, match="line 9: longer than 1500 bytes"):
        decode_line(encode_line(entry, GENESIS)[:-2] + b" " * MOST_BYTES + b"}\n", 9, "x")
    many = {f"set-{place}": list(entry.scores.sets["chain"]) for place in range(30)}
    wide = dataclasses.replace(entry, scores=Scores(entry.scores.metrics, many))
    with pytest.raises(InputError, match="more than 1500"):
        encode_line(wide, GENESIS)


def test_another_form_of_the_same_content_is_told(entry):
    content = entry.to_json()
    content["cost"] = content["cost"] | {"train_seconds": 20}  # written as 20.0
    assert not canonical_line(decode_line(relined(content), 1, "x"))


@pytest.mark.parametrize("name", ["train_seconds", "step_seconds"])
def test_minus_zero_is_no_other_zero(entry, name):
    """It equals 0.0 and has another id."""
    content = entry.to_json()
    content["cost"] = content["cost"] | {name: -0.0}
    with pytest.raises(InputError, match=f"cost.{name} is out of range"):
        decode_line(relined(content), 1, "x")


def test_the_shipped_lines_are_valid():
    assert read(DOCS.parents[1] / "results" / NAME)


def test_the_documented_schema_is_the_one_of_the_code():
    text = DOCS.read_text(encoding="utf-8")
    table = re.search(r"<!-- schema (\d+) -->\n(.*?)<!-- /schema -->", text, re.DOTALL)
    assert int(table[1]) == SCHEMA
    documented = re.findall(r"^\| `([a-z_.]+)` \|", table[2], re.MULTILINE)
    parts = {"scores": Scores, "cost": Cost}
    fields = []
    for item in dataclasses.fields(Entry):
        inner = parts.get(item.name)
        fields += [f"{item.name}.{one.name}" for one in dataclasses.fields(inner)] if inner else [item.name]
    assert documented == fields
    assert f"{MOST_BYTES:,} bytes" in text and "64 zeros" in text and GENESIS == "0" * 64
    for cls in (module.Scores, module.Cost, module.Entry):
        source = Path(module.__file__).read_text()
        for item in dataclasses.fields(cls):
            assert re.search(rf'^    {item.name}: [^\n]+\n    """', source, re.MULTILINE), (
                f"{item.name} is not documented"
            )
