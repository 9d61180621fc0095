"""The written tables: complete, honest about what is missing, labelled, and stable byte for byte."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess

import pytest

from repro import papers
from repro.errors import InputError
from repro.experiments import registry
from repro.report.build import compile_report, report
from repro.report.markdown import markdown
from repro.report.structure import to_json
from repro.report.tables import csv_rows, latex

from . import synthetic as S


@pytest.fixture(scope="module")
def full():
    return compile_report(S.experiment(), S.records(), S.timing())


def section(text: str, title: str) -> str:
    """The part of a Markdown document under the heading that starts with `title`, up to the next of its level."""
    level, body = re.search(rf"^(#+) {re.escape(title)}.*?\n(.*)", text, re.S | re.M).groups()
    return re.split(rf"^#{{1,{len(level)}}} ", body, flags=re.M)[0]


def pipe_rows(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines if "---" not in line]


def test_measured_table_has_a_row_per_arm_with_every_column(full):
    header, *rows = pipe_rows(section(markdown(full), "Measured by this suite"))
    assert [row[0] for row in rows] == ["base", "PPO n=1", "TBRM n=1", "GRPO n=4", "TBRM n=4"]
    for wanted in (
        "Accuracy %",
        "Greedy %",
        "pass@8 %",
        "Truncated %",
        "Unparsed %",
        "Time/step, equal prompts",
        "Time/step, equal completions",
        "Training time",
        "Peak memory, predicted",
        "Completions",
        "Seeds",
    ):
        assert wanted in header
    assert "Peak memory, measured" not in header
    tbrm = dict(zip(header, rows[4], strict=True))
    assert re.fullmatch(r"\d\d\.\d ± \d+\.\d", tbrm["Accuracy %"]) and tbrm["Completions"] == "7,680"
    assert tbrm["Peak memory, predicted"] == "47.7 MiB"


def test_every_column_of_every_table_is_either_measured_or_reported(full):
    text = markdown(full)
    reported = {f"{v:.1f}" for t in papers.load("tbrm")["tables"] for r in t["rows"] for v in r["values"]}
    assert len(reported) > 50
    beside = pipe_rows(section(text, "Gain over the base model"))
    assert all(
        h == "Arm" or h.startswith("measured here") or h.startswith("reported (Qwen2.5-Math-") for h in beside[0]
    )
    measured_part = text.split("## Reported by the paper")[0]
    assert "Qwen2.5" not in measured_part
    table1 = pipe_rows(section(text, "Table 1 [paper]"))
    assert len(table1) == 11 and table1[5][1:] == ["TBRM n=4", "14.3", "6.9", "52.0", "72.2", "30.5", "36.1", "35.33"]
    assert "contradicts T3" in text


def test_a_rate_of_its_own_gets_a_column():
    records = S.records(["base"])
    for record in records:
        record["metrics"]["chain/majority"] = 0.625
    found = compile_report(S.experiment(metrics=("accuracy", "majority", "train_seconds")), records, None)
    header, base, *_ = pipe_rows(section(markdown(found), "Measured by this suite"))
    assert dict(zip(header, base, strict=True))["Majority %"] == "62.5"


def test_gains_are_differences_to_the_base_row(full):
    header, base, *rows = pipe_rows(section(markdown(full), "Gain over the base model"))
    last = dict(zip(header, rows[-1], strict=True))
    assert last["reported (Qwen2.5-Math-7B): gain, points [derived]"] == "+19.56"
    by_arm = {row.arm: row.accuracy for row in full.rows}
    assert float(last["measured here: gain, points"]) == pytest.approx(
        100 * (by_arm["tbrm-n4"] - by_arm["base"]), abs=0.051
    )


def test_claims_table_gives_contrast_interval_verdict_and_the_papers_own_support(full):
    header, *rows = pipe_rows(section(markdown(full), "Claims"))
    assert [row[0] for row in rows] == [c.id for c in full.experiment.claims]
    by_id = {row[0]: dict(zip(header, row, strict=True)) for row in rows}
    assert re.match(r"[+-]\d+\.\d\d points \[", by_id["T1"]["Effect"])
    assert re.match(r"\d\.\d\dx", by_id["T7-time"]["Effect"])
    assert by_id["T2"]["Tested here"] == "accuracy: (TBRM n=1) - (GRPO n=4) > -2.00 points (non-inferior)"
    assert by_id["T7-time"]["Tested here"] == "time per step: (PPO n=1) / (TBRM n=1) > 1.30 (threshold)"
    assert by_id["T9"]["Effect"] == "–" and by_id["T9"]["Verdict"].startswith("**not run**")
    for row in by_id.values():
        assert row["Verdict"].split("**")[1] in ("supported", "contradicted", "inconclusive", "not run")
        assert row["The paper's own numbers support"] == "4 of 6 at 1.5B, 3 of 6 at 7B"


def test_ledger_noise_and_command_are_there(full):
    text = markdown(full)
    assert len(pipe_rows(section(text, "Where this differs from the paper"))) == 3
    noise = pipe_rows(section(text, "Noise floor (A/A)"))
    assert [row[0] for row in noise[1:]] == list(S.DISPLAY.values()) and noise[1][1:3] == ["0, 2, 4", "1, 3"]
    assert "```\nrepro run table1\n```" in section(text, "Reproduce")
    assert text.startswith("# table1: TBRM against PPO and GRPO (scale: micro)\n")


def test_the_bytes_depend_on_the_records_alone(full):
    first = markdown(full), csv_rows(full), latex(full)
    records = S.records()
    for record in records:
        record["provenance"].update(started="2031-05-05", finished="2031-05-06", cpu="other", commit="c0ffee")
    again = compile_report(S.experiment(), records[::-1], S.timing())
    assert (markdown(again), csv_rows(again), latex(again)) == first
    assert "2000-01-01" not in "".join(first) and "synthetic" not in "".join(first)


def test_csv_has_one_row_per_arm_in_full_precision(full):
    rows = list(csv.DictReader(io.StringIO(csv_rows(full))))
    assert [row["arm"] for row in rows] == list(S.ARMS)
    for row, summary in zip(rows, full.rows, strict=True):
        assert float(row["accuracy"]) == summary.accuracy and float(row["pass@8"]) == summary.metrics["pass@8"]
    assert rows[0]["train_seconds"] == "" and rows[0]["scale"] == "micro"
    assert [float(r["reported_Qwen2.5-Math-7B_mean_percent[derived]"]) for r in rows] == [
        25.82,
        41.92,
        42.87,
        44.12,
        45.38,
    ]


def test_latex_is_well_formed(full):
    text = latex(full)
    body = text.split("\\midrule")[1].split("\\bottomrule")[0].strip().split("\n")
    columns = re.search(r"\\begin\{tabular\}\{(\w+)\}", text)[1]
    assert len(body) == 5
    for line in body:
        assert line.endswith("\\\\") and len(re.split(r"(?<!\\)&", line)) == len(columns)
    for command in ("toprule", "midrule", "bottomrule"):
        assert text.count("\\" + command) == 1
    assert "Measured by this suite" in text and "Reported by the paper" in text and text.isascii()
    assert text.count("{") - text.count("\\{") == text.count("}") - text.count("\\}")
    assert [len(re.findall(rf"\\{w}{{table\*}}", text)) for w in ("begin", "end")] == [1, 1]
    assert not re.search(r"(?<!\\)%(?! Needs)(?!\n)", text)  # a bare per cent sign would comment the line out


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex on this machine")
def test_latex_compiles(full, tmp_path):
    document = (
        "\\documentclass{article}\\usepackage{booktabs,graphicx}\\begin{document}" + latex(full) + "\\end{document}"
    )
    (tmp_path / "t.tex").write_text(document)
    subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"], cwd=tmp_path, check=True, timeout=120
    )


def test_an_incomplete_run_shows_what_is_missing():
    records = [*S.records(["base"]), *S.records(["ppo-n1"], range(4)), S.failed("ppo-n1", 4, step=12)]
    text = markdown(compile_report(S.experiment(), records, None))
    rows = {row[0]: row for row in pipe_rows(section(text, "Measured by this suite"))}
    assert rows["PPO n=1"][-1] == "incomplete, 4 of 5 seeds; failed at step 12 (seed 4: loss is NaN)"
    assert rows["TBRM n=4"][-1] == "not run" and set(rows["TBRM n=4"][1:-2]) == {"–"}
    assert rows["PPO n=1"][6:8] == ["–", "–"]  # no timing record
    assert {row[5].split("**")[1] for row in pipe_rows(section(text, "Claims"))[1:]} == {"not run"}


def test_no_records_at_all():
    found = compile_report(S.experiment(), [], None, suffix="@smoke")
    text = markdown(found)
    assert "(scale: smoke)" in text and text.count("| not run |") == 5
    assert latex(found) and csv_rows(found).count("\n") == 6


def test_smoke_is_named_and_carries_no_verdict(tmp_path):
    records = S.records(["base", "tbrm-n1", "ppo-n1"], [0], scale="smoke")
    found = report(S.experiment(), records, None, tmp_path, suffix="@smoke")
    names = {path.name for path in found.files}
    assert {"table1@smoke.md", "table1@smoke.csv", "table1@smoke.tex", "table1@smoke_curves.png"} <= names
    text = (tmp_path / "paper_tables" / "table1@smoke.md").read_text()
    assert "Smoke run" in text and "(scale: smoke)" in text and "repro run table1 --scale smoke --seeds 1" in text
    assert {v.result.verdict for v in found.verdicts} == {"not run"}


def test_a_gpu_run_shows_measured_beside_predicted():
    header = pipe_rows(
        section(markdown(compile_report(S.experiment(), S.records(gpu=True), None)), "Measured by this suite")
    )[0]
    assert "Peak memory, predicted" in header and "Peak memory, measured" in header


def test_the_command_of_ablations_and_changed_runs():
    extra = [S.trial("brm-n4", s) for s in range(5)]
    assert compile_report(S.experiment(), S.records() + extra, None).command == "repro run table1 --arms all"
    some = compile_report(S.experiment(), S.records(["base"]) + extra, None)
    assert some.command == "repro run table1 --arms base,brm-n4"
    changed = S.records(["base"])
    for record in changed:
        record["variant"] = "1a2b3c4d"
        record["provenance"]["command"] = "repro run table1 --root /tmp/x --jobs=2 --task mul --json"
    assert compile_report(S.experiment(), changed, None, "@1a2b3c4d").command == "repro run table1 --task mul"


def test_every_registered_experiment_can_be_reported():
    for experiment in registry.experiments().values():
        text = markdown(compile_report(experiment, [], None))
        assert text.startswith(f"# {experiment.id}: ") and all(claim.id in text for claim in experiment.claims)
    found = compile_report(registry.get("table1"), S.records(), S.timing())
    assert {v.result.verdict for v in found.verdicts} > {"not run"} and latex(found) and csv_rows(found)


def test_a_timing_record_of_another_scale_is_refused():
    with pytest.raises(InputError, match="table1@smoke/timing"):
        compile_report(S.experiment(), S.records(["base"]), S.timing(scale="smoke"))


def test_json_structure_survives_json_and_keeps_reported_apart(full):
    data = json.loads(json.dumps(to_json(full), allow_nan=False))
    assert list(data) == [
        "id",
        "experiment",
        "title",
        "scale",
        "setting",
        "arms",
        "claims",
        "noise_floor",
        "ledger",
        "reported",
        "command",
        "files",
    ]
    assert [a["arm"] for a in data["arms"]] == list(S.ARMS) and data["arms"][1]["accuracy"] == full.rows[1].accuracy
    assert {"verdict", "estimate", "lo", "hi"} <= set(data["claims"][0]["result"])
    assert [t["id"] for t in data["reported"]["tables"]] == ["table1", "reval_table1"]
