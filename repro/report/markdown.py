"""The report as Markdown: measured numbers, the paper's numbers in blocks of their own, claims, noise, ledger, command.

Measured and reported numbers never share a column. Rates are printed in percent, effects on rates in points.
"""

from __future__ import annotations

from typing import Any

from repro import papers
from repro.papers import tables_beside
from repro.report.build import Report
from repro.report.format import MISSING, count, fixed, markdown_table, percent, percent_interval, seconds, signed, size
from repro.report.scaling_table import scaling_section
from repro.report.summary import ArmSummary, has_scaling, largest_pass, stand_in
from repro.report.verdicts import question

NO_VERDICT = "**Smoke run: it shows that everything works, and carries no verdict. Do not quote its numbers.**\n"
STANDARD = ("accuracy", "greedy", "truncated", "unparsed", "train_seconds", "time_per_step", "predicted_peak")


def markdown(report: Report) -> str:
    """The whole document; ends with a newline."""
    parts = [f"# {report.title}\n", report.experiment.summary + "\n"]
    if report.scale == "smoke":
        parts.append(NO_VERDICT)
    if report.setting:
        parts.append("".join(f"- {key}: {value}\n" for key, value in report.setting.items()))
    parts += ["## Measured by this suite\n", markdown_table(*measured_columns(report)), _measured_notes(report)]
    if any(len(row.sets) > 1 for row in report.rows):
        parts += ["### Each set\n", _sets_table(report.rows)]
    parts += scaling_section(report.experiment, report.scaling)
    parts += _reported(report)
    parts += ["## Claims\n", _claims(report), "## Noise floor (A/A)\n", _noise(report)]
    parts += ["## Where this differs from the paper\n", _ledger(report)]
    parts += ["## Reproduce\n", f"```\n{report.command}\n```\n"]
    return "\n".join(parts)


def measured_columns(report: Report) -> tuple[list[str], list[list[str]]]:
    """Header and cells of the measured table; the memory columns say predicted or measured.

    Every table has the columns of STANDARD and the pass@k with the largest k; a rate that only this experiment asks for
    (`Experiment.metrics`) gets a column after them; of a rule such as majority@64 the largest N that was measured.
    """
    rows, best = report.rows, largest_pass(report.rows)
    measured = {name for row in rows for name in row.metrics}
    more = [m for m in report.experiment.metrics if m not in STANDARD and not m.startswith("pass@")]
    more = list(dict.fromkeys(stand_in(measured, m) for m in more))
    greedy = [] if has_scaling(rows) and "greedy" not in measured else ["greedy"]
    rates = [*greedy, *([best] if best else []), "truncated", "unparsed", *more]
    memory = [("Peak memory, predicted", "predicted_peak")]
    if any(row.measured_peak is not None for row in rows):
        memory.append(("Peak memory, measured", "measured_peak"))
    header = [
        "Arm",
        "Accuracy %",
        *[f"{_heading(name)} %" for name in rates],
        "Time/step, equal prompts",
        "Time/step, equal completions",
        "Training time",
        *[title for title, _ in memory],
        "Completions",
        "Seeds",
        "Status",
    ]
    cells = []
    for row in rows:
        cells.append(
            [
                row.display,
                percent_interval(row.accuracy, row.lo, row.hi),
                *[percent(row.metrics.get(k)) for k in rates],
                seconds(row.step_seconds_prompts),
                seconds(row.step_seconds_completions),
                seconds(row.train_seconds),
                *[size(getattr(row, name)) for _, name in memory],
                count(row.completions) if row.completions else MISSING,
                str(len(row.seeds)),
                row.status,
            ]
        )
    return header, cells


def _heading(metric: str) -> str:
    if "@" in metric:
        return metric.replace("_", " ")
    words = metric.replace("_", " ")
    return f"{words[0].upper()}{words[1:]}".replace("auc", "AUC")


def _measured_notes(report: Report) -> str:
    measured = any(row.measured_peak is not None for row in report.rows)
    notes = [
        "Accuracy: mean over questions of the mean over samples, then over seeds; ± is half the width of the 95 % "
        "interval (two-level bootstrap over seeds and questions; with one seed it covers the questions only).",
        "Time/step: median of the timing record, in which the arms' steps take turns with nothing beside them; a dash "
        "means that it was not timed. Training time: mean over trials that were not resumed; other trials may have run "
        "beside them.",
        "Peak memory, predicted: one training step of the trial's own code under fake tensors; nothing is allocated."
        + (" Peak memory, measured: largest allocation of a training phase on the accelerator." if measured else ""),
    ]
    return "\n".join(notes) + "\n"


def _sets_table(rows: list[ArmSummary]) -> str:
    names = list(next(row.sets for row in rows if row.sets))
    columns = [(name, metric) for name in names for metric in _set_metrics(rows, name)]
    header = ["Arm", *[f"{name} {'Avg@n' if metric == 'accuracy' else metric} %" for name, metric in columns]]
    cells = [[row.display, *[percent(row.sets.get(n, {}).get(m)) for n, m in columns]] for row in rows]
    return markdown_table(header, cells)


