"""Plug-ins for tests: files made from the suite's own template, and distributions that only look installed."""

from __future__ import annotations

from pathlib import Path

from repro.skeleton import write_method


def method_file(folder: Path, name: str = "mine", edits: dict[str, str] | None = None) -> Path:
    """The file of a plug-in method, as `repro new method` writes it but for the replacements `edits`."""
    path = next(path for path in write_method(name, folder) if path.name == f"{name}.py")
    edit(path, edits or {})
    return path


def edit(path: Path, edits: dict[str, str]) -> None:
    """Replace texts in a file; every one of them must be there."""
    text = path.read_text()
    for old, new in edits.items():
        assert old in text, old
        text = text.replace(old, new)
    path.write_text(text)


def install(site: Path, distribution: str, points: dict[str, str], group: str = "repro.methods") -> None:
    """Metadata of a distribution in the folder `site`, with entry points name -> "module:class"."""
    info = site / f"{distribution.replace('-', '_')}-0.1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 0.1.0\n")
    lines = [f"[{group}]", *(f"{name} = {value}" for name, value in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")


TASK = """
from repro.tasks.chain import ChainTask


class Sums(ChainTask):
    name = "sums"
    summary = "sums of two numbers"

    def __init__(self, terms=(2,), digits: int = 1, rl: int | None = None):
        super().__init__(terms=terms, digits=digits, form="totals", rl=rl)
"""


def task_file(folder: Path, edits: dict[str, str] | None = None) -> Path:
    """The file of a plug-in task."""
    path = folder / "sums.py"
    path.write_text(TASK)
    edit(path, edits or {})
    return path
