"""The report of figure1 from records of few, short bandits: tables, figures, words, terminal, comparison."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from repro.experiments import registry
from repro.experiments.resolve import resolve
from repro.report.bandit_words import arm_name, number, words
from repro.report.build import compile_report, report
from repro.report.compare import compare_with_published
from repro.report.console import final, live_table
from repro.report.markdown import markdown
from repro.report.structure import to_json
from repro.report.verdicts import question
from repro.training.bandit_trial import run_trial

STEPS, BANDITS = 120, 30
FIGURE1 = registry.get("figure1")
MICRO = FIGURE1.scales["micro"]
SMALL = replace(
    FIGURE1,
    scales={"micro": replace(MICRO, base={**MICRO.base, "instances": BANDITS}, train={**MICRO.train, "steps": STEPS})},
)


def records_of(arms, root, seeds=(0,)):
    return [run_trial(resolve(SMALL, "micro", arm, seed), root) for seed in seeds for arm in arms]


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return records_of([arm.id for arm in FIGURE1.arms], tmp_path_factory.mktemp("bandits"))


@pytest.fixture(scope="module")
def made(records, tmp_path_factory):
    return report(SMALL, records, None, tmp_path_factory.mktemp("report"))


def shown(renderable) -> str:
    console = Console(width=200, file=io.StringIO())
    console.print(renderable)
    return console.file.getvalue()


def test_every_file_is_written_and_twice_the_same(made, records, tmp_path):
    names = {path.name for path in made.files}
    figures = {f"figure1_{what}.{s}" for what in ("bandit", "k", "variance") for s in ("png", "svg", "csv")}
    assert names == figures | {"figure1.md", "figure1.csv", "figure1.tex", "figure1_estimators.csv"}
    again = report(SMALL, records, None, tmp_path)
    for one, two in zip(made.files, again.files, strict=True):
        assert one.read_bytes() == two.read_bytes(), one.name


def test_the_tables_show_bandits_and_nothing_of_language_models(made):
    text = next(path for path in made.files if path.name == "figure1.md").read_text()
    for word in ("Accuracy", "Time/step", "Peak memory", "Noise floor", "Base model", "nan", "None"):
        assert word not in text, word
    rows = [line for line in text.splitlines() if line.startswith("| Mean gradient, k=4 |")]
    mean = made.bandits[0].at("mean_reward", STEPS)
    assert (
        len(rows) == 1
        and f"{mean.mean:.3f} ± {mean.error:.3f}" in rows[0]
        and rows[0].endswith(f"| {BANDITS} | done |")
    )
    assert "| max | 3 | 0.0000 | 0.0748 | 0.0000 | 2.7288 | 0.2426 | 0.3031 |" in text
    assert "30 per seed" in text and "seeds 0" in text and "repro run figure1" in text
    tex = next(path for path in made.files if path.name == "figure1.tex").read_text()
    assert tex.count("\\begin{tabular}") == 3 and "Status" not in tex


def test_csv_has_a_row_per_arm_in_full_precision(made):
    text = next(path for path in made.files if path.name == "figure1.csv").read_text()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["arm"] for row in rows] == [arm.id for arm in FIGURE1.arms]
    first = rows[0]
    assert float(first[f"mean_reward@{STEPS}"]) == made.bandits[0].values[f"mean_reward@{STEPS}"].mean
    assert float(first["variance_se"]) > 0 and first["objective"] == "mean" and first["bandits"] == str(BANDITS)


def test_exact_claims_come_out_as_enumerated(made):
    verdicts = {v.claim.id: v for v in made.verdicts}
    assert {
        name for name in ("C1-max", "C1-mean", "C1-majority") if verdicts[name].result.verdict != "supported"
    } == set()
    contradicted = {
        name for name, v in verdicts.items() if name.startswith("C4-m") and v.result.verdict == "contradicted"
    }
    assert contradicted == {"C4-max-k3", "C4-max-k4"}
    for name in ("C2-naive-most", "C2-naive-least", "C2-mean", "C3-bounded-k4", "C4-bias", "C3-k4"):
        assert verdicts[name].result.verdict == "supported", name
    assert verdicts["C2-naive-gaussian"].result.verdict == "contradicted"
    assert verdicts["C1-max"].effect == "+1e-12" and verdicts["C1-max"].sample == "exact"
    assert verdicts["C3-k4"].sample.endswith(f"{BANDITS} bandits")
    late = verdicts["F1-left-1000-loo"].result
    assert late.verdict == "not run" and "mean_reward@1000" in late.reason, "this run ended earlier"


def test_a_question_in_words():
    display = {arm.id: arm.display for arm in FIGURE1.arms}
    asked = {claim.id: question(claim, display) for claim in FIGURE1.claims}
    assert asked["C1-max"] == "1e-12 - largest bias, f = max of (leave-one-out) > 0.0000"
    assert asked["C4-max-k3"] == "variance, f = max, k = 3: (leave-one-out) - (centred (inferred)) > 0.0000"
    assert asked["F1-right-100-loo"] == (
        "max@4 after 100 steps: (max@k, leave-one-out, k=4) - (Mean gradient, k=4) > 0.0000"
    )
    assert words("bandit:reward_at_kl@1") == "mean reward at 1 nat of KL"
    assert words("bandit:variance") == "variance of the estimator" and number(None, "bandit:variance") == "–"
    assert arm_name("max@k, naive, k=4", "bandit:variance") == "max@k, naive, k=4"


def test_figures_hold_what_the_caption_shows(made):
    rows = {
        what: list(csv.DictReader(next(p for p in made.files if p.name == f"figure1_{what}.csv").open()))
        for what in ("bandit", "k", "variance")
    }
    assert {row["panel"] for row in rows["bandit"]} == {"mean_reward", "mean_reward_by_kl", "max"}
    assert {row["arm"] for row in rows["bandit"]} == {arm.id for arm in FIGURE1.arms if arm.id.endswith("-k4")}
    assert all(float(row["low_10"]) <= float(row["mean"]) <= float(row["high_90"]) for row in rows["bandit"])
    assert {row["k"] for row in rows["k"]} == {"2", "4", "8", "16", "32"}
    assert {row["rewards"] for row in rows["variance"]} == {"gaussian", "bounded"}


def test_several_seeds_are_pooled(records, tmp_path):
    more = records_of(["mean-k4"], tmp_path, seeds=(1,))
    found = compile_report(SMALL, [*records, *more], None)
    pooled, single = found.bandits[0], found.bandits[1]
    assert pooled.values["variance"].count == 2 * BANDITS and single.values["variance"].count == BANDITS
    assert (
        pooled.values["variance"].error < 0.9 * compile_report(SMALL, records, None).bandits[0].values["variance"].error
    )
    assert "incomplete" not in found.rows[0].status and "not run: seed 1" in found.rows[1].status


def test_without_records_and_with_failures(records):
    assert "not run" in markdown(compile_report(FIGURE1, [], None))
    failed = {**records[0], "status": "failed", "error": {"message": "not finite", "step": 3}}
    del failed["bandit"]
    text = markdown(compile_report(SMALL, [failed, records[1]], None))
    assert "failed at step 3" in text
    assert shown(final(compile_report(SMALL, [failed, records[1]], None)))


def test_the_terminal_and_json(made, records):
    text = shown(final(made))
    assert "mean reward" in text and "Accuracy" not in text and "Peak memory" not in text
    data = json.loads(json.dumps(to_json(made), allow_nan=False))
    assert len(data["bandits"]) == len(FIGURE1.arms)
    assert data["bandits"][0]["values"]["variance"]["count"] == BANDITS
    live = shown(live_table(SMALL, records[:1], ["mean-k4", "pass-k4"], [0], {"pass-k4/seed0": "10/120"}))
    assert "Mean reward" in live and f"{records[0]['bandit']['curves']['mean_reward']['mean'][-1]:.3f}" in live
    assert "10/120" in live


def test_comparison_with_published_records(records):
    lines = compare_with_published(records[:2], records)
    assert "mean reward" in lines[0] and all("identical" in line for line in lines[1:])
    changed = json.loads(json.dumps(records[0]))
    changed["bandit"]["curves"]["mean_reward"]["mean"][-1] += 0.25
    assert "+0.250" in compare_with_published([changed], records)[1]
