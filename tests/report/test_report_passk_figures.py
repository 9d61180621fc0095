"""Figures of pass@k and of several tasks: the CSV is what is drawn, an objective has one colour, tasks never mix."""

from __future__ import annotations

import csv
from itertools import pairwise
from math import log2

import pytest
from matplotlib.text import Text

from repro.report import style
from repro.report.build import report
from repro.report.level_figures import level_dots
from repro.report.passk import read_passk
from repro.report.passk_figures import k_ablation, objective_curves, pass_curves

from . import synthetic_passk as X
from .test_report_passk import gaps

OWN = ("passk", "objectives", "k", "levels")
FIGURES = ("accuracy", "curves", "cost", "health", "tradeoff", *OWN)


def draw(folder, records, timing=None):
    """The report's figures by name, with the matplotlib objects that they were saved from."""
    figures, original = {}, style.save

    def keep(figure, stem):
        figures[stem.name.removeprefix("table4_")] = figure
        return original(figure, stem)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(style, "save", keep)
        found = report(X.experiment(), records, timing, folder)
    return found, figures


@pytest.fixture(scope="module")
def stored():
    return X.records(X.KINDS, range(3))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory, stored):
    root = tmp_path_factory.mktemp("report")
    return root / "figures", draw(root, stored, X.timing())[1]


def rows(folder, name: str) -> list[dict]:
    with open(folder / f"table4_{name}.csv", newline="") as stream:
        return list(csv.DictReader(stream))


def curves(axis) -> list[list[float]]:
    """Heights of the lines with a label, less rings and level marks."""
    return [list(map(float, line.get_ydata())) for line in axis.lines if not line.get_label().startswith("_")]


def test_every_figure_is_there_readable_and_as_wide_as_a_page(drawn):
    folder, figures = drawn
    assert {p.name for p in folder.iterdir()} == {f"table4_{n}.{s}" for n in FIGURES for s in ("png", "svg", "csv")}
    for name, figure in figures.items():
        assert figure.get_figwidth() == (style.COLUMN if name == "accuracy" else style.PAGE)
        texts = [t for t in figure.findobj(Text) if t.get_text().strip()]
        assert min(t.get_fontsize() for t in texts) >= style.SMALLEST_FONT


def test_nothing_is_cut_off_at_the_edges(drawn):
    for name, figure in drawn[1].items():
        figure.draw_without_rendering()  # labels stand where the last file's resolution put them
        width, height = figure.bbox.width, figure.bbox.height
        for legend in figure.legends:
            box = legend.get_window_extent()
            assert box.x0 >= -2 and box.x1 <= width + 2 and box.y1 <= height + 2, name  # of rounding
        for label in (figure._supxlabel, *[axis.yaxis.label for axis in figure.axes]):
            if label is not None and label.get_text():
                box = label.get_window_extent()
                assert box.x0 >= -2 and box.x1 <= width + 2 and box.y0 >= -2, name


def test_pass_csv_is_what_the_curves_show(drawn):
    folder, figures = drawn
    table = rows(folder, "passk")
    left, right, below_left, below_right = figures["passk"].axes
    for axes, task in (((left, below_left), "multiply"), ((right, below_right), "synthesis")):
        own = [r for r in table if r["task"] == task]
        for axis, column in zip(axes, ("pass_percent", "difference_points"), strict=True):
            series: dict[str, list[float]] = {}
            for r in own:
                series.setdefault(r["arm"], []).append(float(r[column]))
            assert curves(axis) == list(series.values()) and len(series) == len(X.CORE)
        for r in own:
            assert float(r["smallest_seed"]) - 1e-9 <= float(r["pass_percent"]) <= float(r["largest_seed"]) + 1e-9
            assert r["arm"] != "math-base" or float(r["difference_points"]) == 0
    crossed = {(r["task"], r["arm"]) for r in table if r["base_ahead_from_k"] not in ("", "1")}
    rings = [line for axis in (left, right) for line in axis.lines if line.get_markersize() == 9]
    assert len(rings) == len(crossed) > 0


def test_a_ring_lies_where_the_curves_meet(drawn):
    _, figures = drawn
    axis = figures["passk"].axes[0]
    lines = {line.get_label(): line for line in axis.lines}
    ring = next(line for line in axis.lines if line.get_markersize() == 9)
    arm = next(x for x in axis.lines if x.get_color() == ring.get_markeredgecolor() and x is not ring)
    (k,), (height,) = ring.get_xdata(), ring.get_ydata()
    for one in (arm, lines["base model"]):
        points = list(zip(one.get_xdata(), one.get_ydata(), strict=True))
        (x0, y0), (x1, y1) = next(pair for pair in pairwise(points) if pair[0][0] <= k <= pair[1][0])
        share = log2(k / x0) / log2(x1 / x0)
        assert y0 + share * (y1 - y0) == pytest.approx(height)


