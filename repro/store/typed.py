"""Dataclasses from plain JSON data, strictly: unknown fields, wrong types, NaN and infinity are refused."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import math
import types
import typing
from typing import Any, Literal

from repro.errors import InputError


def build(cls: type, data: Any, where: str = "") -> Any:
    """A dataclass from plain JSON data, strictly; `where` is the dotted path named in messages."""
    if not isinstance(data, dict):
        raise InputError(f"{where or cls.__name__} must be an object with fields, not {data!r}")
    hints = _hints(cls)
    for name in data:
        if name not in hints:
            raise InputError(unknown_field(str(name), list(hints), where))
    for item in dataclasses.fields(cls):
        required = item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
        if required and item.name not in data:
            raise InputError(f"{_join(where, item.name)} is missing")
    return cls(**{name: _convert(hints[name], value, _join(where, name)) for name, value in data.items()})


def unknown_field(name: str, known: list[str], where: str = "") -> str:
    """The message for a field that does not exist, with its nearest match."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else f"known fields: {', '.join(known)}"
    return f"unknown field {_join(where, name)}: {hint}"


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None:
            return None
        return _convert(next(a for a in arguments if a is not type(None)), value, where)
    if origin is Literal:
        require(value in arguments, f"{where}={value!r} must be one of {', '.join(map(str, arguments))}")
        return value
    if origin is tuple:
        require(isinstance(value, (list, tuple)), f"{where} must be a list, not {value!r}")
        return tuple(_convert(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if origin is dict:
        require(isinstance(value, dict), f"{where} must be an object, not {value!r}")
        _check_plain(value, where)
        return plain(value)
    if dataclasses.is_dataclass(hint):
        return build(hint, value, where)
    if hint is float:
        good = type(value) in (int, float) and math.isfinite(value)
        require(good, f"{where} must be a finite number, not {value!r}")
        return float(value)
    wanted = {int: "a whole number", bool: "true or false", str: "a text"}[hint]
    require(type(value) is hint, f"{where} must be {wanted}, not {value!r}")
    return value


def _check_plain(value: Any, where: str) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            require(isinstance(key, str), f"{where} has a key that is not a text: {key!r}")
            _check_plain(item, _join(where, key))
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            _check_plain(item, f"{where}[{index}]")
    else:
        good = value is None or type(value) in (str, int, float, bool)
        require(good and (type(value) is not float or math.isfinite(value)), f"{where}={value!r} is not a JSON value")


def lists_to_tuples(self: Any) -> None:
    for item in dataclasses.fields(self):
        if isinstance(getattr(self, item.name), list):
            object.__setattr__(self, item.name, tuple(getattr(self, item.name)))


def plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _join(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def require(condition: bool, message: str) -> None:
    if not condition:
        raise InputError(message)


def positive(self: Any, where: str, *names: str) -> None:
    for name in names:
        value = getattr(self, name)
        require(value > 0, f"{where}.{name} must be positive, not {value}")


def not_negative(self: Any, where: str, *names: str) -> None:
    for name in names:
        value = getattr(self, name)
        require(value >= 0, f"{where}.{name} must not be negative, not {value}")
