"""table4's data: fairness between the objectives, and arms of two tasks."""

from __future__ import annotations

import dataclasses

import pytest

from repro.experiments import registry
from repro.experiments.resolve import resolve
from repro.experiments.types import Arm, ScaleSettings
from repro.methods import configs
from repro.statistics.contrast import evaluate_claims

TABLE4 = registry.get("table4")
K = 8
SCALES = ["micro", "small", "paper"]
OBJECTIVES = ("mean", "pass", "pass-biased", "majority")


def config(scale, arm, experiment=TABLE4):
    return resolve(experiment, scale, arm, 0)


@pytest.mark.parametrize("scale", ["smoke", *SCALES])
@pytest.mark.parametrize("arm", [arm.id for arm in TABLE4.arms])
def test_every_arm_resolves_at_every_scale(scale, arm):
    resolved = config(scale, arm)
    assert type(resolved).from_json(resolved.to_json()) == resolved
    if resolved.trains:
        _, method = configs.from_json(resolved.method)
        per_update = resolved.train.completions_per_step // resolved.train.processes // method.minibatches
        assert per_update % resolved.train.micro_batch == 0, "rows per update must be whole micro-batches"


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("task", ["math", "code"])
def test_arms_of_a_task_share_all_but_the_method_and_its_tuned_values(scale, task):
    resolved = [config(scale, arm.id) for arm in TABLE4.arms if arm.id.startswith(task)]
    assert (
        len({repr((c.base, c.task, c.evaluation, c.train.max_completion, c.train.temperature)) for c in resolved}) == 1
    )
    totals = {c.train.completions_per_step * c.train.steps for c in resolved if c.trains}
    assert len(totals) == 1, "equal sampled completions"
    points = {c.train.completions_per_step * c.train.eval_every for c in resolved if c.trains}
    assert len(points) == 1, "learning curves with points at equal completions"


def test_the_two_tasks_differ():
    maths, code = config("micro", "math-mean"), config("micro", "code-mean")
    assert (maths.task["name"], code.task["name"]) == ("multiply", "synthesis")
    assert maths.base != code.base
    assert config("smoke", "code-mean").base["recipe"]["steps"] == 60
    assert config("small", "code-mean").evaluation.sets[0].task == "humaneval"
    assert config("small", "math-mean").evaluation.sets[0].task is None


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("task", ["math", "code"])
def test_many_updates_are_k_times_as_many(scale, task):
    plain, many = config(scale, f"{task}-mean"), config(scale, f"{task}-mean-many")
    assert many.train.steps == K * plain.train.steps
    assert many.train.completions_per_step * K == plain.train.completions_per_step
    assert many.method == plain.method


def test_an_ablation_takes_the_values_of_the_arm_it_varies():
    for arm, origin in (
        ("pass-k2", "pass"),
        ("mean-matched", "mean"),
        ("majority-biased", "majority"),
        ("pkpo-k4", "pass"),
    ):
        varied, kept = config("micro", f"math-{arm}"), config("micro", f"math-{origin}")
        assert varied.train == kept.train and varied.method["beta"] == kept.method["beta"]
    assert config("micro", "math-pass-k16").n == 16
    for task in ("math", "code"):
        equal, plain = config("micro", f"{task}-pass-rate"), config("micro", f"{task}-mean")
        assert equal.train == plain.train
        assert equal.method == plain.method | {"objective": "pass"}


def test_every_trained_core_arm_is_tuned_by_what_it_trains_for():
    core = {arm.id for arm in TABLE4.core_arms if arm.trained}
    assert set(TABLE4.tuning) == core == {f"{task}-{name}" for task in ("math", "code") for name in OBJECTIVES}
    for task in ("math", "code"):
        grids = [grid for arm, grid in TABLE4.tuning.items() if arm.startswith(task)]
        assert len({(grid.learning_rates, grid.parameter, grid.values) for grid in grids}) == 1
    for arm, grid in TABLE4.tuning.items():
        assert grid.metric == {"mean": "accuracy", "majority": f"majority@{K}"}.get(arm.split("-")[1], f"pass@{K}")


def test_tuning_is_on_dev_questions_of_the_arms_own_task():
    tuning = registry.get("table4-tuning")
    for arm in tuning.arms:
        point = resolve(tuning, "micro", arm.id, 1000)
        task = "multiply" if arm.id.startswith("math") else "synthesis"
        assert point.task["name"] == task
        assert [(one.split, one.name) for one in point.evaluation.sets] == [("dev", "tuning")]


def test_claims_compare_arms_of_one_task_and_say_not_run_without_records():
    for claim in TABLE4.claims:
        assert claim.arm.split("-")[0] == claim.against.split("-")[0]
        assert {claim.arm, claim.against} <= {arm.id for arm in TABLE4.arms}
    assert {result.verdict for result in evaluate_claims(TABLE4.claims, [])} == {"not run"}


def test_an_arm_may_have_a_task_a_base_and_an_evaluation_of_its_own():
    """Whatever the experiment: task and base replace the scale's, the evaluation goes over it; smoke shrinks both."""
    own = {
        "task": {"name": "chain", "options": {}},
        "base": {"kind": "micro", "recipe": {"steps": 900}},
        "evaluation": {"batch": 64, "sets": [{"n": 32}]},
    }
    base = {"kind": "micro", "recipe": {"steps": 500}}
    settings = ScaleSettings({"name": "ladder", "options": {}}, base, 5, {}, {"dev_n": 2}, {"two": own})
    experiment = dataclasses.replace(
        TABLE4,
        arms=(Arm("one", "One", "grpo"), Arm("two", "Two", "grpo")),
        scales={"micro": settings},
        tuning={},
        claims=(),
    )
    experiment = registry.with_smoke(experiment)
    one, two = config("micro", "one", experiment), config("micro", "two", experiment)
    assert (one.task["name"], two.task["name"]) == ("ladder", "chain")
    assert (one.base["recipe"]["steps"], two.base["recipe"]["steps"]) == (500, 900)
    assert (one.evaluation.batch, two.evaluation.batch, two.evaluation.dev_n) == (256, 64, 2)
    assert (one.evaluation.sets[0].n, two.evaluation.sets[0].n) == (8, 32)
    small = config("smoke", "two", experiment)
    assert (small.base["recipe"]["steps"], small.evaluation.sets[0].n, small.evaluation.dev_n) == (60, 2, 1)


def test_the_tuning_table_shows_what_its_points_are_chosen_by():
    assert set(registry.get("table4-tuning").metrics) >= {"accuracy", f"pass@{K}", f"majority@{K}"}
    assert registry.get("table1-tuning").metrics == ("accuracy", "greedy", "train_seconds")
