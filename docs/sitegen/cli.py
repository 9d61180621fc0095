"""Every verb with its help, from the parsers of the command line."""

from __future__ import annotations

import argparse
import os
from contextlib import contextmanager

from repro.cli.main import VERBS, build_parser
from sitegen.words import block, plain, table

_INTRODUCTION = """# Command line

    repro VERB [arguments]

Every verb takes `--json`, whose keys its help names. Exit codes: 0 done, 1 a trial failed or a verification found a
difference, 2 bad input (one line says what is wrong and how to mend it), 130 interrupted. `REPRO_DEBUG=1` shows
tracebacks. The texts below are those of `repro VERB --help`.

"""


def pages() -> dict[str, str]:
    with _width(100):
        parts = [_INTRODUCTION, table(("Verb", "What it does"), [(f"[{v}](#{v})", plain(s)) for v, s in VERBS.items()])]
        for verb, summary in VERBS.items():
            parts += [f"## {verb} {{ #{verb} }}\n", f"{plain(summary[0].upper() + summary[1:])}.\n", *_help(verb)]
    return {"cli.md": "\n".join(parts)}


def _help(verb: str) -> list[str]:
    parser = subparsers(build_parser(verb))[verb]
    parts = [block(parser.format_help())]
    for action, child in subparsers(parser).items():
        parts += [f"### {verb} {action}\n", block(child.format_help())]
    return parts


def subparsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The verbs, or the actions of a verb, by name."""
    found = [one.choices for one in parser._actions if isinstance(one, argparse._SubParsersAction)]
    return {name: child for choices in found for name, child in choices.items()}


@contextmanager
def _width(columns: int):
    """Argparse wraps at the width of the terminal: the same everywhere."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(columns)
    try:
        yield
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before
