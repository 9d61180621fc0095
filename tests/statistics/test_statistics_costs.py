"""Claims on cost and on KL: shares of stage 1, planned shapes without seeds, divergences by question."""

from __future__ import annotations

import numpy as np
import pytest
from test_statistics_contrast import Claim, both, record

from repro.errors import InputError
from repro.statistics.contrast import evaluate_claim, evaluate_claims
from repro.statistics.costs import flops_per_prompt, rounds, stage1_flops
from repro.store.outcomes import question_scores


def timing(new=1.0, old=3.0, share=0.5, count=8):
    def entry(seconds, more):
        return {"seconds": seconds, "phases": {}, **more}

    table = {
        "new": {"rounds": [entry(new * (1 + 0.01 * i), {"stage1_seconds": share}) for i in range(count)]},
        "old": {"rounds": [entry(old * (1 + 0.01 * i), {}) for i in range(count)]},
    }
    return {"kind": "timing", "status": "done", "scale": "micro", "timing": {"prompts_equal": table}}


def plan(scale="micro", **changes):
    def row(arm, peak, flops, stage1):
        return {
            "name": "7B", "arm": arm, "peak": {"total": peak, "phase": "update", "components": {}},
            "step": {"flops": flops, "prompts": 10}, "stage1": stage1, "run": {"steps": 4},
        }  # fmt: skip

    rows = [row("new", 70, 100, {"flops": 200}), row("old", 100, 600, None)]
    return {"kind": "plan", "status": "done", "scale": scale, "plan": {"rows": rows}, **changes}


def ratio(metric, **more):
    return Claim(**{"metric": metric, "contrast": "ratio", "better": "lower", **more})


def test_a_step_is_charged_its_share_of_stage_1():
    found = rounds(timing(), "new", "prompts_equal"), rounds(timing(), "new", "prompts_equal", offline=False)
    assert found[0] == pytest.approx(found[1] + 0.5)
    assert list(rounds(timing(), "old", "prompts_equal")) == list(rounds(timing(), "old", "prompts_equal", False))


def test_the_share_decides_between_a_claim_and_its_online_form():
    claims = [
        ratio("time_per_step", id="C1", kind="threshold", margin=2.5),
        ratio("online_time_per_step", id="C2", kind="threshold", margin=2.5),
    ]
    with_share, online = evaluate_claims(claims, [], timing())
    assert (with_share.verdict, online.verdict) == ("contradicted", "supported")
    assert with_share.estimate == pytest.approx(2, abs=0.05) and online.estimate == pytest.approx(3)
    assert online.n_seeds == 8


def test_records_without_shares_read_as_before():
    old = timing(share=0.0)
    for entry in old["timing"]["prompts_equal"]["new"]["rounds"]:
        del entry["stage1_seconds"]
    assert evaluate_claim(ratio("time_per_step"), [], old) == evaluate_claim(ratio("online_time_per_step"), [], old)


def test_a_time_is_compared_with_the_same_time_only():
    with pytest.raises(InputError, match="online_time_per_step can only be compared with itself"):
        evaluate_claim(ratio("online_time_per_step", against_metric="time_per_step"), [], timing())


def test_planned_flops_spread_stage_1_over_the_steps_of_the_run():
    row = plan()["plan"]["rows"][0]
    assert stage1_flops(row) == 50 and flops_per_prompt(row) == 15
    assert flops_per_prompt({**row, "stage1": None}) == 10


@pytest.mark.parametrize(
    ("metric", "margin", "estimate", "verdict"),
    [
        ("planned_peak:7B", 1.4, 100 / 70, "supported"),
        ("planned_peak:7B", 1.5, 100 / 70, "contradicted"),
        ("planned_flops:7B", 3.9, 4.0, "supported"),
        ("planned_flops:7B", 4.0, 4.0, "contradicted"),
    ],
)
def test_planned_claims_are_exact_and_need_no_seed(metric, margin, estimate, verdict):
    claim = ratio(metric, kind="exact", margin=margin)
    (result,) = evaluate_claims([claim], [], None, plan=plan())
    assert result.estimate == pytest.approx(estimate) and result.verdict == verdict
    assert (result.lo, result.hi, result.level, result.n_seeds, result.reason) == (None, None, None, 0, "")
    assert evaluate_claim(claim, [record("new", 0)], None, plan=plan()) == result


@pytest.mark.parametrize("scale", ["micro", "small", "paper"])
def test_a_planned_claim_has_a_verdict_at_every_scale_but_smoke(scale):
    claim = ratio("planned_peak:7B", kind="exact", margin=1.4)
    assert evaluate_claim(claim, [record("new", 0, scale=scale)], None, plan=plan(scale)).verdict == "supported"
    smoke = evaluate_claim(claim, [record("new", 0, scale="smoke")], None, plan=plan("smoke"))
    assert (smoke.verdict, smoke.reason) == ("not run", "smoke runs give no verdict")


