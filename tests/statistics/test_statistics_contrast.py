import dataclasses
from dataclasses import dataclass

import numpy as np
import pytest

from repro.errors import InputError
from repro.experiments.types import Claim as RealClaim
from repro.experiments.types import Floor
from repro.statistics.contrast import aa_row, arm_interval, evaluate_claim, evaluate_claims

QUESTIONS = 60
ARMS = ("new", "old")


@dataclass(frozen=True)
class Claim:
    id: str = "C1"
    kind: str = "direction"
    metric: str = "accuracy"
    arm: str = "new"
    against: str = "old"
    contrast: str = "difference"
    better: str = "higher"
    margin: float = 0.0
    against_metric: str | None = None
    floor: Floor | None = None


def record(arm, seed, accuracy=0.5, sets=("chain",), scale="micro", questions=QUESTIONS, n=8, **changes):
    rng = np.random.default_rng([seed, *arm.encode()])
    outcomes = {}
    for name in sets:
        chance = np.random.default_rng(1).beta(1.5, 1.5, size=questions) - 0.5 + accuracy
        counts = rng.binomial(n, np.clip(chance, 0, 1))
        outcomes[name] = {
            "questions": [f"{name}{i}" for i in range(questions)],
            "levels": [""] * questions,
            "samples": ["c" * c + "w" * (n - c) for c in counts],
            "greedy": "".join("c" if c > n / 2 else "w" for c in counts),
        }
    train = dict.fromkeys(("trackers", "keep_checkpoints", "checkpoint_every", "processes"))
    return {
        "kind": "trial",
        "key": f"{seed}",
        "id": f"table1/{arm}/seed{seed}",
        "experiment": "table1",
        "scale": scale,
        "variant": None,
        "arm": arm,
        "seed": seed,
        "status": "done",
        "config": {"arm": arm, "seed": seed, "train": train, "base": {"kind": "micro"}, "evaluation": {"sets": []}},
        "hashes": {"base": "b"},
        "outcomes": outcomes,
        "health": [{"step": 1, "reward": 0.1}] + [{"step": i, "reward": accuracy} for i in range(2, 12)],
        "cost": {
            "phases": {"update": {"peak_allocated": 100 if arm == "new" else 150}, "generate": {"peak_allocated": 900}},
            "predicted_peak": {"total": 100 if arm == "new" else 150, "components": {}},
        },
        **changes,
    }


def both(gap=0.2, seeds=5, **more):
    return [record(arm, s, 0.5 + gap * (arm == "new"), **more) for arm in ARMS for s in range(seeds)]


SIZES = [1, 2, 4, 8]
EFFICIENCY = {"metric": "weighted@efficiency", "against_metric": "majority@efficiency", "contrast": "ratio"}


def scored(arm, seed, weighted, majority=(0.4, 0.5, 0.6, 0.7), sets=("chain",), verifier=0.75, **more):
    """A record with scored pools: mean accuracies over SIZES of the weighted and the majority vote."""
    made = record(arm, seed, sets=sets, **more)
    rng = np.random.default_rng([7, seed, *arm.encode()])
    made["metrics"] = {}
    for name, entry in made["outcomes"].items():
        questions = len(entry["questions"])
        spread = np.random.default_rng(3).normal(0, 0.1, size=questions) + rng.normal(0, 0.02, size=questions)
        spread -= spread.mean()

        def rows(curve, spread=spread):
            luck = rng.normal(0, 0.005)
            return [[round(1000 * float(np.clip(v + luck + s, 0, 1))) for s in spread] for v in curve]

        entry["scaling"] = {
            "sizes": SIZES,
            "curves": {"majority": rows(majority), "best": rows(majority), "weighted": rows(weighted)},
            "verifier": {"right": rng.binomial(8, verifier, size=questions).tolist()},
        }
        made["metrics"] |= {f"{name}/verifier_auc": verifier + 0.01 * seed, f"{name}/joint@8": float(weighted[-1])}
        made["metrics"][f"{name}/joint_majority@8"] = float(majority[-1]) + 0.01 * seed
    return made


