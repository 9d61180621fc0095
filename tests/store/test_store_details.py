"""Detail files are found by what they are, never by what a line calls them; and none of them fills the memory."""

import gzip
import hashlib
import zlib

import pytest
from leaderboard_records import five, trial

from repro.errors import InputError
from repro.store import published
from repro.store.details import PACKS, Details
from repro.store.key import content_hash
from repro.store.published import bundle_lines, bundle_path, read_limited, write_bundle
from repro.store.record import DamagedRecord
from repro.store.records import encode_record


@pytest.fixture
def details(tmp_path):
    write_bundle(bundle_path(tmp_path, "table1"), five("grpo-n4", 0.5))
    return Details(tmp_path)


def test_a_published_bundle_is_found_by_its_bytes(details, tmp_path):
    sha = hashlib.sha256((tmp_path / "table1.jsonl.gz").read_bytes()).hexdigest()
    records = five("grpo-n4", 0.5)
    wanted = {content_hash(records[1]), content_hash(records[3]), "0" * 64}
    assert details.records({sha: wanted}) == {content_hash(records[n]): records[n] for n in (1, 3)}
    assert details.find("0" * 64) is None and list(details.published) == [sha]


def test_a_pack_has_the_name_of_its_bytes(details, tmp_path):
    lines = [encode_record(record) for record in five("mine", 0.4)]
    sha = details.keep(lines)
    assert sha == details.keep(lines) == details.keep(list(lines))
    (pack,) = (tmp_path / PACKS).iterdir()
    assert pack.name == f"{sha}.jsonl.gz" and hashlib.sha256(pack.read_bytes()).hexdigest() == sha
    assert details.lines(sha) == lines
    other = Details(tmp_path / "elsewhere")
    other.copy(sha, details)
    other.copy(sha, details)
    assert other.lines(sha) == lines and len(list((tmp_path / "elsewhere" / PACKS).iterdir())) == 1


def test_a_pack_with_other_bytes_than_its_name_is_refused(details, tmp_path):
    sha = details.keep([encode_record(trial("mine"))])
    pack = tmp_path / PACKS / f"{sha}.jsonl.gz"
    pack.write_bytes(gzip.compress(encode_record(trial("mine", share=1.0))))
    for call in (lambda: details.lines(sha), lambda: Details(tmp_path / "elsewhere").copy(sha, details)):
        with pytest.raises(DamagedRecord, match="does not match its sha256"):
            call()


@pytest.mark.parametrize("name", ["../table1", "/etc/passwd", "..", "table1", "*", ""])
def test_no_name_of_a_line_becomes_a_path(details, name):
    assert details.find(name) is None
    with pytest.raises(InputError, match="no detail file"):
        details.lines(name)


def bomb(total: int, line: bytes) -> bytes:
    """A gzip file that unpacks to `total` bytes of one line after the other, made without holding them."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    parts = [packer.compress(line * max(1, (1 << 20) // len(line))) for _ in range(total >> 20)]
    return b"".join([*parts, packer.flush()])


@pytest.mark.parametrize("line", [b"0" * (1 << 20), b'{"sha256":"' + b"0" * 1000 + b'"}\n', b"\n"], ids=len)
def test_a_file_made_to_fill_the_memory_is_refused_early(monkeypatch, line):
    """Far under the real limits, so that the test itself stays small: one endless line, and endlessly many lines."""
    monkeypatch.setattr(published, "MOST_UNPACKED", 8 << 20)
    monkeypatch.setattr(published, "MOST_LINE", 2 << 20)
    monkeypatch.setattr(published, "MOST_RECORDS", 20_000)
    data = bomb(32 << 20, line)
    assert len(data) < 1 << 20
    seen = 0
    with pytest.raises(DamagedRecord, match="unpacks to more"):
        for one in bundle_lines(data, "bomb"):
            seen += len(one)
    assert seen <= 8 << 20


def test_a_large_compressed_file_is_not_even_read(tmp_path, monkeypatch):
    monkeypatch.setattr(published, "MOST_COMPRESSED", 1000)
    path = tmp_path / "large.jsonl.gz"
    path.write_bytes(b"x" * 1001)
    with pytest.raises(InputError, match="larger than"):
        read_limited(path)


def test_the_limits_leave_room_for_what_is_published():
    assert published.MOST_COMPRESSED >= 20 << 20
    assert published.MOST_LINE < published.MOST_UNPACKED < 1 << 30, "unpacked, it fits into any machine's memory"
