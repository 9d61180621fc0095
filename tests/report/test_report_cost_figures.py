"""Figures of cost: stacks of predicted memory, accuracy against time, stage 1 as a phase. CSV holds what is drawn."""

from __future__ import annotations

import csv
import dataclasses

import pytest
from matplotlib.text import Text

from repro.report import bars, style
from repro.report.build import compile_report
from repro.report.memory import memory_stacks
from repro.report.tradeoff import tradeoff

from . import synthetic as S
from . import synthetic_cost as C


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Folder and matplotlib figures by name."""
    folder, figures = tmp_path_factory.mktemp("figures"), {}
    original = style.save

    def keep(figure, stem):
        figures[stem.name] = figure
        return original(figure, stem)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(style, "save", keep)
        planned = compile_report(C.experiment(), [], None, plan=C.plan()).planned
        memory_stacks(planned, folder / "memory")
        tradeoff(C.experiment(), C.records(), C.timing(), folder / "tradeoff")
        bars.cost_bars(C.experiment(), C.records(), C.timing(), folder / "cost")
    return folder, figures


def rows(folder, name: str) -> list[dict]:
    with open(folder / f"{name}.csv", newline="") as stream:
        return list(csv.DictReader(stream))


def out_of_view(axis) -> list[Text]:
    """Labels of ticks beyond the ends of the axes: matplotlib places them and does not draw them."""
    (x0, x1), labels = axis.get_xlim(), axis.get_xticklabels()
    return [text for text in labels if not x0 <= text.get_position()[0] <= x1]


def test_texts_are_large_enough_and_inside_the_figure(drawn):
    _, figures = drawn
    for name, figure in figures.items():
        assert figure.get_figwidth() == style.PAGE
        texts = [t for t in figure.findobj(Text) if t.get_text().strip() and t.get_visible()]
        assert min(t.get_fontsize() for t in texts) >= style.SMALLEST_FONT, name
        canvas, hidden = figure.bbox, {id(text) for axis in figure.axes for text in out_of_view(axis)}
        for text in (text for text in texts if id(text) not in hidden):
            box = text.get_window_extent()
            assert box.x0 >= -1 and box.x1 <= canvas.x1 + 1, (name, text.get_text())


def test_stacks_reach_the_peak_and_name_it(drawn):
    folder, figures = drawn
    axes = [axis for axis in figures["memory"].axes if axis.axison]
    assert [axis.get_title() for axis in axes] == ["1.5B (Qwen/Qwen2.5-1.5B)", "7B (Qwen/Qwen2.5-7B)"]
    assert "Predicted" in figures["memory"].get_supxlabel()
    for axis, model in zip(axes, C.SIZES, strict=True):
        for y, arm in enumerate(C.ARMS[1:]):
            total = C.planned_row(model, arm)["peak"]["total"] / C.GIB
            ends = [bar.get_x() + bar.get_width() for bar in axis.patches if round(bar.get_y() + 0.35) == y]
            assert max(ends) == pytest.approx(total)
            own = [r for r in rows(folder, "memory") if (r["model"], r["arm"]) == (model, arm)]
            assert sum(float(r["predicted_GiB"]) for r in own) == pytest.approx(total)
        assert max(axis.get_xlim()) > max(bar.get_x() + bar.get_width() for bar in axis.patches)


def test_legend_entries_can_be_told_apart(drawn):
    _, figures = drawn
    (legend,) = figures["memory"].legends
    looks = [(handle.get_facecolor(), handle.get_hatch()) for handle in legend.legend_handles]
    assert len(set(looks)) == len(looks) == 7  # buffers of a few bytes are not named
    phases = [look for name, look in style.PHASE_LOOKS.items()]
    assert len(set(phases)) == len(phases)
    assert len(set(style.PLANNED_LOOKS.values())) == len(style.PLANNED_LOOKS)


@pytest.mark.parametrize("models", [1, 3, 4])
def test_any_number_of_models_can_be_drawn(models, tmp_path):
    planned = compile_report(C.experiment(), [], None, plan=C.plan()).planned
    many = [row for i in range(models) for row in (planned[:4] if i % 2 else planned[:2])]
    sizes = [4 if i % 2 else 2 for i in range(models)]
    names = [f"m{i}" for i, count in enumerate(sizes) for _ in range(count)]
    files = memory_stacks([dataclasses.replace(r, name=n) for r, n in zip(many, names, strict=True)], tmp_path / "m")
    assert len(files) == 3 and {r["model"] for r in rows(tmp_path, "m")} == set(names)


def test_the_curve_of_an_arm_with_stage_1_starts_after_it(drawn):
    folder, figures = drawn
    table = rows(folder, "tradeoff")
    first = {r["arm"]: float(r["seconds"]) for r in reversed(table) if r["figure"] == "curve"}
    assert first["astar-po-n1"] == pytest.approx(C.SHARE * S.STEPS, rel=0.02)
    assert {first[arm] for arm in C.ARMS[1:-1]} == {0.0} and "base" not in first
    ends = {r["arm"]: float(r["seconds"]) for r in table if r["figure"] == "end"}
    for arm in C.ARMS[1:]:
        last = max(float(r["seconds"]) for r in table if (r["figure"], r["arm"]) == ("curve", arm))
        assert ends[arm] == pytest.approx(last)
        online = S.STEPS * C.ONLINE[arm] / C.GROUP[arm]  # the arm's own steps: completions held equal
        assert ends[arm] - first[arm] == pytest.approx(online, rel=0.02)
    left, right = figures["tradeoff"].axes
    dotted = [line for line in left.lines if line.get_linestyle() == ":"]
    assert len(dotted) == 1 and dotted[0].get_color() == style.ARM_LOOKS["astar-po-n1"][0]
    assert "minutes" in figures["tradeoff"].get_supxlabel()
    assert any("base model" == text.get_text() for text in right.texts)


def test_the_tradeoff_csv_is_what_the_lines_show(drawn):
    folder, figures = drawn
    table = rows(folder, "tradeoff")
    drawn_lines = {line.get_label(): list(line.get_ydata()) for line in figures["tradeoff"].axes[0].lines}
    for arm in C.ARMS[1:]:
        own = [float(r["accuracy_percent"]) for r in table if (r["figure"], r["arm"]) == ("curve", arm)]
        assert drawn_lines[C.DISPLAY[arm]] == own and len(own) == 7


def test_arms_that_were_not_timed_are_left_out(tmp_path):
    files = tradeoff(C.experiment(), C.records(), C.timing(arms=("ppo-n1",)), tmp_path / "t")
    assert len(files) == 3 and {r["arm"] for r in rows(tmp_path, "t") if r["figure"] == "curve"} == {"ppo-n1"}
    assert tradeoff(C.experiment(), C.records(), None, tmp_path / "u") == []
    assert tradeoff(C.experiment(), [], C.timing(), tmp_path / "v") == []


def test_cost_bars_show_stage_1_as_a_phase_of_its_own(drawn):
    folder, figures = drawn
    parts = {(r["figure"], r["arm"], r["part"]): float(next(reversed(r.values()))) for r in rows(folder, "cost")}
    assert parts["prompts_equal", "astar-po-n1", "stage1"] == pytest.approx(C.SHARE, rel=0.02)
    assert ("prompts_equal", "ppo-n1", "stage1") not in parts
    total = sum(value for (what, arm, _), value in parts.items() if (what, arm) == ("prompts_equal", "astar-po-n1"))
    assert total == pytest.approx(C.ONLINE["astar-po-n1"] + C.SHARE, rel=0.02)
    assert not any(part == "other" for _, _, part in parts)
    labels = [text.get_text() for legend in figures["cost"].legends for text in legend.get_texts()]
    assert "stage 1 (share)" in labels


def test_fixed_looks_of_the_four_methods_differ():
    looks = style.arm_style(C.experiment())
    assert len({look["color"] for look in looks.values()}) == len(looks) == 5
    assert looks["astar-po-n1"]["linestyle"] == "--" and looks["rebel-n2"]["linestyle"] == "-"
