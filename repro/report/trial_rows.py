"""The leaderboard as a flat table, one row per trial, for spreadsheets and data frames."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from repro.errors import InputError
from repro.report.boards import Trial
from repro.report.format import csv_text, write_text
from repro.store.files import write_whole

FORMATS = (".csv", ".parquet")
_FIRST = ("experiment", "scale", "variant", "task", "arm", "method", "semantics", "seed")
_LAST = ("hardware", "commit", "dirty", "pins", "finished", "setting", "recipe", "key", "record", "detail")
_COST = ("train_seconds", "step_seconds", "predicted_peak", "measured_peak", "completions")


def trial_rows(trials: Sequence[Trial]) -> tuple[list[str], list[list[Any]]]:
    """Header and rows, by experiment, arm and seed. Scores are shares in columns `<set>/<metric>`; None: not there."""
    ordered = sorted(trials, key=lambda t: (t.entry.experiment_id, t.entry.arm, t.entry.seed, t.evidence))
    tables = [trial.entry.scores for trial in ordered]
    columns = list(dict.fromkeys((name, metric) for one in tables for name in one.sets for metric in one.metrics))
    header = [*_FIRST, "evidence", *(f"{name}/{metric}" for name, metric in columns), *_COST, *_LAST]
    rows = []
    for trial in ordered:
        entry = trial.entry
        scores = [entry.score(metric, name) for name, metric in columns]
        costs = [getattr(entry.cost, name) for name in _COST]
        first, last = ([getattr(entry, name) for name in names] for names in (_FIRST, _LAST))
        rows.append([*first, trial.evidence, *scores, *costs, *last])
    return header, rows


def export(trials: Sequence[Trial], path: Path) -> Path:
    """Write the table as csv or parquet, by the ending of `path`. `InputError` for another ending, or no place."""
    header, rows = trial_rows(trials)
    if path.suffix == ".csv":
        return write_text(path, csv_text(header, rows))
    if path.suffix != ".parquet":
        raise InputError(f"{path}: the ending says the format, use one of {', '.join(FORMATS)}")
    import pandas

    frame = pandas.DataFrame(rows, columns=header)
    frame[list(_COST)] = frame[list(_COST)].astype(float)
    return write_whole(path, frame.to_parquet(index=False))
