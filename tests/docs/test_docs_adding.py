"""The page on methods names all of the interface it describes."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from repro.methods.base import Credit, GenerationBatch, Method, MicroBatch, Needs
from repro.methods.options import MethodConfig

PAGE = (Path(__file__).parents[2] / "docs" / "adding_a_method.md").read_text()


@pytest.mark.parametrize("cls", [Needs, GenerationBatch, Credit, MicroBatch], ids=lambda cls: cls.__name__)
def test_every_field_is_in_the_table_of_its_type(cls):
    section = re.search(rf"^### {cls.__name__}\b.*?(?=^##)", PAGE, re.DOTALL | re.MULTILINE).group()
    told = {name for row in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)}
    assert told == {spec.name for spec in fields(cls)}


def test_every_function_of_a_method_is_named():
    own = {name for name, value in vars(Method).items() if callable(value) and not name.startswith("_")}
    assert all(re.search(rf"`{name}\(|def {name}\(", PAGE) for name in own)
    helpers = {name for name in vars(MethodConfig) if re.match(r"_(at|above|below|unit)_", name)}
    assert helpers and all(name in PAGE for name in helpers)