def test_objective_csv_is_what_the_lines_show(drawn, stored):
    folder, figures = drawn
    series: dict[tuple, list[float]] = {}
    for r in rows(folder, "objectives"):
        series.setdefault((r["k"], r["task"], r["arm"]), []).append(float(r["pass_percent"]))
    panels = figures["objectives"].axes
    assert [line for axis in panels for line in curves(axis)] == [
        series[key] for key in sorted(series, key=lambda key: (int(key[0]), key[1] != "multiply"))
    ]
    assert {arm for *_, arm in series} == {f"{task}-{kind}" for task in X.TASKS for kind in X.CORE if kind != "base"}
    last = [r["curve"][-1]["dev_pass"] for r in stored if r["arm"] == "code-pass"]
    assert series["8", "synthesis", "code-pass"][-1] == pytest.approx(100 * sum(last) / 3)


def test_k_csv_runs_over_the_training_k_beside_its_references(drawn):
    folder, figures = drawn
    table = rows(folder, "k")
    assert {r["training_k"] for r in table if r["line"] == "math-pass"} == {"2", "4", "8"}
    assert {r["arm"] for r in table if r["line"] == "reference"} == {
        f"{task}-{kind}" for task in X.TASKS for kind in ("base", "mean")
    }
    assert len(figures["k"].axes) == 6 and {r["k"] for r in table} == {"1", "8", "16"}


def test_level_csv_is_what_the_dots_show(drawn):
    folder, figures = drawn
    table = rows(folder, "levels")
    for axis, task, k in zip(figures["levels"].axes[:2], ("multiply",) * 2, ("pass@1", "pass@8"), strict=True):
        wanted = [float(r["percent"]) for r in table if (r["task"], r["what"]) == (task, k)]
        by_arm = [y for line in curves(axis) for y in line]
        assert by_arm == wanted
    signal = [r for r in table if r["what"].startswith("signal") and r["task"] == "multiply"]
    marks = [line for line in figures["levels"].axes[2].lines if len(line.get_ydata()) == 1]
    assert sorted(float(line.get_ydata()[0]) for line in marks) == sorted(float(r["percent"]) for r in signal)
    # Every trained core arm at both ends; a formula for the mean and both forms of pass.
    assert len(signal) == 3 * (4 * 2 + 3)


def test_an_objective_has_one_colour_on_every_task():
    looks = style.arm_style(X.experiment())
    for kind in X.KINDS:
        assert looks[f"math-{kind}"]["color"] == looks[f"code-{kind}"]["color"]
        assert kind not in X.CORE or looks[f"math-{kind}"] == looks[f"code-{kind}"]
    assert len({looks[f"math-{kind}"]["color"] for kind in X.CORE}) == len(X.CORE)
    assert looks["math-pass-k2"]["color"] == looks["math-pass"]["color"]


def test_no_panel_shows_two_tasks(drawn):
    """The curves of a task keep to its row, whose legend needs no task in its labels."""
    _, figures = drawn
    for name, down in (("curves", 2), ("health", 4), ("tradeoff", 2), ("cost", 2)):
        axes = figures[name].axes
        across = len(axes) // down
        titles = [line[0].get_ylabel() for line in (axes[i : i + across] for i in range(0, len(axes), across))]
        assert titles == [t for t in ("Maths (multiply)", "Code (synthesis)") for _ in range(down // 2)]
        for legend in figures[name].legends:
            labels = [text.get_text() for text in legend.get_texts()]
            assert not any(":" in label for label in labels) and len(labels) == len(set(labels)) > 0
    assert [axis.get_title() for axis in figures["accuracy"].axes] == ["Maths (multiply)", "Code (synthesis)"]
    for axis in figures["accuracy"].axes:
        assert len(axis.patches) == len(X.KINDS)


@pytest.mark.slow
def test_bytes_depend_on_the_records_alone(drawn, stored, tmp_path):
    folder, _ = drawn
    draw(tmp_path, stored[::-1], X.timing())
    for path in folder.iterdir():
        assert path.read_bytes() == (tmp_path / "figures" / path.name).read_bytes(), path.name


def test_a_report_without_ablations_timing_and_one_trial(tmp_path):
    found, figures = draw(tmp_path, gaps()["failed trial"])
    assert set(figures) == set(FIGURES) - {"k", "tradeoff"} and all(path.is_file() for path in found.files)


@pytest.mark.parametrize("case", gaps())
def test_gaps_in_the_records_do_not_break_the_figures(case, tmp_path):
    panels = read_passk(X.experiment(), gaps()[case], ["test"])
    drawers = (pass_curves, objective_curves, k_ablation, level_dots)
    drawn = {name for name, draw in zip(OWN, drawers, strict=True) if draw(panels, tmp_path / name)}
    assert drawn == {path.stem for path in tmp_path.iterdir()} and ("passk" in drawn) == bool(panels)
    assert "k" not in drawn and (not case.startswith("neither") or drawn == {"passk"})