def pools(seeds=5, new=(0.5, 0.7, 0.75, 0.8), old=(0.4, 0.45, 0.5, 0.5), **more):
    return [scored(arm, s, curve, **more) for arm, curve in (("new", new), ("old", old)) for s in range(seeds)]


def timing(ratio=0.7, rounds=8, scale="micro"):
    drift = np.geomspace(1, 3, rounds)
    noise = 1 + 0.01 * np.random.default_rng(0).normal(size=rounds)

    def rows(seconds):
        return {"rounds": [{"seconds": float(s), "phases": {}, "completions": 1, "prompts": 1} for s in seconds]}

    arms = {"new": rows(ratio * drift * noise), "old": rows(drift)}
    slower = {"new": rows(2 * drift * noise), "old": rows(drift)}
    parts = {"prompts_equal": arms, "completions_equal": slower}
    return {"kind": "timing", "arm": "timing", "status": "done", "scale": scale, "timing": parts}


def test_clear_difference_is_supported_and_its_reverse_contradicted():
    result = evaluate_claim(Claim(), both())
    assert (result.verdict, result.reason, result.n_seeds, result.paired) == ("supported", "", 5, True)
    assert 0 < result.lo < result.estimate < result.hi
    assert (result.level, result.p_improvement) == (0.95, 1.0)
    rows = {arm: [row for r in both() if r["arm"] == arm for row in r["outcomes"]["chain"]["samples"]] for arm in ARMS}
    means = {arm: np.mean([row.count("c") / 8 for row in rows[arm]]) for arm in ARMS}
    assert result.estimate == pytest.approx(means["new"] - means["old"])
    reverse = evaluate_claim(Claim(arm="old", against="new"), both())
    assert (reverse.verdict, reverse.p_improvement) == ("contradicted", 0.0)
    assert reverse.estimate == pytest.approx(-result.estimate)


def test_lower_is_better_turns_effect_and_probability():
    result = evaluate_claim(Claim(arm="old", against="new", better="lower"), both())
    assert (result.verdict, result.p_improvement) == ("supported", 1.0)
    assert result.estimate > 0


def test_no_difference_is_inconclusive_and_non_inferior_with_a_wide_margin():
    result = evaluate_claim(Claim(), both(gap=0.0))
    assert result.verdict == "inconclusive" and "contains 0" in result.reason
    assert evaluate_claim(Claim(kind="non-inferior", margin=0.2), both(gap=0.0)).verdict == "supported"
    assert evaluate_claim(Claim(kind="threshold", margin=0.5), both(gap=0.2)).verdict == "contradicted"


def test_seed_rule_keeps_the_numbers_but_gives_no_verdict():
    few = evaluate_claim(Claim(), both(seeds=4))
    assert (few.verdict, few.reason) == ("not run", "needs at least 5 seeds, has 4")
    assert few.lo is not None and few.estimate > 0
    assert evaluate_claim(Claim(), both(seeds=1)).verdict == "not run"
    smoke = evaluate_claim(Claim(), both(scale="smoke"))
    assert smoke.verdict == "not run" and "smoke" in smoke.reason
    assert evaluate_claim(Claim(metric="predicted_peak", kind="exact"), both(scale="smoke")).verdict == "not run"


def test_results_are_a_function_of_claim_and_records():
    assert evaluate_claim(Claim(), both()) == evaluate_claim(Claim(), list(reversed(both())))


@pytest.mark.parametrize(
    ("records", "words"),
    [
        ([], "new has no record"),
        (both()[:5], "old has no record"),
        ([{**r, "status": "failed"} if r["arm"] == "old" else r for r in both()], "old failed on every seed"),
        (both()[:5] + [record("old", s, questions=50) for s in range(5)], "different questions"),
        (both()[:9] + [record("old", 4, questions=50)], "different questions"),
        (both()[:9] + [record("old", 4, hashes={"base": "other"})], "more than their seed"),
        (both()[:9] + [record("old", 4, sets=("svamp",))], "no outcomes for the set chain"),
    ],
)
def test_what_cannot_be_compared_says_why(records, words):
    result = evaluate_claim(Claim(), records)
    assert result.verdict == "not run" and words in result.reason
    assert (result.estimate, result.lo, result.hi, result.level) == (None,) * 4