def test_without_a_usable_plan_a_planned_claim_is_not_run_and_says_why():
    claim = ratio("planned_peak:7B", kind="exact", margin=1.4)

    def reason(given, metric="planned_peak:7B"):
        result = evaluate_claim(ratio(metric, kind="exact", margin=1.4), both(), None, plan=given)
        assert result.verdict == "not run" and result.estimate is None
        return result.reason

    assert evaluate_claim(claim, both(), None).reason == "no plan record"
    assert reason(plan(status="failed")) == "no plan record"
    assert reason(plan(), "planned_peak:3B") == "the plan record has no rows of new at 3B: plan again"
    twice = plan()
    twice["plan"]["rows"] *= 2
    assert reason(twice) == "the plan record has 2 rows of new at 7B: plan again"
    for broken in ({"peak": {}}, {"peak": {"total": "much"}}, {"peak": {"total": 0}}, {"peak": None}):
        odd = plan()
        odd["plan"]["rows"][0] |= broken
        assert reason(odd) == "the plan record's row of new at 7B has no usable planned peak: plan again"


def test_a_planned_claim_that_names_no_model_or_is_not_exact_is_refused():
    for claim in (ratio("planned_peak", kind="exact"), ratio("planned_peak:7B", kind="threshold", margin=1.4)):
        with pytest.raises(InputError, match="needs kind exact"):
            evaluate_claim(claim, [], None, plan=plan())


def test_planned_claims_take_no_holm_level():
    tested = Claim(id="C1")
    planned = [ratio("planned_peak:7B", id=f"P{i}", kind="exact", margin=1.4) for i in range(5)]
    assert evaluate_claims([tested, *planned], both(), plan=plan())[0].level == 0.95


# --- KL ---------------------------------------------------------------------------------------------------------------


def divergent(arm, seed, token, sets=("chain",), **more):
    made = record(arm, seed, sets=sets, **more)
    rng = np.random.default_rng([3, seed, *arm.encode()])
    for entry in made["outcomes"].values():
        values = token + 0.01 * rng.normal(size=len(entry["questions"]))
        entry["kl"] = {"token": values.tolist(), "sequence": (20 * values).tolist()}
    return made


def pairs(new=0.02, old=0.05, **more):
    return [divergent(arm, seed, token, **more) for arm, token in (("new", new), ("old", old)) for seed in range(5)]


def test_kl_is_compared_question_by_question():
    claim = Claim(metric="kl_token", better="lower")
    result = evaluate_claim(claim, pairs())
    assert result.estimate == pytest.approx(0.03, abs=0.003) and result.verdict == "supported"
    assert evaluate_claim(Claim(metric="kl", better="lower"), pairs()).estimate == pytest.approx(20 * result.estimate)
    assert evaluate_claim(claim, pairs(0.05, 0.02)).verdict == "contradicted"
    assert evaluate_claim(claim, pairs(0.04, 0.04)).verdict == "inconclusive"


def test_kl_may_be_negative():
    result = evaluate_claim(Claim(metric="kl_token", better="lower"), pairs(-0.02, 0.01))
    assert result.estimate == pytest.approx(0.03, abs=0.003)


def test_kl_is_a_mean_over_the_sets_that_have_it():
    records = pairs(sets=("a", "b"))
    for one in records:
        one["outcomes"]["b"]["kl"] = None
    both_sets = evaluate_claim(Claim(metric="kl_token", better="lower"), records)
    assert both_sets.estimate == evaluate_claim(Claim(metric="kl_token:a", better="lower"), records).estimate
    reason = evaluate_claim(Claim(metric="kl_token:b", better="lower"), records).reason
    assert reason == "new, set b: the KL divergence to the base was not measured on these questions"
    assert evaluate_claim(Claim(metric="kl"), both()).reason == "new has no set with kl"


def test_a_seed_without_kl_is_no_zero():
    records = pairs()
    del records[3]["outcomes"]["chain"]["kl"]
    result = evaluate_claim(Claim(metric="kl_token", better="lower"), records)
    assert result.verdict == "not run" and "was not measured" in result.reason


def test_question_scores_of_kl():
    entry = {"questions": ["a", "b"], "samples": ["c", "w"], "kl": {"sequence": [1.0, -2.0], "token": [0.1, -0.2]}}
    assert question_scores(entry, "kl").tolist() == [1.0, -2.0]
    assert question_scores(entry, "kl_token").tolist() == [0.1, -0.2]
    with pytest.raises(InputError, match="not measured"):
        question_scores({**entry, "kl": None}, "kl")
