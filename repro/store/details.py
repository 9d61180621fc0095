"""Detail files of a leaderboard: compressed records (outcomes, curve and all else), found by the sha256 of their bytes.

Beside `<folder>/leaderboard.jsonl` they are the published bundles `<folder>/<experiment>.jsonl.gz`, and for all other
lines packs of the same format, `<folder>/leaderboard/<sha256>.jsonl.gz`. A line names its file and its record by hash
alone, so nothing that a line says ever becomes a path.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from repro.errors import InputError
from repro.store.files import explain, write_whole
from repro.store.project import SUFFIX
from repro.store.published import bundle_lines, encode_bundle, read_limited
from repro.store.record import DamagedRecord, Record
from repro.store.records import decode_record, record_hash

PACKS = "leaderboard"
_TIMING = b'"kind":"timing"'  # as `encode_record` writes it


class Details:
    """The detail files in one folder. They are looked up once, and read when asked for."""

    def __init__(self, folder: Path | str):
        self.folder = Path(folder)

    @functools.cached_property
    def published(self) -> dict[str, Path]:
        """sha256 of the bytes -> bundle."""
        return {hashlib.sha256(read_limited(path)).hexdigest(): path for path in _listed(self.folder)}

    @functools.cached_property
    def packs(self) -> dict[str, Path]:
        """sha256, as the name says (its bytes are compared when it is read) -> pack."""
        return {path.name.removesuffix(SUFFIX): path for path in _listed(self.folder / PACKS)}

    def find(self, detail: str) -> Path | None:
        return self.published.get(detail) or self.packs.get(detail)

    def lines(self, detail: str) -> list[bytes]:
        """The lines of a detail file; `DamagedRecord` if its bytes are not those that its hash names."""
        path = self.find(detail)
        if path is None:
            raise InputError(f"no detail file {detail[:12]}… beside the leaderboard in {self.folder}")
        data = read_limited(path)
        if hashlib.sha256(data).hexdigest() != detail:
            raise DamagedRecord(f"{path} does not match its sha256 (edited or damaged)")
        return list(bundle_lines(data, path))

    def records(self, wanted: Mapping[str, Iterable[str]], timings: bool = False) -> dict[str, Record]:
        """record hash -> record; `wanted`: detail -> hashes of records in it. Those that are not in it are left out.

        Of a file, only the records asked for are parsed; with `timings` all of its timing records as well.
        """
        found: dict[str, Record] = {}
        for detail, hashes in wanted.items():
            hashes = set(hashes)
            for number, line in enumerate(self.lines(detail), start=1):
                name = record_hash(line)
                if name in hashes or (timings and _TIMING in line):
                    found[name] = decode_record(line, f"{self.find(detail)}, line {number},")
        return found

    def keep(self, lines: Iterable[bytes]) -> str:
        """Store lines of `encode_record` as a pack, the same lines always under the same name; its sha256."""
        data = encode_bundle(lines)
        detail = hashlib.sha256(data).hexdigest()
        if self.find(detail) is None:
            write_whole(self.folder / PACKS / f"{detail}{SUFFIX}", data)
            self.__dict__.pop("packs", None)
        return detail

    def copy(self, detail: str, other: Details) -> None:
        """Take over a file that another leaderboard's lines need, as a pack, unless it is here."""
        if self.find(detail) is None:
            data = read_limited(other.find(detail))
            if hashlib.sha256(data).hexdigest() != detail:
                raise DamagedRecord(f"{other.find(detail)} does not match its sha256 (edited or damaged)")
            write_whole(self.folder / PACKS / f"{detail}{SUFFIX}", data)
            self.__dict__.pop("packs", None)


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.glob(f"*{SUFFIX}") if path.is_file()) if folder.is_dir() else []
    except OSError as error:
        raise explain(error, folder, "read") from error
