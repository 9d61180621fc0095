import errno
import json
import multiprocessing
import os
from pathlib import Path

import pytest
from store_samples import config_of, record_of

from repro.errors import InputError
from repro.store import files
from repro.store.config import TrialConfig
from repro.store.record import DamagedRecord, strip_measured
from repro.store.records import (
    adopt,
    decode_record,
    encode_record,
    find,
    find_all,
    load_records,
    newest,
    read_record,
    record_path,
    write_record,
)
from repro.store.workspace import Workspace, user_cache


def test_write_read_find_load(tmp_path, make_record):
    workspace, record = Workspace(tmp_path), make_record()
    path = write_record(workspace, record)
    assert path == tmp_path / "results" / "table1" / f"tbrm-n4-seed0-{record['key'][:12]}.json"
    assert read_record(path) == record
    assert find(workspace, record["key"]) == record
    assert find(workspace, "0" * 64) is None
    assert load_records(workspace) == ([record], [])
    assert load_records(workspace, "table1@smoke") == ([], [])
    assert TrialConfig.from_json(record["config"]).id == record["id"]


def test_reading_an_absent_workspace_creates_nothing(tmp_path):
    workspace = Workspace(tmp_path / "none")
    assert load_records(workspace) == ([], [])
    assert find(workspace, "0" * 64) is None
    assert not workspace.root.exists()


def test_torn_at_every_byte(tmp_path, make_record):
    path = tmp_path / "record.json"
    whole = encode_record(make_record(questions=1))
    for end in range(len(whole)):
        with pytest.raises(DamagedRecord, match=r"record\.json"):
            decode_record(whole[:end], str(path))
    for end in (0, 1, 80, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:end])
        with pytest.raises(DamagedRecord, match=r"record\.json"):
            read_record(path)


def test_any_changed_byte_is_noticed(make_record):
    whole = encode_record(make_record(questions=1))
    for at in range(len(whole)):
        changed = bytearray(whole)
        changed[at] ^= 1
        with pytest.raises(DamagedRecord):
            decode_record(bytes(changed), "x")


def test_hand_edited_reformatted_and_foreign_files_are_named_and_the_rest_loads(tmp_path, make_config, make_record):
    workspace = Workspace(tmp_path)
    kept = make_record(make_config(seed=9))
    write_record(workspace, kept)
    edited = write_record(workspace, make_record())
    edited.write_bytes(edited.read_bytes().replace(b'"chain/accuracy":0.5', b'"chain/accuracy":0.9'))
    pretty = write_record(workspace, make_record(make_config(seed=1)))
    pretty.write_text(json.dumps(json.loads(pretty.read_text()), indent=1))
    renamed = write_record(workspace, make_record(make_config(seed=2)))
    renamed.rename(renamed.with_name("tbrm-n4-seed7-000000000000.json"))
    (edited.parent / "notes.txt").write_text("mine")
    (edited.parent / ".tmp-1-abc").write_text("half a rec")
    records, problems = load_records(workspace)
    assert records == [kept]
    assert len(problems) == 3
    for name in (edited.name, pretty.name, "tbrm-n4-seed7"):
        assert sum(name in problem for problem in problems) == 1
    assert all("\n" not in problem for problem in problems)


def test_damaged_file_is_no_cache_and_is_replaced_by_the_next_run(tmp_path, make_record):
    workspace, record = Workspace(tmp_path), make_record()
    path = write_record(workspace, record)
    path.write_bytes(path.read_bytes()[:-5])
    assert find(workspace, record["key"]) is None
    write_record(workspace, record)
    assert find(workspace, record["key"]) == record


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema": 2}, "schema 2"),
        ({"kind": "other"}, "kind"),
        ({"status": "started"}, "status"),
        ({"key": "abc"}, "key"),
        ({"arm": "../../evil"}, "arm"),
        ({"id": "table1/other/seed0"}, "id"),
        ({"seed": "0"}, "seed"),
        ({"outcomes": {"chain": {"questions": ["a"], "samples": ["cw", "cw"]}}}, "one string per question"),
        ({"outcomes": {"chain": {"questions": ["a"], "samples": ["cz"]}}}, "unknown letter"),
        ({"outcomes": {"chain": {"questions": ["a"], "samples": ["cw"], "lenient": [3]}}}, "lenient count of 0 to 2"),
        ({"outcomes": {"chain": {"questions": ["a"], "samples": ["cw"], "lenient": [1, 1]}}}, "lenient count"),
        ({"outcomes": {"chain": {"questions": ["a", "b"], "samples": ["cw", "c"]}}}, "ragged"),
        ({"outcomes": {"a/b": {"questions": ["a"], "samples": ["cw"]}}}, "no slash"),
        ({"status": "failed"}, "error"),
        ({"metrics": {"chain/accuracy": float("nan")}}, "JSON"),
    ],
)
def test_malformed_records_are_not_written(tmp_path, make_record, change, words):
    with pytest.raises(InputError, match=words):
        write_record(Workspace(tmp_path), make_record(**change))
    assert list(tmp_path.iterdir()) == []


def test_valid_hash_with_an_unknown_schema_is_refused(make_record):
    import hashlib

    from repro.store.key import canonical

    content = canonical({**make_record(), "schema": 7})
    line = b'{"sha256":"' + hashlib.sha256(content).hexdigest().encode() + b'",' + content[1:] + b"\n"
    with pytest.raises(DamagedRecord, match="schema 7"):
        decode_record(line, "x.json")


