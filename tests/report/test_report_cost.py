"""Reports with an offline stage, KL, cost by phase and planned shapes; and none of it without its records."""

from __future__ import annotations

import csv
import io
import json
import re

import pytest

from repro.errors import InputError
from repro.report.build import compile_report, report
from repro.report.console import final
from repro.report.format import size
from repro.report.markdown import markdown
from repro.report.phases import phases_csv, phases_latex
from repro.report.planned import PARTS, parts, planned_csv, planned_latex
from repro.report.structure import to_json
from repro.report.tables import csv_rows, latex
from repro.store.record import check_record

from . import synthetic as S
from . import synthetic_cost as C
from .test_report_console import shown
from .test_report_tables import pipe_rows, section


@pytest.fixture(scope="module")
def full():
    return compile_report(C.experiment(), C.records(), C.timing(), plan=C.plan())


def by_arm(text: str, title: str) -> dict[str, dict[str, str]]:
    header, *rows = pipe_rows(section(text, title))
    return {row[0]: dict(zip(header, row, strict=True)) for row in rows}


def test_the_synthetic_records_could_be_stored():
    for record in (*C.records(), C.timing(), C.plan()):
        check_record(record)


# --- measured table ---------------------------------------------------------------------------------------------------


def test_times_hold_stage_1_and_say_how_much_of_them_it_is(full):
    rows = by_arm(markdown(full), "Measured by this suite")
    ours, rival = rows["A*-PO"], rows["PPO n=1"]
    online = ours["Time/step, equal prompts"], ours["of it stage 1, equal prompts"]
    assert online == ("1.74 s", "248 ms") and rival["of it stage 1, equal prompts"] == "–"
    assert (ours["of it stage 1, training"], rival["of it stage 1, training"]) == ("15.0 s", "–")
    summary = {row.arm: row for row in full.rows}
    timed = C.timing()["timing"]["prompts_equal"]["astar-po-n1"]["rounds"]
    sums = sorted(r["seconds"] + r["stage1_seconds"] for r in timed)
    assert summary["astar-po-n1"].step_seconds_prompts == pytest.approx((sums[3] + sums[4]) / 2)
    assert summary["astar-po-n1"].train_seconds == pytest.approx(1.8 * S.STEPS + C.SHARE * S.STEPS)
    assert summary["ppo-n1"].stage1_seconds is None


def test_kl_is_printed_in_nats_and_never_as_a_rate(full):
    header, *rows = pipe_rows(section(markdown(full), "Measured by this suite"))
    assert "KL, nats/response" in header and "KL, nats/token" in header
    assert not any("kl" in name.lower() and "%" in name for name in header)
    found = {row[0]: dict(zip(header, row, strict=True)) for row in rows}
    assert found["Base model"]["KL, nats/token"] == "0.0000"
    assert float(found["PPO n=1"]["KL, nats/token"]) == pytest.approx(0.05, abs=0.002)
    assert float(found["PPO n=1"]["KL, nats/response"]) == pytest.approx(0.5, abs=0.02)


def test_kl_is_a_mean_over_the_sets_that_have_it():
    records = C.records(["base", "ppo-n1"])
    for record in records:
        entry = {**record["outcomes"]["chain"], "kl": None}
        record["outcomes"]["other"] = entry
        record["metrics"] |= {f"other/{k}": record["metrics"][f"chain/{k}"] for k in ("accuracy", "greedy")}
    rows = {row.arm: row for row in compile_report(C.experiment(), records, None).rows}
    assert rows["ppo-n1"].kl == pytest.approx(0.5, abs=0.02) and rows["base"].kl == 0.0


def test_without_kl_and_stage_1_nothing_of_it_shows():
    records = C.records(C.ARMS[:-1], kl=False)
    found = compile_report(C.experiment(claims=(), planned=()), records, C.timing(arms=C.ARMS[1:-1]))
    header = pipe_rows(section(markdown(found), "Measured by this suite"))[0]
    assert not any("KL" in name or "stage 1" in name for name in header)
    assert "stage1" not in csv_rows(found) and "kl_nats" not in csv_rows(found)


