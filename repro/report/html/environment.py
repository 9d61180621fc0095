"""The templates and how values are written in them. Everything is escaped unless it was made here as markup.

Jinja2 fills pages that work without a script. Sorting and filtering is one small script of our own instead of a table
library: those for plain pages either bring a framework of several hundred kilobytes (DataTables through `itables`),
start from inline scripts that the pages' Content-Security-Policy forbids, or have headers that no keyboard reaches.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

import repro

ASSETS = ("style.css", "tables.js", "questions.js")


@cache
def environment() -> Environment:
    made = Environment(
        loader=PackageLoader("repro.report.html"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters["code"] = with_code
    made.globals["version"] = repro.__version__
    return made


def render(template: str, depth: int, values: Mapping[str, Any]) -> str:
    """One page; `depth`: folders between it and the index, so that its links are relative and work anywhere."""
    return environment().get_template(template).render(root="../" * depth, **values)


def with_code(text: str) -> Markup:
    """Plain text with its `quoted` words as code."""
    parts = str(text).split("`")
    if len(parts) % 2 == 0:  # an odd backtick is a character like any other
        return escape(text)
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if index % 2 else escape(part) for index, part in enumerate(parts)
    )


def asset(name: str) -> str:
    return resources.files(__package__).joinpath("assets", name).read_text(encoding="utf-8")
