"""The papers' numbers as blocks of Markdown of their own, never in a column with ours."""

from __future__ import annotations

from typing import Any

from repro import papers
from repro.papers import tables_beside
from repro.report.build import Report
from repro.report.format import MISSING, fixed, markdown_table, signed


def reported(report: Report) -> list[str]:
    """The numbers of the experiment's paper, and of the other papers whose claims it tests."""
    known = dict.fromkeys([report.experiment.paper, *(claim.paper for claim in report.experiment.claims)])
    return [part for name in known for part in _reported_by(report, papers.load(name))]


def _reported_by(report: Report, paper: dict[str, Any]) -> list[str]:
    """One paper's numbers: first beside ours as gains over the base model, then the full tables, then the costs."""
    tables, cost = tables_beside(paper["id"], report.experiment.id), paper.get("cost", {})
    costs = cost.get("entries", []) if report.experiment.id in cost.get("beside", ()) else []
    unknown = "The paper does not state: " + "; ".join(paper["not_stated"]) + ".\n" if paper.get("not_stated") else ""
    who = f"{paper['name']} (arXiv {paper['arxiv']})"
    if not tables and not costs:
        # Nothing of it can be printed as a table; what is missing still is worth a line beside its claims.
        tested = any(claim.paper == paper["id"] for claim in report.experiment.claims)
        return [f"## Reported by the paper: {who}\n", unknown] if unknown and tested else []
    apart = "" if report.scale == "paper" else " Other models and other data than here."
    parts = [f"## Reported by the paper: {who}\n", f"One run per cell. Not measured by this suite.{apart}\n"]
    if tables and (beside := beside_table(report, tables[0])):
        parts += ["### Gain over the base model, measured and reported\n", beside]
    for table in tables:
        parts += [
            f"### {table['source']} [{table['evidence']}]: {table['caption']}\n",
            _paper_table(table),
            table["conditions"] + ".\n",
        ]
    if costs:
        header = ["Quantity", "Arm", "Against", "Reported", "Evidence"]
        methods = {row["arm"]: row["method"] for table in paper["tables"] for row in table["rows"] if "arm" in row}
        name = {**methods, **report.display}
        cells = [
            [
                e["quantity"],
                name.get(e["arm"], e["arm"]),
                name.get(e["against"], e["against"]),
                e["sentence"],
                f"[{e['evidence']}]",
            ]
            for e in costs
        ]
        parts += [
            f"### Cost, {cost['source']}\n",
            markdown_table(header, cells, numbers_from=5),
            cost["conditions"] + ".\n",
        ]
    return [*parts, unknown] if unknown else parts


def gains(values: dict[str, float | None]) -> dict[str, float | None]:
    """Each arm's value less the base model's; None where either is missing."""
    base = values.get("base")
    return {arm: None if v is None or base is None else v - base for arm, v in values.items()}


def beside_table(report: Report, table: dict[str, Any]) -> str | None:
    """Measured and reported gains over the base model, in separate labelled columns.

    Measured as the papers score: greedy on sets with a single sample, Avg@n on the others.
    """
    models = list(dict.fromkeys(row["model"] for row in table["rows"]))
    ours = {row.arm: None if row.protocol is None else 100 * row.protocol for row in report.rows}
    theirs = {
        m: {r["arm"]: r["mean"]["value"] for r in table["rows"] if r["model"] == m and "arm" in r} for m in models
    }
    if not any(theirs.values()):
        return None
    header = ["Arm", f"measured here (scale {report.scale}): %", "measured here: gain, points"]
    for model in models:
        header += [f"reported ({model}): mean % [derived]", f"reported ({model}): gain, points [derived]"]
    our_gain, their_gain = gains(ours), {m: gains(theirs[m]) for m in models}
    cells = []
    for row in report.rows:
        first = row.arm == "base"
        line = [row.display, fixed(ours[row.arm], 1), MISSING if first else signed(our_gain[row.arm], 1)]
        for model in models:
            line += [
                fixed(theirs[model].get(row.arm), 2),
                MISSING if first else signed(their_gain[model].get(row.arm), 2),
            ]
        cells.append(line)
    return markdown_table(header, cells)


def _paper_table(table: dict[str, Any]) -> str:
    """Rates in percent, before them what the table has beside rates (`more_columns`); `digits`: decimals by column."""
    tag = {row["mean"]["evidence"] for row in table["rows"]}
    more = table.get("more_columns", [])
    columns = [*more, *table["columns"]]
    header = ["Model", "Method", *columns, f"Mean [{', '.join(sorted(tag))}]"]
    decimals = table.get("digits", [1] * len(columns))
    cells = []
    for r in table["rows"]:
        values = [*r.get("more", [None] * len(more)), *r["values"]]
        mean = fixed(r["mean"]["value"], 2 if r["mean"]["evidence"] == "derived" else 1)
        shown = [fixed(v, n) for v, n in zip(values, decimals, strict=True)]
        cells.append([r["model"], r["method"], *shown, mean])
    return markdown_table(header, cells, numbers_from=2)
