"""pass@k and majority voting in the report: numbers equal those computed by hand, and gaps in the records show."""

from __future__ import annotations

import csv
import io
from math import comb
from statistics import fmean

import numpy as np
import pytest

from repro.report.build import compile_report
from repro.report.markdown import markdown, measured_columns
from repro.report.passk import marked, read_passk
from repro.report.passk_figures import k_families
from repro.report.passk_table import passk_csv, passk_json, passk_latex, passk_section
from repro.report.structure import to_json

from . import synthetic as S
from . import synthetic_passk as X


@pytest.fixture(scope="module")
def stored():
    return X.records(X.KINDS)


@pytest.fixture(scope="module")
def found(stored):
    return compile_report(X.experiment(), stored, None)


def by_hand(records, arm: str, k: int, level: str | None = None) -> float:
    """pass@k by counting letters, mean over questions and then over seeds."""
    seeds = []
    for record in (r for r in records if r["arm"] == arm):
        entry = record["outcomes"]["test"]
        values = [
            1 - comb(len(row) - row.count("c"), k) / comb(len(row), k)
            for row, at in zip(entry["samples"], entry["levels"], strict=True)
            if level in (None, at)
        ]
        seeds.append(fmean(values))
    return fmean(seeds)


def section(text: str, heading: str) -> dict[str, list[str]]:
    """First cell -> the other cells of the table under a heading."""
    block = text.split(f"### {heading}\n")[1].lstrip("\n").split("\n\n")[0]
    rows = [[c.strip() for c in line.strip("|").split("|")] for line in block.splitlines()]
    return {row[0]: row[1:] for row in rows if row[0] != "---"}


def test_one_panel_per_task_with_displays_less_the_task(found):
    assert [(p.task, p.title, p.set) for p in found.passk] == [
        ("multiply", "Maths (multiply)", "test"),
        ("synthesis", "Code (synthesis)", "test"),
    ]
    for panel in found.passk:
        assert [one.arm.display for one in panel.core] == [X.KINDS[kind][0] for kind in X.CORE]
        assert panel.base.method["name"] == "none" and panel.marked == (1, 8, 16) and panel.sizes == X.SIZES


def test_rates_are_those_counted_by_hand(found, stored):
    table = section(markdown(found), "Code (synthesis): pass@k and votes, %")
    assert table["Arm"] == [*[f"pass@{k}" for k in X.SIZES], "majority@8", "majority@16", "Base ahead from k"]
    for kind, (display, *_) in X.KINDS.items():
        wanted = [f"{100 * by_hand(stored, f'code-{kind}', k):.1f}" for k in X.SIZES]
        assert table[display][: len(X.SIZES)] == wanted
        votes = [r["outcomes"]["test"]["vote"]["majority"][3] for r in stored if r["arm"] == f"code-{kind}"]
        assert table[display][len(X.SIZES)] == f"{np.mean(votes) / 10:.1f}"


def test_the_base_is_ahead_from_the_k_from_which_on_its_curve_is_above(found, stored):
    table = section(markdown(found), "Maths (multiply): pass@k and votes, %")
    seen = set()
    for kind, (display, *_) in X.KINDS.items():
        ahead = [by_hand(stored, "math-base", k) > by_hand(stored, f"math-{kind}", k) for k in X.SIZES]
        wanted = next((str(k) for i, k in enumerate(X.SIZES) if all(ahead[i:])), "–")
        assert table[display][-1] == wanted
        seen.add(wanted)
    assert len(seen) > 2 and table["base model"][-1] == "–"


def test_levels_are_those_counted_by_hand(found, stored):
    table = section(markdown(found), "Maths (multiply): by level, %")
    levels = X.TASKS["math"][2]
    assert table["Arm"] == [f"{level}, pass@{k}" for level in levels for k in (1, 8)]
    for kind, (display, *_) in X.KINDS.items():
        wanted = [f"{100 * by_hand(stored, f'math-{kind}', k, level):.1f}" for level in levels for k in (1, 8)]
        assert table[display] == wanted


def test_changes_are_differences_with_intervals_around_them(found, stored):
    table = section(markdown(found), "Maths (multiply): change against the base, points (95 %)")
    assert table["Arm"] == ["pass@1", "pass@8", "pass@16", "majority@8"] and "base model" not in table
    for kind in ("mean", "pass"):
        for cell, k in zip(table[X.KINDS[kind][0]], (1, 8, 16), strict=False):
            wanted = 100 * (by_hand(stored, f"math-{kind}", k) - by_hand(stored, "math-base", k))
            assert cell.split()[0] == f"{wanted:+.1f}"
    for estimate, lo, hi in found.passk[0].changes["math-pass"].values():
        assert lo < estimate < hi


