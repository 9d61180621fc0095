"""Published records: one compressed bundle per experiment, the same bytes for the same records. Read-only to users."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterable
from pathlib import Path

from repro.errors import InputError
from repro.store.files import explain, write_whole
from repro.store.record import DamagedRecord, Record
from repro.store.records import decode_record, encode_record

SUFFIX = ".jsonl.gz"


def bundle_path(folder: Path | str, experiment: str) -> Path:
    """`<folder>/<experiment>.jsonl.gz`"""
    return Path(folder) / f"{experiment}{SUFFIX}"


def write_bundle(path: Path | str, records: Iterable[Record]) -> Path:
    """One record a line, by id and key; the gzip header holds no time and no name. `InputError` on disk trouble."""
    records = list(records)
    if not records:
        raise InputError(f"no records to write to {path}")
    lines = [encode_record(record) for record in sorted(records, key=lambda r: (r["id"], r["key"]))]
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=buffer, mtime=0) as file:
        file.writelines(lines)
    return write_whole(Path(path), buffer.getvalue())


def read_bundle(path: Path | str) -> list[Record]:
    """All records of a bundle; `DamagedRecord` naming the file and the line if any is damaged."""
    path = Path(path)
    records = []
    try:
        with gzip.open(path, "rb") as file:
            for number, line in enumerate(file, start=1):
                records.append(decode_record(line, f"{path}, line {number},"))
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DamagedRecord(f"{path} is torn or not a gzip file ({error}): get it anew from the repository") from error
    except OSError as error:
        raise explain(error, path, "read") from error
    if not records:
        raise DamagedRecord(f"{path} is empty: get it anew from the repository")
    return records
