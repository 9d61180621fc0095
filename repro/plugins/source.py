"""Where the code of a plug-in lies: in a file that the user names, or in an installed distribution. Imports no torch.

A file is hashed and run from the same bytes, so that the hash in a trial's identity is that of the code that trains.
Not covered: what a plug-in imports from other distributions; raise its `semantics` number when that changes results.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from repro.errors import InputError, explain

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

FILES = "REPRO_PLUGIN_FILES"
"""Variable with the files named on the command line, as a JSON list: workers inherit it. They are told by content."""


@dataclass(frozen=True)
class Source:
    """The code of one plug-in. `sha256` belongs to the identity of its trials, the rest to their provenance."""

    sha256: str
    path: Path  # of the file that defines it; used on this machine alone and never stored
    distribution: str | None = None
    version: str | None = None

    def __str__(self) -> str:
        return self.path.name if self.distribution is None else f"{self.distribution} {self.version}"


def named_files() -> list[Path]:
    """The plug-in files named by the command that this process belongs to."""
    return [Path(text) for text in json.loads(os.environ.get(FILES, "[]"))]


def name_file(path: Path) -> None:
    """Let this process's workers know `path`."""
    known = os.environ.get(FILES, "[]")
    os.environ[FILES] = json.dumps(list(dict.fromkeys([*json.loads(known), str(path)])))


def file_sha256(path: Path) -> str | None:
    """The hash of a plug-in file; None if it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None


def load_file(path: Path) -> tuple[ModuleType, Source]:
    """The module in a file outside any package. It may import what is installed, not what lies beside it.

    InputError where the file cannot be read or raises when it is run.
    """
    try:
        code = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}: name a Python file") from error
    source = Source(hashlib.sha256(code).hexdigest(), path)
    name = f"repro_plugin_{source.sha256[:16]}"
    if name not in sys.modules:
        module = ModuleType(name)
        module.__file__ = str(path)
        sys.modules[name] = module  # dataclasses look their annotations up there
        try:
            exec(compile(code, str(path), "exec", dont_inherit=True), vars(module))
        except (Exception, SystemExit) as error:
            del sys.modules[name]
            raise InputError(f"{path.name}: {explain(error, path)}") from error
    return sys.modules[name], source


def entry_points(group: str) -> dict[str, list[EntryPoint]]:
    """Name -> entry points of the installed distributions in `group`; none of them is imported."""
    from importlib import metadata  # 50 ms, for those who look for plug-ins

    found: dict[str, list[EntryPoint]] = {}
    for point in metadata.entry_points(group=group):
        found.setdefault(point.name, []).append(point)
    return found


def distribution(point: EntryPoint) -> str:
    """`my-method 0.1.0`: where an entry point comes from."""
    return "an unknown distribution" if point.dist is None else f"{point.dist.name} {point.dist.version}"


def origin(point: EntryPoint) -> Path | None:
    """The file of an entry point's module, where it can be told without running any of its code."""
    if "." in point.module:  # its package would be imported
        return None
    try:
        spec = importlib.util.find_spec(point.module)
    except (ImportError, ValueError):
        return None
    return Path(spec.origin).resolve() if spec is not None and spec.has_location else None


def load_entry_point(point: EntryPoint) -> tuple[type, Source]:
    """What an entry point names, and its source; InputError where importing it raises."""
    try:
        found = point.load()
    except (Exception, SystemExit) as error:
        raise InputError(f"plug-in {point.name} of {distribution(point)}: {explain(error, origin(point))}") from error
    dist = point.dist
    module = sys.modules[getattr(found, "__module__", point.module)]
    return found, source_of(module, dist and dist.name, dist and dist.version)


def source_of(module: ModuleType, distribution: str | None = None, version: str | None = None) -> Source:
    """The source of an imported module. Of a package it is the Python files below the module's folder."""
    file = getattr(module, "__file__", None)
    if file is None:
        raise InputError(f"{module.__name__} lies in no file: a plug-in's code must be in one")
    path = Path(file).resolve()
    if module.__package__ in (None, "") or module.__name__ == "__main__":
        return Source(hashlib.sha256(path.read_bytes()).hexdigest(), path, distribution, version)
    digest = hashlib.sha256()
    for one in sorted(path.parent.rglob("*.py")):
        digest.update(f"{one.relative_to(path.parent)}\n{file_sha256(one)}\n".encode())
    return Source(digest.hexdigest(), path, distribution, version)
