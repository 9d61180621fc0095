"""Method cards: what a method is, needs and changes, read from the catalogue and from the method's source text.

The source is parsed, never imported, so that a report needs no torch. A method whose source is not to be found has a
card with what the catalogue says.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib.util
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from repro.methods import configs
from repro.methods.catalogue import METHODS, MethodEntry

_NUMBERED = re.compile(r"\d+\.\s+")
_SELF = re.compile(r"\b(self\.config|c)\.")  # how `needs` spells the method's own settings


@dataclass(frozen=True)
class Formula:
    """A pure function of the method: its name, first paragraph of documentation, and source."""

    name: str
    text: str
    source: str


@dataclass(frozen=True)
class Card:
    name: str
    summary: str
    paper: str
    evidence: str
    module: str
    also: tuple[str, ...] = ()  # further names of the catalogue that this card describes
    text: tuple[tuple[str, str], ...] = ()  # ("text" or "formula", words), in the order of the source
    differs: str = ""  # heading of the deviations
    deviations: tuple[str, ...] = ()
    needs: tuple[tuple[str, str, str], ...] = ()  # field, expression, what the field means
    formulas: tuple[Formula, ...] = ()
    settings: tuple[tuple[str, str, str], ...] = ()  # field, default, meaning
    used_by: list[tuple[str, str]] = field(default_factory=list)  # (title, link) of the reports with such arms


def cards(used: Mapping[str, list[tuple[str, str]]], entries: Iterable[MethodEntry] | None = None) -> list[Card]:
    """One card per method; the forms with verdicts (`<name>-v`) share one. `used`: method -> (title, link)."""
    entries = list(METHODS.values() if entries is None else entries)
    plain = [_card(entry, used) for entry in entries if entry.inner is None]
    wrapped = [entry for entry in entries if entry.inner is not None]
    for module in dict.fromkeys(entry.module for entry in wrapped):
        plain.append(_wrapper_card([entry for entry in wrapped if entry.module == module], used))
    return plain


def _card(entry: MethodEntry, used: Mapping[str, list[tuple[str, str]]]) -> Card:
    tree, source = _parsed(entry.module)
    text, differs, deviations = _documentation(ast.get_docstring(tree) or "")
    return Card(
        name=entry.name,
        summary=entry.summary,
        paper=entry.paper,
        evidence=entry.evidence,
        module=entry.module,
        text=text,
        differs=differs,
        deviations=deviations,
        needs=_needs(tree, entry.cls),
        formulas=_formulas(tree, source),
        settings=_settings(entry.config),
        used_by=_unique(used.get(entry.name, [])),
    )


def _wrapper_card(entries: list[MethodEntry], used: Mapping[str, list[tuple[str, str]]]) -> Card:
    names = tuple(entry.name for entry in entries)
    first = _card(entries[0], {})
    return dataclasses.replace(
        first,
        name="-v forms",
        summary="Every method with unified verification (RL^V).",
        paper=entries[0].paper.partition(" on ")[0],
        also=names,
        settings=_settings("VerdictConfig"),
        used_by=_unique([link for name in names for link in used.get(name, [])]),
    )


def _unique(links: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return list(dict.fromkeys(links))


@cache
def _parsed(module: str) -> tuple[ast.Module, str]:
    """Syntax tree and source of a module; empty where the source cannot be read."""
    try:
        spec = importlib.util.find_spec(module)
        source = Path(spec.origin).read_text(encoding="utf-8")
        return ast.parse(source), source
    except (AttributeError, ImportError, OSError, SyntaxError, TypeError, ValueError):
        return ast.parse(""), ""


def _documentation(text: str) -> tuple[tuple[tuple[str, str], ...], str, tuple[str, ...]]:
    """(paragraphs, items and formulas, heading of the deviations, deviations) of a module's docstring.

    Lines indented by four are formulas; a numbered list under a line that ends in a colon holds the deviations.
    """
    blocks: list[list[str]] = []
    previous = None
    for line in text.splitlines():
        words = line.strip()
        numbered = _NUMBERED.match(line)
        if not words:
            previous = None
            continue
        if line.startswith(" ") and previous in ("item", "deviation"):
            blocks[-1][1] += f" {words}"
            continue
        kind = "formula" if line.startswith("    ") else "deviation" if numbered else "text"
        if line.startswith("- "):
            kind, words = "item", words[2:]
        if kind == previous and kind in ("text", "formula"):
            blocks[-1][1] += ("\n" if kind == "formula" else " ") + words
        else:
            blocks.append([kind, words[numbered.end() :] if numbered else words])
        previous = kind
    kinds = [kind for kind, _ in blocks]
    first = kinds.index("deviation") if "deviation" in kinds else 0
    heading = blocks.pop(first - 1)[1].rstrip(":") if first and blocks[first - 1][1].endswith(":") else ""
    deviations = tuple(words for kind, words in blocks if kind == "deviation")
    return tuple((kind, words) for kind, words in blocks if kind != "deviation"), heading, deviations


def _needs(tree: ast.Module, cls: str) -> tuple[tuple[str, str, str], ...]:
    """What the class `cls`, or the only one that asks, needs of the trainer: the arguments as they are written."""
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    for node in [c for c in classes if c.name == cls] or classes:
        for method in node.body:
            if isinstance(method, ast.FunctionDef) and method.name == "needs":
                calls = [n for n in ast.walk(method) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
                words = [w for call in calls if call.func.id in ("Needs", "replace") for w in call.keywords if w.arg]
                meaning = _meanings()
                return tuple((w.arg, _SELF.sub("", ast.unparse(w.value)), meaning.get(w.arg, "")) for w in words)
    return ()


@cache
def _meanings() -> dict[str, str]:
    """Field of `Needs` -> the comment beside it."""
    tree, source = _parsed("repro.methods.base")
    lines = source.splitlines()
    found = {}
    for node in next((n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "Needs"), ast.Module([])).body:
        if isinstance(node, ast.AnnAssign):
            number = node.end_lineno
            comment = lines[number - 1].partition("  # ")[2]
            while comment and lines[number].strip().startswith("# "):
                comment += " " + lines[number].strip()[2:]
                number += 1
            found[node.target.id] = comment
    return found


def _formulas(tree: ast.Module, source: str) -> tuple[Formula, ...]:
    """The public functions of the module, in its order."""
    functions = [n for n in tree.body if isinstance(n, ast.FunctionDef) and not n.name.startswith("_")]
    return tuple(
        Formula(
            node.name,
            " ".join((ast.get_docstring(node) or "").partition("\n\n")[0].split()),
            ast.get_source_segment(source, node) or "",
        )
        for node in functions
    )


def _settings(config: str) -> tuple[tuple[str, str, str], ...]:
    """The fields of a config class with default and meaning (the text below each field)."""
    found: Any = getattr(configs, config, None)
    if found is None or not dataclasses.is_dataclass(found):
        return ()
    texts = _field_texts(found)
    return tuple((f.name, repr(f.default), texts.get(f.name, "")) for f in dataclasses.fields(found))


def _field_texts(config: type) -> dict[str, str]:
    tree, _ = _parsed(config.__module__)
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == config.__name__:
            pairs = zip(node.body, node.body[1:], strict=False)
            return {
                one.target.id: " ".join(two.value.value.split())
                for one, two in pairs
                if isinstance(one, ast.AnnAssign) and isinstance(two, ast.Expr) and isinstance(two.value, ast.Constant)
            }
    return {}
