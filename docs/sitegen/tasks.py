"""The tasks, where their data come from, and under which licence."""

from __future__ import annotations

from repro.tasks.catalogue import TASKS
from repro.tasks.code_sources import CODE
from repro.tasks.sources import REAL
from sitegen.words import code, plain, table

_INTRODUCTION = """# Tasks

Generated tasks need no data. Real ones load from the Hugging Face hub or from a folder of the public files
([data](data.md)); no row of them is part of this repository. Licences are as the data sets declare them.

"""


def pages() -> dict[str, str]:
    generated = [(code(t.name), plain(t.summary)) for t in TASKS.values() if t.generated]
    real = [
        (code(t.name), plain(t.summary), ", ".join(map(code, t.hub)), _files(t.name), plain(t.licence))
        for t in TASKS.values()
        if not t.generated
    ]
    parts = (
        "## Generated\n",
        table(("Task", "What it is"), generated),
        "## Real\n",
        table(("Task", "What it is", "Id on the hub", "Files under --data-dir", "Licence"), real),
    )
    return {"tasks.md": _INTRODUCTION + "\n".join(parts)}


def _files(name: str) -> str:
    """The file names, without ending, that are looked for in the folder of data."""
    sources = [REAL[name].train, REAL[name].test] if name in REAL else list(CODE[name].values())
    names = dict.fromkeys(f"{source.folder}/{source.stems[0]}" for source in sources if source is not None)
    return ", ".join(map(code, names))
