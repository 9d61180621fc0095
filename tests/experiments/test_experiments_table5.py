"""table5's and table5-svamp's data: one tuning budget, arms that differ in the token rule alone, claims that need a
signal."""

from __future__ import annotations

import pytest

from repro.experiments import registry
from repro.experiments.resolve import resolve
from repro.experiments.table5 import N
from repro.methods import catalogue
from repro.statistics.contrast import evaluate_claims

TABLE5, SVAMP = registry.get("table5"), registry.get("table5-svamp")
TASKS = ("words", "mult")
TUNED = ("grpo", "sgrpo", "tspmo", "krpo", "grpo-full")


def config(arm, scale="micro", experiment=TABLE5):
    return resolve(experiment, scale, arm, 0)


@pytest.mark.parametrize(
    ("experiment", "scale"), [(e, scale) for e in (TABLE5, SVAMP) for scale in e.scales], ids=lambda v: str(v)[:6]
)
def test_every_arm_resolves_and_its_settings_fit_its_method(experiment, scale):
    for arm in experiment.arms:
        resolved = config(arm.id, scale, experiment)
        assert type(resolved).from_json(resolved.to_json()) == resolved
        if resolved.trains:
            method = catalogue.create(resolved.method)
            assert resolved.train.completions_per_step % method.rows_per_prompt == 0
            assert resolved.n == N


@pytest.mark.parametrize("task", TASKS)
def test_arms_of_a_task_share_all_but_the_method_the_adapters_and_tuned_values(task):
    resolved = [config(arm.id) for arm in TABLE5.arms if arm.id.startswith(task)]
    assert len({repr((c.base, c.task, c.evaluation)) for c in resolved}) == 1
    trained = [c for c in resolved if c.trains]
    assert len({(c.train.steps, c.train.completions_per_step, c.train.temperature) for c in trained}) == 1
    adapters = {c.arm: c.train.lora for c in trained}
    assert {arm for arm, lora in adapters.items() if lora is None} == {
        f"{task}-{name}-full" for name in ("grpo", "sgrpo", "tspmo")
    }
    assert len({repr(lora) for lora in adapters.values()}) == 2


def test_full_token_grpo_is_s_grpo_with_every_token():
    """Same normaliser, advantages and number of updates: only the token rule differs."""
    for task in TASKS:
        grpo, every = config(f"{task}-grpo").method, config(f"{task}-sgrpo-p100").method
        assert grpo["aggregate"] == "sequence-mean" and (grpo["epochs"], grpo["minibatches"]) == (1, 1)
        assert (every["p"], every["k"], every["scale"]) == (1.0, None, grpo["scale"])


@pytest.mark.parametrize("task", TASKS)
def test_variants_take_the_values_of_the_arm_they_vary(task):
    for name, origin in (
        ("sgrpo-p0", "sgrpo"),
        ("tspmo-replay", "tspmo"),
        ("krpo-averaged", "krpo"),
        ("grpo-kl", "grpo"),
    ):
        assert config(f"{task}-{name}").train == config(f"{task}-{origin}").train
    low, plain = config(f"{task}-grpo-low"), config(f"{task}-grpo")
    assert low.method == plain.method and low.train.learning_rate == pytest.approx(plain.train.learning_rate / 4)
    assert config(f"{task}-sgrpo-random").method["alpha"] == 0


def test_one_tuning_budget_on_dev_questions_of_the_arms_own_task():
    assert set(TABLE5.tuning) == {f"{task}-{name}" for task in TASKS for name in TUNED}
    core = {arm.id for arm in TABLE5.core_arms if arm.trained}
    assert core <= set(TABLE5.tuning)
    rates = {TABLE5.tuning[arm].learning_rates for arm in core}
    assert len(rates) == 1
    tuning = registry.get("table5-tuning")
    for arm in tuning.arms:
        point = resolve(tuning, "micro", arm.id, 1000)
        assert point.task["name"] == {"words": "words", "mult": "multiply"}[arm.id.partition("-")[0]]
        assert [(one.split, one.name) for one in point.evaluation.sets] == [("dev", "tuning")]
        assert (point.train.lora is None) == ("-full--" in arm.id)


def test_svamp_takes_the_values_that_word_problems_were_tuned_to_and_tunes_none():
    assert not SVAMP.tuning
    for name in ("grpo", "sgrpo", "tspmo", "krpo"):
        real, generated = config(name, experiment=SVAMP), config(f"words-{name}")
        assert real.method == generated.method
        assert real.train.learning_rate == generated.train.learning_rate and real.train.lora == generated.train.lora
    base, learnt = config("base", experiment=SVAMP).base, config("words-base")
    assert base["recipe"] == learnt.base["recipe"] and base["task"]["name"] == "words"
    shown = config("base-shots", experiment=SVAMP)
    assert shown.evaluation.sets[0].shots > 0 and shown.task == config("base", experiment=SVAMP).task


def test_claims_compare_arms_of_one_task_and_say_not_run_without_records():
    for experiment in (TABLE5, SVAMP):
        arms = {arm.id for arm in experiment.arms}
        for claim in experiment.claims:
            assert {claim.arm, claim.against} <= arms
            if experiment is TABLE5:
                assert claim.arm.split("-")[0] == claim.against.split("-")[0]
        assert {result.verdict for result in evaluate_claims(experiment.claims, [])} == {"not run"}


def test_what_is_learnt_on_svamp_hangs_on_a_signal_and_costs_do_not():
    for claim in SVAMP.claims:
        free = claim.metric == "token_share" or claim.metric.startswith("planned")
        assert (claim.floor is None) == free, claim.id
    assert all(claim.floor is None for claim in TABLE5.claims)


def test_a_reconstruction_is_called_one_wherever_it_appears():
    for experiment in (TABLE5, SVAMP, registry.get("table5-tuning")):
        for arm in experiment.arms:
            assert ("reconstruction" in arm.display) == (arm.method == "tspmo")
        for claim in experiment.claims:
            if "tspmo" in (claim.arm + claim.against):
                assert "reconstruction" in claim.sentence, claim.id
    entry = catalogue.METHODS["tspmo"]
    assert "reconstruction" in (entry.summary + entry.evidence).lower()
