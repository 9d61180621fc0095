"""The committed tables as pages."""

from __future__ import annotations

from sitegen.committed import TABLES, text
from sitegen.words import title

_INTRODUCTION = """# All tables

The published tables as `repro report` writes them, with every arm, setting, claim and deviation. Each is also there as
`.csv` and `.tex` in the folder `paper_tables` of the repository, as are the figures with their numbers in `figures`.

"""


def pages() -> dict[str, str]:
    names = sorted(path.stem for path in TABLES.glob("*.md"))
    index = _INTRODUCTION + "".join(f"- [{heading(name)}]({name}.md)\n" for name in names)
    return {"tables/index.md": index, **{f"tables/{name}.md": title(f"{name} in full") + text(name) for name in names}}


def heading(name: str) -> str:
    return text(name).partition("\n")[0].removeprefix("# ")