def test_the_csv_has_kl_and_stage_1_in_full_precision(full):
    rows = {row["arm"]: row for row in csv.DictReader(io.StringIO(csv_rows(full)))}
    summary = {row.arm: row for row in full.rows}
    ours = rows["astar-po-n1"]
    assert float(ours["kl_nats_per_token"]) == summary["astar-po-n1"].kl_token
    assert float(ours["train_stage1_seconds"]) == C.SHARE * S.STEPS
    assert rows["ppo-n1"]["step_stage1_seconds_equal_prompts"] == ""
    assert float(ours["reported_Qwen2.5-7B_mean_percent[derived]"]) == 50.32


def test_stage_1_counts_in_a_measured_peak_no_more_than_other_sampling():
    records = C.records(["astar-po-n1"], gpu=True)
    for record in records:
        record["cost"]["phases"]["stage1"]["peak_allocated"] = 2**40
    (row,) = [row for row in compile_report(C.experiment(), records, None).rows if row.arm == "astar-po-n1"]
    assert row.measured_peak == 2**31


# --- cost per phase ---------------------------------------------------------------------------------------------------


def test_phases_have_seconds_rates_and_utilisation(full):
    rows = {(row.arm, row.phase): row for row in full.phases}
    update = rows["ppo-n1", "update"]
    assert update.tokens == 1280 and update.tokens_per_second == pytest.approx(1280 / update.seconds, rel=0.02)
    assert update.utilisation == pytest.approx(20e9 / C.PEAK_RATE) and update.flops == pytest.approx(
        20e9 * update.seconds
    )
    stage1 = rows["astar-po-n1", "stage1"]
    assert stage1.seconds == pytest.approx(C.SHARE, rel=0.02) and stage1.utilisation == pytest.approx(0.1)
    assert rows["ppo-n1", "reward"].flops is None and rows["ppo-n1", "reward"].utilisation is None
    assert ("ppo-n1", "stage1") not in rows and not any(arm == "base" for arm, _ in rows)


def test_the_whole_step_is_the_sum_of_its_parts(full):
    for arm in C.ARMS[1:]:
        own = {row.phase: row for row in full.phases if row.arm == arm}
        whole = own.pop("whole step")
        assert whole.seconds == pytest.approx(sum(row.seconds for row in own.values()), rel=0.01)
        assert whole.flops == pytest.approx(sum(row.flops or 0 for row in own.values()), rel=0.01)
        sampled = sum(own[name].tokens for name in ("stage1", "generate") if name in own)
        assert whole.tokens == sampled  # what is read again by the reference and the update is no new token


def test_memory_by_phase_is_the_largest_of_the_trials():
    records = C.records(gpu=True)
    records[7]["cost"]["phases"]["update"]["host_rss"] = 2**40  # a seed of PPO
    rows = {(r.arm, r.phase): r for r in compile_report(C.experiment(), records, C.timing(), plan=C.plan()).phases}
    assert rows["ppo-n1", "update"].host_rss == rows["ppo-n1", "whole step"].host_rss == 2**40
    assert rows["ppo-n1", "generate"].host_rss == 600 * 2**20
    assert rows["ppo-n1", "update"].peak_allocated == 2**31 and rows["ppo-n1", "update"].peak_reserved == 2**31


def test_the_section_prints_memory_columns_only_where_something_was_measured(full):
    text = section(markdown(full), "Cost per phase")
    header = pipe_rows(text)[0]
    assert header == [
        "Arm", "Phase", "Seconds", "Tokens", "Tokens/s", "Model GFLOPs", "Utilisation %", "Host memory, measured",
    ]  # fmt: skip
    assert "synthetic CPU (made up)" in text and "50 GFLOP/s" in text
    gpu = compile_report(C.experiment(), C.records(gpu=True), C.timing(), plan=C.plan())
    assert "Peak reserved, measured" in pipe_rows(section(markdown(gpu), "Cost per phase"))[0]


