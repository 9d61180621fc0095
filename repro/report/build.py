"""One experiment's report from its records: the tables and the figures on disk, and the same content as data.

Everything here is a function of the records, the experiment's data and `repro.papers`. Two calls give the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from repro import papers
from repro.errors import InputError
from repro.experiments.types import Experiment
from repro.report import bandit
from repro.report.interval import NoiseRow, noise_floor
from repro.report.passk import Panel, read_passk
from repro.report.phases import PhaseRow, device, phase_rows
from repro.report.planned import PlannedRow, planned_rows
from repro.report.scaling import Scaling, read_scaling
from repro.report.setting import setting
from repro.report.summary import ArmSummary, set_names, summarise, trials
from repro.report.verdicts import Verdict, verdicts

Record = dict[str, Any]


@dataclass(frozen=True)
class Report:
    """What one report says, and the files it wrote (empty when nothing was written)."""

    experiment: Experiment
    name: str  # table and file name: table1, table1@smoke …
    scale: str
    setting: dict[str, str]  # what was run, for people
    rows: list[ArmSummary]
    verdicts: list[Verdict]
    noise: list[NoiseRow]
    paper: dict[str, Any]
    command: str
    scaling: Scaling = field(default_factory=dict, compare=False)  # empty unless test-time compute was measured
    passk: list[Panel] = field(default_factory=list, compare=False)  # empty unless arms were trained for pass@k
    phases: list[PhaseRow] = field(default_factory=list)  # empty unless the timing record holds FLOPs
    device: dict[str, Any] | None = None  # that the arms were timed on
    planned: list[PlannedRow] = field(default_factory=list)  # empty without a plan record
    bandits: list[bandit.BanditArm] = field(default_factory=list, compare=False)  # of an experiment on bandits
    files: tuple[Path, ...] = ()

    @property
    def title(self) -> str:
        return f"{self.name}: {self.experiment.title} (scale: {self.scale})"

    @property
    def display(self) -> dict[str, str]:
        return {arm.id: arm.display for arm in self.experiment.arms}


def compile_report(
    experiment: Experiment,
    records: Sequence[Record],
    timing: Record | None,
    suffix: str = "",
    plan: Record | None = None,
) -> Report:
    """The report's content without writing anything."""
    chosen = trials(records, experiment)
    scale = chosen[0]["scale"] if chosen else _scale_of(suffix)
    for one in (timing, plan):
        if one is not None and chosen and _run(one) != _run(chosen[0]):
            raise InputError(
                f"the {one['kind']} record {one['id']} does not belong to the trials of {chosen[0]['id'].split('/')[0]}"
            )
    planned = planned_rows(experiment, plan)
    return Report(
        experiment=experiment,
        name=experiment.id + suffix,
        scale=scale,
        setting=bandit.setting(chosen) if experiment.tabular else setting(experiment, chosen),
        rows=summarise(experiment, chosen, timing),
        verdicts=verdicts(experiment, chosen, timing, plan),
        noise=noise_floor(experiment, chosen),
        paper=papers.load(experiment.paper),
        command=reproduce(experiment, chosen, scale),
        scaling=read_scaling(experiment, chosen, set_names(chosen)),
        passk=read_passk(experiment, chosen, set_names(chosen)),
        phases=phase_rows(experiment, chosen, timing),
        device=device(timing),
        planned=planned,
        bandits=bandit.bandit_arms(experiment, chosen),
    )


# A tuning grid has dozens of arms: as bars they can be told apart, as lines they cannot.
MOST_LINES = 12


def report(
    experiment: Experiment,
    records: Sequence[Record],
    timing: Record | None,
    out_root: Path,
    suffix: str = "",
    plan: Record | None = None,
) -> Report:
    """Write `paper_tables/<id><suffix>.{md,csv,tex}` and `figures/<id><suffix>_*.{png,svg,csv}` under `out_root`.

    Cost by phase, planned shapes and pass@k get tables of their own (`_phases`, `_planned`, `_passk`) where records
    hold them. Of more than MOST_LINES arms only the core ones are drawn as lines; if those are too many as well (a
    tuning grid), only accuracy bars are drawn, and test-time scaling, which shows pairs of arms.

    `records`: trial records of one experiment at one scale (others are ignored); `timing`, `plan`: its records of these
    kinds, if there are any. Raises `InputError` for records that do not belong together or a folder that cannot be
    written.
    """
    from repro.report.bars import accuracy_bars, cost_bars
    from repro.report.curves import health_panel, learning_curves
    from repro.report.format import write_text
    from repro.report.group_figures import group_pictures
    from repro.report.markdown import markdown
    from repro.report.tables import csv_rows, latex
    from repro.report.token_figures import share_scatter, train_and_test
    from repro.report.tradeoff import tradeoff

    compiled = compile_report(experiment, records, timing, suffix, plan)
    if experiment.tabular:
        from repro.report.bandit_files import write_bandits

        return replace(compiled, files=tuple(write_bandits(compiled, Path(out_root))))
    tables, figures = Path(out_root) / "paper_tables", Path(out_root) / "figures"
    files = [
        write_text(tables / f"{compiled.name}.md", markdown(compiled)),
        write_text(tables / f"{compiled.name}.csv", csv_rows(compiled)),
        write_text(tables / f"{compiled.name}.tex", latex(compiled)),
        *_more_tables(compiled, tables),
    ]
    finished = [row for row in compiled.rows if row.seeds]
    stem = figures / compiled.name
    if finished:
        files += accuracy_bars(experiment, records, stem.with_name(f"{stem.name}_accuracy"))
    if sum(row.core for row in finished) <= MOST_LINES:
        files += share_scatter(experiment, records, stem.with_name(f"{stem.name}_tokens"))
    if len(finished) > MOST_LINES:
        finished = [row for row in finished if row.core]
        core = {arm.id for arm in experiment.core_arms}
        records = [r for r in records if r["arm"] in core]
    if 0 < len(finished) <= MOST_LINES:
        files += learning_curves(experiment, records, stem.with_name(f"{stem.name}_curves"))
        files += cost_bars(experiment, records, timing, stem.with_name(f"{stem.name}_cost"))
        files += health_panel(experiment, records, stem.with_name(f"{stem.name}_health"))
        files += train_and_test(experiment, records, stem.with_name(f"{stem.name}_fit"))
        files += group_pictures(experiment, records, stem.with_name(f"{stem.name}_groups"))
        if compiled.phases:
            files += tradeoff(experiment, records, timing, stem.with_name(f"{stem.name}_tradeoff"))
    if compiled.planned:
        from repro.report.memory import memory_stacks

        files += memory_stacks(compiled.planned, stem.with_name(f"{stem.name}_memory"))
    if compiled.scaling:
        files += _scaling_figures(compiled, stem)
    if compiled.passk:
        files += _passk_figures(compiled, stem)
    return replace(compiled, files=tuple(files))


