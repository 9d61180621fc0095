"""The leaderboard ranked: one group per experiment, scale and setting of the evaluation; one row per arm.

Rows are ranked by the mean over seeds of a metric, a share of 1 where more is better. For the rows at the top the
records are read: the estimate and its 95 % interval are those of the tables (two-level bootstrap over seeds and
questions), and P(best) is the chance to be the best of the rows shown (`repro.statistics.ranking`), paired by question
and seed. A row whose records do not say what its lines say is left out and named. What papers report stands apart,
without a rank.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any

import numpy as np

from repro import papers
from repro.errors import InputError
from repro.experiments import registry
from repro.report.boards import EVIDENCE, Trial
from repro.report.evidence import Evidence, Place, as_registered, read_evidence, seed_scores
from repro.statistics.effect import generator
from repro.statistics.intervals import accuracy_interval
from repro.statistics.ranking import chances_of_best
from repro.statistics.scores import Missing
from repro.statistics.verdict import MINIMUM_SEEDS
from repro.store.config import experiment_id
from repro.store.entry import Entry

MOST_ROWS, FEWEST_ROWS, ALL_ROWS = 20, 3, 60  # shown of a group, and of all: reading records is what takes time
LEVEL = 0.95
RULES = ("majority", "best", "weighted")
RANKED = ("accuracy", "accuracy_lenient", "greedy", "verifier_accuracy", "pass@k", *(f"{rule}@N" for rule in RULES))


@dataclass(frozen=True)
class Row:
    """One arm. None means: not available. Rates are shares of 1, times seconds, memory bytes."""

    rank: int
    experiment: str  # with scale and variant: table1@1a2b3c4d
    arm: str
    display: str  # the arm's title; its name, method and "other settings" if the experiment has others for it today
    method: str
    evidence: str
    estimate: float
    lo: float | None  # 95 %
    hi: float | None
    p_best: float | None  # None with fewer than 5 seeds, and of imported rows beside others
    seeds: tuple[int, ...]
    train_seconds: float | None
    step_seconds: float | None
    predicted_peak: float | None
    measured_peak: float | None
    completions: float
    hardware: tuple[str, ...]
    commits: tuple[str, ...]
    dirty: bool  # a trial was made with uncommitted changes


@dataclass(frozen=True)
class Group:
    """Arms that may be ranked together: same experiment, scale, base, questions and sampling of the evaluation.

    A variant that leaves all of these alone, such as a method that was plugged in, stands among the arms as registered.
    """

    experiment: str  # table1, table1@smoke; with the variant if all rows are of one: table1@1a2b3c4d
    scale: str
    tasks: tuple[str, ...]
    setting: str
    metric: str
    rows: list[Row] = field(default_factory=list)
    more: int = 0  # rows beyond those shown
    problems: list[str] = field(default_factory=list)


def standings(
    trials: Sequence[Trial],
    metric: str = "accuracy",
    experiment: str | None = None,
    scale: str | None = None,
    top: int | None = None,
) -> list[Group]:
    """The groups in the experiments' order. `metric` may name one set (`pass@8:easy-to-hard`), else all are averaged.

    `top`: rows of each group; None means at most MOST_ROWS, and fewer where there are many groups. `InputError` for a
    metric, an experiment or a scale that no line has.
    """
    chosen = _with_metric(select(trials, experiment, scale), metric)
    order = {name: place for place, name in enumerate(registry.experiments())}
    groups: dict[tuple, list[Trial]] = {}
    for trial in chosen:
        entry = trial.entry
        groups.setdefault((entry.experiment, entry.scale, entry.setting), []).append(trial)
    names = sorted(groups, key=lambda key: (order.get(key[0], len(order)), *key[:2], groups[key][0].entry.task, key[2]))
    top = top or max(FEWEST_ROWS, min(MOST_ROWS, ALL_ROWS // max(1, len(groups))))
    return [_group(groups[name], metric, top) for name in names]


def reported(experiment: str) -> list[dict[str, Any]]:
    """What the experiment's paper reports, row by row: labelled, in percent, never ranked beside measured numbers."""
    if experiment not in registry.experiments():
        return []
    paper = papers.load(registry.get(experiment).paper)
    return [
        {
            "paper": paper["name"],
            "arxiv": paper["arxiv"],
            "source": table["source"],
            "model": row["model"],
            "method": row["method"],
            "arm": row.get("arm"),
            "mean_percent": row["mean"]["value"],
            "evidence": f"reported ({row['mean']['evidence']})",
        }
        for table in papers.tables_beside(paper["id"], experiment)
        if table.get("unit") == "percent"
        for row in table["rows"]
    ]


def select(trials: Sequence[Trial], experiment: str | None = None, scale: str | None = None) -> list[Trial]:
    """Those of one experiment and scale; `InputError` naming the nearest ones where there are none."""
    names = sorted({trial.entry.experiment for trial in trials})
    if experiment not in (None, *names):
        raise InputError(f"the leaderboard has no experiment {experiment!r}: {registry.suggest(experiment, names)}")
    chosen = [trial for trial in trials if experiment in (None, trial.entry.experiment)]
    scales = sorted({trial.entry.scale for trial in chosen})
    if scale not in (None, *scales):
        raise InputError(f"the leaderboard has no scale {scale!r} of it: {registry.suggest(scale, scales)}")
    return [trial for trial in chosen if scale in (None, trial.entry.scale)]


