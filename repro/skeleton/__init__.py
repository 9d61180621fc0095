"""The package that `repro new method` writes, and how its templates become files. Imports no torch."""

from __future__ import annotations

import importlib.resources
import importlib.util
import keyword
import sys
from collections.abc import Iterable
from pathlib import Path
from string import Template

from repro.errors import InputError
from repro.plugins.names import check_name
from repro.store.files import make_folder, write_whole

FILES = {
    "pyproject.toml": "pyproject.txt",
    "README.md": "readme.txt",
    "{name}.py": "method.txt",
    "tests/test_{name}.py": "tests.txt",
}


def write_method(name: str, folder: Path, taken: Iterable[str] = ()) -> list[Path]:
    """Write the package of method `name` into the new folder `folder / name`; returns its files.

    Raises InputError for a name that cannot be one of a module, a method and an arm, or is among those `taken`, and for
    a folder that exists already.
    """
    check_name(name, "repro new method")
    target = folder / name
    if target.exists() or target.is_symlink():
        raise InputError(f"{target} exists already: choose another name, or another place with --dir")
    check_free(name, taken)
    words = {"name": name, "cls": "".join(part.capitalize() for part in name.split("_"))}
    made = []
    for pattern, template in FILES.items():
        path = target / pattern.format(name=name)
        make_folder(path.parent)
        text = importlib.resources.files(__name__).joinpath(template).read_text(encoding="utf-8")
        write_whole(path, Template(text).substitute(words).encode())
        made.append(path)
    return made


def check_free(name: str, taken: Iterable[str]) -> None:
    """InputError unless `name` is free to name a method and a Python module."""
    if "-" in name:
        raise InputError(f"repro new method: {name!r} names a Python module: write {name.replace('-', '_')}")
    if name in set(taken):
        raise InputError(f"repro new method: there is a method called {name!r} already: choose another name")
    if keyword.iskeyword(name) or name in sys.stdlib_module_names or importlib.util.find_spec(name) is not None:
        raise InputError(f"repro new method: Python has a module or a word called {name!r}: choose another name")
