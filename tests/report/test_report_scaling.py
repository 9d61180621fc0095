"""Test-time scaling in tables, data and the terminal: counted right, labelled, and absent where it was not measured."""

from __future__ import annotations

import csv
import io
import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from repro.report.build import compile_report
from repro.report.console import final
from repro.report.markdown import markdown
from repro.report.scaling import ArmScaling, interval, pairs, read_scaling
from repro.report.scaling_table import samples_needed
from repro.report.structure import to_json
from repro.report.summary import stand_in
from repro.report.tables import csv_rows, latex
from repro.report.verdicts import effect, is_rate, question

from . import synthetic as S
from . import synthetic_scaling as X
from .test_report_tables import pipe_rows, section


@pytest.fixture(scope="module")
def stored():
    return X.records(X.ARMS, range(3))


@pytest.fixture(scope="module")
def full(stored):
    return compile_report(X.experiment(), stored, None)


def of(stored, arm, name):
    return [r["outcomes"][name]["scaling"] for r in stored if r["arm"] == arm]


def arm_scaling(sizes, **curves) -> ArmScaling:
    """One arm with one seed and one question per curve."""
    rules = {rule: [np.array(values, dtype=float)[:, None]] for rule, values in curves.items()}
    return ArmScaling("a", "a", True, "grpo", "judge", None, False, (0,), tuple(sizes), rules, [], (), {}, (), None)


@pytest.mark.parametrize("name", X.SETS)
def test_every_cell_is_the_mean_over_seeds_and_questions_of_its_set(full, stored, name):
    header, *rows = pipe_rows(section(markdown(full), f"Accuracy against the number of samples N: {name}"))
    assert header == ["Arm", "Rule", "N=1", "N=2", "N=4", "N=8", "N=16"]
    rules = {"weighted vote": "weighted", "majority vote": "majority", "best-of-N": "best"}
    display = {X.DISPLAY.get(arm, arm): arm for arm in X.ARMS}
    for shown, rule, *cells in rows:
        arm = display[shown]
        if rule in rules:
            means = np.mean([np.mean(e["curves"][rules[rule]], axis=1) for e in of(stored, arm, name)], axis=0) / 1000
        else:
            own = [r["metrics"] for r in stored if r["arm"] == arm]
            means = [np.mean([m[f"{name}/pass@{n}"] for m in own]) for n in (1, 2, 4, 8, 16)]
        assert [float(cell) for cell in cells] == pytest.approx([100 * v for v in means], abs=0.0501)
    # All four rules of the core arms, two of the ablations.
    assert [sum(row[0] == shown for row in rows) for shown in display] == [4] * 7 + [2] * 4


def test_the_verifier_stands_beside_the_share_of_correct_samples(full, stored):
    header, *rows = pipe_rows(section(markdown(full), "The verifier"))
    table = {(row[0], row[1]): dict(zip(header, row, strict=True)) for row in rows}
    assert len(table) == len(X.ARMS) * 3
    kinds = {arm: table[X.DISPLAY.get(arm, arm), X.SETS[0]]["Verifier"] for arm in X.ARMS}
    assert kinds["base"] == kinds["grpo-n4"] == "judge" and kinds["grpo-n4-v"] == "trained"
    assert kinds["grpo-n4-v-head"] == "head"
    columns = {"Accuracy at 0.5 %": "accuracy", "Yes %": "yes_rate", "Correct %": "base_rate", "AUC %": "auc"}
    for name in X.SETS:
        entries = [e["verifier"] for e in of(stored, "loo-n4-v", name)]
        for title, key in columns.items():
            wanted = 100 * np.mean([e[key] for e in entries])
            assert float(table["LOO^V n=4", name][title]) == pytest.approx(wanted, abs=0.0501)


def test_an_auc_that_no_seed_has_is_a_dash_and_one_seed_less_does_not_hide_it():
    records = X.records(["grpo-n4"], range(2))
    first, second = (r["outcomes"][X.SETS[0]]["scaling"]["verifier"] for r in records)
    first["auc"] = first["auc_within"] = second["auc_within"] = None
    row = pipe_rows(section(markdown(compile_report(X.experiment(), records, None)), "The verifier"))[1]
    assert row[6:8] == [f"{100 * second['auc']:.1f}", "–"]


def test_votes_without_any_answer_are_shown_at_both_ends(full, stored):
    header, *rows = pipe_rows(section(markdown(full), "Votes without any parsed answer"))
    assert header[1:3] == ["in-distribution, N=1", "in-distribution, N=16"] and len(rows) == len(X.ARMS)
    wanted = 100 * np.mean([e["none"]["majority"][0] for e in of(stored, "base", "in-distribution")])
    assert float(rows[0][1]) == pytest.approx(wanted, abs=0.0501) and float(rows[0][1]) > 0


