"""The figures: stable bytes, the same colour per arm, readable sizes, and a CSV that holds exactly what is drawn."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest
from matplotlib.text import Text

from repro.report import bars, curves, style
from repro.report.build import report

from . import synthetic as S

FIGURES = ("accuracy", "curves", "cost", "health")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """All figures of a full report, with the matplotlib objects they were saved from."""
    root, figures = tmp_path_factory.mktemp("report"), {}
    original = style.save

    def keep(figure, stem):
        figures[stem.name.split("_")[-1]] = figure
        return original(figure, stem)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(style, "save", keep)
        report(S.experiment(), S.records(), S.timing(), root)
    return root / "figures", figures


def rows(folder: Path, name: str) -> list[dict]:
    with open(folder / f"table1_{name}.csv", newline="") as stream:
        return list(csv.DictReader(stream))


def test_each_figure_has_png_svg_and_csv(drawn):
    folder, _ = drawn
    assert {p.name for p in folder.iterdir()} == {f"table1_{n}.{s}" for n in FIGURES for s in ("png", "svg", "csv")}


def test_bytes_are_the_same_in_another_process_with_another_hash_seed(drawn, tmp_path):
    folder, _ = drawn
    code = (
        "import importlib, sys, matplotlib\n"
        "matplotlib.rcParams['font.size'] = 20\n"  # a user's own settings must not show
        f"sys.path.insert(0, {str(Path(S.__file__).parent)!r})\n"
        "import synthetic as S\n"
        "from repro.report import report\n"
        f"report(S.experiment(), S.records()[::-1], S.timing(), __import__('pathlib').Path({str(tmp_path)!r}))\n"
    )
    repository = str(Path(style.__file__).parents[2])
    subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        cwd=repository,
        env={"PYTHONHASHSEED": "77", "PATH": "", "TZ": "Asia/Tokyo"},
    )
    assert sorted(p.name for p in folder.iterdir()) == sorted(p.name for p in (tmp_path / "figures").iterdir())
    for path in folder.iterdir():
        assert path.read_bytes() == (tmp_path / "figures" / path.name).read_bytes(), path.name


def test_no_dates_and_no_software_version_inside(drawn):
    folder, _ = drawn
    for name in FIGURES:
        svg = (folder / f"table1_{name}.svg").read_text()
        assert "<dc:date>" not in svg and "Matplotlib v" not in svg and "file://" not in svg
        png = (folder / f"table1_{name}.png").read_bytes()
        assert b"tEXt" not in png and b"tIME" not in png


def test_sizes_fit_a_two_column_paper(drawn):
    _, figures = drawn
    assert set(figures) == set(FIGURES)
    for name, figure in figures.items():
        assert figure.get_figwidth() == (style.COLUMN if name == "accuracy" else style.PAGE)
        texts = [t for t in figure.findobj(Text) if t.get_text().strip()]
        assert min(t.get_fontsize() for t in texts) >= style.SMALLEST_FONT


def test_an_arm_has_one_colour_in_every_figure(drawn):
    _, figures = drawn
    looks = style.arm_style(S.experiment())
    for name in ("curves", "health"):
        for axis in figures[name].axes:
            for line in axis.lines:
                arm = next(a for a, d in S.DISPLAY.items() if d == line.get_label())
                assert line.get_color() == looks[arm]["color"]
    assert len({look["color"] for look in looks.values()}) == len(looks)
    fewer = S.experiment(arms=S.experiment().arms[-2:])
    assert style.arm_style(fewer)["tbrm-n4"] == looks["tbrm-n4"]


def test_accuracy_csv_is_what_the_bars_show(drawn):
    folder, figures = drawn
    (axis,) = figures["accuracy"].axes
    means = [float(r["accuracy_percent"]) for r in rows(folder, "accuracy") if r["what"] == "mean"]
    assert [bar.get_width() for bar in axis.patches] == means
    seeds = [float(r["accuracy_percent"]) for r in rows(folder, "accuracy") if r["what"] != "mean"]
    assert [x for line in axis.lines for x in line.get_xdata()] == seeds and len(seeds) == 25
    for r in rows(folder, "accuracy"):
        if r["what"] == "mean":
            assert float(r["lo_percent"]) < float(r["accuracy_percent"]) < float(r["hi_percent"])
    assert axis.get_xlim()[0] == 0 and "%" in figures["accuracy"].get_supxlabel()


@pytest.mark.parametrize("name", ["curves", "health"])
def test_curve_csv_is_what_the_lines_show(drawn, name):
    folder, figures = drawn
    drawn_lines = [list(map(float, line.get_ydata())) for axis in figures[name].axes for line in axis.lines]
    series: dict[tuple, list[float]] = {}
    for r in rows(folder, name):
        series.setdefault((r["figure"], r["arm"]), []).append(float(r["mean"]))
        assert float(r["smallest_seed"]) <= float(r["mean"]) + 1e-9 and r["seeds"] == "5"
    assert list(series.values()) == drawn_lines
    if name == "health":
        assert {f for f, _ in series} == {column for column, _, _ in curves.HEALTH}
        assert [arm for f, arm in series if f == "clip_fraction"] == ["ppo-n1"]  # nobody else has one


def test_cost_bars_stack_to_the_whole_step(drawn):
    folder, figures = drawn
    totals: dict[tuple, float] = {}
    for r in csv.reader(open(folder / "table1_cost.csv")):
        if r[0] != "figure":
            totals[r[0], r[1]] = totals.get((r[0], r[1]), 0) + float(r[3])
    timing = S.timing()["timing"]
    for mode in ("prompts_equal", "completions_equal"):
        for arm in S.ARMS[1:]:
            seconds = [r["seconds"] for r in timing[mode][arm]["rounds"]]
            assert totals[mode, arm] == pytest.approx(sum(seconds) / len(seconds))
    assert totals["predicted_memory", "ppo-n1"] == pytest.approx(62_000_000 / 2**20)
    assert [t.get_text() for t in figures["cost"].axes[0].get_yticklabels()] == list(S.DISPLAY.values())[1:]


def test_unattributed_time_shows_as_other(tmp_path):
    timing = S.timing()
    for entry in timing["timing"]["prompts_equal"]["tbrm-n1"]["rounds"]:
        entry["seconds"] += 1.0
    bars.cost_bars(S.experiment(), S.records(), timing, tmp_path / "x")
    others = [row for row in csv.reader((tmp_path / "x.csv").read_text().splitlines()) if row[2] == "other"]
    assert [row[:2] for row in others] == [["prompts_equal", "tbrm-n1"]] and float(others[0][3]) == pytest.approx(1.0)


def test_failed_trials_and_absent_data_do_not_break_the_figures(tmp_path):
    records = [*S.records(["base"], [0]), S.trial("tbrm-n1", 0), S.failed("ppo-n1", 0)]
    for record in records:
        record["health"] = [{"step": 1, "reward": 0.5}] if record["health"] else []
        record["curve"] = []
    found = report(S.experiment(), records, None, tmp_path)
    assert len(found.files) == 3 + 4 * 3
    assert "ppo-n1" not in (tmp_path / "figures" / "table1_curves.csv").read_text()


def test_smoothing_is_a_trailing_mean_that_keeps_gaps():
    series = [(1, 1.0), (2, None), (3, 3.0), (4, 5.0)]
    assert curves.smooth(series, 2) == [(1, 1.0), (2, None), (3, 3.0), (4, 4.0)]
    assert curves.over_seeds([[(1, 2.0), (2, None)], [(1, 4.0), (2, 6.0)]]) == [
        (1, 3.0, 2.0, 4.0, 2),
        (2, 6.0, 6.0, 6.0, 1),
    ]
