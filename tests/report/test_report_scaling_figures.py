"""The figures of test-time scaling: a CSV that holds what is drawn, one hue per pair, and nothing without data."""

from __future__ import annotations

import csv

import pytest
from matplotlib.text import Text

from repro.report import build, style
from repro.report.build import compile_report, report
from repro.report.scaling_figures import LINES, budget_curves, scaling_curves
from repro.report.verifier_figures import calibration_plot, lambda_sweep

from . import synthetic_scaling as X

FIGURES = ("scaling", "lambda", "calibration", "budgets")


@pytest.fixture(scope="module")
def stored():
    return X.records(X.ARMS, range(3))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory, stored):
    """The folder of a full report's figures, and the matplotlib objects they were saved from."""
    root, figures = tmp_path_factory.mktemp("report"), {}
    original = style.save

    def keep(figure, stem):
        figures[stem.name.split("_")[-1]] = figure
        return original(figure, stem)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(style, "save", keep)
        report(X.experiment(), stored, None, root)
    return root / "figures", figures


def rows(folder, name: str) -> list[dict]:
    with open(folder / f"table1_{name}.csv", newline="") as stream:
        return list(csv.DictReader(stream))


def lines(figure) -> list[tuple[list[float], list[float]]]:
    drawn = [line for axis in figure.axes for line in axis.lines]
    return [(list(map(float, line.get_xdata())), list(map(float, line.get_ydata()))) for line in drawn]


def series(table: list[dict], keys, x: str, y: str) -> list[tuple[list[float], list[float]]]:
    found: dict[tuple, tuple[list[float], list[float]]] = {}
    for r in table:
        one = found.setdefault(tuple(r[k] for k in keys), ([], []))
        one[0].append(float(r[x]))
        one[1].append(float(r[y]))
    return list(found.values())


def test_each_figure_has_png_svg_and_csv(drawn):
    folder, figures = drawn
    assert {f"table1_{n}.{s}" for n in FIGURES for s in ("png", "svg", "csv")} <= {p.name for p in folder.iterdir()}
    for name in FIGURES:
        assert figures[name].get_figwidth() == style.PAGE
        texts = [t for t in figures[name].findobj(Text) if t.get_text().strip()]
        assert min(t.get_fontsize() for t in texts) >= style.SMALLEST_FONT


def test_scaling_csv_is_what_the_lines_show(drawn):
    folder, figures = drawn
    table = rows(folder, "scaling")
    assert lines(figures["scaling"]) == series(table, ("set", "arm", "rule"), "n", "accuracy_percent")
    assert len(lines(figures["scaling"])) == 3 * 3 * len(LINES)
    for r in table:
        banded = (r["rule"], r["arm"].endswith("-v")) in (("majority", False), ("weighted", True))
        assert bool(r["lo_percent"]) == banded == bool(r["hi_percent"])
        if banded:
            assert float(r["lo_percent"]) <= float(r["accuracy_percent"]) <= float(r["hi_percent"])
    bands = [c for axis in figures["scaling"].axes for c in axis.collections]
    assert len(bands) == 2 * 9


def test_budget_csv_is_what_the_lines_show(drawn):
    folder, figures = drawn
    table = rows(folder, "budgets")
    fixed = [r for r in table if r["rule"] != "early"]
    early = [r for r in table if r["rule"] == "early"]
    wanted = series(fixed, ("set", "arm", "budget_tokens"), "n", "accuracy_percent")
    wanted += series(early, ("set", "arm"), "mean_tokens", "accuracy_percent")
    assert sorted(lines(figures["budgets"])) == sorted(wanted)
    assert {(r["arm"], r["rule"]) for r in fixed} == {("grpo-n4", "majority"), ("grpo-n4-v", "weighted")}
    assert {r["arm"] for r in early} == set(X.CORE) - {"base"}


def test_lambda_runs_from_the_base_method_over_the_unbalanced_policies(drawn):
    folder, figures = drawn
    table = rows(folder, "lambda")
    wanted = {"0.0": "grpo-n4", "0.05": "grpo-n4-v-lam0.05", "0.1": "grpo-n4-v", "1.0": "grpo-n4-v-lam1"}
    assert {r["lambda"]: r["arm"] for r in table} == wanted
    shown = [y for _, y in lines(figures["lambda"])]
    assert shown == [y for _, y in series(table, ("what", "set"), "lambda", "percent")] and len(shown) == 9
    axis = figures["lambda"].axes[0]
    assert [t.get_text() for t in axis.get_xticklabels()] == ["0", "0.05", "0.1", "1"]
    places = lines(figures["lambda"])[0][0]
    assert places == sorted(places) and places[3] - places[2] == pytest.approx(1)  # a decade


