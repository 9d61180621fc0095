"""Every file of one report on bandits."""

from __future__ import annotations

from pathlib import Path

from repro.report.bandit_figures import k_figure, panels, variance_figure
from repro.report.bandit_table import bandit_csv, bandit_latex, reference_csv
from repro.report.build import Report
from repro.report.format import write_text
from repro.report.markdown import markdown


def write_bandits(report: Report, out_root: Path) -> list[Path]:
    """`paper_tables/<name>.{md,csv,tex}`, `<name>_estimators.csv`, and three figures; returns the paths."""
    tables, stem = out_root / "paper_tables", out_root / "figures" / report.name
    files = [
        write_text(tables / f"{report.name}.md", markdown(report)),
        write_text(tables / f"{report.name}.csv", bandit_csv(report)),
        write_text(tables / f"{report.name}.tex", bandit_latex(report)),
    ]
    if report.bandits:
        files.append(write_text(tables / f"{report.name}_estimators.csv", reference_csv(report.bandits)))
        for what, draw in (("bandit", panels), ("k", k_figure), ("variance", variance_figure)):
            files += draw(report.bandits, stem.with_name(f"{stem.name}_{what}"))
    return files
