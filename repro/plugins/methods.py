"""What makes a class a method that can be plugged in, and how it enters the catalogue.

The class is checked before anything runs: what can be wrong with it is better said now than after a base model has
been trained.
"""

from __future__ import annotations

import dataclasses
import inspect
import sys
import typing

from repro.errors import InputError, explain
from repro.methods import catalogue, configs
from repro.methods.options import MethodConfig, is_option

WORD, GROUP = "method", "repro.methods"


def known() -> list[str]:
    """Names of all methods in the catalogue."""
    return list(catalogue.METHODS)


def base() -> type:
    from repro.methods.base import Method

    return Method


def check(cls: type, where: str) -> None:
    """InputError unless `cls` is a complete method with a config of its own."""
    from repro.methods.base import Needs

    config = getattr(cls, "Config", None)
    good = isinstance(config, type) and issubclass(config, MethodConfig) and dataclasses.is_dataclass(config)
    if not good:
        raise InputError(f"{where}: {cls.__name__}.Config must be a dataclass derived from MethodConfig")
    owner = next((name for name, known in configs.CONFIGS.items() if known is config), None)
    if owner is not None:
        raise InputError(f"{where}: {config.__name__} is the config of {owner}: derive one of your own from it")
    _check_fields(config, where)
    file = sys.modules[cls.__module__].__file__
    try:
        needs = cls(config()).needs()
        n = config().n
    except InputError as error:
        raise InputError(f"{where}: the default config cannot be used: {error}") from error
    except Exception as error:
        raise InputError(f"{where}: {cls.__name__} with its default config raised {explain(error, file)}") from error
    if not isinstance(needs, Needs):
        raise InputError(f"{where}: {cls.__name__}.needs() must return Needs, not {type(needs).__name__}")
    if type(n) is not int or n < 1:
        raise InputError(f"{where}: {config.__name__}.n, the rollouts per prompt, must be a whole number above 0")
    if type(getattr(cls, "semantics", None)) is not int:
        raise InputError(f"{where}: {cls.__name__}.semantics must be a whole number")


def _check_fields(config: type, where: str) -> None:
    try:
        hints = typing.get_type_hints(config)
    except Exception as error:
        raise InputError(f"{where}: the fields of {config.__name__} cannot be read: {explain(error)}") from error
    names = [spec.name for spec in dataclasses.fields(config)]
    for name in names:
        if name in configs.IDENTITY:
            raise InputError(f"{where}: a config field cannot be called {name}")
        if not is_option(hints[name]):
            raise InputError(
                f"{where}: {config.__name__}.{name} must be a bool, int, float, a Literal of words, or one of them or "
                "None"
            )
    if "n" not in names:
        raise InputError(f"{where}: {config.__name__} needs a field n: int, the rollouts per prompt")


def enter(cls: type, sha256: str, where: str) -> None:
    """Put the class into the catalogue."""
    text = inspect.cleandoc(cls.__dict__.get("__doc__") or sys.modules[cls.__module__].__doc__ or "")
    entry = catalogue.MethodEntry(
        cls.name,
        cls.__module__,
        cls.__name__,
        cls.Config.__name__,
        text.partition("\n")[0] or f"Plug-in {where}.",
        paper="plug-in",
        evidence=where,
    )
    catalogue.METHODS[cls.name] = entry
    configs.CONFIGS[cls.name], configs.SEMANTICS[cls.name] = cls.Config, cls.semantics
    configs.SOURCES[cls.name] = sha256
    cls.Config.method_name = cls.name


def remove(name: str) -> None:
    for table in (catalogue.METHODS, configs.CONFIGS, configs.SEMANTICS, configs.SOURCES):
        table.pop(name, None)
