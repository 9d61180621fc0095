"""Finds, checks and registers plug-ins, once per process; names that collide are refused.

A user names a plug-in by file or by its name. A trial names it by name and hash, and never by a path: `ensure` looks
for that content among the files of the command line and the installed distributions, and for nothing else.
"""

from __future__ import annotations

import inspect
import os
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

from repro.errors import InputError, writable
from repro.methods.options import nearest
from repro.plugins import methods, source, tasks
from repro.plugins.names import check_name
from repro.plugins.source import Source
from repro.store.config import TrialConfig

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

Kind = Literal["method", "task"]
KINDS: dict[str, ModuleType] = {"method": methods, "task": tasks}

_loaded: dict[tuple[str, str], Source] = {}


def add(kind: Kind, text: str) -> str:
    """Make a method or task usable that the user names by file or by name; returns its name.

    A name may also be that of a built-in. Raises InputError, naming the nearest, for what is none of them, and for a
    plug-in that cannot be used or whose name is taken.
    """
    if text.endswith(".py") or os.sep in text:
        path = Path(text).expanduser().resolve()
        name = _add_file(kind, path)
        source.name_file(path)
        return name
    points = installed(kind)
    if text in points and (kind, text) not in _loaded:
        return _add_point(kind, points[text])
    known = [*dict.fromkeys([*KINDS[kind].known(), *points])]
    if text not in known:
        raise InputError(
            f"--{kind}: unknown {kind} {text!r}{nearest(text, known)} (name one of them, an installed plug-in, or a "
            f"Python file)"
        )
    return text


def add_class(kind: Kind, cls: type) -> str:
    """Register a class that is imported already, as tests of a plug-in do; a built-in one is left as it is."""
    module = inspect.getmodule(cls)
    if module is None:
        raise InputError(f"{cls.__name__} lies in no module")
    if module.__name__.startswith("repro.") and cls.name in KINDS[kind].known():
        return cls.name
    return _register(kind, cls, source.source_of(module))


def ensure(config: TrialConfig) -> None:
    """Load the plug-ins that a trial is made of. InputError where this machine does not have their very code."""
    for kind, entry in (("method", config.method), ("task", config.task)):
        if "source" in entry:
            _ensure(kind, entry["name"], entry["source"])


def installed(kind: Kind) -> dict[str, EntryPoint]:
    """Name -> entry point of the plug-ins that are installed. InputError for a name that is taken."""
    group, found = KINDS[kind].GROUP, {}
    for name, points in sorted(source.entry_points(group).items()):
        owners = [source.distribution(point) for point in points]
        if len(points) > 1:
            raise InputError(f"{' and '.join(owners)} both plug in a {kind} called {name!r}: uninstall one of them")
        if name in KINDS[kind].known() and (kind, name) not in _loaded:
            raise InputError(f"{owners[0]} plugs in a {kind} called {name!r}, which is built in: uninstall it")
        check_name(name, f"plug-in of {owners[0]}")
        found[name] = points[0]
    return found


def origin(kind: Kind, name: str) -> str | None:
    """`my-method 0.1.0` or `my_method.py` of a plug-in that is loaded; None for a built-in."""
    return str(_loaded[kind, name]) if (kind, name) in _loaded else None


def provenance(config: TrialConfig) -> list[dict[str, Any]]:
    """What a record keeps of the plug-ins of its trial, beside the hashes in their config: no path."""
    named = (("method", config.method["name"]), ("task", config.task["name"]))
    return [
        {
            "kind": kind,
            "name": name,
            "file": writable(found.path.name),
            "distribution": found.distribution,
            "version": found.version,
            "sha256": found.sha256,
        }
        for kind, name in named
        if (found := _loaded.get((kind, name))) is not None
    ]


def _add_file(kind: Kind, path: Path) -> str:
    module, found = source.load_file(path)
    base = KINDS[kind].base()
    classes = [
        value
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, base) and value.__module__ == module.__name__
    ]
    whole = [cls for cls in dict.fromkeys(classes) if not inspect.isabstract(cls)]
    if not whole and classes:
        lacking = ", ".join(sorted(classes[0].__abstractmethods__))
        raise InputError(f"{path.name}: {classes[0].__name__} is not complete: it lacks {lacking}")
    if len(whole) != 1:
        count = ", ".join(cls.__name__ for cls in whole) or "none"
        raise InputError(f"{path.name} must define one subclass of {base.__name__}, and defines {count}")
    return _register(kind, whole[0], found)


def _add_point(kind: Kind, point: EntryPoint) -> str:
    cls, found = source.load_entry_point(point)
    where, base = f"plug-in {point.name} of {found}", KINDS[kind].base()
    if not isinstance(cls, type) or not issubclass(cls, base) or inspect.isabstract(cls):
        raise InputError(f"{where}: {point.value} is not a complete subclass of {base.__name__}")
    if getattr(cls, "name", None) != point.name:
        raise InputError(f"{where}: the class calls itself {getattr(cls, 'name', None)!r}: give both one name")
    return _register(kind, cls, found)


def _register(kind: Kind, cls: type, found: Source) -> str:
    module, name = KINDS[kind], getattr(cls, "name", None)
    check_name(name, f"{found}, name of {cls.__name__}")
    before = _loaded.get((kind, name))
    if before is not None and before.sha256 == found.sha256:
        return name
    if before is None and name in module.known():
        raise InputError(f"{found} plugs in a {kind} called {name!r}, which is built in: give it another name")
    if before is not None and before.path != found.path:
        raise InputError(f"{found} and {before} both plug in a {kind} called {name!r}: rename one of them")
    if found.distribution is None:
        _against_installed(kind, name, found)
    if before is not None:  # the same file, edited
        module.remove(name)
        del _loaded[kind, name]
    module.check(cls, str(found))
    module.enter(cls, found.sha256, str(found))
    _loaded[kind, name] = found
    return name


def _against_installed(kind: Kind, name: str, found: Source) -> None:
    """A file and an installed plug-in may have one name only if they are one file, or copies of it."""
    point = installed(kind).get(name)
    place = None if point is None else source.origin(point)
    if point is not None and (place is None or source.file_sha256(place) != found.sha256):
        raise InputError(
            f"{found} and {source.distribution(point)} both plug in a {kind} called {name!r}: rename one, uninstall "
            f"the other, or use it with --{kind} {name}"
        )


def _ensure(kind: Kind, name: str, sha256: str) -> None:
    def here() -> bool:
        return (kind, name) in _loaded and _loaded[kind, name].sha256 == sha256

    if here():
        return
    for path in source.named_files():
        if source.file_sha256(path) == sha256:
            _add_file(kind, path)
            break
    else:
        if name in source.entry_points(KINDS[kind].GROUP):
            _add_point(kind, installed(kind)[name])
    if not here():
        raise InputError(
            f"{kind} {name}: this trial was planned with other code (sha256 {sha256[:12]}…) than what is here: issue "
            f"the command again, with --{kind} and its file"
        )