def test_a_device_of_unknown_rate_gives_no_utilisation():
    timing = C.timing()
    timing["timing"]["device"]["flops"] = None
    text = markdown(compile_report(C.experiment(), C.records(), timing))
    assert "Utilisation" not in text and "Model GFLOPs" in text


def test_older_timing_records_have_no_such_section():
    found = compile_report(S.experiment(), S.records(), S.timing())
    assert found.phases == [] and "Cost per phase" not in markdown(found) and "phases" not in to_json(found)


# --- planned shapes ---------------------------------------------------------------------------------------------------


def test_the_parts_of_a_peak_add_up_to_it(full):
    assert len(full.planned) == 8
    for row in full.planned:
        assert sum(row.parts.values()) == row.peak and set(row.parts) <= set(PARTS)
    ppo = full.planned[0]
    states = int(4 * 1.5 * C.GIB)
    assert ppo.parts["critic"] == 4 * states and ppo.parts["parameters"] == states
    assert ppo.parts["reference"] == states and ppo.parts["other"] == 4096
    odd = parts({"gradients/judge": 1, "parameters/policy": 2, "kv_cache": 3, "lost/policy": 4, "activations": 0})
    assert odd == {"parameters": 2, "judge": 1, "kv_cache": 3, "other": 4}


def test_flops_per_prompt_hold_the_share_of_stage_1(full):
    ours = next(row for row in full.planned if row.arm == "astar-po-n1" and row.name == "7B")
    raw = C.planned_row("7B", "astar-po-n1")
    assert ours.flops == pytest.approx((raw["step"]["flops"] + raw["stage1"]["flops"] / 724) / 256)
    assert ours.stage1_flops / ours.flops == pytest.approx(1 / 3)
    ppo = next(row for row in full.planned if row.arm == "ppo-n1" and row.name == "7B")
    assert ppo.stage1_flops is None and ppo.peak_ratio == ppo.flops_ratio == 1
    assert ours.flops_ratio == pytest.approx(ours.flops / ppo.flops)


def test_every_heading_of_what_is_planned_says_predicted(full):
    text = section(markdown(full), "Predicted at the papers' shapes")
    headings = re.findall(r"^#+ (.*)", text, re.M)
    assert headings == ["Predicted for 1.5B (Qwen/Qwen2.5-1.5B)", "Predicted for 7B (Qwen/Qwen2.5-7B)"]
    for title in headings:
        header, *rows = pipe_rows(section(text, title))
        assert header[0] == "Arm" and all("predicted" in name for name in header[1:])
        assert [row[0] for row in rows] == [C.DISPLAY[arm] for arm in C.ARMS[1:]]
        assert not any("other" in name for name in header), "a few bytes of buffers are no column"
    ppo = by_arm(text, "Predicted for 1.5B")["PPO n=1"]
    assert ppo["Peak memory, predicted"] == size(C.planned_row("1.5B", "ppo-n1")["peak"]["total"]) == "57.00 GiB"
    assert ppo["critic, predicted"] == "24.00 GiB" and ppo["in phase, predicted"] == "update"
    ours = by_arm(text, "Predicted for 1.5B")["A*-PO"]
    assert ours["of it stage 1 %, predicted"] == "33.3" and ours["critic, predicted"] == "–"
    assert ours["against PPO n=1, predicted"] == "0.58x"


def test_what_is_left_out_stands_once_and_names_its_arms_if_few(full):
    text = section(markdown(full), "Predicted at the papers' shapes")
    assert text.count("- the CUDA context.\n") == 1 and "- the engine's pool (GRPO n=4).\n" in text


def test_planned_claims_have_verdicts_and_their_note(full):
    text, rows = section(markdown(full), "Claims"), by_arm(markdown(full), "Claims")
    assert rows["A2"]["Verdict"] == "**supported**" and rows["A2"]["Effect"] == "1.73x (exact)"
    assert rows["A2-grpo"]["Verdict"] == "**contradicted**"
    assert rows["A2"]["Tested here"] == "predicted peak memory, 1.5B: (PPO n=1) / (A*-PO) > 1.43 (exact)"
    assert rows["A3"]["Tested here"] == "KL per token: (PPO n=1) - (A*-PO) > 0.0000 nats (direction)"
    assert "rounds" in rows["A1-online"]["Effect"] and "hold for the shapes that they name" in text


