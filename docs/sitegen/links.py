"""Links of pages as they work in the repository, turned into links that work in the site.

A page may link to the README (the site's front page), to CONTRIBUTING and CHANGELOG, to the committed tables (pages of
the site) and to the committed figures (copied into it). Other files of the repository are not part of the site.
"""

from __future__ import annotations

import posixpath
import re

LINK = re.compile(r"(!?\[[^\]]*\]\()([^)\s#]*)(#[^)\s]*)?\)")
FENCE = re.compile(r"^(`{3,}).*?^\1`*$", re.MULTILINE | re.DOTALL)
COPIED = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}


def links(markdown: str) -> list[tuple[str, str]]:
    """(target, anchor) of every link to a file, outside of blocks of code; the anchor with its #."""
    found = LINK.findall(FENCE.sub("", markdown))
    return [(target, anchor) for _, target, anchor in found if not _outside(target)]


def for_site(markdown: str, place: str) -> str:
    """The page's text with links that work in the site; `place`: the page's path from the root of the repository."""
    folder = posixpath.dirname(place)
    home = posixpath.dirname(site_path(place))

    def turned(found: re.Match) -> str:
        start, target, anchor = found[1], found[2], found[3] or ""
        if not target or _outside(target):
            return found[0]
        where = posixpath.normpath(posixpath.join(folder, target))
        return f"{start}{posixpath.relpath(site_path(where), home or '.')}{anchor})"

    kept = 0
    parts = []
    for block in FENCE.finditer(markdown):
        parts += [LINK.sub(turned, markdown[kept : block.start()]), block[0]]
        kept = block.end()
    return "".join([*parts, LINK.sub(turned, markdown[kept:])])


def site_path(path: str) -> str:
    """Where a file of the repository is in the site."""
    if path in COPIED:
        return COPIED[path]
    if path == "paper_tables":
        return "tables/index.md"
    first, _, rest = path.partition("/")
    return {"docs": rest, "paper_tables": f"tables/{rest}"}.get(first, path)


def _outside(target: str) -> bool:
    return re.match("[a-z]+:", target) is not None