def test_a_failed_seed_is_left_out_of_both_arms():
    records = both(seeds=6)
    records[0]["status"] = "failed"
    result = evaluate_claim(Claim(), records)
    assert (result.n_seeds, result.paired, result.verdict) == (5, True, "supported")


def test_bookkeeping_settings_may_differ_between_seeds():
    records = both()
    config = records[0]["config"]
    records[0] = {**records[0], "config": {**config, "train": {**config["train"], "trackers": ["wandb"]}}}
    assert evaluate_claim(Claim(), records).verdict == "supported"


def test_other_seeds_are_compared_unpaired():
    records = [record("new", s, 0.7) for s in range(5)] + [record("old", s, 0.5) for s in range(10, 15)]
    result = evaluate_claim(Claim(), records)
    assert (result.paired, result.n_seeds, result.verdict) == (False, 5, "supported")


def test_several_sets_are_averaged_and_one_can_be_picked():
    records = both(sets=("chain", "svamp", "dev"))
    for r in records:
        r["outcomes"]["svamp"]["samples"] = ["wwww"] * QUESTIONS
        r["outcomes"]["dev"]["samples"] = ["cccc" if r["arm"] == "old" else "wwww"] * QUESTIONS
    mean, one = evaluate_claim(Claim(), records), evaluate_claim(Claim(metric="accuracy:chain"), records)
    assert mean.estimate == pytest.approx(one.estimate / 2)
    assert evaluate_claim(Claim(metric="accuracy:dev"), records).estimate == -1
    assert "no outcomes" in evaluate_claim(Claim(metric="accuracy:gsm8k"), records).reason


@pytest.mark.parametrize("metric", ["greedy", "pass@2", "pass@8:chain", "last_reward"])
def test_other_metrics(metric):
    assert evaluate_claim(Claim(metric=metric), both()).estimate > 0


def test_share_of_trained_tokens():
    records = both()
    for one in records:
        if one["arm"] == "new":
            one["health"] = [{"step": i, "reward": 0.5, "token_share": share} for i, share in ((1, 0.1), (2, 0.3))]
    claim = Claim(metric="token_share", contrast="ratio", better="lower", kind="threshold", margin=4.0)
    result = evaluate_claim(claim, records)  # old selects nothing: 1 / 0.2
    assert (result.estimate, result.verdict) == (pytest.approx(5.0), "supported")
    for one in records:
        one["health"] = []
    assert "new is not trained" in evaluate_claim(claim, records).reason


def test_generalisation_gap_is_the_last_reward_less_the_test_accuracy():
    records = both(gap=0.0)
    for one in records:
        entry = one["outcomes"]["chain"]
        entry["samples"] = ["cccc" + "wwww"] * QUESTIONS
        one["outcomes"]["dev"] = {**entry, "samples": ["w" * 8] * QUESTIONS}  # the learning curve's does not count
        one["health"] = [{"step": i, "reward": 0.9 if one["arm"] == "new" else 0.6} for i in range(12)]
    result = evaluate_claim(Claim(metric="generalisation_gap", better="lower"), records)
    assert result.estimate == pytest.approx(0.1 - 0.4)


def test_no_claim_hangs_on_arms_without_signal():
    low = both(gap=0.0, seeds=5)
    base = [record("base", seed, accuracy=-0.3) for seed in range(5)]
    claim = Claim(floor=Floor("base", 0.10))
    result = evaluate_claim(claim, low + base)
    assert (result.verdict, result.estimate) == ("not run", None)
    assert result.reason.startswith("no signal: base scores ") and result.reason.endswith("less than 10 %")
    assert evaluate_claim(claim, low + [record("base", seed, accuracy=0.4) for seed in range(5)]).estimate is not None
    assert "base has no record" in evaluate_claim(claim, low).reason
    larger = [one | {"scale": "small"} for one in low + base]
    assert evaluate_claim(claim, larger).estimate is not None