def _more_tables(compiled: Report, folder: Path) -> list[Path]:
    """Cost by phase, planned shapes and pass@k for machines and papers; nothing where the records lack them."""
    from repro.report import passk_table, phases, planned
    from repro.report.format import write_text

    parts = {
        "phases": (compiled.phases, phases.phases_csv, phases.phases_latex),
        "planned": (compiled.planned, planned.planned_csv, planned.planned_latex),
        "passk": (compiled.passk, passk_table.passk_csv, passk_table.passk_latex),
    }
    files = []
    for what, (rows, to_csv, to_latex) in parts.items():
        if rows:
            name = f"{compiled.name}_{what}"
            files.append(write_text(folder / f"{name}.csv", to_csv(rows)))
            files.append(write_text(folder / f"{name}.tex", to_latex(rows, compiled.title, name)))
    return files


def _scaling_figures(compiled: Report, stem: Path) -> list[Path]:
    from repro.report.scaling_figures import budget_curves, scaling_curves
    from repro.report.verifier_figures import calibration_plot, lambda_sweep

    figures = {
        "scaling": scaling_curves,
        "lambda": lambda_sweep,
        "calibration": calibration_plot,
        "budgets": budget_curves,
    }
    files: list[Path] = []
    for name, draw in figures.items():
        files += draw(compiled.experiment, compiled.scaling, stem.with_name(f"{stem.name}_{name}"))
    return files


def _passk_figures(compiled: Report, stem: Path) -> list[Path]:
    from repro.report.level_figures import level_dots
    from repro.report.passk_figures import k_ablation, objective_curves, pass_curves

    figures = {"passk": pass_curves, "objectives": objective_curves, "k": k_ablation, "levels": level_dots}
    files: list[Path] = []
    for name, draw in figures.items():
        files += draw(compiled.passk, stem.with_name(f"{stem.name}_{name}"))
    return files


def _run(record: Record) -> tuple:
    return record["experiment"], record["scale"], record.get("variant")


def _scale_of(suffix: str) -> str:
    first = suffix.removeprefix("@").split("-")[0]
    return first if first in ("smoke", "small", "paper") else "micro"


_CHANGING = ("--set", "--task", "--model", "--method")  # options that make a variant


def reproduce(experiment: Experiment, chosen: Sequence[Record], scale: str) -> str:
    """The command that makes these records again. Of a changed run: its own, less what does not decide results."""
    seeds = len({r["seed"] for r in chosen})
    if chosen and chosen[0].get("variant"):
        commands = [str(r.get("provenance", {}).get("command", "")).split() for r in chosen]
        # Trials that the variant shares with the experiment may come from its plain command.
        own = [words for words in commands if any(word.partition("=")[0] in _CHANGING for word in words)]
        words = min(own or commands)
        return " ".join(_without(words, ("--root", "--jobs", "--data-dir"), ("--json",)))
    command = f"repro run {experiment.id}"
    settings = experiment.scales.get(scale)
    if scale != "micro":
        command += f" --scale {scale}"
    if seeds and (settings is None or settings.seeds != seeds):
        command += f" --seeds {seeds}"
    core = {arm.id for arm in experiment.core_arms}
    present = {r["arm"] for r in chosen}
    if present - core:
        command += (
            " --arms all"
            if present >= {a.id for a in experiment.arms}
            else f" --arms {','.join(_order(experiment, present))}"
        )
    return command


def _order(experiment: Experiment, present: set[str]) -> list[str]:
    return [arm.id for arm in experiment.arms if arm.id in present]


def _without(words: list[str], with_value: tuple[str, ...], flags: tuple[str, ...]) -> list[str]:
    out, skip = [], False
    for word in words:
        if skip:
            skip = False
        elif word in with_value:
            skip = True
        elif word not in flags and not word.startswith(tuple(f"{name}=" for name in with_value)):
            out.append(word)
    return out
