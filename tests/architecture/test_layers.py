"""Imports point down the list of layers and never up; the command line starts light; files stay small."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "repro"
# From low to high. A layer may import itself and anything lower.
RANK = {
    "errors": 0, "store": 1, "statistics": 1, "papers": 1,
    "methods": 2, "tasks": 2, "sampling": 2, "cost": 2,
    "evaluation": 3, "plugins": 3, "training": 4, "skeleton": 4,
    "experiments": 5, "report": 6, "launch": 5, "testing": 5,
    "cli": 7,
}  # fmt: skip
# What `methods`, `statistics` and the evaluation estimators may import of the suite: they are usable alone.
PURE = {
    "methods": {"methods", "errors"},
    "statistics": {"statistics", "store", "errors"},
    "evaluation": {"evaluation", "errors"},
}
LONG = {"experiments/table1.py"}  # data, not code


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def imported_layers(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module] if node.module != "repro" else [f"repro.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("repro.")}
    return found & set(RANK)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path):
    layer = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if layer in RANK:
        above = {other for other in imported_layers(path) if RANK[other] > RANK[layer]}
        assert not above, f"{layer} imports {above}"
    if layer in PURE:
        assert imported_layers(path) <= PURE[layer]


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_stay_readable(path):
    name = str(path.relative_to(PACKAGE))
    assert name in LONG or len(path.read_text().splitlines()) <= 320, "split it: one noun per module"
