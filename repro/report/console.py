"""The report in the terminal: a table that fills as trials finish, and the final tables with verdicts (rich).

Text that comes from records or from users is never read as rich markup.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from repro.experiments.types import Experiment
from repro.report.bandit import last_reward
from repro.report.bandit_table import learning_columns
from repro.report.build import Report
from repro.report.format import MISSING, fixed, percent, percent_interval, seconds, size
from repro.report.structure import to_json
from repro.report.summary import ArmSummary, has_scaling, largest_pass, stand_in, summarise

__all__ = ["final", "live_table", "results_table", "to_json", "verdict_table"]

VERDICT_STYLE = {"supported": "green", "contradicted": "red", "inconclusive": "yellow", "not run": "dim"}


def live_table(
    experiment: Experiment,
    records: Sequence[dict[str, Any]],
    arms: Sequence[str],
    seeds: Sequence[int],
    running: Mapping[str, str] | None = None,
    title: str = "",
) -> Table:
    """The table while a run goes on: one row per planned arm, one column per seed, filled with what is finished.

    `records`: those stored so far; `running`: "<arm>/seed<k>" -> a few words such as "step 13/60". A cell is the
    accuracy in percent (of bandits the mean reward), the words of a running trial, "failed", or a dash.
    """
    running = running or {}
    rows = {row.arm: row for row in summarise(experiment, records, None, intervals=False)}
    shown = "Mean reward" if experiment.tabular else "Accuracy %"
    table = _table(title or experiment.title, ["Arm", shown, *[f"seed {s}" for s in seeds], "Training time"])
    failed = {(r["arm"], r["seed"]) for r in records if r["kind"] == "trial" and r["status"] == "failed"}
    for arm in (a for a in experiment.arms if a.id in arms):
        row = rows.get(arm.id)
        known = dict(zip(row.seeds, map(percent, row.by_seed), strict=True)) if row and row.by_seed else {}
        mean, spent = (percent(row.accuracy), row.train_seconds) if row else (MISSING, None)
        if experiment.tabular:
            rewards = {r["seed"]: last_reward(r) for r in records if r["arm"] == arm.id and "bandit" in r}
            known = {seed: fixed(reward, 3) for seed, reward in rewards.items()}
            mean = fixed(fmean(rewards.values()), 3) if rewards else MISSING
        cells = []
        for seed in seeds:
            if seed in known:
                cells.append(Text(known[seed]))
            elif words := running.get(f"{arm.id}/seed{seed}"):
                cells.append(Text(words, style="cyan"))
            elif (arm.id, seed) in failed:
                cells.append(Text("failed", style="red"))
            else:
                cells.append(Text(MISSING, style="dim"))
        table.add_row(Text(arm.display), Text(mean), *cells, Text(seconds(spent)))
    return table


def results_table(rows: Sequence[ArmSummary], title: str = "") -> Table:
    """The measured numbers of a report, one row per arm, narrow enough for a terminal."""
    rows = list(rows)
    if has_scaling(rows):
        return _scaling_results(rows, title)
    best = largest_pass(rows)
    measured = any(row.measured_peak is not None for row in rows)
    divergent = any(row.kl_token is not None for row in rows)
    offline = any(row.step_stage1_prompts is not None for row in rows)
    header = [
        "Arm",
        "Accuracy %",
        *(["KL\n/token"] if divergent else []),
        "Greedy %",
        *([f"{best} %"] if best else []),
        "Trunc. %",
        "Unpars. %",
        "Time/step",
        *(["of it\nstage 1"] if offline else []),
        "Training",
        "Peak memory\n(measured)" if measured else "Peak memory\n(predicted)",
        "Seeds",
    ]
    table = _table(title, header)
    for row in rows:
        rates = ["greedy", *([best] if best else []), "truncated", "unparsed"]
        peak = row.measured_peak if measured else row.predicted_peak
        cells = [
            row.display,
            percent_interval(row.accuracy, row.lo, row.hi),
            *([fixed(row.kl_token, 4)] if divergent else []),
            *[percent(row.metrics.get(k)) for k in rates],
            seconds(row.step_seconds_prompts),
            *([seconds(row.step_stage1_prompts)] if offline else []),
            seconds(row.train_seconds),
            size(peak),
            str(len(row.seeds)),
        ]
        table.add_row(*map(Text, cells), style=None if row.seeds else "dim")
    return table


def bandits_table(report: Report) -> Table:
    """The numbers of trials on bandits: after the early and the last step, without standard errors."""
    header, cells = learning_columns(report)
    kept = [i for i, name in enumerate(header) if "entropy" not in name and name != "Status"]
    table = _table(report.title, [header[i].replace(", ", "\n").replace(" at ", "\nat ") for i in kept])
    for row, line in zip(report.rows, cells, strict=True):
        table.add_row(*[Text(line[i].partition(" ±")[0]) for i in kept], style=None if row.seeds else "dim")
    return table


def _scaling_results(rows: list[ArmSummary], title: str) -> Table:
    """As `results_table`, for arms whose samples were voted on: votes and verifier instead of length and memory."""
    measured = {name for row in rows for name in row.metrics}
    votes = [stand_in(measured, f"{rule}@0") for rule in ("majority", "best", "weighted")]
    best = largest_pass(rows)
    rates = [*votes, *([best] if best else []), "verifier_accuracy", "verifier_auc_within"]
    names = {"verifier_accuracy": "Verifier %", "verifier_auc_within": "AUC %"}
    titles = [names.get(k, f"{k} %".replace("@", "\n@")) for k in rates]
    table = _table(title, ["Arm", "Accuracy %", *titles, "Time/step", "Training", "Seeds"])
    for row in rows:
        cells = [
            row.display,
            percent_interval(row.accuracy, row.lo, row.hi),
            *[percent(row.metrics.get(k)) for k in rates],
            seconds(row.step_seconds_prompts),
            seconds(row.train_seconds),
            str(len(row.seeds)),
        ]
        table.add_row(*map(Text, cells), style=None if row.seeds else "dim")
    return table


def planned_table(report: Report) -> Table:
    """The planner's peaks and FLOPs, one row per model and arm; all of it is predicted."""
    header = ["Model", "Arm", "Peak memory\n(predicted)", "in phase", "TFLOPs/prompt\n(predicted)"]
    table = _table("Predicted at the papers' shapes", header, numbers_from=2)
    for row in report.planned:
        phase, flops = row.phase.replace("_", " "), fixed(row.flops / 1e12, 3 if row.flops < 1e13 else 1)
        table.add_row(*map(Text, [row.name, row.display, size(row.peak), phase, flops]))
    return table


