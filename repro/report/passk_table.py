"""pass@k and majority voting as Markdown, CSV, LaTeX and plain data.

Rates are printed in percent, changes in points. Everything is a mean over seeds of one task's questions.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from repro.report.format import MISSING, csv_text, markdown_table, percent, signed
from repro.report.latex import latex_table
from repro.report.passk import ALL, ArmPass, Panel

NOTES = (
    "pass@k: chance that one of k samples is right, without bias from the samples of a question, mean over questions "
    "and seeds. majority@N: chance that the most frequent of N answers is right. Base ahead from k: the smallest k "
    "from which on the mean pass@k of the base is above the arm's, up to the largest; a dash where the base ends "
    "behind. It is read off the means: whether a difference is more than noise, the changes say."
)
SIGNAL_NOTE = (
    "Signal: share of groups whose samples have an advantage other than 0, all seeds together: first tenth of the "
    "steps / last tenth. Expected: what the base's samples on these questions give, as the mean over questions of the "
    "chance at the question's own solve rate p, for pass@k (exactly one of k is right) k p (1 - p)^(k-1), for the mean "
    "(not all k are alike) 1 - p^k - (1 - p)^k. Training prompts are others than these questions, of the same levels."
)
VOTES = (8, 64)


def passk_section(panels: Sequence[Panel]) -> list[str]:
    """Blocks of Markdown under one heading; [] if nothing of this kind was measured."""
    if not panels:
        return []
    parts = ["## pass@k and majority voting\n", NOTES + "\n"]
    for panel in panels:
        parts += [f"### {panel.title}: pass@k and votes, %\n", markdown_table(*_rates(panel))]
        if any(panel.changes.values()):
            parts += [f"### {panel.title}: change against the base, points (95 %)\n", markdown_table(*_changes(panel))]
        if panel.levels:
            parts += [f"### {panel.title}: by level, %\n", markdown_table(*_levels(panel))]
        if any(one.signal for one in panel.arms.values()):
            parts += [f"### {panel.title}: groups with signal, %\n", markdown_table(*_signal(panel))]
    if any(one.signal for panel in panels for one in panel.arms.values()):
        parts.append(SIGNAL_NOTE + "\n")
    return parts


def _votes(panel: Panel) -> list[int]:
    """N of the vote columns: those of VOTES, what the arms train for, and the largest, as far as they were measured."""
    known = sorted({n for one in panel.arms.values() for n in one.majority})
    wanted = {n for n in (*VOTES, *panel.marked[1:2]) if n in known}
    return sorted(wanted | set(known[-1:]))


def _rates(panel: Panel) -> tuple[list[str], list[list[str]]]:
    votes = _votes(panel)
    header = ["Arm", *[f"pass@{k}" for k in panel.sizes], *[f"majority@{n}" for n in votes], "Base ahead from k"]
    cells = []
    for one in panel.arms.values():
        rates = [percent(_mean(one.pass_at(k))) for k in panel.sizes]
        behind = panel.crossing(one)
        cells.append(
            [
                one.arm.display,
                *rates,
                *[percent(one.majority_at(n)) for n in votes],
                MISSING if behind is None else str(behind),
            ]
        )
    return header, cells


def _changes(panel: Panel) -> tuple[list[str], list[list[str]]]:
    metrics = list(dict.fromkeys(m for found in panel.changes.values() for m in found))
    cells = []
    for arm, found in panel.changes.items():
        texts = [_change(*found.get(m, (None, None, None))) for m in metrics]
        cells.append([panel.arms[arm].arm.display, *texts])
    return ["Arm", *metrics], cells


def _change(value: float | None, lo: float | None, hi: float | None) -> str:
    if value is None:
        return MISSING
    text = signed(100 * value, 1)
    return text if lo is None or hi is None else f"{text} [{signed(100 * lo, 1)}, {signed(100 * hi, 1)}]"


def _levels(panel: Panel) -> tuple[list[str], list[list[str]]]:
    columns = [(level, k) for level in panel.levels for k in panel.marked[:2]]
    cells = [
        [one.arm.display, *[percent(_mean(one.pass_at(k, level))) for level, k in columns]]
        for one in panel.arms.values()
    ]
    return ["Arm", *[f"{level}, pass@{k}" for level, k in columns]], cells


def _signal(panel: Panel) -> tuple[list[str], list[list[str]]]:
    levels = [ALL, *panel.levels]
    cells = []
    if panel.base is not None:
        rates = [percent(_mean(panel.base.pass_at(1, level))) for level in levels]
        cells.append([f"{panel.base.arm.display}: solve rate", *rates])
    for one in _unlike(panel):
        name = f"pass@{one.k}" if one.objective == "pass" else f"{one.objective}, k={one.k}"
        cells.append([f"expected for {name}", *[percent(panel.expected(one, level)) for level in levels]])
    for one in panel.arms.values():
        if one.signal:
            ends = [one.signal.get(level, (None, None)) for level in levels]
            cells.append([one.arm.display, *[f"{percent(first)} / {percent(last)}" for first, last in ends]])
    return ["Arm", "all levels" if panel.levels else "all", *panel.levels], cells


def _unlike(panel: Panel) -> list[ArmPass]:
    """One core arm for every objective and k with a formula."""
    known = [one for one in panel.trained if panel.expected(one) is not None]
    return list({(one.objective, one.k): one for one in reversed(known)}.values())[::-1]


def _mean(values: Sequence[float] | None) -> float | None:
    return None if values is None else fmean(values)


def _numbers(panel: Panel, one: ArmPass) -> list[tuple[str, str, float | None, float | None, float | None]]:
    """Level, metric, value, and the ends of the 95 % interval where there is one; fractions."""
    rows = [(ALL, f"pass@{k}", _mean(one.pass_at(k)), None, None) for k in one.passes]
    rows += [(ALL, f"majority@{n}", one.majority_at(n), None, None) for n in one.majority]
    rows += [(ALL, f"change_of_{m}", *found) for m, found in panel.changes.get(one.arm.id, {}).items()]
    rows += [
        (level, f"pass@{k}", _mean(one.pass_at(k, level)), None, None) for level in panel.levels for k in one.passes
    ]
    for level in one.signal:
        both = (*one.signal[level], panel.expected(one, level))
        names = ("signal_first_tenth", "signal_last_tenth", "signal_expected")
        rows += [(level, name, value, None, None) for name, value in zip(names, both, strict=True)]
    return [row for row in rows if row[2] is not None]


def passk_csv(panels: Sequence[Panel]) -> str:
    """One number a row, full precision, fractions; `base_ahead_from_k` is a k."""
    header = ["task", "set", "arm", "method", "training_k", "seeds", "level", "metric", "value", "lo", "hi"]
    rows: list[list[Any]] = []
    for panel in panels:
        for one in panel.arms.values():
            who = [panel.task, panel.set, one.arm.id, one.method["name"], one.k, " ".join(map(str, one.seeds))]
            rows += [[*who, *numbers] for numbers in _numbers(panel, one)]
            if (behind := panel.crossing(one)) is not None:
                rows.append([*who, ALL, "base_ahead_from_k", behind, None, None])
    return csv_text(header, rows)


def passk_latex(panels: Sequence[Panel], title: str, name: str) -> str:
    """The rates of every panel under one another; columns that a panel lacks hold dashes."""
    tables = [_rates(panel) for panel in panels]
    last = tables[0][0][-1]
    columns = list(dict.fromkeys(c for header, _ in tables for c in header[1:-1]))
    columns = sorted(columns, key=lambda c: (c.startswith("majority"), int(c.partition("@")[2])))
    rows = []
    for panel, (header, cells) in zip(panels, tables, strict=True):
        for line in cells:
            known = dict(zip(header, line, strict=True))
            rows.append([panel.title, line[0], *[known.get(c, MISSING) for c in [*columns, last]]])
    caption = f"{title}. pass@k and majority voting, percent, means over seeds."
    return latex_table(["Task", "Arm", *columns, last], rows, caption, name, 2)


def passk_json(panels: Sequence[Panel]) -> list[dict[str, Any]]:
    """The same as data: a list of panels, each with its arms' numbers; fractions in full precision."""
    out = []
    for panel in panels:
        arms = {
            one.arm.id: {
                "training_k": one.k,
                "base_ahead_from_k": panel.crossing(one),
                "numbers": [
                    {"level": level, "metric": metric, "value": value, "lo": lo, "hi": hi}
                    for level, metric, value, lo, hi in _numbers(panel, one)
                ],
            }
            for one in panel.arms.values()
        }
        out.append({"task": panel.task, "set": panel.set, "arms": arms})
    return out
