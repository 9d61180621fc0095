"""Records from outside: what they try, and what becomes of it."""

import gzip
import hashlib
import json
from pathlib import Path

import pytest
from leaderboard_records import five, timing, trial

from repro.errors import InputError
from repro.store.config import TrialConfig
from repro.store.foreign import checked, read_foreign
from repro.store.key import canonical, trial_key
from repro.store.published import read_bundle, write_bundle
from repro.store.records import encode_record

RESULTS = Path(__file__).resolve().parents[2] / "results"


def line_of(record: dict) -> bytes:
    """What `encode_record` would write if it checked nothing: attackers have their own tools."""
    content = json.dumps(record, sort_keys=True, separators=(",", ":")).encode()
    return b'{"sha256":"' + hashlib.sha256(content).hexdigest().encode() + b'",' + content[1:] + b"\n"


def changed(path: str, value) -> dict:
    record = json.loads(canonical(trial("mine")))
    place, *names = record, *path.split("|")
    for name in names[:-1]:
        place = place[int(name)] if isinstance(place, list) else place[name]
    if isinstance(place, list):
        place[int(names[-1])] = value
    else:
        place[names[-1]] = value
    return record


def nested(depth: int) -> list:
    value: list = []
    for _ in range(depth):
        value = [value]
    return value


def test_a_good_record_passes_whatever_its_texts_say(tmp_path):
    records = [*five("mine", 0.5), timing(five("mine", 0.5))]
    path = write_bundle(tmp_path / "theirs.jsonl.gz", records)
    assert sorted(read_foreign(path), key=lambda r: r["id"]) == sorted(records, key=lambda r: r["id"])
    plain = tmp_path / "one.json"
    plain.write_bytes(encode_record(records[0]))
    assert read_foreign(plain) == [records[0]]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("arm", "../../../etc/cron.d/x"),
        ("arm", "<script>alert(1)</script>"),
        ("config|arm", "other"),
        ("experiment", "a/b"),
        ("seed", -1),
        ("seed", 10**30),
        ("key", "0" * 64),
        ("hashes|base", "0" * 64),
        ("metrics|chain/accuracy", 0.99),
        ("metrics|chain/accuracy", float("nan")),
        ("metrics|chain/accuracy", float("inf")),
        ("metrics|chain/pass@" + "9" * 5000, 0.5),
        ("metrics|chain/nonsense", 0.5),
        ("outcomes|chain|samples|0", "cccccccX"),
        ("outcomes|chain|samples|0", "c"),
        ("outcomes|chain|samples|0", 7),
        ("outcomes|chain|questions|0", "chain:1"),
        ("outcomes|chain|questions|0", "q" * 1000),
        ("outcomes|chain|questions", "chain"),
        ("outcomes|chain|levels", []),
        ("outcomes|../../x", {"questions": ["a"], "levels": [""], "samples": ["c"], "greedy": None}),
        ("outcomes", []),
        ("cost|train_seconds", float("nan")),
        ("cost|train_seconds", 10**400),
        ("cost|completions", "many"),
        ("cost|phases|update|seconds", None),
        ("cost|predicted_peak|total", 1.5),
        ("curve|0|dev_accuracy", "high"),
        ("health|0|reward", "<b>"),
        ("health|0|<b>", 0.5),
        ("health", {}),
        ("health|0", 5),
        ("samples|0|completion", {"__class__": "x"}),
        ("provenance|commit", 5),
        ("provenance", None),
        ("config|base", "x"),
        ("config|method", []),
        ("config|train|steps", 10**30),
        ("config|train|nonsense", 1),
        ("config|train|lora", {"rank": -1}),
        ("error", nested(200)),
        ("base", {"x": nested(40)}),
        ("nonsense", 1),
        ("schema", 2),
        ("kind", "exploit"),
        ("id", "table1/mine/seed1"),
    ],
)
def test_an_attack_is_one_clear_line(tmp_path, path, value):
    bad = tmp_path / "bad.jsonl"
    bad.write_bytes(encode_record(trial("mine", seed=1)) + line_of(changed(path, value)))
    with pytest.raises(InputError, match=r"bad\.jsonl, line 2") as caught:
        read_foreign(bad)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("name", ["evaluation", "train"])
def test_a_config_that_leaves_settings_out_is_refused(name):
    """Its key follows, from their defaults; but a line is made from the config as it stands."""
    record = changed(f"config|{name}", {})
    record["key"] = trial_key(TrialConfig.from_json(record["config"]), record["hashes"])
    with pytest.raises(InputError, match="its config leaves out settings"):
        checked(line_of(record), "x")


@pytest.mark.parametrize("value", ["x", 1.5, True, -1, None, []])
def test_semantics_that_are_no_number(value):
    with pytest.raises(InputError, match="method.semantics=.* must be a whole number"):
        checked(line_of(changed("config|method|semantics", value)), "x")


@pytest.mark.parametrize("field", [name for name in trial("mine") if name != "variant"])
def test_no_field_can_be_missing(field):
    record = trial("mine")
    del record[field]
    with pytest.raises(InputError, match="cannot be used"):
        checked(line_of(record), "x")


def test_depth_that_no_parser_stands(tmp_path):
    deep = b'{"sha256":"' + b"0" * 64 + b'",' + b'"a":' * 1 + b"[" * 200_000 + b"\n"
    path = tmp_path / "deep.json"
    path.write_bytes(deep)
    with pytest.raises(InputError, match="line 1"):
        read_foreign(path)
    content = b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}"
    path.write_bytes(b'{"sha256":"' + hashlib.sha256(content).hexdigest().encode() + b'",' + content[1:] + b"\n")
    with pytest.raises(InputError, match="line 1"):
        read_foreign(path)


@pytest.mark.parametrize(
    "data", [b"", b"\n", b"{}\n", b"not json\n", b"\x1f\x8b", gzip.compress(b"", mtime=0), b"\x00" * 50]
)
def test_what_holds_no_record(tmp_path, data):
    path = tmp_path / "x.json"
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"x\.json"):
        read_foreign(path)


def test_an_edited_record_is_told_by_its_hash():
    line = encode_record(trial("mine"))
    with pytest.raises(InputError, match="edited or damaged"):
        checked(line.replace(b'"loss":0.1', b'"loss":0.2'), "x")


@pytest.mark.parametrize("name", ["table1", "table1-tuning", "table3", "table5-svamp", "figure1"])
def test_all_kinds_of_published_records_would_pass(name):
    """What is documented in the types of a record is what records hold."""
    path = RESULTS / f"{name}.jsonl.gz"
    if not path.is_file():
        pytest.skip(f"NOT TESTED: the repository ships no {name}")
    assert len(read_foreign(path)) == len(read_bundle(path))