def test_signal_is_counted_in_the_first_and_last_tenth(found, stored):
    table = section(markdown(found), "Maths (multiply): groups with signal, %")
    own = [r["health"] for r in stored if r["arm"] == "math-pass"]
    cells = []
    for level in X.TASKS["math"][2]:
        ends = []
        for part in (slice(0, 4), slice(-4, None)):  # of 40 steps
            rows = [point["signal_by_level"][level] for health in own for point in health[part]]
            ends.append(f"{100 * sum(a for a, _ in rows) / sum(n for _, n in rows):.1f}")
        cells.append(" / ".join(ends))
    assert table["pass@8"][1:] == cells
    rate = by_hand(stored, "math-base", 1, "2x1")
    assert table["base model: solve rate"][1] == f"{100 * rate:.1f}"


def test_expected_signal_is_the_chance_over_subsets_of_the_pool(found, stored):
    panel = found.passk[0]
    wanted = {"pass": [], "mean": []}
    for record in (r for r in stored if r["arm"] == "math-base"):
        counts = [row.count("c") for row in record["outcomes"]["test"]["samples"]]
        n, k = X.POOL, 8
        wanted["pass"].append(fmean(c * comb(n - c, k - 1) / comb(n, k) for c in counts))
        wanted["mean"].append(fmean(1 - (comb(c, k) + comb(n - c, k)) / comb(n, k) for c in counts))
    for kind in wanted:
        assert panel.expected(panel.arms[f"math-{kind}"]) == pytest.approx(fmean(wanted[kind]))
    for kind in ("majority", "pass-naive", "pkpo-k4", "base"):
        assert panel.expected(panel.arms[f"math-{kind}"]) is None


def test_expected_signal_has_no_bias_against_the_formula():
    """k p (1 - p)^(k-1), for a pool of n samples of one question with solve rate p."""
    from repro.report.passk import _signal

    n, k, p = 16, 8, 0.2
    weight = [comb(n, c) * p**c * (1 - p) ** (n - c) for c in range(n + 1)]
    for objective, exact in (("pass", k * p * (1 - p) ** (k - 1)), ("mean", 1 - p**k - (1 - p) ** k)):
        assert sum(w * _signal(objective, n, c, k) for c, w in enumerate(weight)) == pytest.approx(exact)


def test_csv_and_json_hold_the_same_numbers_in_full(found, stored):
    rows = list(csv.DictReader(io.StringIO(passk_csv(found.passk))))
    value = {(r["arm"], r["level"], r["metric"]): float(r["value"]) for r in rows}
    assert value["math-mean", "all", "pass@4"] == pytest.approx(by_hand(stored, "math-mean", 4), abs=1e-12)
    assert value["code-mean", "op2", "pass@16"] == pytest.approx(by_hand(stored, "code-mean", 16, "op2"), abs=1e-12)
    assert len(value) == len(rows) and {"change_of_pass@1", "signal_expected", "majority@16"} <= {m for *_, m in value}
    data = to_json(found)["passk"]
    numbers = data[0]["arms"]["math-mean"]["numbers"]
    assert value["math-mean", "all", "pass@4"] == next(
        n["value"] for n in numbers if (n["level"], n["metric"]) == ("all", "pass@4")
    )
    assert data[0]["arms"]["math-mean"]["base_ahead_from_k"] == value["math-mean", "all", "base_ahead_from_k"]


def test_latex_has_both_tasks(found):
    text = passk_latex(found.passk, found.title, "table4_passk")
    assert text.count("\\addlinespace") == 1 and "Maths (multiply) & base model" in text and "?" not in text


def test_arms_that_differ_in_k_only_are_found_from_their_settings(found):
    families = k_families(found.passk[0])
    assert {name: [one.k for one in arms] for name, arms in families.items()} == {"math-pass": [2, 4, 8]}


def test_another_budget_or_clip_is_no_ablation_of_k(stored):
    records = X.records(("base", "pass", "pass-k4"), range(2), tasks=("math",))
    experiment = X.experiment()
    assert k_families(read_passk(experiment, records, ["test"])[0])
    for part, change in (("train", {"steps": 80}), ("method", {"clip": True})):
        changed = X.records(("base", "pass", "pass-k4"), range(2), tasks=("math",))
        for record in changed:
            if record["arm"] == "math-pass-k4":
                record["config"][part] |= change
        assert k_families(read_passk(experiment, changed, ["test"])[0]) == {}


