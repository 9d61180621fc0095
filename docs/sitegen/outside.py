"""What a built page would load from elsewhere when it is read."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

_LOADED = {"src", "srcset", "poster", "data", "action", "formaction", "background"}
_HARMLESS = {"canonical", "next", "prev", "alternate"}  # relations of <link> that load nothing
_REMOTE = re.compile(r"^\s*(?:[a-z]+:)?//", re.IGNORECASE)
_STYLE = re.compile(r"(?:url\(|@import)\s*[\"']?\s*((?:https?:)?//[^\"')\s]+)", re.IGNORECASE)


class _Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag, attrs):
        values = {name: value or "" for name, value in attrs}
        for name, value in values.items():
            loads = name in _LOADED or (tag in ("link", "image", "use") and name in ("href", "xlink:href"))
            if tag == "link" and set(values.get("rel", "").lower().split()) <= _HARMLESS:
                loads = False
            parts = value.split(",") if name == "srcset" else [value]
            self.found += [f"<{tag} {name}={part.strip()}>" for part in parts if loads and _REMOTE.match(part)]
            self.found += _STYLE.findall(value) if name == "style" else []


def remote(root: Path) -> list[str]:
    """`page: what` for every resource that pages or styles below `root` load from another machine."""
    found = []
    for path in sorted(root.rglob("*")):
        if path.suffix == ".html":
            page = _Page()
            page.feed(path.read_text(encoding="utf-8"))
            found += [f"{path.relative_to(root)}: {what}" for what in page.found]
        if path.suffix in (".html", ".css"):
            found += [f"{path.relative_to(root)}: {what}" for what in _styles(path)]
    return found


def _styles(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".html":
        text = " ".join(re.findall(r"<style.*?</style>", text, re.DOTALL | re.IGNORECASE))
    return _STYLE.findall(text)