def test_samples_needed_is_read_off_the_two_curves():
    base = arm_scaling([1, 2, 4], majority=[0.4, 0.5, 0.6])
    found = samples_needed(base, arm_scaling([1, 2, 4], weighted=[0.5, 0.6, 0.7]))
    assert found == pytest.approx({"target": 0.6, "base_samples": 4, "samples": 2, "factor": 2})
    short = samples_needed(base, arm_scaling([1, 2, 4], weighted=[0.1, 0.2, 0.3]))
    assert short["samples"] is None and short["factor"] == 1  # the true factor is below 4 / 4
    assert samples_needed(base, arm_scaling([1, 2], weighted=[0.5, 0.6])) is None


def test_samples_needed_has_a_row_per_pair_and_set_and_says_when_the_pool_ends_first(stored):
    records = [r for r in stored if r["arm"] in X.CORE]
    rows = pipe_rows(section(markdown(compile_report(X.experiment(), records, None)), "Samples needed"))[1:]
    assert [(row[0], row[1]) for row in rows] == [(X.DISPLAY[a], n) for n in X.SETS for a in X.CORE[1::2]]
    weak = X.records(["grpo-n4", "grpo-n4-v"], [0])
    for rule in weak[1]["outcomes"][X.SETS[0]]["scaling"]["curves"].values():
        rule[:] = [[0] * len(row) for row in rule]
    row = pipe_rows(section(markdown(compile_report(X.experiment(), weak, None)), "Samples needed"))[1]
    assert row[4] == "> 16" and re.fullmatch(r"below \d\.\d\dx", row[5])


def test_the_measured_table_has_the_votes_at_the_largest_pool_in_percent(full):
    header, *rows = pipe_rows(section(markdown(full), "Measured by this suite"))
    for wanted in ("majority@16 %", "best@16 %", "weighted@16 %", "Verifier accuracy %", "Verifier AUC %"):
        assert header.count(wanted) == 1
    assert "majority@64 %" not in header and "Greedy %" not in header
    shown = dict(zip(header, rows[2], strict=True))
    wanted = np.mean([full.rows[2].sets[name]["weighted@16"] for name in X.SETS])
    assert shown["Arm"] == "GRPO^V n=4" and float(shown["weighted@16 %"]) == pytest.approx(100 * wanted, abs=0.0501)
    sets = pipe_rows(section(markdown(full), "Each set"))
    assert sets[0][1:4] == [f"in-distribution {what} %" for what in ("Avg@n", "majority@16", "weighted@16")]
    assert sets[3][3] == f"{100 * full.rows[2].sets['in-distribution']['weighted@16']:.1f}"
    assert "Verifier accuracy" in latex(full)


def test_a_vote_at_a_size_that_no_pool_has_stands_for_the_largest_one():
    names = ["accuracy", "majority@2", "majority@16", "majority@4", "best@2"]
    assert stand_in(names, "majority@64") == "majority@16" and stand_in(names, "majority@4") == "majority@4"
    assert stand_in(names, "weighted@64") == "weighted@64" and stand_in(names, "accuracy") == "accuracy"


def test_csv_keeps_the_sizes_in_order_and_in_full_precision(full):
    rows = list(csv.DictReader(io.StringIO(csv_rows(full))))
    names = [name for name in rows[0] if re.fullmatch(r"majority@\d+", name)]
    assert names == [f"majority@{n}" for n in (1, 2, 4, 8, 16)]
    assert float(rows[2]["easy-to-hard/weighted@8"]) == full.rows[2].sets["easy-to-hard"]["weighted@8"]


def test_json_has_the_curves_and_only_where_they_were_measured(full, stored):
    data = json.loads(json.dumps(to_json(full), allow_nan=False))["scaling"]
    assert list(data) == list(X.SETS) and list(data[X.SETS[0]]) == list(X.ARMS)
    one = data["easy-to-hard"]["grpo-n4-v"]
    means = np.mean([np.mean(e["curves"]["best"], axis=1) for e in of(stored, "grpo-n4-v", "easy-to-hard")], axis=0)
    assert one["best"] == pytest.approx(means / 1000, abs=1e-12) and one["verifier"]["kind"] == "trained"
    assert one["verifier"]["lambda"] == 0.1 and set(one["samples_needed"]) >= {"target", "factor"}
    plain = compile_report(S.experiment(), S.records(seeds=[0]), None)
    assert "scaling" not in to_json(plain) and "Test-time scaling" not in markdown(plain) and plain.scaling == {}


def test_bins_of_all_seeds_count_as_often_as_they_have_samples():
    records = X.records(["grpo-n4"], range(2))
    for record, row in zip(records, ([3, 0.1, 0.0], [1, 0.5, 1.0]), strict=True):
        record["outcomes"][X.SETS[0]]["scaling"]["verifier"]["calibration"] = [row, [0, None, None]]
    found = read_scaling(X.experiment(), records, X.SETS)[X.SETS[0]]["grpo-n4"].calibration
    assert found[0] == pytest.approx((4, 0.2, 0.25)) and found[1] == (0, None, None)


