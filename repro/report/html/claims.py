"""The claims of all reports as one table: a row per claim, a column per scale (and per origin, where there are two)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from repro import papers
from repro.report.build import Report
from repro.report.verdicts import Verdict, question
from repro.statistics.verdict import boundary

WORDS = ("supported", "contradicted", "inconclusive", "not run")
# A sign beside each word, so that nothing hangs on its colour.
SIGNS = {"supported": "✓", "contradicted": "✗", "inconclusive": "?", "not run": "–"}


def result(verdict: Verdict) -> dict[str, Any]:
    """What one report says about a claim: words, and where its interval lies."""
    return {
        "verdict": verdict.result.verdict,
        "reason": verdict.result.reason,
        "effect": verdict.effect,
        "sample": verdict.sample,
        "plot": interval_plot(verdict),
    }


def interval_plot(verdict: Verdict) -> dict[str, float] | None:
    """Where estimate and interval stand on a line from 0 to 100 with the claim's boundary at 50; ratios as logarithms.

    None where one of them is missing or has no place on the line.
    """
    found, claim = verdict.result, verdict.claim
    values = [found.lo, found.estimate, found.hi, boundary(claim.kind, claim.margin, claim.contrast)]
    if any(value is None or not math.isfinite(value) for value in values):
        return None
    if claim.contrast == "ratio":
        if min(values) <= 0:
            return None
        values = [math.log(value) for value in values]
    *values, limit = values
    reach = 1.05 * max(abs(value - limit) for value in values)
    if reach == 0:
        return None
    lo, estimate, hi = (round(50 + 50 * (value - limit) / reach, 2) for value in values)
    return {"lo": lo, "estimate": estimate, "hi": hi}


def claim_rows(report: Report, evidence: str, variant: str | None, link: str) -> list[dict[str, Any]]:
    """One row per claim of one report; `overview` merges those of one claim."""
    rows = []
    for verdict in report.verdicts:
        claim, paper = verdict.claim, papers.load(verdict.claim.paper)
        rows.append(
            {
                "experiment": report.experiment.id + (f"@{variant}" if variant else ""),
                "id": claim.id,
                "sentence": claim.sentence,
                "question": question(claim, report.display),
                "kind": claim.kind,
                "paper": paper["name"],
                "arxiv": paper["arxiv"],
                "evidence": claim.evidence,
                "supports": claim.paper_supports,
                "column": (report.scale, evidence),
                "link": link,
                **result(verdict),
            }
        )
    return rows


def overview(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Columns and rows of the table of claims, and how many verdicts there are of each kind."""
    columns = list(dict.fromkeys(row["column"] for row in rows))
    several = len({evidence for _, evidence in columns}) > 1
    merged: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        one = merged.setdefault((row["experiment"], row["id"]), {**row, "results": {}})
        one["results"][row["column"]] = row
    return {
        "columns": [(column, f"Scale {column[0]}" + (f", {column[1]}" if several else "")) for column in columns],
        "rows": list(merged.values()),
        "papers": list(dict.fromkeys(row["paper"] for row in rows)),
        "counts": count(rows),
    }


def count(rows: Iterable[dict[str, Any]]) -> list[tuple[str, int]]:
    """(verdict, how often), in a fixed order."""
    found = Counter(row["verdict"] for row in rows)
    return [(word, found[word]) for word in WORDS]
