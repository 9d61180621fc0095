"""What the committed tables say: verdicts, costs and commands. `repro verify` keeps them in step with the records."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass

from repro.experiments.registry import experiments
from repro.experiments.types import Experiment
from repro.report.committed import section
from sitegen.words import ROOT

TABLES = ROOT / "paper_tables"
VERDICTS = ("supported", "contradicted", "inconclusive", "not run")
_CELL = re.compile(r"(?<!\\)\|")


@dataclass(frozen=True)
class Verdict:
    """One row of a table of claims, as it is printed."""

    tested: str
    effect: str
    verdict: str
    reason: str
    supports: str


def published() -> Iterator[Experiment]:
    """The experiments with claims and a committed table; tables before figures."""
    for experiment in sorted(experiments().values(), key=lambda one: one.id.startswith("figure")):
        if experiment.claims and (TABLES / f"{experiment.id}.md").is_file():
            yield experiment


def text(name: str) -> str:
    return (TABLES / f"{name}.md").read_text(encoding="utf-8")


def verdicts(name: str) -> dict[str, Verdict]:
    """Claim -> what the table of the experiment `name` says."""
    found = {}
    for line in section(text(name), "Claims").splitlines():
        cells = [cell.strip() for cell in _CELL.split(line)[1:-1]]
        if len(cells) == 7 and cells[0] not in ("Claim", "---"):
            word, _, reason = cells[5].partition("**: ")
            found[cells[0]] = Verdict(_bare(cells[3]), _bare(cells[4]), word.strip("*"), _bare(reason), _bare(cells[6]))
    return found


def command(name: str) -> str:
    """The command at the end of the table: it makes its records again."""
    return section(text(name), "Reproduce").replace("`", "").strip()


def rows(name: str) -> list[dict[str, str]]:
    """The arms of a table for machines."""
    with (TABLES / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _bare(cell: str) -> str:
    """A cell of a committed table as plain text."""
    return cell.replace("\\|", "|").replace("**", "")
