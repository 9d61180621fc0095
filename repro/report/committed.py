"""Tables, figures and verdicts made again from records, against the committed files, byte by byte.

Compared are all tables (md with the verdicts, csv, tex) and the numbers of all figures (csv). Pictures (png, svg) are
compared only where they are drawn by the pinned matplotlib and the FreeType that its wheel brings: other versions draw
the same numbers by other pixels.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

FOLDERS = ("paper_tables", "figures")
PICTURES = (".png", ".svg")
FREETYPE = "2.14.3"  # of the wheel of the pinned matplotlib


@dataclass(frozen=True)
class Check:
    """One file. `status`: same, differs, missing (not committed), left over (no record makes it) or not compared."""

    file: str  # paper_tables/table1.md
    status: str
    detail: str = ""

    @property
    def good(self) -> bool:
        return self.status in ("same", "not compared")


def compare(
    made: Iterable[Path], out: Path, repository: Path, experiments: Sequence[str] | None, pictures: bool
) -> list[Check]:
    """One check per file, by name. `made`: files of experiments written below `out`.

    `experiments` (names as in file names): only their committed files are looked at; None: every one that is there.
    `pictures`: whether png and svg are compared too.
    """
    names = {path.relative_to(out).as_posix() for path in made}
    committed = {
        name
        for name in held(repository)
        if experiments is None or any(_belongs(Path(name).stem, experiment) for experiment in experiments)
    }
    checks = [Check(name, "left over", "no record makes it") for name in committed - names]
    for name in names:
        if not (repository / name).is_file():
            checks.append(Check(name, "missing", "not committed"))
        elif name.endswith(PICTURES) and not pictures:
            checks.append(Check(name, "not compared", "matplotlib or FreeType is not the pinned one"))
        else:
            checks.append(_compared(name, (out / name).read_bytes(), (repository / name).read_bytes()))
    return sorted(checks, key=lambda check: check.file)


def held(repository: Path) -> list[str]:
    """Names of all files in the two folders of a checkout, with hidden files, links and those of folders in them."""
    return sorted(
        path.relative_to(repository).as_posix()
        for folder in FOLDERS
        for path in (repository / folder).rglob("*")
        if path.is_symlink() or not path.is_dir()
    )


def drawn_alike(repository: Path) -> bool:
    """Whether this installation draws the very pixels of the pictures that a checkout holds."""
    import matplotlib
    from matplotlib import ft2font

    pins = repository / "constraints" / "cpu.txt"
    text = pins.read_text(encoding="utf-8") if pins.is_file() else ""
    pinned = re.search(r"(?m)^matplotlib==(\S+)", text)
    here = (matplotlib.__version__, ft2font.__freetype_version__)
    return pinned is not None and here == (pinned[1], FREETYPE)


def section(markdown: str, title: str) -> str:
    """The text below `## title` of a table in Markdown, up to the next heading of its level."""
    _, _, rest = markdown.partition(f"\n## {title}\n")
    return rest.partition("\n## ")[0]


def _belongs(stem: str, experiment: str) -> bool:
    return stem == experiment or stem.startswith(f"{experiment}_")


def _compared(name: str, made: bytes, committed: bytes) -> Check:
    if made == committed:
        return Check(name, "same")
    if name.endswith(".png"):
        return Check(name, "differs")
    pairs = zip(made.splitlines(), committed.splitlines(), strict=False)
    number = next((n for n, (one, two) in enumerate(pairs, start=1) if one != two), None)
    return Check(name, "differs", f"from line {number}" if number else "one of the two ends earlier")