def _with_metric(trials: Sequence[Trial], metric: str) -> list[Trial]:
    name, _, only = metric.partition(":")
    metrics = sorted({m for t in trials for m in t.entry.scores.metrics if is_ranked(m)})
    sets = sorted({s for t in trials for s in t.entry.scores.sets})
    for word, known, what in ((name, metrics, "metric"), (only, ["", *sets], "set")):
        if trials and word not in known:
            raise InputError(f"the leaderboard has no {what} {word!r}: {registry.suggest(word, filter(None, known))}")
    return [trial for trial in trials if trial.entry.score(name, only) is not None]


def is_ranked(metric: str) -> bool:
    """Whether it is a share of 1 of which more is better, by its name."""
    name, _, count = metric.partition("@")
    return name in ("pass", *RULES) if count else name in RANKED


def _group(own: list[Trial], metric: str, top: int) -> Group:
    name, _, only = metric.partition(":")
    # A trial that a variant shares with the experiment as registered is there twice.
    found_arms: dict[tuple[str, str, str], dict[int, Trial]] = {}
    for trial in sorted(own, key=lambda t: (t.entry.seed, t.entry.variant or "")):
        seeds = found_arms.setdefault((trial.entry.arm, trial.evidence, trial.entry.recipe), {})
        seeds.setdefault(trial.entry.seed, trial)
    arms = {key: list(seeds.values()) for key, seeds in found_arms.items()}
    estimates = {key: fmean(t.entry.score(name, only) for t in arm) for key, arm in arms.items()}
    ordered = sorted(arms, key=lambda key: (-estimates[key], EVIDENCE.index(key[1]), key))
    rows: list[Row] = []
    shown: list[tuple[str, str, str]] = []
    scores: list[list[np.ndarray]] = []
    problems: list[str] = []
    while ordered and len(rows) < top:
        batch, ordered = ordered[: top - len(rows)], ordered[top - len(rows) :]
        evidence = read_evidence([trial for key in batch for trial in arms[key]])
        for key in batch:
            try:
                found = seed_scores(arms[key], evidence, name, only)
            except (InputError, Missing) as problem:
                problems.append(f"{key[0]} ({key[1]}) is left out: {problem}")
                continue
            display = _display(arms[key][0], evidence)
            rank = 1 + sum(estimates[one] > estimates[key] for one in shown)  # equal arms share one
            shown.append(key)
            rows.append(_row(arms[key], rank, display, found, metric))
            scores.append(found)
    first = own[0].entry
    names = {trial.entry.experiment_id for trial in own}
    experiment = first.experiment_id if len(names) == 1 else experiment_id(first.experiment, first.scale)
    return Group(
        experiment=experiment,
        scale=first.scale,
        tasks=tuple(sorted({trial.entry.task for trial in own})),
        setting=first.setting,
        metric=metric,
        rows=_with_chances(rows, scores, f"{experiment}/{first.setting}/{metric}"),
        more=len(ordered),
        problems=problems,
    )


def _row(arm: list[Trial], rank: int, display: str, scores: list[np.ndarray], metric: str) -> Row:
    entries = [trial.entry for trial in arm]
    first = entries[0]
    # The generator of the tables, so that the same records have the same interval here and there.
    interval = accuracy_interval(scores, generator(f"{accuracy_interval.__name__}/{first.arm}/{metric}"), LEVEL)
    return Row(
        rank=rank,
        experiment=first.experiment_id,
        arm=first.arm,
        display=display,
        method=first.method,
        evidence=arm[0].evidence,
        estimate=interval.estimate,
        lo=interval.lo,
        hi=interval.hi,
        p_best=None,
        seeds=tuple(entry.seed for entry in entries),
        train_seconds=_mean(entries, "train_seconds"),
        step_seconds=_mean(entries, "step_seconds"),
        predicted_peak=max((e.cost.predicted_peak for e in entries if e.cost.predicted_peak is not None), default=None),
        measured_peak=max((e.cost.measured_peak for e in entries if e.cost.measured_peak is not None), default=None),
        completions=fmean(entry.cost.completions for entry in entries),
        hardware=tuple(sorted({entry.hardware for entry in entries})),
        commits=tuple(sorted({entry.commit[:7] for entry in entries if entry.commit})),
        dirty=any(entry.dirty for entry in entries),
    )


def _with_chances(rows: list[Row], scores: list[list[np.ndarray]], label: str) -> list[Row]:
    """The rows with P(best) among those that have enough seeds; of imported rows only where there are no others.

    Records from outside must not push down what is stored or the reader's own.
    """
    kinds = {row.evidence for row in rows} - {"imported"} or {"imported"}
    places = [n for n, row in enumerate(rows) if row.evidence in kinds and len(row.seeds) >= MINIMUM_SEEDS]
    if len(places) < 2:
        return rows
    seeds = [rows[place].seeds for place in places]
    chances = chances_of_best([scores[place] for place in places], seeds, generator(f"best/{label}"))
    for place, chance in zip(places, chances, strict=True):
        rows[place] = replace(rows[place], p_best=float(chance))
    return rows


def _display(trial: Trial, evidence: dict[Place, Evidence]) -> str:
    """What the arm is called. Only the settings registered for it have its title: anybody can take its name."""
    entry = trial.entry
    known = registry.experiments().get(entry.experiment)
    title = next((arm.display for arm in known.arms if arm.id == entry.arm), None) if known else None
    if title is None or entry.variant is not None or as_registered(trial, evidence):
        return title or entry.arm
    return f"{entry.arm}, {entry.method}, other settings"


def _mean(entries: Sequence[Entry], cost: str) -> float | None:
    values = [getattr(entry.cost, cost) for entry in entries]
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