def test_without_a_plan_record_it_says_not_run_and_why():
    found = compile_report(C.experiment(), C.records(), C.timing())
    assert "Not run: there is no plan record" in section(markdown(found), "Predicted at the papers' shapes")
    rows = by_arm(markdown(found), "Claims")
    assert rows["A2"]["Verdict"] == "**not run**: no plan record" and rows["A2"]["Effect"] == "–"
    assert rows["A1"]["Verdict"] == "**supported**" and "planned" not in to_json(found)


def test_planned_claims_need_no_trial_of_their_arms():
    found = compile_report(C.experiment(), C.records(["base"]), None, plan=C.plan())
    verdicts = {v.claim.id: v.result.verdict for v in found.verdicts}
    assert (verdicts["A2"], verdicts["A1"], verdicts["A3"]) == ("supported", "not run", "not run")


def test_a_plan_of_something_else_is_refused():
    with pytest.raises(InputError, match=r"the plan record table3@paper/plan/seed0 does not belong to the trials of"):
        compile_report(C.experiment(), C.records(["base"]), None, plan=C.plan(scale="paper"))
    with pytest.raises(InputError, match="does not belong"):
        compile_report(S.experiment(), S.records(["base"]), None, plan=C.plan())
    with pytest.raises(InputError, match="is not a plan record of table1"):
        compile_report(S.experiment(), [], None, plan=C.plan())
    with pytest.raises(InputError, match="is not a plan record of table3"):
        compile_report(C.experiment(), C.records(["base"]), None, plan=C.timing())


def test_a_plan_of_an_older_definition_is_refused():
    names, arms, model, kind = C.plan(), C.plan(), C.plan(), C.plan()
    names["plan"]["rows"][0]["name"] = "3B"
    arms["plan"]["rows"][0]["arm"] = "base"
    model["config"]["rows"][0]["base"] = {"kind": "hub", "id": "Qwen/Qwen2-1.5B", "revision": None}
    for plan, what in ((names, "at 3B, which table3 does not have"), (arms, "plans base"), (model, "another model")):
        with pytest.raises(InputError, match=what):
            compile_report(C.experiment(), C.records(["base"]), None, plan=plan)
    del kind["plan"]["rows"][0]["step"]
    with pytest.raises(InputError, match="row of ppo-n1 at 1.5B is not a plan"):
        compile_report(C.experiment(), C.records(["base"]), None, plan=kind)


def test_a_failed_plan_counts_as_none():
    found = compile_report(C.experiment(), C.records(["base"]), None, plan=C.plan() | {"status": "failed"})
    assert found.planned == [] and {v.result.verdict for v in found.verdicts} == {"not run"}


# --- files ------------------------------------------------------------------------------------------------------------


def test_tables_for_machines_and_papers(full):
    rows = list(csv.DictReader(io.StringIO(planned_csv(full.planned))))
    assert len(rows) == 8
    for row in rows:
        numbers = [name for name in row if name not in ("name", "model", "arm", "display")]
        assert all("predicted" in name for name in numbers)
        assert sum(int(row[f"predicted_{part}_bytes"]) for part in PARTS) == int(row["predicted_peak_bytes"])
    phases = list(csv.DictReader(io.StringIO(phases_csv(full.phases))))
    assert [float(row["seconds"]) for row in phases] == [row.seconds for row in full.phases]
    for text, tables in ((planned_latex(full.planned, "t", "n"), 2), (phases_latex(full.phases, "t", "n"), 1)):
        assert text.isascii() and text.count("\\begin{table*}") == text.count("\\end{table*}") == tables
        assert text.count("{") - text.count("\\{") == text.count("}") - text.count("\\}")
        for body, columns in zip(
            re.findall(r"\\midrule\n(.*?)\\bottomrule", text, re.S),
            re.findall(r"tabular\}\{(\w+)\}", text),
            strict=True,
        ):
            for line in body.replace("\\addlinespace\n", "").strip().split("\n"):
                assert len(re.split(r"(?<!\\)&", line)) == len(columns) and line.endswith("\\\\")
    assert planned_latex(full.planned, "t", "n").count("Predicted, not measured") == 2
    assert latex(full).count("KL") == 2


