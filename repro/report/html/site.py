"""All pages of a report, written one experiment at a time: only one experiment's records are ever in memory."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import repro
from repro.experiments.twins import TUNING_SUFFIX
from repro.report.build import Report
from repro.report.html import board, claims
from repro.report.html.cards import cards
from repro.report.html.drill import script, write_questions
from repro.report.html.environment import ASSETS, asset, render
from repro.report.html.experiment import cost, figures, origin, settings
from repro.report.html.tables import to_html
from repro.report.html.write import MARKER, new_folder, write_file
from repro.report.markdown import measured_sections, noise_section
from repro.report.reported import reported
from repro.report.standings import Group

Record = dict[str, Any]
DATA = "data"  # folder of the scripts with outcomes, within each origin's folder


@dataclass(frozen=True)
class Entry:
    """One experiment at one scale: its report, and what the report was made of."""

    report: Report
    evidence: str  # where its records are from: "stored" (published with the suite) or "yours" (a workspace)
    records: Sequence[Record]  # trials
    files: tuple[Path, ...]  # its tables and figures, which the pages show and hand out


@dataclass
class Site:
    """What the pages over all experiments are made of; collected while the pages of each are written."""

    experiments: list[dict[str, Any]] = field(default_factory=list)
    claims: list[dict[str, Any]] = field(default_factory=list)
    board: list[board.Row] = field(default_factory=list)
    used: dict[str, list[tuple[str, str]]] = field(default_factory=dict)  # method -> (title, link) of its reports
    questions: list[dict[str, Any]] = field(default_factory=list)


def write_site(entries: Iterable[Entry], target: Path | str, groups: Sequence[Group] = ()) -> Site:
    """The whole report in the folder `target`, which appears at the end or not at all.

    `groups`: what the leaderboard says of these experiments. `InputError` if the folder cannot be written or holds
    something else.
    """
    site = Site()
    with new_folder(target) as root:
        for entry in entries:
            _write_entry(entry, root, site)
            del entry  # its records are freed before the next ones are read
        _write_overview(site, root, board.merged(board.ranked(site.board), groups))
    return site


def _write_entry(entry: Entry, root: Path, site: Site) -> None:
    report, records = entry.report, entry.records
    folder, link = entry.evidence, f"{entry.evidence}/{report.name}.html"
    drill = write_questions(report, records, root, f"{folder}/{DATA}/{report.name}")
    if drill:
        site.questions.append({**drill, "id": f"{folder}/{report.name}", "evidence": entry.evidence})
    variant = records[0].get("variant") if records else None
    rows = claims.claim_rows(report, entry.evidence, variant, link)
    made = origin(records)
    page = {
        "page": "experiment",
        "report": report,
        "evidence": entry.evidence,
        "measured": to_html("\n".join(measured_sections(report))),
        "reported": to_html("\n".join(reported(report))),
        "noise": to_html("\n".join(noise_section(report))),
        "figures": _copy(entry, root),
        "tables": [path.name for path in entry.files if path.parent.name == "paper_tables"],
        "claims": rows,
        "signs": claims.SIGNS,
        "settings": settings(report.experiment, records),
        "cost": cost(records),
        "origin": made,
        "drill": f"{folder}/{report.name}" if drill else None,
    }
    write_file(root / link, render("experiment.html", 1, page))
    site.claims += rows
    site.board += board.rows_of(report, entry.evidence, made.get("Machine", ""), link)
    for method in dict.fromkeys(row.method for row in report.rows if row.seeds):
        site.used.setdefault(method, []).append((report.name, link))
    site.experiments.append(_summary(entry, rows, link, page["cost"]))


def _summary(entry: Entry, rows: list[dict[str, Any]], link: str, spent: dict[str, str]) -> dict[str, Any]:
    report = entry.report
    return {
        "name": report.name,
        "title": report.experiment.title,
        "scale": report.scale,
        "evidence": entry.evidence,
        "link": link,
        "arms": sum(bool(row.seeds) for row in report.rows),
        "trials": spent.get("Trials", "none"),
        "training": spent.get("Training, all trials", ""),
        "counts": [(word, number) for word, number in claims.count(rows) if number],
        "tuning": report.experiment.id.endswith(TUNING_SUFFIX),
    }


def _copy(entry: Entry, root: Path) -> list[dict[str, Any]]:
    """Copy tables and figures into the folder of their origin; returns the figures for the page."""
    for path in entry.files:
        kind = "tables" if path.parent.name == "paper_tables" else "figures"
        place = root / entry.evidence / kind
        place.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place / path.name)
    return figures(entry.report.name, entry.files)


def _write_overview(site: Site, root: Path, arms: Sequence[board.Row]) -> None:
    order = sorted(site.experiments, key=lambda one: one["tuning"])
    pages = {
        "index": {"overview": claims.overview(site.claims), "signs": claims.SIGNS, "experiments": order},
        "arms": {"table": board.table(arms)},
        "methods": {"cards": cards(site.used)},
        "questions": {"index": f"{DATA}/index.js", "any": bool(site.questions)},
    }
    for name, values in pages.items():
        write_file(root / f"{name}.html", render(f"{name}.html", 0, {"page": name, **values}))
    write_file(root / DATA / "index.js", script("index", site.questions))
    for name in ASSETS:
        write_file(root / "assets" / name, asset(name))
    names = [one["link"].removesuffix(".html") for one in site.experiments]
    write_file(root / MARKER, json.dumps({"repro": repro.__version__, "reports": names}, indent=1) + "\n")
