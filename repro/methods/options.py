"""Base of the method configs, torch-free: typed options, checked when built, with one-line errors."""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass, fields
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from repro.errors import InputError


@dataclass(frozen=True)
class MethodConfig:
    """Base of all method configs: checks field types and turns whole numbers into floats where a float is meant."""

    def __post_init__(self):
        hints = get_type_hints(type(self))
        for spec in fields(self):
            value = _typed(getattr(self, spec.name), hints[spec.name])
            if value is _BAD:
                wanted = _wanted(hints[spec.name])
                raise self._error(f"{spec.name} must be {wanted}, not {getattr(self, spec.name)!r}")
            object.__setattr__(self, spec.name, value)
        self._check()

    def _check(self) -> None:
        """Ranges and combinations; subclasses extend it."""

    def _error(self, message: str) -> InputError:
        return InputError(f"method {self._name()}: {message}")

    def _name(self) -> str:
        """The method's name as `configs.CONFIGS` has it; the class's for a config that is not registered."""
        return type(self).__dict__.get("method_name", type(self).__name__)

    def _at_least(self, minimum: float, *names: str) -> None:
        for name in names:
            value = getattr(self, name)
            if value is not None and value < minimum:
                raise self._error(f"{name} must be at least {minimum}, not {value}")

    def _above_zero(self, *names: str) -> None:
        for name in names:
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise self._error(f"{name} must be above 0, not {value}")

    def _below_one(self, *names: str) -> None:
        for name in names:
            if getattr(self, name) >= 1:
                raise self._error(f"{name} must be below 1, not {getattr(self, name)}")

    def _unit_interval(self, *names: str) -> None:
        for name in names:
            if not 0 <= getattr(self, name) <= 1:
                raise self._error(f"{name} must be between 0 and 1, not {getattr(self, name)}")

    def _two_updates(self) -> None:
        if self.updates < 2:
            raise self._error(
                "epochs × minibatches must be at least 2: with one update per batch the ratio is exactly 1, nothing "
                "is ever clipped, and it is not PPO"
            )

    @property
    def updates(self) -> int:
        """Optimizer updates on one generation batch."""
        return getattr(self, "epochs", 1) * getattr(self, "minibatches", 1)


def nearest(word: str, known) -> str:
    """`; did you mean …?` with the closest known words, or nothing."""
    close = difflib.get_close_matches(str(word), list(known), n=2)
    return f"; did you mean {' or '.join(close)}?" if close else ""


_BAD = object()


def _typed(value: Any, hint: Any) -> Any:
    """`value` as the annotation `hint` wants it, or `_BAD`. Numbers are canonical: 1 and 1.0 must hash alike."""
    if get_origin(hint) is Literal:
        return value if isinstance(value, str) and value in get_args(hint) else _BAD
    if get_origin(hint) in (Union, UnionType):
        tried = (_typed(value, part) for part in get_args(hint))
        return next((typed for typed in tried if typed is not _BAD), _BAD)
    if hint is NoneType:
        return None if value is None else _BAD
    if hint is bool or isinstance(value, bool):
        return value if hint is bool and isinstance(value, bool) else _BAD
    if hint is float and isinstance(value, (int, float)):
        return float(value) if math.isfinite(value) else _BAD
    if hint is int and isinstance(value, (int, float)) and value == value // 1:
        return int(value)
    return _BAD


def is_option(hint: Any) -> bool:
    """Whether a config field may have the annotation `hint`: what `_typed` reads and `_wanted` names."""
    if get_origin(hint) is Literal:
        return all(isinstance(word, str) for word in get_args(hint))
    if get_origin(hint) in (Union, UnionType):
        return all(map(is_option, get_args(hint)))
    return hint in (bool, int, float, NoneType)


def _wanted(hint: Any) -> str:
    """The annotation in words, for an error message."""
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(get_args(hint))
    if get_origin(hint) in (Union, UnionType):
        return " or ".join(map(_wanted, get_args(hint)))
    return {bool: "true or false", int: "a whole number", float: "a number", NoneType: "null"}[hint]
