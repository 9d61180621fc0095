"""The report's Markdown as accessible HTML: tables with captions and scopes, each in a box that scrolls by itself.

Headings, tables, paragraphs, lists, bold and code are read, nothing else: neither raw HTML nor links nor images,
because cells may hold words of records (error messages, names of sets) that come from outside.
"""

from __future__ import annotations

import re
from functools import cache

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup, escape

_RULES = ("table", "heading", "list", "fence", "emphasis", "backticks", "escape", "entity", "newline")


def to_html(markdown: str) -> Markup:
    """Headings keep their levels and get an `id` made of their words."""
    tokens = _parser().parse(markdown)
    heading, first_cell, in_body, counts = "", False, False, {}
    for index, token in enumerate(tokens):
        if token.type == "heading_open":
            heading = tokens[index + 1].content
            counts[heading] = counts.get(heading, 0) + 1
            token.attrs["id"] = slug(heading) + (f"-{counts[heading]}" if counts[heading] > 1 else "")
        elif token.type == "table_open":
            token.meta["caption"] = heading
        elif token.type in ("thead_open", "tbody_open"):
            in_body = token.type == "tbody_open"
        elif token.type == "tr_open":
            first_cell = in_body
        elif token.type in ("th_open", "td_open"):
            _align(token)
            if token.type == "th_open":
                token.attrs["scope"] = "col"
            elif first_cell:
                _row_header(token, tokens[index + 2])
                first_cell = False
        elif token.type == "inline":
            _keep_asterisks(token.children or [])
    return Markup(_parser().renderer.render(tokens, _parser().options, {}))


def slug(text: str) -> str:
    """Words as the name of an anchor: `Claims`, `Noise floor (A/A)` become `claims`, `noise-floor-a-a`."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "section"


def _align(token: Token) -> None:
    """A class instead of the inline style, which the pages' Content-Security-Policy forbids."""
    if token.attrs.pop("style", "") == "text-align:right":
        token.attrs["class"] = "number"


def _keep_asterisks(children: list[Token]) -> None:
    """Single ones belong to names (`V*`, `A*-PO`) and mark nothing; bold is marked by two."""
    for child in children:
        if child.type in ("em_open", "em_close"):
            child.type, child.tag, child.nesting, child.content = "text", "", 0, child.markup


def _row_header(opening: Token, closing: Token) -> None:
    opening.tag = closing.tag = "th"
    opening.attrs["scope"] = "row"


def _table_open(self, tokens, index, options, env) -> str:
    caption = escape(tokens[index].meta["caption"])
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="Table: {caption}">'
        f'<table><caption class="unseen">{caption}</caption>\n'
    )


@cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("zero", {"html": False, "breaks": True}).enable(list(_RULES))
    parser.add_render_rule("table_open", _table_open)
    parser.add_render_rule("table_close", lambda self, *_: "</table></div>\n")
    return parser
