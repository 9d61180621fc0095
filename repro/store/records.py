"""Record files of a workspace: one file per record, written whole, verified on every read.

A file is one line of canonical JSON whose first key is the sha256 of the rest, so that a torn or hand-edited file is
told from its bytes alone, without parsing and dumping it again.
"""

from __future__ import annotations

import copy
import hashlib
import json
import sys
from collections.abc import Iterable
from pathlib import Path

from repro.errors import InputError
from repro.store.config import TrialConfig, experiment_id
from repro.store.files import TEMPORARY, explain, write_whole
from repro.store.key import canonical
from repro.store.record import DamagedRecord, Record, check_record
from repro.store.workspace import Workspace

SHORT = 16  # letters; longer outcomes are hardly ever equal
_HEAD = b'{"sha256":"'
_BODY = len(_HEAD) + 64 + 2  # where the content follows the hash and `",`


def encode_record(record: Record) -> bytes:
    """One line, newline included. `InputError` if the record is malformed or holds NaN or infinity."""
    check_record(record)
    try:
        content = canonical(record)
    except (ValueError, TypeError) as error:
        raise InputError(f"record {record['id']} cannot be stored as JSON: {error}") from error
    return _HEAD + hashlib.sha256(content).hexdigest().encode() + b'",' + content[1:] + b"\n"


def decode_record(line: bytes, where: str) -> Record:
    """The record in one line of `encode_record`; `DamagedRecord` naming `where` if a single byte is amiss."""
    remedy = "the next run of its trial replaces it"
    if not line.endswith(b"}\n") or line.count(b"\n") != 1:
        raise DamagedRecord(f"{where} is torn (incomplete): {remedy}")
    content = b"{" + line[_BODY:-1]
    if not line.startswith(_HEAD) or line[len(_HEAD) : _BODY] != hashlib.sha256(content).hexdigest().encode() + b'",':
        raise DamagedRecord(f"{where} does not match its sha256 (edited or damaged): {remedy}")
    try:
        record = json.loads(content)
        check_record(record)
        _share(record)
    except (ValueError, RecursionError) as error:
        raise DamagedRecord(f"{where} is not JSON ({error}): {remedy}") from error
    except InputError as error:
        raise DamagedRecord(f"{where} cannot be used: {error}") from error
    return record


def record_hash(line: bytes) -> str:
    """The sha256 that a line of `encode_record` says it has; only `decode_record` compares it."""
    return line[len(_HEAD) : len(_HEAD) + 64].decode("ascii", errors="replace")


def stored_hashes(workspace: Workspace) -> set[str]:
    """`record_hash` of every record of a workspace, from the first bytes of its files."""
    found = set()
    for path in _paths(workspace, None):
        try:
            with open(path, "rb") as file:
                found.add(record_hash(file.read(_BODY)))
        except OSError as error:
            raise explain(error, path, "read") from error
    return found


def _share(record: Record) -> None:
    """Let equal question ids and equal short outcomes of all records be one object: a third less memory for many."""
    if record["kind"] != "trial" or record["status"] != "done":
        return
    for entry in record["outcomes"].values():
        entry["questions"] = [sys.intern(q) if type(q) is str else q for q in entry["questions"]]
        if len(entry["samples"][0]) <= SHORT:
            entry["samples"] = list(map(sys.intern, entry["samples"]))


def record_path(workspace: Workspace, record: Record) -> Path:
    """results/<experiment with scale>/<arm>-seed<k>-<first 12 digits of the key>.json"""
    folder = experiment_id(record["experiment"], record["scale"], record.get("variant"))
    return workspace.results / folder / f"{record['arm']}-seed{record['seed']}-{record['key'][:12]}.json"


def write_record(workspace: Workspace, record: Record) -> Path:
    """Store the record whole or not at all; a record of the same trial is replaced. `InputError` on disk trouble."""
    return write_whole(record_path(workspace, record), encode_record(record))


def read_record(path: Path | str) -> Record:
    """The record of one file; `DamagedRecord` naming the file if it is torn, edited or of an unknown schema."""
    path = Path(path)
    try:
        line = path.read_bytes()
    except OSError as error:
        raise explain(error, path, "read") from error
    return decode_record(line, str(path))


def load_records(workspace: Workspace, experiment: str | None = None) -> tuple[list[Record], list[str]]:
    """All usable records sorted by id, and one line per file that is not usable.

    `experiment` is a folder of results, scale and variant included ("table1", "table1@smoke"); None means all.
    """
    records, problems = [], []
    for path in _paths(workspace, experiment):
        try:
            record = read_record(path)
        except InputError as error:
            problems.append(str(error))
            continue
        expected = record_path(workspace, record)
        if (path.parent.name, path.name) != (expected.parent.name, expected.name):
            problems.append(f"{path} does not have the name of its record ({expected}): move or remove it")
            continue
        records.append(record)
    return sorted(records, key=_order), problems


def newest(records: Iterable[Record]) -> list[Record]:
    """One record per id, sorted by id: a done one before a failed one, then the one finished last.

    Several records of one id exist when the suite or the base model changed between two runs.
    """
    best: dict[str, Record] = {}
    for record in records:
        rival = best.get(record["id"])
        if rival is None or _rank(record) > _rank(rival):
            best[record["id"]] = record
    return sorted(best.values(), key=_order)


def find(workspace: Workspace, key: str) -> Record | None:
    """The workspace's record of a trial key, a done one before a failed one; None if there is no usable one.

    Looks at the workspace only: published records never count as cache. A damaged file counts as absent here, so its
    trial runs again; `load_records` names it.
    """
    return find_all(workspace, [key]).get(key)


def find_all(workspace: Workspace, keys: Iterable[str]) -> dict[str, Record]:
    """`find` for many keys with one look at the folders."""
    wanted = {key[:12]: key for key in keys}
    found: dict[str, Record] = {}
    for path in _paths(workspace, None):
        key = wanted.get(path.stem[-12:])
        if key is None:
            continue
        try:
            record = read_record(path)
        except InputError:
            continue
        if record["key"] == key and (key not in found or _rank(record) > _rank(found[key])):
            found[key] = record
    return found


def adopt(record: Record, config: TrialConfig) -> Record:
    """A copy of a record under the names of `config`, for a trial that another experiment or variant has run."""
    copied = copy.deepcopy(record)
    names = {"experiment": config.experiment, "arm": config.arm, "variant": config.variant}
    copied.update(names, id=config.id, config=config.to_json())
    check_record(copied)
    return copied


def _paths(workspace: Workspace, experiment: str | None) -> list[Path]:
    if not workspace.results.is_dir():
        return []
    folders = [workspace.results / experiment] if experiment else sorted(workspace.results.iterdir())
    try:
        return [
            path
            for folder in folders
            if folder.is_dir()
            for path in sorted(folder.iterdir())
            if path.suffix == ".json" and not path.name.startswith(TEMPORARY)
        ]
    except OSError as error:
        raise explain(error, workspace.results, "read") from error


def _rank(record: Record) -> tuple[bool, str, str]:
    return record["status"] == "done", str((record.get("provenance") or {}).get("finished") or ""), record["key"]


def _order(record: Record) -> tuple[str, str, int, str]:
    folder = experiment_id(record["experiment"], record["scale"], record.get("variant"))
    return folder, record["arm"], record["seed"], record["key"]
