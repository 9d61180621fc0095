"""The report as Markdown: measured numbers, the paper's numbers in blocks of their own, claims, noise, ledger, command.

Measured and reported numbers never share a column. Rates are printed in percent, effects on rates in points.
"""

from __future__ import annotations

from repro.report.bandit_table import bandit_sections
from repro.report.build import Report
from repro.report.format import MISSING, count, fixed, markdown_table, percent, percent_interval, seconds, signed, size
from repro.report.passk_table import passk_section
from repro.report.phases import phases_section
from repro.report.planned import planned_section
from repro.report.reported import reported
from repro.report.scaling_table import scaling_section
from repro.report.summary import ArmSummary, common_passes, has_scaling, largest_pass, pass_k, stand_in
from repro.report.verdicts import question
from repro.statistics.bandits import ESTIMATOR
from repro.statistics.effect import PLANNED

NO_VERDICT = "**Smoke run: it shows that everything works, and carries no verdict. Do not quote its numbers.**\n"
STANDARD = (
    "accuracy", "greedy", "truncated", "unparsed", "kl", "kl_token", "train_seconds", "time_per_step",
    "online_time_per_step", "predicted_peak", "measured_peak",
)  # fmt: skip
KL_TITLES = {"kl": "KL, nats/response", "kl_token": "KL, nats/token"}


def markdown(report: Report) -> str:
    """The whole document; ends with a newline."""
    parts = [f"# {report.title}\n", report.experiment.summary + "\n"]
    if report.scale == "smoke":
        parts.append(NO_VERDICT)
    if report.setting:
        parts.append("".join(f"- {key}: {value}\n" for key, value in report.setting.items()))
    parts += measured_sections(report)
    parts += reported(report)
    parts += ["## Claims\n", _claims(report)]
    parts += noise_section(report)
    if report.experiment.ledger:
        parts += ["## Where this differs from the paper\n", _ledger(report)]
    parts += ["## Reproduce\n", f"```\n{report.command}\n```\n"]
    return "\n".join(parts)


def measured_sections(report: Report) -> list[str]:
    """What the suite measured, with the notes that belong to it."""
    if report.experiment.tabular:
        return bandit_sections(report)
    parts = ["## Measured by this suite\n", markdown_table(*measured_columns(report)), _measured_notes(report)]
    if any(len(row.sets) > 1 for row in report.rows):
        parts += ["### Each set\n", _sets_table(report.rows)]
    parts += scaling_section(report.experiment, report.scaling)
    parts += passk_section(report.passk)
    parts += phases_section(report.phases, report.device)
    return parts + planned_section(report.planned, report.experiment)


def measured_columns(report: Report) -> tuple[list[str], list[list[str]]]:
    """Header and cells of the measured table; the memory columns say predicted or measured.

    Every table has the columns of STANDARD and the pass@k with the largest k; other k stand before it, and other rates
    after them, if this experiment asks for them (`Experiment.metrics`); of a rule such as majority@64 the largest N
    that was measured.
    KL and stage 1 have columns where an arm has them; stage 1 is part of the time beside it.
    """
    rows, best = report.rows, largest_pass(report.rows)
    measured = {name for row in rows for name in row.metrics}
    more = [m for m in report.experiment.metrics if m not in STANDARD and not m.startswith("pass@")]
    more = list(dict.fromkeys(stand_in(measured, m) for m in more))
    greedy = [] if has_scaling(rows) and "greedy" not in measured else ["greedy"]
    asked = common_passes(rows) & set(report.experiment.metrics)
    passes = sorted(asked | ({best} if best else set()), key=pass_k)
    rates = [*greedy, *passes, "truncated", "unparsed", *more]
    memory = [("Peak memory, predicted", "predicted_peak")]
    if any(row.measured_peak is not None for row in rows):
        memory.append(("Peak memory, measured", "measured_peak"))
    kl = [(name, title) for name, title in KL_TITLES.items() if any(getattr(row, name) is not None for row in rows)]
    times = [
        ("Time/step, equal prompts", "step_seconds_prompts", "step_stage1_prompts"),
        ("Time/step, equal completions", "step_seconds_completions", "step_stage1_completions"),
        ("Training time", "train_seconds", "stage1_seconds"),
    ]
    clocks = []
    for title, name, part in times:
        clocks.append((title, name))
        if any(getattr(row, part) is not None for row in rows):
            clocks.append((f"of it stage 1, {title.partition(', ')[2] or 'training'}", part))
    header = [
        "Arm",
        "Accuracy %",
        *[f"{_heading(name)} %" for name in rates],
        *[title for _, title in kl],
        *[title for title, _ in clocks],
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
                *[fixed(getattr(row, name), 3 if name == "kl" else 4) for name, _ in kl],
                *[seconds(getattr(row, name)) for _, name in clocks],
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
    if any(row.kl is not None for row in report.rows):
        notes.append(
            "KL: mean over test questions and their samples of ln pi - ln pi_base, at the sampling temperature: summed "
            "over the tokens of a response, and averaged over them. An estimate from samples, so it may be below 0."
        )
    if any(row.stage1_seconds is not None or row.step_stage1_prompts is not None for row in report.rows):
        notes.append(
            "Stage 1: sampling from the base before training. It is part of every time: a step is charged its share of "
            "the whole run's stage 1, at the speed measured in the same round; a trial that reused a stored stage 1 is "
            "charged what that cost."
        )
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
    planned = any(v.claim.metric.startswith(PLANNED) for v in report.verdicts)
    shapes = "; those on predicted peaks and FLOPs hold for the shapes that they name" if planned else ""
    if any(v.claim.metric.startswith(f"{ESTIMATOR}:") for v in report.verdicts):
        shapes = "; those marked exact are computed without sampling and hold for the set-up that they name"
    return (
        markdown_table(header, cells, numbers_from=7)
        + f"\nVerdicts are computed from the records and hold for scale {report.scale} only{shapes}.\n"
    )


def noise_section(report: Report) -> list[str]:
    """Each arm against itself; nothing for bandits, whose numbers have no such noise."""
    return [] if report.experiment.tabular else ["## Noise floor (A/A)\n", _noise(report)]


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
