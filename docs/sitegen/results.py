"""What stands below the results of an experiment: its other figures, and where the rest is."""

from __future__ import annotations

import re

from repro.report.html.experiment import figures
from sitegen.words import ROOT, plain


def more(name: str, page: str) -> str:
    """Markdown for the end of `results/<name>.md`, whose text is `page`: it shows some of the figures itself."""
    shown = []
    for one in figures(name, sorted((ROOT / "figures").glob(f"{name}_*"))):
        picture = f"{one['svg'].removesuffix('.svg')}.png"
        if not re.search(rf"!\[[^\]]*\]\([^)]*/{re.escape(picture)}\)", page):
            shown.append(f"### {plain(one['caption'])}\n\n![{plain(one['caption'])}](../figures/{picture})\n")
    rest = (
        f"\n## More\n\nEvery claim with its evidence: [claims of {name}](../claims/{name}.md). "
        f"Every arm, setting, claim and deviation: [the table](../tables/{name}.md).\n\n"
    )
    return rest + "\n".join(shown)
