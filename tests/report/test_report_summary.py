"""Rows per arm: what is counted, what is left out, and what is refused."""

from __future__ import annotations

from statistics import fmean

import pytest

from repro.errors import InputError
from repro.report.summary import largest_pass, step_seconds, summarise

from . import synthetic as S


def rows(records, timing=None, experiment=None):
    return {row.arm: row for row in summarise(experiment or S.experiment(), records, timing)}


def test_means_run_over_done_seeds_and_the_interval_holds_them():
    found = rows(S.records(), S.timing())
    assert list(found) == list(S.ARMS)  # the ablation arm has no record, so it has no row
    for arm, row in found.items():
        values = [S.trial(arm, seed)["metrics"]["chain/accuracy"] for seed in range(5)]
        assert row.accuracy == pytest.approx(fmean(values)) and row.by_seed == tuple(values)
        assert row.lo < row.accuracy < row.hi and row.hi - row.lo > max(values) - row.accuracy
        assert row.status == "done" and row.seeds == (0, 1, 2, 3, 4)
        assert row.metrics["pass@8"] == pytest.approx(
            fmean(S.trial(arm, s)["metrics"]["chain/pass@8"] for s in range(5))
        )
    assert largest_pass(found.values()) == "pass@8"


def test_the_base_arm_has_no_training_cost():
    base = rows(S.records(), S.timing())["base"]
    assert base.train_seconds is base.predicted_peak is base.step_seconds_prompts is None


def test_record_order_does_not_matter():
    records = S.records()
    assert summarise(S.experiment(), records, None) == summarise(S.experiment(), records[::-1], None)


def test_resumed_trials_do_not_count_for_time():
    records = S.records(["tbrm-n4"])
    records[0]["cost"].update(train_seconds=1e9, resumed=1)
    assert rows(records)["tbrm-n4"].train_seconds == pytest.approx(S.SECONDS["tbrm-n4"] * S.STEPS)
    for record in records:
        record["cost"]["resumed"] = 1
    assert rows(records)["tbrm-n4"].train_seconds is None


def test_failed_missing_and_unrun_arms_say_so():
    records = [
        *S.records(["base"]),
        *S.records(["ppo-n1"], range(1, 5)),
        S.failed("ppo-n1", 0, step=7),
        *S.records(["tbrm-n1"], range(2)),
        *[S.failed("grpo-n4", s, step=None) for s in range(5)],
    ]
    found = rows(records)
    assert found["ppo-n1"].status == "incomplete, 4 of 5 seeds; failed at step 7 (seed 0: loss is NaN)"
    assert found["ppo-n1"].seeds == (1, 2, 3, 4)
    assert found["tbrm-n1"].status == "incomplete, 2 of 5 seeds; not run: seed 2, 3, 4"
    assert found["grpo-n4"].status.startswith("failed (seed 0: loss is NaN)") and found["grpo-n4"].accuracy is None
    assert found["tbrm-n4"].status == "not run"


def test_a_failed_record_may_lack_what_it_never_had():
    record = S.failed("tbrm-n4", 0)
    for name in (
        "metrics",
        "outcomes",
        "curve",
        "health",
        "cost",
        "provenance",
        "base",
        "hashes",
        "data",
        "samples",
        "variant",
    ):
        record.pop(name)
    assert rows([record, *S.records(["base"])])["tbrm-n4"].status.startswith("failed at step 7")


def test_measured_memory_is_the_largest_training_phase():
    records = S.records(["tbrm-n4"], gpu=True)
    records[2]["cost"]["phases"]["evaluate"] = {"peak_allocated": 2**40}  # evaluation is no training phase
    found = rows(records)["tbrm-n4"]
    assert found.measured_peak == 2 * 2**30 and found.predicted_peak == 50_000_000
    assert rows(S.records(["tbrm-n4"]))["tbrm-n4"].measured_peak is None


def test_several_sets_are_averaged_with_equal_weight():
    records = []
    for record in S.records(["base", "tbrm-n4"]):
        other = S.trial(record["arm"], record["seed"], set_name="aime24", questions=16)
        record["metrics"] |= other["metrics"] | {"dev/accuracy": 0.0}
        record["outcomes"] |= other["outcomes"] | {"dev": other["outcomes"]["aime24"]}
        records.append(record)
    row = rows(records)["tbrm-n4"]
    assert list(row.sets) == ["chain", "aime24"]
    assert row.accuracy == pytest.approx((row.sets["chain"]["accuracy"] + row.sets["aime24"]["accuracy"]) / 2)
    assert row.lo < row.accuracy < row.hi


def test_the_papers_protocol_takes_greedy_where_there_is_one_sample():
    records = S.records(["tbrm-n4"])
    for record in records:
        other = S.trial("tbrm-n4", record["seed"], set_name="math500")
        entry = other["outcomes"]["math500"]
        entry["samples"] = [row[:1] for row in entry["samples"]]
        record["metrics"] |= other["metrics"] | {"math500/greedy": 1.0}
        record["outcomes"] |= other["outcomes"]
    row = rows(records)["tbrm-n4"]
    assert row.protocol == pytest.approx((row.sets["chain"]["accuracy"] + 1.0) / 2)
    single = rows(S.records(["tbrm-n4"]))["tbrm-n4"]
    assert single.protocol == single.accuracy


def test_step_time_is_the_median_round():
    timing = S.timing(rounds=5)
    timing["timing"]["prompts_equal"]["tbrm-n1"]["rounds"][0]["seconds"] = 1e6
    assert step_seconds(timing, "prompts_equal", "tbrm-n1") < 2
    assert step_seconds(timing, "prompts_equal", "base") is None
    timing["status"] = "failed"
    assert step_seconds(timing, "prompts_equal", "tbrm-n1") is None


@pytest.mark.parametrize(
    ("records", "message"),
    [
        (S.records(["base"], [0]) + S.records(["base"], [1], scale="smoke"), "mix several scales"),
        (S.records(["base"], [0]) + S.records(["nonesuch-n1"], [0]), "unknown arms: nonesuch-n1"),
        (S.records(["base"], [0]) + [S.trial("base", 0) | {"key": "f" * 64}], "several records of table1/base/seed0"),
    ],
)
def test_records_that_do_not_belong_together_are_refused(records, message):
    with pytest.raises(InputError, match=message):
        rows(records)
