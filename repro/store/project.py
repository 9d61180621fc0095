"""The checkout of this project, whose published records are the stored ones.

A folder that merely has a `results/` is no such checkout: else what is in it would count as stored wherever one stands.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from repro.store.published import SUFFIX

NAME = "repro-bench"  # in pyproject.toml


def is_checkout(folder: Path) -> bool:
    """Whether a folder holds this project: a `pyproject.toml` with its name, and its package."""
    try:
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8")).get("project")
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(project, dict) and project.get("name") == NAME and (folder / "repro" / "__init__.py").is_file()


def bundles(folder: Path) -> dict[str, Path]:
    """Experiment id -> bundle, of the experiments that a checkout has published records of."""
    return {path.name.removesuffix(SUFFIX): path for path in sorted((folder / "results").glob(f"*{SUFFIX}"))}


def checkout() -> Path | None:
    """The checkout in the current folder, else the one this code is from; None if neither has published records."""
    candidates = (Path.cwd(), Path(__file__).parents[2])
    return next((folder for folder in candidates if is_checkout(folder) and bundles(folder)), None)


def published_bundles() -> dict[str, Path]:
    """`bundles` of `checkout`; {} without one."""
    folder = checkout()
    return bundles(folder) if folder else {}
