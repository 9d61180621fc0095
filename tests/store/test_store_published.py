import gzip

import pytest

from repro.store.published import bundle_path, read_bundle, write_bundle
from repro.store.record import DamagedRecord
from repro.store.records import find, load_records
from repro.store.workspace import Workspace


@pytest.fixture
def records(make_config, make_record):
    return [make_record(make_config(seed=seed)) for seed in range(4)]


def test_same_records_give_the_same_bytes_in_any_order(tmp_path, records):
    one = write_bundle(tmp_path / "a.jsonl.gz", records)
    two = write_bundle(tmp_path / "b.jsonl.gz", reversed(records))
    assert one.read_bytes() == two.read_bytes()
    assert one.read_bytes()[4:8] == bytes(4)  # gzip's time stamp
    assert read_bundle(one) == records
    assert len(gzip.decompress(one.read_bytes()).splitlines()) == 4


def test_damage_is_named_with_its_line(tmp_path, records):
    path = write_bundle(bundle_path(tmp_path, "table1"), records)
    text = gzip.decompress(path.read_bytes())
    lines = text.splitlines(keepends=True)
    lines[2] = lines[2].replace(b'"seed":2', b'"seed":1')
    path.write_bytes(gzip.compress(b"".join(lines)))
    with pytest.raises(DamagedRecord, match=r"table1\.jsonl\.gz, line 3"):
        read_bundle(path)


def test_torn_bundle(tmp_path, records):
    path = write_bundle(tmp_path / "t.jsonl.gz", records[:1])
    whole = path.read_bytes()
    for end in (*range(0, len(whole), 7), len(whole) - 1):
        path.write_bytes(whole[:end])
        with pytest.raises(DamagedRecord, match=r"t\.jsonl\.gz"):
            read_bundle(path)


def test_published_records_are_no_cache(tmp_path, records):
    workspace = Workspace(tmp_path)
    write_bundle(bundle_path(workspace.results, "table1"), records)
    assert find(workspace, records[0]["key"]) is None
    assert load_records(workspace) == ([], [])