def test_metric_mistakes():
    with pytest.raises(InputError, match="unknown metric"):
        evaluate_claim(Claim(metric="acuracy"), both())
    assert "at least 16 samples" in evaluate_claim(Claim(metric="pass@16"), both()).reason
    with pytest.raises(InputError, match="ratio"):
        evaluate_claim(Claim(metric="time_per_step"), both(), timing())


def test_two_metrics_of_one_arm_and_of_two():
    own = Claim(metric="weighted@8", against="new", against_metric="majority@8")
    result = evaluate_claim(own, pools())
    assert result.estimate == pytest.approx(0.1, abs=0.02) and result.verdict == "supported"
    assert (result.paired, result.n_seeds, result.p_improvement) == (True, 5, 1.0)
    assert evaluate_claim(dataclasses.replace(own, better="lower"), pools()).verdict == "contradicted"
    rival = Claim(metric="weighted@8:chain", against_metric="majority@4:chain")
    assert evaluate_claim(rival, pools()).estimate == pytest.approx(0.2, abs=0.02)
    judge = Claim(metric="verifier_accuracy")
    records = [{**r} for r in pools()]
    better = [scored("new", s, (0.5,) * 4, verifier=0.95) for s in range(5)] + records[5:]
    assert evaluate_claim(judge, better).estimate == pytest.approx(0.2, abs=0.03)
    assert "not scored" in evaluate_claim(judge, both()).reason
    assert "N = 1, 2, 4, 8" in evaluate_claim(Claim(metric="weighted@16"), pools()).reason
    with pytest.raises(InputError, match="itself"):
        evaluate_claim(Claim(metric="time_per_step", against_metric="accuracy"), pools())
    with pytest.raises(InputError, match="one kind"):
        evaluate_claim(Claim(metric="verifier_auc", against_metric="accuracy"), pools())


def test_metrics_of_a_whole_set():
    claim = Claim(metric="joint@8", against_metric="joint_majority@8", contrast="ratio", kind="threshold", margin=1.05)
    result = evaluate_claim(claim, pools(sets=("chain", "svamp")))
    assert result.estimate == pytest.approx(0.8 / 0.72) and result.verdict == "supported"
    one_set = dataclasses.replace(claim, metric="joint@8:chain", against_metric="joint_majority@8:chain")
    assert evaluate_claim(one_set, pools(sets=("chain", "svamp"))).estimate == pytest.approx(0.8 / 0.72)
    assert evaluate_claim(Claim(metric="verifier_auc"), pools()).estimate == pytest.approx(0)
    assert "no joint@64 on the set chain" in evaluate_claim(Claim(metric="joint@64"), pools()).reason
    for strange in (None, "0.5", float("nan"), True):
        records = pools()
        records[0]["metrics"]["chain/verifier_auc"] = strange
        assert "no verifier_auc" in evaluate_claim(Claim(metric="verifier_auc"), records).reason


def test_sample_efficiency_with_its_interval():
    # The rival's majority vote has its best, 0.7, at N = 8; the arm's weighted vote has 0.7 at N = 2.
    claim = Claim(**EFFICIENCY, kind="threshold", margin=2.0)
    result = evaluate_claim(claim, pools())
    assert result.estimate == pytest.approx(4, rel=0.25)
    assert 2 < result.lo < result.estimate < result.hi <= 8
    assert (result.verdict, result.paired, result.n_seeds) == ("supported", True, 5)
    assert result.p_improvement == 1.0
    assert evaluate_claim(dataclasses.replace(claim, margin=8.0), pools()).verdict == "contradicted"
    assert evaluate_claim(claim, pools()) == evaluate_claim(claim, list(reversed(pools())))
    unpaired = [r if r["arm"] == "new" else {**r, "seed": r["seed"] + 10} for r in pools()]
    assert (evaluate_claim(claim, unpaired).paired, evaluate_claim(claim, unpaired).verdict) == (False, "supported")
    assert evaluate_claim(claim, pools(seeds=1)).verdict == "not run"