def test_the_files_of_a_report(tmp_path):
    made = report(C.experiment(), C.records(), C.timing(), tmp_path, plan=C.plan())
    assert len(set(made.files)) == len(made.files) and all(path.is_file() for path in made.files)
    names = {path.name for path in made.files}
    assert {f"table3_{w}.{s}" for w in ("phases", "planned") for s in ("csv", "tex")} <= names
    figures = {f"table3_{w}.{s}" for w in ("memory", "tradeoff", "cost") for s in ("png", "svg", "csv")}
    assert figures <= names
    again = report(C.experiment(), C.records()[::-1], C.timing(), tmp_path / "again", plan=C.plan())
    for one, two in zip(made.files, again.files, strict=True):
        assert one.read_bytes() == two.read_bytes(), one.name


def test_an_experiment_without_these_records_has_none_of_these_files(tmp_path):
    names = {path.name for path in report(S.experiment(), S.records(), S.timing(), tmp_path).files}
    assert not any(word in name for name in names for word in ("phases", "planned", "memory", "tradeoff"))


def test_json_has_what_was_planned_and_what_phases_cost(full):
    data = json.loads(json.dumps(to_json(full), allow_nan=False))
    assert [row["arm"] for row in data["planned"]] == [*C.ARMS[1:], *C.ARMS[1:]]
    assert data["planned"][0]["parts"]["critic"] == full.planned[0].parts["critic"]
    assert data["phases"]["device"]["flops"] == C.PEAK_RATE and len(data["phases"]["rows"]) == len(full.phases)
    ours = next(row for row in data["arms"] if row["arm"] == "astar-po-n1")
    assert ours["step_stage1_prompts"] == pytest.approx(C.SHARE, rel=0.02) and ours["kl_token"] > 0
    assert [table["id"] for table in data["reported"]["tables"]] == ["math"]


def test_the_terminal_shows_it_in_eighty_columns(full):
    text = shown(final(full))
    assert "Predicted at the papers' shapes" in text and "57.00 GiB" in text and "stage 1" in text
    narrow = shown(final(full), width=80)
    assert max(map(len, narrow.splitlines())) <= 80


# --- reported ---------------------------------------------------------------------------------------------------------


def test_the_papers_table_and_derived_savings_stand_beside(full):
    text = markdown(full)
    table = pipe_rows(section(text, "Results image of the authors' repository"))
    assert table[0][2:5] == ["Hours", "Memory %", "KL"] and len(table) == 16
    assert table[1][2:] == ["–", "–", "–", "45.8", "16.91", "17.66", "20.55", "25.23"]
    assert table[5] == ["Qwen2.5-1.5B", "A*-PO", "6.92", "41.59", "0.069", "57.8", "22.43", "22.26", "31.88", "33.59"]
    costs = pipe_rows(section(text, "Cost, from the hours"))
    assert ["peak memory, 3B", "A*-PO", "PPO n=1", "10.3% less", "[derived]"] in costs
    digitised = [row for row in costs if "digitised to" in row[3]]
    assert len(digitised) == 2 and {row[4] for row in digitised} == {"[paper]"}


def test_a_paper_with_nothing_but_costs_beside_an_experiment_prints_those(full):
    claims = (S.claim("T7", "exact", "planned_peak:7B", "astar-po-n1", "ppo-n1", "ratio", "lower", 1.5),)
    text = markdown(compile_report(C.experiment(claims=claims), C.records(["base"]), None))
    costs = pipe_rows(section(section(text, "Reported by the paper: TBRM"), "Cost, sec. 4.3"))
    assert ["peak GPU memory", "TBRM n=1", "PPO n=1", "33.3% less", "[paper]"] in costs
    assert "Gain over the base model" not in section(text, "Reported by the paper: TBRM")
