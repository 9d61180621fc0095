"""Everything that a method must pass before its numbers mean anything, in one call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from repro import plugins
from repro.errors import ReproError
from repro.methods import catalogue, configs
from repro.methods.base import Method
from repro.testing import contract
from repro.testing.smoke import check_smoke


def check_method(method: type[Method] | str | Path, *options: dict[str, Any], smoke: bool = True) -> None:
    """Check a method: a class, a Python file that defines one, or the name of an installed or built-in one.

    It is checked with its default config and with each of `options` (fields of the config). `smoke` also trains each
    through the real trainer for a few steps, twice: seconds each, and a tiny base model the first time. Raises
    AssertionError with one line that names the method and what is wrong, InputError for a class or options that cannot
    be used at all.
    """
    name = plugins.add_class("method", method) if isinstance(method, type) else plugins.add("method", str(method))
    for chosen in ({}, *options):
        made = catalogue.load(name)(configs.build(name, chosen))
        try:
            contract.check(made)
            if smoke:
                check_smoke(made)
        except (AssertionError, ReproError) as error:
            with_options = f" with {chosen}" if chosen else ""
            raise AssertionError(f"{error}{with_options}") from error