def test_intervals_hold_the_mean_and_need_like_questions():
    rng = np.random.default_rng(1)
    seeds = [rng.random(40) for _ in range(5)]
    lo, hi = interval(seeds)
    assert lo < np.mean(seeds) < hi
    assert interval([seeds[0], seeds[1][:30]]) == (None, None)


def test_budgets_of_unlike_seeds_are_left_out():
    records = X.records(["grpo-n4"], range(2))
    assert read_scaling(X.experiment(), records, X.SETS[:1])[X.SETS[0]]["grpo-n4"].budgets.tokens == X.BUDGETS
    records[1]["outcomes"][X.SETS[0]]["scaling"]["budgets"] = None
    assert read_scaling(X.experiment(), records, X.SETS[:1])[X.SETS[0]]["grpo-n4"].budgets is None


def test_pairs_are_a_method_and_its_verifying_form():
    found = [(a.id, b.id) for a, b in pairs(X.experiment())]
    assert found == [(arm, f"{arm}-v") for arm in ("grpo-n4", "loo-n4", "vineppo-n4")]
    assert pairs(S.experiment()) == []


def test_a_smoke_run_with_a_pool_of_two_and_an_incomplete_one_are_reported():
    records = X.records(["base", "grpo-n4-v"], [0], sets=X.SETS[:1], questions=4, pool=2, scale="smoke")
    text = markdown(compile_report(X.experiment(), records, None, "@smoke"))
    assert "| GRPO^V n=4 | weighted vote |" in text and "majority@2 %" in text and "Samples needed" not in text
    failed = S.failed("grpo-n4", 0) | {"metrics": {}, "outcomes": {}}
    text = markdown(compile_report(X.experiment(), [*X.records(["grpo-n4-v"], [0]), failed], None))
    assert "failed at step 7" in text and "| GRPO n=4 | weighted vote |" not in text


def test_the_terminal_view_fits_120_columns_with_one_line_per_arm(stored):
    records = [r for r in stored if r["arm"] in X.CORE]
    found = compile_report(X.experiment(), records, None)
    console = Console(width=120, record=True, file=open("/dev/null", "w"))
    console.print(final(found))
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= 120
    for row in found.rows:
        line = next(line for line in lines if line.strip().startswith(row.display + " "))
        for rate in ("majority@16", "weighted@16", "verifier_accuracy"):
            assert f"{100 * row.metrics[rate]:.1f}" in line.split()


def claim(metric, against_metric=None, contrast="difference", margin=0.0, better="higher"):
    kind = "direction" if contrast == "difference" else "threshold"
    return SimpleNamespace(kind=kind, metric=metric, against_metric=against_metric, arm="grpo-n4-v", against="grpo-n4",
                           contrast=contrast, better=better, margin=margin)  # fmt: skip


@pytest.mark.parametrize(
    ("tested", "words"),
    [
        (claim("weighted@64:easy-to-hard"), "weighted@64, easy-to-hard: (GRPO^V n=4) - (GRPO n=4) > 0.00 points"),
        (
            claim("weighted@64", "majority@64"),
            "weighted@64 of (GRPO^V n=4) - majority@64 of (GRPO n=4) > 0.00 points",
        ),
        (
            claim("joint@64", "joint_majority@64", "ratio", 1.2),
            "joint@64 of (GRPO^V n=4) / joint majority@64 of (GRPO n=4) > 1.20",
        ),
        (
            claim("weighted@efficiency:in-distribution", "majority@efficiency:in-distribution", "ratio", 8.0),
            "samples for equal accuracy, in-distribution: (GRPO n=4) by majority / (GRPO^V n=4) by weighted > 8.00",
        ),
        (
            claim("accuracy", "verifier_auc", better="lower"),
            "verifier auc of (GRPO n=4) - accuracy of (GRPO^V n=4) > 0.00 points",
        ),
    ],
)
def test_what_is_tested_names_both_metrics_where_they_differ(tested, words):
    assert question(tested, X.DISPLAY) == words


def test_effects_on_votes_and_verdicts_are_points_and_efficiency_is_a_factor():
    for metric in ("majority@64", "weighted@8:easy-to-hard", "best@2", "joint@64", "verifier_accuracy", "verifier_auc"):
        assert is_rate(metric)
        result = SimpleNamespace(estimate=0.05, lo=0.01, hi=0.09)
        assert effect(claim(metric), result) == "+5.00 points [+1.00, +9.00]"
    assert not is_rate("weighted@efficiency:in-distribution") and not is_rate("last_reward")
    factor = claim("weighted@efficiency", "majority@efficiency", "ratio", 8.0)
    assert effect(factor, SimpleNamespace(estimate=16.0, lo=8.5, hi=20.0)) == "16.00x [8.50, 20.00]"
