"""Dataclasses and typed dictionaries from plain JSON data: unknown fields, wrong types, NaN, infinity are refused."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import math
import sys
import types
import typing
from typing import Any, Literal

from repro.errors import InputError

MOST_DEPTH = 32  # of lists and objects inside each other; records have 7
LARGEST = 10**24  # of numbers from outside; no FLOP count comes near


def build(cls: type, data: Any, where: str = "") -> Any:
    """A dataclass from plain JSON data, strictly; `where` is the dotted path named in messages."""
    if not isinstance(data, dict):
        raise InputError(f"{where or cls.__name__} must be an object with fields, not {data!r}")
    fields = _fields(cls)
    for name in data:
        if name not in fields:
            raise InputError(unknown_field(str(name), list(fields), where))
    values = {}
    for name, (hint, simple, required) in fields.items():
        if name in data:
            value = data[name]
            # Most values are of the very type that is wanted: no message is made up for them.
            plain_one = type(value) is simple and (simple is not float or math.isfinite(value))
            values[name] = value if plain_one else _convert(hint, value, _join(where, name))
        elif required:
            raise InputError(f"{_join(where, name)} is missing")
    return cls(**values)


def check(hint: Any, value: Any, where: str = "", depth: int = MOST_DEPTH) -> None:
    """`InputError` unless plain JSON data fits a typing hint; a `TypedDict` must have its fields and no others.

    Hints: `TypedDict`, `list`, `dict` with texts as keys, unions with None, `int`, `float` (whole numbers pass), `str`,
    `bool` and `Any` (any JSON value). Numbers of LARGEST and more and values nested deeper than MOST_DEPTH are refused.
    """
    if _is_scalar(value):
        if not _fits(hint, value):
            raise InputError(f"{where} is not a usable {_word(hint)}")
        return
    require(depth > 0, f"{where} is nested too deep")
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if _is_union(hint):
        check(next(a for a in arguments if a is not type(None)), value, where, depth)
    elif isinstance(value, list) and (hint is Any or origin is list):
        inner = arguments[0] if arguments else Any
        if not all(_is_scalar(item) and _fits(inner, item) for item in value):
            for item in value:
                check(inner, item, where, depth - 1)
    elif isinstance(value, dict) and (hint is Any or origin is dict):
        for key, item in value.items():
            check(arguments[1] if arguments else Any, item, _join(where, str(key)[:40]), depth - 1)
    elif isinstance(value, dict) and typing.is_typeddict(hint):
        hints = _dict_hints(hint)
        for name in value:
            if name not in hints:
                raise InputError(unknown_field(str(name)[:40], list(hints), where))
        for name, (inner, needed) in hints.items():
            require(name in value or not needed, f"{_join(where, name)} is missing")
            if name in value:
                check(inner, value[name], _join(where, name), depth - 1)
    else:
        raise InputError(f"{where} is not a usable {_word(hint)}")


def _is_scalar(value: Any) -> bool:
    return value is None or type(value) in (int, float, str, bool)


def _fits(hint: Any, value: Any) -> bool:
    """Whether a scalar fits; NaN and infinity fail the comparison."""
    if type(value) in (int, float) and not abs(value) < LARGEST:
        return False
    if hint is Any or type(value) is hint:
        return True
    if hint is float:
        return type(value) is int
    return _is_union(hint) and any(
        value is None if one is type(None) else _fits(one, value) for one in typing.get_args(hint)
    )


def _word(hint: Any) -> str:
    return {int: "whole number", float: "number", str: "text", bool: "truth value"}.get(hint, "value of its kind")


def unknown_field(name: str, known: list[str], where: str = "") -> str:
    """The message for a field that does not exist, with its nearest match."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else f"known fields: {', '.join(known)}"
    return f"unknown field {_join(where, name)}: {hint}"


@functools.cache
def _fields(cls: type) -> dict[str, tuple[Any, type | None, bool]]:
    """Field -> (hint, the scalar type that it names or None, whether it has no default)."""
    hints, found = typing.get_type_hints(cls), {}
    for item in dataclasses.fields(cls):
        hint = hints[item.name]
        bare = [one for one in typing.get_args(hint) if one is not type(None)] if _is_union(hint) else [hint]
        simple = bare[0] if bare[0] in (str, int, bool, float) else None
        required = item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
        found[item.name] = hint, simple, required
    return found


def _is_union(hint: Any) -> bool:
    return typing.get_origin(hint) in (typing.Union, types.UnionType)


@functools.cache
def _dict_hints(cls: Any) -> dict[str, tuple[Any, bool]]:
    """Field -> (hint, whether it must be there). Read from the hints: annotations are texts when a class is made."""
    found = {}
    for name, hint in typing.get_type_hints(cls, include_extras=True).items():
        optional = typing.get_origin(hint) is typing.NotRequired
        found[name] = (typing.get_args(hint)[0] if optional else hint, not optional)
    return found


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if _is_union(hint):
        if value is None:
            return None
        return _convert(next(a for a in arguments if a is not type(None)), value, where)
    if origin is Literal:
        require(value in arguments, f"{where}={value!r} must be one of {', '.join(map(str, arguments))}")
        return value
    if origin is tuple:
        require(isinstance(value, (list, tuple)), f"{where} must be a list, not {value!r}")
        if arguments[0] is str and all(type(item) is str for item in value):
            return tuple(value)
        return tuple(_convert(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if origin is dict:
        require(isinstance(value, dict), f"{where} must be an object, not {value!r}")
        _check_plain(value, where)
        return plain(value)
    if dataclasses.is_dataclass(hint):
        return build(hint, value, where)
    if hint is float:
        # NaN and infinity fail the comparison, and so does a whole number that is no float.
        good = type(value) in (int, float) and abs(value) <= sys.float_info.max
        require(good, f"{where} must be a finite number, not {value!r}")
        return float(value)
    wanted = {int: "a whole number", bool: "true or false", str: "a text"}[hint]
    require(type(value) is hint, f"{where} must be {wanted}, not {value!r}")
    return value


def _check_plain(value: Any, where: str) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise InputError(f"{where} has a key that is not a text: {key!r}")
            _check_plain(item, _join(where, key))
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            if not _is_json(item):
                _check_plain(item, f"{where}[{index}]")
    elif not _is_json(value):
        raise InputError(f"{where}={value!r} is not a JSON value")


def _is_json(value: Any) -> bool:
    """Whether it is a scalar that JSON can hold."""
    kind = type(value)
    return math.isfinite(value) if kind is float else kind is str or kind is int or kind is bool or value is None


def lists_to_tuples(self: Any) -> None:
    for item in dataclasses.fields(self):
        if isinstance(getattr(self, item.name), list):
            object.__setattr__(self, item.name, tuple(getattr(self, item.name)))


def plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) if isinstance(item, (dict, list, tuple)) else item for item in value]
    return value


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
