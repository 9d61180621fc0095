"""The entries of a trial config that are plain dictionaries, because what they hold depends on who is named in them."""

from __future__ import annotations

import re
from typing import Any

from repro.store.typed import require

_SHA256 = re.compile(r"[0-9a-f]{64}")


def check_method(method: dict[str, Any]) -> None:
    """InputError unless `method` has a name, usable rollouts and semantics, and of a plug-in the hash of its code."""
    _check_named("method", method)
    n = method.get("n", 1)
    require(type(n) is int and n > 0, f"method.n={n!r} must be a positive whole number")
    semantics = method.get("semantics", 0)
    good = type(semantics) is int and semantics >= 0
    require(good, f"method.semantics={semantics!r} must be a whole number that is not negative")


def check_task(task: dict[str, Any]) -> None:
    """InputError unless `task` has a name, and of a plug-in the hash of its code."""
    _check_named("task", task)


def check_base(base: dict[str, Any]) -> None:
    """InputError unless `base` is of a known kind and says which one it is."""
    needed = {"micro": "recipe", "hub": "id", "folder": "path", "tabular": "instances"}
    kind = base.get("kind")
    require(kind in needed, f"base.kind={kind!r} is unknown: use one of {', '.join(needed)}")
    require(bool(base.get(needed[kind])), f"base.{needed[kind]} is missing for base.kind={kind}")
    if "task" in base:
        named = isinstance(base["task"], dict) and bool(base["task"].get("name"))
        require(kind == "micro" and named, 'base.task is {"name", "options"} of what a micro model learns, of no other')


def _check_named(where: str, entry: dict[str, Any]) -> None:
    name = entry.get("name")
    require(isinstance(name, str) and name != "", f'{where} needs a "name"')
    source = entry.get("source", "0" * 64)
    good = isinstance(source, str) and _SHA256.fullmatch(source)
    require(bool(good), f"{where}.source={source!r} is not 64 hex digits")
