"""An arm among stored arms: pairing, rank, verdicts, what may be compared, what differs, and cost as ratios."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest

from repro.experiments import registry
from repro.report.beside import cost
from repro.report.comparable import budget, differences, draft, obstacles, tuning
from repro.report.rivals import Arm, meet
from repro.statistics.scores import Missing

from . import synthetic as S

EXPERIMENT = S.experiment()


def arm(name, seeds=range(5), **kwargs):
    return Arm(name, name, True, "stored", {seed: S.trial(name, seed, **kwargs) for seed in seeds})


def changed(record, path, value):
    """A copy with the dotted field set."""
    copied, (*folders, last) = copy.deepcopy(record), path.split(".")
    place = copied
    for name in folders:
        place = place[int(name) if isinstance(place, list) else name]
    place[last] = value
    return copied


def test_rank_and_differences_are_those_of_the_records():
    own, rivals = arm("grpo-n4"), [arm(name) for name in ("base", "tbrm-n4", "ppo-n1")]
    field = meet(EXPERIMENT, own, rivals, "accuracy")
    means = {one.id: np.mean([r["metrics"]["chain/accuracy"] for r in one.trials.values()]) for one in [own, *rivals]}
    assert [one.rival.id for one in field.meetings] == sorted(means.keys() - {"grpo-n4"}, key=lambda name: -means[name])
    for one in field.meetings:
        assert one.difference.estimate == pytest.approx(means["grpo-n4"] - means[one.rival.id])
        assert one.difference.lo < one.difference.estimate < one.difference.hi
    assert field.rank == 1 + sum(means[one.id] > means["grpo-n4"] for one in rivals)
    assert 0 < field.p_best < 1


def test_only_common_seeds_are_paired():
    own, rival = arm("grpo-n4", range(7)), arm("tbrm-n4", range(2, 9))
    (one,) = meet(EXPERIMENT, own, [rival], "accuracy").meetings
    assert one.seeds == (2, 3, 4, 5, 6)
    same = meet(EXPERIMENT, arm("grpo-n4", range(2, 7)), [arm("tbrm-n4", range(2, 7))], "accuracy").meetings[0]
    assert one.difference == same.difference


def test_without_a_common_seed_an_arm_is_left_out_with_the_reason():
    own = arm("grpo-n4", range(3))
    field = meet(EXPERIMENT, own, [arm("ppo-n1", range(3)), arm("base", [5, 6])], "accuracy")
    assert field.left_out == (("base", "no seed in common: seeds 5, 6 there"),)
    with pytest.raises(Missing, match="base: no seed in common: seed 5 there"):
        meet(EXPERIMENT, own, [arm("base", [5])], "accuracy")


def test_few_seeds_and_smoke_give_no_verdict():
    for seeds, scale, said in ((range(4), "micro", "needs at least 5 seeds, has 4"), (range(5), "smoke", "smoke runs")):
        field = meet(EXPERIMENT, arm("tbrm-n4", seeds, scale=scale), [arm("base", seeds, scale=scale)], "accuracy")
        assert field.meetings[0].word == "no verdict" and said in field.meetings[0].reason
        assert field.meetings[0].needed == 5, "and yet it is said how many seeds so clear a difference takes"


def test_the_word_follows_the_interval_and_open_ones_get_a_number_of_seeds():
    field = meet(EXPERIMENT, arm("grpo-n4"), [arm(name) for name in S.ARMS if name != "grpo-n4"], "accuracy")
    for one in field.meetings:
        lo, hi = one.difference.lo, one.difference.hi
        assert one.word == ("better" if lo > 0 else "worse" if hi < 0 else "inconclusive")
        assert (one.needed is None) == (one.word != "inconclusive" or not one.by_seeds)
    assert {one.word for one in field.meetings} >= {"better", "inconclusive"}


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("scale", "paper", "scale paper against micro"),
        ("config.base", {"kind": "tabular", "instances": 9}, "it runs on bandits, without questions to pair by"),
        ("config.base.recipe.steps", 7, "another base model"),
        (
            "hashes.base",
            "z" * 64,
            "the same base model has other weights here (bbbbbbbbbbbb) than there (zzzzzzzzzzzz)",
        ),
        ("config.task.options", {"terms": 9}, "another base model, other test questions"),
        ("config.evaluation.sets.0.questions", 32, "other test questions"),
        ("config.evaluation.sets.0.split", "dev", "other test questions"),
        ("hashes.prompts.test", "z" * 64, "other test questions"),
        ("outcomes.chain.questions", [str(i + 1) for i in range(64)], "other test questions"),
        ("hashes.template", "z" * 64, "another prompt template"),
        (
            "config.evaluation.sets.0.temperature",
            0.6,
            "evaluation with another temperature (0.6 against 1.0)",
        ),
        (
            "config.evaluation.sets.0.shots",
            2,
            "evaluation with another number of examples (2 against 0)",
        ),
        (
            "config.evaluation.max_completion",
            9,
            "evaluation with another longest completion (9 against None tokens)",
        ),
    ],
)
def test_what_cannot_be_compared(path, value, said):
    one = S.trial("grpo-n4", 0)
    assert obstacles(one, S.trial("base", 3)) == []
    assert ", ".join(obstacles(one, changed(S.trial("ppo-n1", 0), path, value))) == said


def test_a_model_from_outside_is_told_by_its_content():
    one = changed(S.trial("grpo-n4", 0), "config.base", {"kind": "folder", "path": "/here"})
    two = changed(one, "config.base.path", "/there")
    assert obstacles(one, two) == []
    (said,) = obstacles(one, changed(two, "hashes.base", "z" * 64))
    assert said == "another base model (zzzzzzzzzzzz against bbbbbbbbbbbb)"


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("config.train.steps", 7, "train.steps: 60 against 7"),
        ("config.train.completions_per_step", 64, "train.completions_per_step: 128 against 64"),
        ("config.train.lora", {"rank": 8, "alpha": 1}, "train.lora: None against rank 8"),
        ("config.evaluation.sets.0.n", 4, "evaluation, answers per question: 8 against 4"),
        ("cost.stage1", {"completions": 512}, "completions drawn before training: 0 against 512"),
        ("provenance.packages", {"torch": "1"}, "version of torch: absent against 1"),
        ("provenance.python", "3.9", "version of python: absent against 3.9"),
        ("provenance.measured_on", "a farm", "machine: unknown against a farm (their times are not compared)"),
    ],
)
def test_what_differs_is_said(path, value, said):
    one, two = S.trial("grpo-n4", 0), S.trial("tbrm-n4", 0)
    assert differences(one, two) == []
    assert differences(one, changed(two, path, value)) == [said]


def test_training_of_an_untrained_arm_is_nothing_to_compare():
    one = S.trial("grpo-n4", 0)
    assert differences(one, changed(S.trial("base", 0), "config.train.steps", 0)) == []


def test_training_prompts_are_compared_where_both_are_known():
    one, two = (changed(S.trial("grpo-n4", 0), "hashes.prompts.rl", "r"), S.trial("tbrm-n4", 0))
    assert differences(one, two) == []
    assert differences(one, changed(two, "hashes.prompts.rl", "s")) == ["training prompts: other ones"]


def test_a_draft_is_held_against_records_by_its_config():
    from repro.experiments.plan import published_bundle
    from repro.experiments.resolve import resolve
    from repro.store.published import read_bundle

    table = registry.get("table1")
    (stored, *_) = read_bundle(published_bundle("table1"))
    plan = draft(resolve(table, "micro", "grpo-n4", 0), stored["provenance"])
    assert obstacles(plan, stored) == [] and differences(plan, stored) == []
    other = draft(resolve(registry.get("table4"), "micro", "math-mean", 0), stored["provenance"])
    assert obstacles(other, stored) == ["another base model", "other test questions"]


def test_tuning_is_said_where_only_one_trained_arm_had_it():
    table = registry.with_methods(registry.get("table1"), ["pkpo"])
    (said,) = tuning(table, "micro", "pkpo", "ppo-n1")
    assert said.startswith("tuning: ppo-n1 was tuned (4 learning rates x 2 values of minibatches, 8 trials")
    assert said.endswith("pkpo was not") and tuning(table, "micro", "ppo-n1", "pkpo") == [said]
    assert tuning(table, "micro", "grpo-n4", "ppo-n1") == tuning(table, "micro", "pkpo", "base") == []
    assert tuning(table, "paper", "pkpo", "ppo-n1") == [], "grids are run at micro scale"
    svamp = registry.with_methods(registry.get("table5-svamp"), ["rloo"])
    assert budget(svamp, "micro", "grpo") == "it takes the values tuned in table5"
    assert budget(svamp, "micro", "base") is budget(svamp, "micro", "rloo") is None


def test_cost_is_the_geometric_mean_of_the_paired_rounds():
    timing = S.timing()
    found = cost(timing, arm("tbrm-n1"), arm("ppo-n1"))
    for held_equal, ratio in found.step.items():
        rows = [[r["seconds"] for r in timing["timing"][held_equal][name]["rounds"]] for name in ("tbrm-n1", "ppo-n1")]
        assert ratio.ratio == pytest.approx(np.exp(np.mean(np.log(np.divide(*rows)))))
        assert ratio.lo <= ratio.ratio <= ratio.hi and ratio.rounds == 12
    back = cost(timing, arm("ppo-n1"), arm("tbrm-n1"))
    assert back.step["prompts_equal"].ratio == pytest.approx(1 / found.step["prompts_equal"].ratio)
    peaks = [S.trial(name, 0)["cost"]["predicted_peak"]["total"] for name in ("tbrm-n1", "ppo-n1")]
    assert (found.memory, found.memory_kind, found.why) == (pytest.approx(peaks[0] / peaks[1]), "predicted", ())


def test_two_rounds_have_a_ratio_and_no_interval():
    found = cost(S.timing(rounds=2), arm("tbrm-n1"), arm("ppo-n1")).step["prompts_equal"]
    assert found.ratio > 0 and (found.lo, found.hi, found.rounds) == (None, None, 2)


def test_memory_is_measured_only_on_one_and_the_same_accelerator():
    one, two = arm("tbrm-n1", gpu=True), arm("ppo-n1", gpu=True)
    found = cost(None, one, two, "not timed")
    assert (found.memory, found.memory_kind, found.why) == (1.0, "measured", ("not timed",))
    other = {seed: changed(r, "provenance.measured_on", "another GPU") for seed, r in two.trials.items()}
    assert cost(None, one, dataclasses.replace(two, trials=other)).memory_kind == "predicted"


def test_what_is_not_known_of_the_cost_is_said():
    without = {seed: changed(r, "cost.predicted_peak", None) for seed, r in arm("tbrm-n1").trials.items()}
    found = cost(S.timing(arms=("ppo-n1",)), dataclasses.replace(arm("tbrm-n1"), trials=without), arm("ppo-n1"))
    assert found.step == {} and found.memory is None
    assert any("no rounds of tbrm-n1" in why for why in found.why) and found.why[-1].startswith(
        "memory: tbrm-n1 has no"
    )