def test_the_main_table_has_the_pass_rates_that_the_experiment_asks_for(found):
    header, _ = measured_columns(found)
    assert [name for name in header if "@" in name] == ["pass@4 %", "pass@16 %", "majority@8 %"]
    plain = compile_report(X.experiment(metrics=("accuracy", "pass@64")), X.records(("base",), [0]), None)
    assert [name for name in measured_columns(plain)[0] if "@" in name] == ["pass@16 %"]


def test_settings_name_every_task_and_base():
    records = X.records(("base", "mean"), [0])
    for record in records:
        if record["arm"].startswith("code"):
            record["base"] = {"pass@1_rl": 0.2, "pass@1_test": 0.21}
            record["config"]["train"]["steps"] = 30 if record["arm"] == "code-mean" else 0
    found = compile_report(X.experiment(), records, None).setting
    assert found["Task"] == "Maths (multiply); Code (synthesis)"
    micro = "micro model trained from scratch by this suite (sampled pass@1"
    assert found["Base model"] == (
        f"Maths: {micro} 38.0 % on RL, 39.0 % on test prompts); Code: {micro} 20.0 % on RL, 21.0 % on test prompts)"
    )
    assert found["Evaluation"] == "test: 24 questions x 16 samples"
    assert found["Training steps"] == "Maths: 40; Code: 30"


def test_other_experiments_have_no_section():
    found = compile_report(S.experiment(), S.records(), None)
    assert found.passk == [] and "majority voting" not in markdown(found) and "passk" not in to_json(found)
    assert found.setting["Task"] == "chain"


def gaps():
    one = X.records(X.CORE, [0])
    failed = [
        X.failed(r["arm"], 1) if r["arm"] == "math-pass" and r["seed"] == 1 else r for r in X.records(X.CORE, [0, 1])
    ]
    bare = X.records(("base", "mean", "pass"), [0])
    for record in bare:
        del record["outcomes"]["test"]["vote"]
        record["outcomes"]["test"]["levels"] = [""] * X.QUESTIONS
        record["curve"] = []
        for point in record["health"]:
            del point["signal_by_level"]
    return {
        "one seed": one,
        "missing arm": [r for r in one if r["arm"] != "math-pass"],
        "no base": [r for r in one if not r["arm"].endswith("base")],
        "one task": [r for r in one if r["arm"].startswith("math")],
        "only the base of one task": [r for r in one if r["arm"].startswith("math") or r["arm"] == "code-base"],
        "failed trial": failed,
        "neither votes nor levels nor curves": bare,
        "pool below k": X.records(X.CORE, [0], pool=4, questions=6),
        "a single sample": X.records(X.CORE, [0], pool=1, questions=6),
        "other sizes": [*X.records(("base", "mean"), [0]), *X.records(("pass",), [0], pool=4)],
        "nothing done": [X.failed("math-pass", 0)],
        "nothing": [],
        "no outcomes": [r | {"outcomes": {}, "metrics": {}} for r in X.records(("mean", "pass"), [0])],
    }


@pytest.mark.parametrize("case", gaps())
def test_gaps_in_the_records_leave_a_report(case):
    records = gaps()[case]
    panels = read_passk(X.experiment(), records, ["test"])
    assert bool(panels) == (not case.startswith(("nothing", "no outcomes")))
    assert bool(passk_section(panels)) == bool(panels) == bool(passk_json(panels))
    if panels:
        assert len(passk_csv(panels).splitlines()) > 10
        assert passk_latex(panels, "t", "n").endswith("\\end{table*}\n")
    if case == "only the base of one task":
        assert [p.task for p in panels] == ["multiply"]
    if case == "failed trial":
        assert panels[0].arms["math-pass"].seeds == (0,) and panels[0].arms["math-mean"].seeds == (0, 1)
        assert panels[0].gaps(panels[0].arms["math-pass"], 8)


def test_a_failed_trial_shows_in_the_whole_report():
    text = markdown(compile_report(X.experiment(), gaps()["failed trial"], None))
    assert "incomplete, 1 of 2 seeds" in text and "majority voting" in text


def test_marked_falls_back_on_what_all_pools_hold():
    (panel,) = read_passk(
        X.experiment(), X.records(("base", "pass"), [0], tasks=("math",), pool=4, questions=6), ["test"]
    )
    assert panel.marked == (1, 4) == marked(panel.arms.values())
    assert list(panel.changes["math-pass"]) == ["pass@1", "pass@4", "majority@4"]
