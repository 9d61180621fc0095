"""Published records: one compressed bundle per experiment, the same bytes for the same records. Read-only to users."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from repro.errors import InputError
from repro.store.files import explain, write_whole
from repro.store.project import SUFFIX
from repro.store.record import DamagedRecord, Record
from repro.store.records import decode_record, encode_record

# A bundle may come from outside. Published ones have a tenth of this at most.
MOST_COMPRESSED, MOST_UNPACKED, MOST_LINE = 20 << 20, 256 << 20, 16 << 20  # bytes
MOST_RECORDS = 100_000


def bundle_path(folder: Path | str, experiment: str) -> Path:
    """`<folder>/<experiment>.jsonl.gz`"""
    return Path(folder) / f"{experiment}{SUFFIX}"


def encode_bundle(lines: Iterable[bytes]) -> bytes:
    """Lines of `encode_record`, compressed; the gzip header holds no time and no name."""
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=buffer, mtime=0) as file:
        file.writelines(lines)
    return buffer.getvalue()


def write_bundle(path: Path | str, records: Iterable[Record]) -> Path:
    """One record a line, by id and key. `InputError` on disk trouble."""
    records = list(records)
    if not records:
        raise InputError(f"no records to write to {path}")
    lines = [encode_record(record) for record in sorted(records, key=lambda r: (r["id"], r["key"]))]
    return write_whole(Path(path), encode_bundle(lines))


def read_limited(path: Path) -> bytes:
    """The bytes of a compressed file; `InputError` if it is larger than any bundle."""
    try:
        with open(path, "rb") as file:
            data = file.read(MOST_COMPRESSED + 1)
    except OSError as error:
        raise explain(error, path, "read") from error
    if len(data) > MOST_COMPRESSED:
        raise InputError(f"{path} is larger than {MOST_COMPRESSED >> 20} MiB: it is no bundle of records")
    return data


def bundle_lines(data: bytes, where: Path | str) -> Iterator[bytes]:
    """The lines of a bundle, one after the other, newline included: never more than one of them unpacked at a time.

    `DamagedRecord` if it is torn, or unpacks to more than any bundle (a file made to fill the memory).
    """
    total = number = 0
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data), mode="rb") as file:
            while line := file.readline(MOST_LINE + 1):
                total, number = total + len(line), number + 1
                if len(line) > MOST_LINE or total > MOST_UNPACKED or number > MOST_RECORDS:
                    raise DamagedRecord(f"{where} unpacks to more than a bundle of records can hold")
                yield line
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DamagedRecord(f"{where} is torn or not a gzip file ({error}): get it anew from the repository") from error


def read_bundle(path: Path | str) -> list[Record]:
    """All records of a bundle; `DamagedRecord` naming the file and the line if any is damaged."""
    lines = bundle_lines(read_limited(Path(path)), path)
    records = [decode_record(line, f"{path}, line {number},") for number, line in enumerate(lines, start=1)]
    if not records:
        raise DamagedRecord(f"{path} is empty: get it anew from the repository")
    return records
