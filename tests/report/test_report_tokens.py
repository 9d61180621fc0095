"""Figures of token selection: the CSV is what is drawn, and what is drawn is what the records hold."""

from __future__ import annotations

import csv
from collections import Counter
from statistics import fmean

import pytest
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from repro.experiments.types import Arm
from repro.report import style
from repro.report.build import report
from repro.report.group_figures import MOST_COLUMNS

from . import synthetic as S

# abc right, abd wrong, aec right, fcg wrong: the paper file's example of a prefix tree.
TOKENS = [list("abc"), list("abd"), list("aec"), list("fcg")]
REWARDS = [1.0, 0.0, 1.0, 0.0]
TREE = [[1 / 6, -1 / 6, 1 / 2], [0, 0, -1 / 2], [0, 1 / 3, 0], [-1 / 2, 0, 0]]
UNIQUE = [[1, 1, 1], [0, 0, 1], [0, 1, 1], [1, 1, 1]]
ARMS = (
    Arm("base", "base", "none"),
    Arm("grpo-n4", "GRPO", "grpo"),
    Arm("sgrpo-n4", "S-GRPO", "sgrpo"),
    Arm("tspmo-n4", "T-SPMO", "tspmo"),
    Arm("sgrpo-p0-n4", "S-GRPO, P=0", "sgrpo", core=False),
)
SHARES = {"sgrpo-n4": 0.4, "tspmo-n4": 0.06, "sgrpo-p0-n4": 0.2}
METRICS = ("accuracy", "token_share", "generalisation_gap")