def _set_metrics(rows: list[ArmSummary], name: str) -> tuple[str, ...]:
    """Accuracy and greedy; where pools of samples were voted on, two votes over the whole pool instead of greedy."""
    if not has_scaling(rows):
        return "accuracy", "greedy"
    measured = {metric for row in rows for metric in row.sets.get(name, {})}
    sizes = [int(metric.partition("@")[2]) for metric in measured if metric.startswith("majority@")]
    return ("accuracy", *[f"{rule}@{max(sizes)}" for rule in ("majority", "weighted") if sizes])


def _reported(report: Report) -> list[str]:
    """The numbers of the experiment's paper, and of the other papers whose claims it tests."""
    known = dict.fromkeys([report.experiment.paper, *(claim.paper for claim in report.experiment.claims)])
    return [part for name in known for part in _reported_by(report, papers.load(name))]


def _reported_by(report: Report, paper: dict[str, Any]) -> list[str]:
    """One paper's numbers: first beside ours as gains over the base model, then the full tables, then the costs."""
    tables = tables_beside(paper["id"], report.experiment.id)
    unknown = "The paper does not state: " + "; ".join(paper["not_stated"]) + ".\n" if paper.get("not_stated") else ""
    who = f"{paper['name']} (arXiv {paper['arxiv']})"
    if not tables:
        # Nothing of it can be printed as a table; what is missing still is worth a line beside its claims.
        tested = any(claim.paper == paper["id"] for claim in report.experiment.claims)
        return [f"## Reported by the paper: {who}\n", unknown] if unknown and tested else []
    apart = "" if report.scale == "paper" else " Other models and other data than here."
    parts = [f"## Reported by the paper: {who}\n", f"One run per cell. Not measured by this suite.{apart}\n"]
    if beside := beside_table(report, tables[0]):
        parts += ["### Gain over the base model, measured and reported\n", beside]
    for table in tables:
        parts += [
            f"### {table['source']} [{table['evidence']}]: {table['caption']}\n",
            _paper_table(table),
            table["conditions"] + ".\n",
        ]
    cost = paper.get("cost")
    if cost and report.experiment.id in cost["beside"]:
        header = ["Quantity", "Arm", "Against", "Reported", "Evidence"]
        name = report.display
        cells = [
            [
                e["quantity"],
                name.get(e["arm"], e["arm"]),
                name.get(e["against"], e["against"]),
                e["sentence"],
                f"[{e['evidence']}]",
            ]
            for e in cost["entries"]
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
    tag = {row["mean"]["evidence"] for row in table["rows"]}
    header = ["Model", "Method", *table["columns"], f"Mean [{', '.join(sorted(tag))}]"]
    digits = {"derived": 2}
    cells = [
        [
            r["model"],
            r["method"],
            *[fixed(v, 1) for v in r["values"]],
            fixed(r["mean"]["value"], digits.get(r["mean"]["evidence"], 1)),
        ]
        for r in table["rows"]
    ]
    return markdown_table(header, cells, numbers_from=2)


def _claims(report: Report) -> str:
    if not report.verdicts:
        return "This experiment tests no claim.\n"
    header = ["Claim", "Sentence", "Evidence", "Tested here", "Effect", "Verdict", "The paper's own numbers support"]
    cells = []
    for v in report.verdicts:
        result = v.result
        verdict = f"**{result.verdict}**" + (f": {result.reason}" if result.reason else "")
        effect = v.effect + (f" ({v.sample})" if v.sample else "")
        cells.append(
            [
                v.claim.id,
                v.claim.sentence,
                v.claim.evidence,
                f"{question(v.claim, report.display)} ({v.claim.kind})",
                effect,
                verdict,
                v.claim.paper_supports,
            ]
        )
    return (
        markdown_table(header, cells, numbers_from=7)
        + f"\nVerdicts are computed from the records and hold for scale {report.scale} only.\n"
    )


def _noise(report: Report) -> str:
    if not report.noise:
        return "Not available: an arm needs at least four seeds.\n"
    header = ["Arm", "Seeds", "Against seeds", "Difference of accuracy, points (95 %)"]
    cells = [
        [
            n.display,
            _seeds(n.first),
            _seeds(n.second),
            f"{signed(100 * n.estimate)} [{signed(100 * n.lo)}, {signed(100 * n.hi)}]",
        ]
        for n in report.noise
    ]
    note = (
        "\nEach arm against itself, half of its seeds against the other half: what noise alone does to a difference.\n"
    )
    return markdown_table(header, cells, numbers_from=3) + note


def _seeds(seeds: tuple[int, ...]) -> str:
    return ", ".join(map(str, seeds))


def _ledger(report: Report) -> str:
    header = ["Where", "Paper", "Here", "Why"]
    return markdown_table(header, [[d.where, d.paper, d.ours, d.why] for d in report.experiment.ledger], numbers_from=4)