def _write_many(root, writer, count):
    workspace = Workspace(root)
    for seed in range(count):
        # every writer writes the shared records, each with its own measured time
        write_record(workspace, record_of(config_of(seed=seed), questions=200, cost={"train_seconds": writer}))


def test_many_writers_of_the_same_records_never_show_a_torn_one(tmp_path):
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_write_many, args=(tmp_path, i, 15)) for i in range(6)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        assert load_records(Workspace(tmp_path))[1] == []
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    records, problems = load_records(Workspace(tmp_path))
    assert (len(records), problems, Workspace(tmp_path).leftovers()) == (15, [], [])


@pytest.mark.parametrize(
    ("code", "words"), [(errno.ENOSPC, "disk is full"), (errno.EROFS, "read-only"), (errno.EACCES, "permission")]
)
@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_disk_trouble_is_one_line_and_leaves_the_old_record(tmp_path, make_record, monkeypatch, code, words, step):
    workspace, record = Workspace(tmp_path), make_record()
    path = write_record(workspace, record)

    def refuse(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(files.os, step, refuse)
    with pytest.raises(InputError, match=words) as caught:
        write_record(workspace, make_record(metrics={}))
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    monkeypatch.undo()
    assert read_record(path) == record
    assert workspace.leftovers() == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_really_full_device(tmp_path, make_record, monkeypatch):
    real = open
    monkeypatch.setattr(
        "builtins.open", lambda path, mode, *a: real("/dev/full", "wb") if mode == "xb" else real(path, mode)
    )
    with pytest.raises(InputError, match="disk is full"):
        write_record(Workspace(tmp_path), make_record())


def test_root_that_is_a_file(tmp_path, make_record):
    (tmp_path / "runs").write_text("")
    for action in (
        Workspace(tmp_path / "runs").prepare,
        lambda: write_record(Workspace(tmp_path / "runs"), make_record()),
    ):
        with pytest.raises(InputError, match="--root"):
            action()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_read_only_root(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="permission denied"):
        Workspace(tmp_path / "runs").prepare()


def test_strip_measured_leaves_what_must_agree(make_record):
    slow = make_record(
        cost={"train_seconds": 9}, provenance={"finished": "later"}, base={"pass@1_rl": 0.4, "seconds": 99}
    )
    assert strip_measured(slow) == strip_measured(make_record())
    assert strip_measured(make_record())["base"] == {"pass@1_rl": 0.4}
    assert strip_measured(make_record(metrics={})) != strip_measured(make_record())
    assert "cost" in slow


def test_newest_prefers_done_then_late(make_record):
    early = make_record(key="1" * 64, provenance={"finished": "2030-01-01"})
    late = make_record(key="2" * 64, provenance={"finished": "2030-01-02"})
    failed = make_record(
        key="3" * 64, status="failed", error={"message": "x", "step": 1}, provenance={"finished": "2031"}
    )
    assert newest([late, early, failed]) == [late]
    assert newest([failed]) == [failed]


def test_adopted_record_carries_the_new_names_and_the_same_key(tmp_path, make_config, make_record):
    workspace = Workspace(tmp_path)
    write_record(workspace, make_record())
    other = make_config(experiment="table4", arm="tbrm")
    adopted = adopt(find(workspace, make_record()["key"]), other)
    path = write_record(workspace, adopted)
    assert path.parent.name == "table4"
    assert (adopted["id"], adopted["key"]) == ("table4/tbrm/seed0", make_record()["key"])
    assert adopted["config"] == other.to_json()
    assert len(load_records(workspace)[0]) == 2


def test_find_all_takes_one_look(tmp_path, make_config, make_record):
    workspace = Workspace(tmp_path)
    records = [make_record(make_config(seed=seed)) for seed in range(5)]
    for record in records:
        write_record(workspace, record)
    keys = [record["key"] for record in records]
    assert find_all(workspace, [*keys[:3], "0" * 64]) == dict(zip(keys[:3], records[:3], strict=True))


def test_every_writable_path_stays_in_the_results_folder(tmp_path, make_record):
    workspace = Workspace(tmp_path)
    assert record_path(workspace, make_record()).is_relative_to(workspace.results)
    assert workspace.inside(tmp_path / "checkpoints" / "x")
    with pytest.raises(InputError, match="not inside"):
        workspace.inside(tmp_path / ".." / "elsewhere")


def test_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("REPRO_CACHE_DIR", str(tmp_path / "a"))
    assert user_cache() == tmp_path / "a"
    monkeypatch.delenv("REPRO_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert user_cache() == tmp_path / "repro-bench"


def test_equal_questions_and_outcomes_of_several_records_are_kept_once(make_record):
    one, two = (decode_record(encode_record(make_record()), "here") for _ in range(2))
    (first,), (second,) = (record["outcomes"].values() for record in (one, two))
    assert first["questions"] is not second["questions"]
    for name in ("questions", "samples"):
        assert all(a is b for a, b in zip(first[name], second[name], strict=True))


def test_a_failed_record_may_have_any_outcomes(make_record):
    record = make_record(status="failed", error={"message": "no", "step": None}, outcomes={"chain": None})
    assert decode_record(encode_record(record), "here") == record