def verdict_table(report: Report) -> Table:
    """One row per claim: sentence, effect with interval, verdict and its reason."""
    table = _table(f"Claims at scale {report.scale}", ["Claim", "Sentence", "Effect", "Verdict"], numbers_from=4)
    for v in report.verdicts:
        verdict = Text(v.result.verdict, style=VERDICT_STYLE.get(v.result.verdict, ""))
        if v.result.reason:
            verdict.append(f"\n{v.result.reason}", style="dim")
        effect = Text(v.effect)
        if v.sample:
            effect.append(f"\n{v.sample}", style="dim")
        table.add_row(Text(v.claim.id), Text(v.claim.sentence), effect, verdict)
    return table


def final(report: Report) -> RenderableType:
    """What a run ends with: results, troubles of single arms, verdicts, and the files written."""
    tabular = report.experiment.tabular
    parts: list[RenderableType] = [bandits_table(report) if tabular else results_table(report.rows, report.title)]
    for row in report.rows:
        if row.status not in ("done", "not run"):
            parts.append(Text(f"{row.display}: {row.status}", style="red"))
    if report.scale == "smoke":
        failed = any(row.status.startswith("failed") for row in report.rows)
        shows = "carries no verdict" if failed else "shows that everything works, and carries no verdict"
        parts.append(Text(f"Smoke run: it {shows}.", style="yellow"))
    if report.planned:
        parts.append(planned_table(report))
    if report.verdicts:
        parts.append(verdict_table(report))
    written = [path for path in report.files if path.suffix != ".csv" or path.parent.name == "paper_tables"]
    if written:
        parts.append(Text("Written: " + ", ".join(str(path) for path in written), style="dim"))
    return Group(*parts)


def _table(title: str, header: Sequence[str], numbers_from: int = 1) -> Table:
    table = Table(title=Text(title) if title else None, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for i, name in enumerate(header):
        table.add_column(Text(name), justify="right" if i >= numbers_from else "left", overflow="fold")
    return table