def trial(arm: str, seed: int) -> dict:
    record = S.trial(arm, seed)
    for step, point in enumerate(record["health"], 1):
        if arm in SHARES:
            point["token_share"] = SHARES[arm] + 0.001 * (step % 2)
    if arm in ("sgrpo-n4", "tspmo-n4"):
        tree = arm.startswith("tspmo")
        weights = [[u / 9 for u in row] for row in UNIQUE] if tree else [[0.5, 0.5, 0.0]] * 4
        advantages = TREE if tree else [[r - 0.5] * 3 for r in REWARDS]
        record["health"][0]["group"] = {
            "prompt": "1+1=" if tree else None, "gold": "2" if tree else None, "rewards": REWARDS, "tokens": TOKENS,
            "advantages": advantages, "weights": weights,
        }  # fmt: skip
    return record


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    root, figures, original = tmp_path_factory.mktemp("report"), {}, style.save

    def keep(figure, stem):
        figures[stem.name.removeprefix("table1_")] = figure
        return original(figure, stem)

    records = [trial(arm.id, seed) for arm in ARMS for seed in range(5)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(style, "save", keep)
        experiment = S.experiment(arms=ARMS, claims=(), metrics=METRICS)
        found = report(experiment, records, None, root)
    return found, root / "figures", figures


def rows(folder, name: str) -> list[dict]:
    with open(folder / f"table1_{name}.csv", newline="") as stream:
        return list(csv.DictReader(stream))


def test_share_and_gap_have_columns_and_the_base_has_none(drawn):
    found = drawn[0]
    by_arm = {row.arm: row.metrics for row in found.rows}
    assert by_arm["sgrpo-n4"]["token_share"] == pytest.approx(0.4005)
    assert by_arm["grpo-n4"]["token_share"] == 1.0
    assert "token_share" not in by_arm["base"] and "generalisation_gap" not in by_arm["base"]
    own = [trial("sgrpo-n4", seed) for seed in range(5)]
    rewards = [fmean(point["reward"] for point in r["health"][-10:]) for r in own]
    tested = [r["outcomes"]["chain"]["samples"] for r in own]
    right = [Counter("".join(samples).lower())["c"] / sum(map(len, samples)) for samples in tested]
    gaps = [reward - accuracy for reward, accuracy in zip(rewards, right, strict=True)]
    assert by_arm["sgrpo-n4"]["generalisation_gap"] == pytest.approx(fmean(gaps))


def test_accuracy_against_the_share_of_tokens(drawn):
    _, folder, figures = drawn
    table = {row["arm"]: row for row in rows(folder, "tokens")}
    assert set(table) == {arm.id for arm in ARMS} and table["base"]["token_share_percent"] == ""
    (axis,) = figures["tokens"].get_axes()
    assert axis.get_xscale() == "log"
    points = {line.get_label(): (line.get_xdata()[0], line.get_ydata()[0]) for line in axis.lines}
    for arm in ARMS[1:]:
        share, accuracy = (float(table[arm.id][name]) for name in ("token_share_percent", "accuracy_percent"))
        assert points[arm.display] == pytest.approx((share, accuracy))
    assert points["base"][1] == pytest.approx(float(table["base"]["accuracy_percent"]))


def test_training_and_held_out_accuracy_share_a_panel_per_core_arm(drawn):
    _, folder, figures = drawn
    panels = {axis.get_title(): axis for axis in figures["fit"].get_axes() if axis.lines}
    assert list(panels) == ["GRPO", "S-GRPO", "T-SPMO"]
    table = [row for row in rows(folder, "fit") if row["arm"] == "tspmo-n4"]
    for what, line in zip(("training", "dev"), panels["T-SPMO"].lines, strict=True):
        own = [float(row["accuracy_percent"]) for row in table if row["questions"] == what]
        assert list(line.get_ydata()) == pytest.approx(own)


def test_a_curve_of_test_questions_says_so(tmp_path):
    records = [trial(arm, seed) for arm in ("sgrpo-n4", "tspmo-n4") for seed in range(2)]
    for record in records:
        record["config"].setdefault("evaluation", {})["curve"] = "test"
    report(S.experiment(arms=ARMS, claims=(), metrics=METRICS), records, None, tmp_path)
    assert {row["questions"] for row in rows(tmp_path / "figures", "fit")} == {"training", "test"}
    assert {row["figure"] for row in rows(tmp_path / "figures", "curves")} >= {"test_accuracy"}


def test_a_tree_shows_every_prefix_once_in_its_own_colour(drawn):
    _, folder, figures = drawn
    mask, tree = (axis for axis in figures["groups"].get_axes() if axis.patches)
    cells = lambda axis: [patch for patch in axis.patches if isinstance(patch, Rectangle)]  # noqa: E731
    assert len(cells(mask)) == 12 and len(cells(tree)) == sum(map(sum, UNIQUE))
    untrained = [patch for patch in cells(mask) if patch.get_facecolor()[:3] == pytest.approx((0xDD / 255,) * 3)]
    assert len(untrained) == 4  # the last token of every completion has no weight
    table = [row for row in rows(folder, "groups") if row["arm"] == "tspmo-n4"]
    assert len(table) == 12 and sum(float(row["weight"]) > 0 for row in table) == 9
    assert {row["prompt"] for row in rows(folder, "groups")} == {"1+1=", ""}
    branches = [line for line in tree.lines if len(line.get_xdata()) == 3]
    assert len(branches) == 2  # abd leaves abc after b, aec leaves it after a; fcg starts at the root


def test_text_of_tokens_is_never_read_as_markup(tmp_path):
    record = trial("sgrpo-n4", 0)
    group = record["health"][0]["group"]
    group["tokens"] = [["$\\frac{", "a_{", "%#&", *["x"] * 40]] * 4
    group["advantages"] = group["weights"] = [[0.1] * 43] * 4
    experiment = S.experiment(arms=ARMS, claims=(), metrics=METRICS)
    figures = []
    with pytest.MonkeyPatch.context() as patch:
        original = style.save
        patch.setattr(style, "save", lambda figure, stem: figures.append((stem.name, figure)) or original(figure, stem))
        report(experiment, [record], None, tmp_path)
    (axis,) = dict(figures)["table1_groups"].get_axes()
    assert len(axis.patches) == 4 * MOST_COLUMNS  # a picture has a limit, the CSV has all
    assert len(rows(tmp_path / "figures", "groups")) == 4 * 43
    texts = [text for text in axis.findobj(Text) if text.get_text() == "$\\frac{"]
    assert len(texts) == 4 and not any(text.get_parse_math() for text in texts)


def test_nothing_is_drawn_where_no_method_selects(tmp_path):
    found = report(S.experiment(), S.records(seeds=range(2)), None, tmp_path)
    assert not {path.stem for path in found.files} & {"table1_tokens", "table1_fit", "table1_groups"}