def test_sample_efficiency_has_a_floor_and_equal_curves_give_one():
    claim = Claim(**EFFICIENCY, kind="threshold", margin=8.0)
    never = evaluate_claim(claim, pools(new=(0.1, 0.1, 0.1, 0.1)))
    assert (never.estimate, never.lo, never.hi, never.verdict) == (0.5, 0.5, 0.5, "contradicted")
    same = Claim(**{**EFFICIENCY, "metric": "majority@efficiency"}, against="new")
    result = evaluate_claim(same, pools())
    assert (result.estimate, result.lo, result.hi, result.p_improvement) == (1.0, 1.0, 1.0, pytest.approx(0.5, abs=0.3))
    assert result.verdict == "inconclusive"


def test_a_rival_at_its_best_with_few_samples_leaves_a_large_factor_undecided():
    """Majority falls with N here: the factor cannot exceed 1, so it says nothing against a claim of 8."""
    falling = [
        scored(arm, s, curve, majority=(0.5, 0.48, 0.46, 0.45))
        for arm, curve in (("new", (0.6, 0.7, 0.75, 0.8)), ("old", (0.5, 0.5, 0.5, 0.5)))
        for s in range(5)
    ]
    claim = Claim(**EFFICIENCY, kind="threshold", margin=8.0)
    result = evaluate_claim(claim, falling)
    assert result.verdict == "inconclusive" and "at its best with 1 times the fewest samples" in result.reason
    # It takes no place in Holm's order: the claim beside it keeps the level of a claim tested alone.
    other = Claim(id="other", metric="weighted@8", against_metric="majority@8")
    alone, beside = evaluate_claims([other], falling)[0], evaluate_claims([claim, other], falling)[1]
    assert alone == beside and beside.verdict == "supported"


def test_sample_efficiency_of_one_set_and_of_the_mean_over_sets():
    records = pools(sets=("chain", "svamp", "dev"))
    for r in records:
        if r["arm"] == "new":  # on svamp the weighted vote is there with a single sample
            r["outcomes"]["svamp"]["scaling"]["curves"]["weighted"] = [[900] * QUESTIONS] * len(SIZES)
    one = {"metric": "weighted@efficiency:svamp", "against_metric": "majority@efficiency:svamp"}
    assert evaluate_claim(Claim(**{**EFFICIENCY, **one}), records).estimate == 8
    mean = evaluate_claim(Claim(**EFFICIENCY), records).estimate
    assert mean == pytest.approx(8)  # (0.5 + 0.9) / 2 is 0.7 at N = 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"contrast": "difference"}, "contrast ratio"),
        ({"better": "lower"}, "better higher"),
        ({"metric": "weighted@efficiency:chain"}, "one set for both"),
        ({"metric": "worst@efficiency"}, "not an efficiency"),
        ({"metric": "weighted@8"}, "not an efficiency"),
        ({"against_metric": "accuracy"}, "not an efficiency"),
    ],
)
def test_mistakes_in_an_efficiency_claim(changes, words):
    with pytest.raises(InputError, match=words):
        evaluate_claim(Claim(**{**EFFICIENCY, **changes}), pools())


def test_pools_of_other_sizes_or_questions_are_not_compared():
    claim = Claim(**EFFICIENCY)
    assert "not scored" in evaluate_claim(claim, both()).reason
    records = pools()
    for r in records[5:]:
        scaling = r["outcomes"]["chain"]["scaling"]
        scaling["sizes"] = SIZES[:3]
        scaling["curves"] = {rule: rows[:3] for rule, rows in scaling["curves"].items()}
    assert "different sizes N" in evaluate_claim(claim, records).reason
    assert "different sizes N" in evaluate_claim(claim, records[:5] + records[5:9] + pools()[9:]).reason
    fewer = pools()[:5] + pools(questions=50)[5:]
    assert "different questions" in evaluate_claim(claim, fewer).reason


def test_accuracy_ratio():
    result = evaluate_claim(Claim(contrast="ratio", kind="threshold", margin=1.1), both())
    assert result.estimate == pytest.approx(0.7 / 0.5, rel=0.1) and result.verdict == "supported"
    zero = [{**r, "outcomes": {"chain": {**r["outcomes"]["chain"], "samples": ["ww"] * QUESTIONS}}} for r in both()]
    assert "undefined" in evaluate_claim(Claim(contrast="ratio"), zero).reason


