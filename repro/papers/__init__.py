"""What the papers report, as data: one JSON file per paper, every number under an evidence tag.

A tag belongs to the nearest enclosing object with an `evidence` key:
`paper` (the paper's own text, table or figure), `code` (the authors' released code), `other` (another paper or an
independent implementation: a direction check, not this paper's result), `second-hand` (context only), `derived`
(arithmetic on tagged numbers).

Not covered: values nobody could confirm. They are left out, never guessed; `not_stated` names them in words.
"""

from __future__ import annotations

import copy
import difflib
import json
from functools import cache
from importlib import resources
from typing import Any

from repro.errors import InputError

EVIDENCE_TAGS = ("paper", "code", "other", "second-hand", "derived")


def names() -> list[str]:
    """The papers that have a data file, sorted."""
    return sorted(entry.name[:-5] for entry in resources.files(__name__).iterdir() if entry.name.endswith(".json"))


@cache
def _parsed(name: str) -> dict[str, Any]:
    return json.loads(resources.files(__name__).joinpath(f"{name}.json").read_text(encoding="utf-8"))


def load(name: str) -> dict[str, Any]:
    """The data of one paper (read once; the caller gets a copy of its own). Unknown name: `InputError`.

    "" is the paper of what no paper reports: it has neither claims nor tables.
    """
    if not name:
        return {"id": "", "name": "", "arxiv": "", "claims": [], "tables": []}
    known = names()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.3) or known
        raise InputError(f"no paper named {name!r}; known: {', '.join(near)}")
    return copy.deepcopy(_parsed(name))


def claim(paper: str, claim_id: str) -> dict[str, Any]:
    """One claim of a paper by its id (`tbrm`, `T3`). Unknown id: `InputError`."""
    claims = {entry["id"]: entry for entry in load(paper)["claims"]}
    if claim_id not in claims:
        raise InputError(f"paper {paper!r} has no claim {claim_id!r}; known: {', '.join(claims)}")
    return claims[claim_id]


def tables_beside(paper: str, experiment: str) -> list[dict[str, Any]]:
    """The paper's tables that are printed beside the results of `experiment`, in file order."""
    return [table for table in load(paper)["tables"] if experiment in table.get("beside", ())]
