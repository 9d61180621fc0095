"""Where the published records are, which are the stored ones: in a checkout of this project, or installed with it.

A folder that merely has a `results/` is no such checkout: else what is in it would count as stored wherever one stands.
"""

from __future__ import annotations

import sysconfig
import tomllib
from pathlib import Path

SUFFIX = ".jsonl.gz"  # of a bundle
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
    """The checkout that one stands in, else the one this code is from; None if neither is one.

    A checkout that lost its records is still the one that is meant.
    """
    here = Path.cwd()
    candidates = (here, *here.parents, Path(__file__).parents[2])
    return next((folder for folder in candidates if is_checkout(folder)), None)


def installed() -> Path:
    """The folder that an installed package keeps its `results` and `constraints` in; see pyproject.toml."""
    return Path(sysconfig.get_path("data")) / "share" / NAME


def published_folder() -> Path | None:
    """The folder whose `results` are the published ones: `checkout`, else `installed`; None if neither has any."""
    return checkout() or (installed() if bundles(installed()) else None)


def published_bundles() -> dict[str, Path]:
    """`bundles` of `published_folder`; {} without one."""
    folder = published_folder()
    return bundles(folder) if folder else {}