def test_calibration_csv_is_what_the_marks_show(drawn, stored):
    folder, figures = drawn
    table = rows(folder, "calibration")
    curves = [one for one in lines(figures["calibration"]) if one[0] != [0.0, 100.0]]  # without the diagonals
    assert curves == series(table, ("set", "arm"), "mean_p_yes_percent", "correct_percent")
    samples = sum(int(r["samples"]) for r in table if (r["set"], r["arm"]) == (X.SETS[0], "loo-n4"))
    assert samples == 3 * 12 * 16


def test_a_method_and_its_verifying_form_share_a_hue_and_differ_in_line():
    looks = style.arm_style(X.experiment())
    hues = set()
    for base in ("grpo-n4", "loo-n4", "vineppo-n4"):
        assert looks[base]["color"] == looks[f"{base}-v"]["color"]
        assert (looks[base]["linestyle"], looks[f"{base}-v"]["linestyle"]) == ("--", "-")
        hues.add(looks[base]["color"])
    assert len(hues) == 3 and looks["base"]["color"] not in hues


@pytest.mark.slow
def test_bytes_depend_on_the_records_alone(drawn, stored, tmp_path):
    folder, _ = drawn
    report(X.experiment(), stored[::-1], None, tmp_path)
    for name in FIGURES:
        for suffix in ("png", "svg", "csv"):
            file = f"table1_{name}.{suffix}"
            assert (folder / file).read_bytes() == (tmp_path / "figures" / file).read_bytes(), file


@pytest.mark.parametrize(
    ("arms", "wanted"),
    [
        (["base"], set()),
        (["grpo-n4-v-head"], set()),
        (["grpo-n4"], {"scaling", "calibration", "budgets"}),
        (["grpo-n4-v", "grpo-n4-v-lam1"], {"scaling", "calibration", "budgets"}),  # no lambda 0, and too few
        (["grpo-n4", "grpo-n4-v", "grpo-n4-v-lam1"], set(FIGURES)),
    ],
)
def test_a_figure_is_left_out_where_the_records_lack_what_it_needs(arms, wanted, tmp_path):
    records = X.records(arms, [0], sets=X.SETS[:1], questions=4, pool=2)
    found = compile_report(X.experiment(), records, None)
    drawers = (scaling_curves, lambda_sweep, calibration_plot, budget_curves)
    for name, draw in zip(FIGURES, drawers, strict=True):
        assert bool(draw(found.experiment, found.scaling, tmp_path / name)) == (name in wanted), name
    assert {p.stem for p in tmp_path.iterdir()} == wanted


def test_records_without_budgets_have_no_budget_figure(tmp_path):
    records = X.records(["grpo-n4"], [0], sets=X.SETS[:1], questions=4, pool=2)
    records[0]["outcomes"][X.SETS[0]]["scaling"]["budgets"] = None
    found = compile_report(X.experiment(), records, None)
    assert budget_curves(found.experiment, found.scaling, tmp_path / "x") == [] and not list(tmp_path.iterdir())


@pytest.mark.slow
def test_more_arms_than_can_be_told_apart_leave_only_the_core_ones_as_lines(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "MOST_LINES", 3)
    few = {"sets": X.SETS[:1], "questions": 4, "pool": 2}
    found = report(
        X.experiment(), X.records(["base", "grpo-n4", "grpo-n4-v", "grpo-n4-v-lam1"], [0], **few), None, tmp_path
    )
    curves = (tmp_path / "figures" / "table1_curves.csv").read_text()
    assert "grpo-n4-v," in curves and "grpo-n4-v-lam1" not in curves
    assert "grpo-n4-v-lam1" in (tmp_path / "figures" / "table1_accuracy.csv").read_text() and len(found.rows) == 8
    report(X.experiment(), X.records(X.CORE, [0], **few), None, tmp_path / "grid")
    assert not (tmp_path / "grid" / "figures" / "table1_curves.csv").exists()