def test_time_is_a_paired_ratio_of_rounds():
    claim = Claim(metric="time_per_step", contrast="ratio", better="lower", kind="threshold", margin=1.3)
    result = evaluate_claim(claim, both(), timing())
    assert result.estimate == pytest.approx(1 / 0.7, rel=0.02)
    assert (result.verdict, result.n_seeds, result.p_improvement) == ("supported", 8, pytest.approx(0.625, abs=0.3))
    assert evaluate_claim(dataclasses.replace(claim, margin=1.6), both(), timing()).verdict == "contradicted"
    other = evaluate_claim(dataclasses.replace(claim, metric="time_per_step:completions_equal"), both(), timing())
    assert other.estimate == pytest.approx(0.5, rel=0.02)
    assert evaluate_claim(claim, both()).reason == "no timing record"
    assert "timing rounds, has 3" in evaluate_claim(claim, both(), timing(rounds=3)).reason
    assert "no rounds of third" in evaluate_claim(dataclasses.replace(claim, arm="third"), both(), timing()).reason


def test_memory_is_exact():
    claim = Claim(metric="predicted_peak", contrast="ratio", better="lower", kind="exact", margin=1.4)
    result = evaluate_claim(claim, both(seeds=1))
    assert (result.estimate, result.lo, result.level, result.verdict) == (1.5, None, None, "supported")
    assert evaluate_claim(dataclasses.replace(claim, margin=2.0), both()).verdict == "contradicted"
    measured = evaluate_claim(dataclasses.replace(claim, metric="measured_peak", kind="threshold"), both())
    assert (measured.estimate, measured.verdict) == (1.5, "supported")
    bare = [{**r, "cost": {"phases": {}, "predicted_peak": None}} for r in both()]
    assert "no predicted peak" in evaluate_claim(claim, bare).reason


def test_holm_over_the_claims_of_an_experiment():
    claims = [
        Claim("big"),
        Claim("memory", metric="predicted_peak", kind="exact", contrast="ratio", better="lower", margin=1.4),
        Claim("none", arm="old", against="twin"),
        Claim("missing", arm="absent"),
    ]
    records = both() + [record("twin", s, 0.5) for s in range(5)]
    results = {r.claim: r for r in evaluate_claims(claims, records)}
    assert list(results) == ["big", "memory", "none", "missing"]
    assert results["big"].level == pytest.approx(0.975)  # two claims with an interval: rank 2 and rank 1
    assert results["none"].level == pytest.approx(0.95)
    assert [results[c.id].verdict for c in claims] == ["supported", "supported", "inconclusive", "not run"]
    assert results["memory"].level is None


def test_step_down_stops_at_the_first_undecided_claim():
    # One weak effect, stated twelve times, beside nothing stronger: no claim passes 1 - 0.05/12, so none passes.
    records = both(gap=0.0) + [record("slight", s, 0.5 + 0.07) for s in range(5)]
    alone = evaluate_claim(Claim("c0", arm="slight"), records)
    claims = [Claim(f"c{i}", arm="slight") for i in range(12)]
    results = evaluate_claims(claims, records)
    assert alone.verdict == "supported"
    assert {r.verdict for r in results} == {"inconclusive"}
    assert any("step-down" in r.reason for r in results)


def test_interval_of_an_arm_and_its_aa_row():
    records = both(seeds=10)
    row = arm_interval(records, "new")
    assert row.lo < row.estimate < row.hi and row.seeds == 10
    noise = aa_row(records, "new")
    assert noise.lo < 0 < noise.hi and abs(noise.estimate) < 0.1
    assert arm_interval(records, "absent") is None and aa_row(both(seeds=3), "new") is None


def test_the_registered_claims_have_the_fields_used_here():
    names = {item.name for item in dataclasses.fields(RealClaim)}
    assert {item.name for item in dataclasses.fields(Claim)} <= names
