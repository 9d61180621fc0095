"""The table for machines (CSV, full precision, one row per arm) and for papers (LaTeX with booktabs)."""

from __future__ import annotations

from repro.papers import tables_beside
from repro.report.build import Report
from repro.report.format import csv_text, fixed, tex
from repro.report.latex import stacked
from repro.report.markdown import measured_columns

_MORE = {
    "kl_nats_per_response": "kl",
    "kl_nats_per_token": "kl_token",
    "step_stage1_seconds_equal_prompts": "step_stage1_prompts",
    "step_stage1_seconds_equal_completions": "step_stage1_completions",
    "train_stage1_seconds": "stage1_seconds",
}


def csv_rows(report: Report) -> str:
    """One row per arm. Rates are fractions, times seconds, memory bytes, KL nats; `reported_…` columns are percent.

    KL and stage 1 have columns where an arm has them; stage 1 is part of the time beside it.
    """
    names = list(dict.fromkeys(k for row in report.rows for k in row.metrics))
    sets = list(dict.fromkeys(s for row in report.rows for s in row.sets))
    per_set = (
        [(s, m) for s in sets for m in next(row.sets[s] for row in report.rows if s in row.sets)]
        if len(sets) > 1
        else []
    )
    reported = _reported_means(report)
    more = [title for title, name in _MORE.items() if any(getattr(row, name) is not None for row in report.rows)]
    header = [
        "arm",
        "display",
        "method",
        "core",
        "scale",
        "status",
        "seeds",
        "accuracy",
        "accuracy_lo",
        "accuracy_hi",
        *names,
        *[f"{s}/{m}" for s, m in per_set],
        "step_seconds_equal_prompts",
        "step_seconds_equal_completions",
        "train_seconds",
        "predicted_peak_bytes",
        "measured_peak_bytes",
        "completions",
        "prompts",
        "updates",
        *more,
        *reported,
    ]
    rows = [
        [
            row.arm,
            row.display,
            row.method,
            str(row.core).lower(),
            report.scale,
            row.status,
            " ".join(map(str, row.seeds)),
            row.accuracy,
            row.lo,
            row.hi,
            *[row.metrics.get(n) for n in names],
            *[row.sets.get(s, {}).get(m) for s, m in per_set],
            row.step_seconds_prompts,
            row.step_seconds_completions,
            row.train_seconds,
            row.predicted_peak,
            row.measured_peak,
            row.completions,
            row.prompts,
            row.updates,
            *[getattr(row, _MORE[title]) for title in more],
            *[means.get(row.arm) for means in reported.values()],
        ]
        for row in report.rows
    ]
    return csv_text(header, rows)


def _reported_means(report: Report) -> dict[str, dict[str, float]]:
    """Column name -> arm -> the paper's mean in percent, of the first table that stands beside this experiment."""
    columns: dict[str, dict[str, float]] = {}
    for table in tables_beside(report.experiment.paper, report.experiment.id)[:1]:
        for row in table["rows"]:
            if "arm" in row:
                name = f"reported_{row['model']}_mean_percent[{row['mean']['evidence']}]"
                columns.setdefault(name, {})[row["arm"]] = row["mean"]["value"]
    return columns


def latex(report: Report) -> str:
    """A `table*` with the measured columns, and the reported ones under a heading of their own.

    A column of status stands there only if an arm is not done.
    """
    header, cells = _print_columns(report)
    reported = _reported_means(report)
    left, right = len(header), len(reported)
    lines = [
        "% Needs \\usepackage{booktabs,graphicx}. Measured and reported numbers stand under separate headings.",
        "\\begin{table*}[t]",
        "\\centering",
        f"\\caption{{{tex(report.title)}. Accuracy: mean $\\pm$ half the 95\\,\\% interval.}}",
        f"\\label{{tab:{report.name.replace('@', '-')}}}",
        "\\resizebox{\\linewidth}{!}{%",
        f"\\begin{{tabular}}{{l{'r' * (left - 1)}{'r' * right}}}",
        "\\toprule",
    ]
    if right:
        lines += [
            f"\\multicolumn{{{left}}}{{c}}{{Measured by this suite (scale {tex(report.scale)})}} & "
            f"\\multicolumn{{{right}}}{{c}}{{Reported by the paper, mean \\% [derived]}} \\\\",
            f"\\cmidrule(lr){{1-{left}}} \\cmidrule(lr){{{left + 1}-{left + right}}}",
        ]
    models = [name.removeprefix("reported_").split("_mean_percent")[0] for name in reported]
    lines += [" & ".join(stacked(c) for c in [*header, *models]) + " \\\\", "\\midrule"]
    for row, measured in zip(report.rows, cells, strict=True):
        means = [tex(fixed(values.get(row.arm), 2)) for values in reported.values()]
        lines.append(" & ".join([*[tex(c) for c in measured], *means]) + " \\\\")
    lines += ["\\bottomrule", "\\end{tabular}%", "}", "\\end{table*}"]
    return "\n".join(lines) + "\n"


def _print_columns(report: Report) -> tuple[list[str], list[list[str]]]:
    header, cells = measured_columns(report)
    left_out = {"Completions"} | ({"Status"} if all(row.status == "done" for row in report.rows) else set())
    kept = [i for i, name in enumerate(header) if name not in left_out]
    return [header[i] for i in kept], [[row[i] for i in kept] for row in cells]
