"""Ids, globs, discovery and the twins that are derived from one definition."""

import itertools
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repro.errors import InputError
from repro.experiments import registry, twins
from repro.experiments.types import Experiment

NAMES = [name for name in registry.experiments() if not name.endswith("-tuning")]
TABLE1 = registry.get("table1")
ARMS = [arm.id for arm in TABLE1.arms]
CORE = [arm.id for arm in TABLE1.core_arms]


def trials(*ids, **options):
    return [(s.experiment.id, s.scale, arm, seed) for s in registry.select(ids, **options) for arm, seed in s.trials]


def test_a_new_file_is_a_new_experiment(tmp_path, monkeypatch):
    (tmp_path / "table77.py").write_text(
        "from dataclasses import replace\nfrom repro.experiments.table1 import EXPERIMENT as old\n"
        "EXPERIMENT = replace(old, id='table77', tuning={})\n"
    )
    import repro.experiments as package

    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    registry.experiments.cache_clear()
    try:
        assert isinstance(registry.get("table77"), Experiment)
        assert "smoke" in registry.get("table77").scales
        assert "table77-tuning" not in registry.experiments()
    finally:
        monkeypatch.undo()
        registry.experiments.cache_clear()
        sys.modules.pop("repro.experiments.table77", None)


def test_an_experiment_means_its_core_arms_on_the_scales_seeds():
    assert trials("table1") == [("table1", "micro", arm, seed) for arm in CORE for seed in range(5)]
    assert CORE == ["base", "ppo-n1", "tbrm-n1", "grpo-n4", "tbrm-n4"]


def test_arms_and_seeds_options():
    assert {arm for _, _, arm, _ in trials("table1", arms="all")} == set(ARMS)
    assert {arm for _, _, arm, _ in trials("table1", arms="core,brm-n1")} == {*CORE, "brm-n1"}
    assert {arm for _, _, arm, _ in trials("table1", arms="tbrm*")} == {"tbrm-n1", "tbrm-n4", "tbrm-n4-lora"}
    assert {seed for *_, seed in trials("table1", seeds=2)} == {0, 1}


@given(
    arm=st.sampled_from(ARMS), seed=st.integers(0, 10**6), scale=st.sampled_from(["smoke", "micro", "small", "paper"])
)
def test_a_full_id_names_exactly_one_trial(arm, seed, scale):
    assert trials(f"table1/{arm}/seed{seed}", scale=scale) == [("table1", scale, arm, seed)]
    assert trials(f"table1@{scale}/{arm}/seed{seed}") == [("table1", scale, arm, seed)]


@given(st.lists(st.sampled_from([f"table1/{arm}/seed{k}" for arm in ARMS for k in range(3)]), min_size=1))
def test_overlapping_ids_name_a_trial_once(ids):
    found = trials(*ids)
    assert len(found) == len(set(found)) == len(set(ids))


def test_globs():
    assert {arm for _, _, arm, _ in trials("table1/*n4*")} == {arm for arm in ARMS if "n4" in arm}
    tables = {name for name in NAMES if name.startswith("table")}
    assert {name for name, *_ in trials("table*")} == tables, "a glob must not start the tuning of an experiment"
    assert {name for name, *_ in trials("*", scale="micro")} == set(NAMES)
    assert "table1-tuning" in {name for name, *_ in trials("*-tuning")}
    assert {seed for *_, seed in trials("table1/base/seed[12]")} == {1, 2}


@pytest.mark.parametrize(
    ("ids", "options", "words"),
    [
        (["tabel1"], {}, ["tabel1", "did you mean table1"]),
        (["table1/tbrm-4"], {}, ["tbrm-4", "did you mean tbrm-n4"]),
        (["table1/base/seed"], {}, ["seed", "seed0"]),
        (["table1/base/seed0/x"], {}, ["not an id"]),
        (["table1//seed0"], {}, ["not an id"]),
        ([""], {}, ["not an id"]),
        (["zzz*"], {}, ["zzz*", "table1"]),
        (["table1@1a2b3c4d"], {}, ["after @ comes a scale"]),
        (["table1@smoke"], {"scale": "paper"}, ["smoke", "paper"]),
        (["table1-tuning"], {"scale": "paper"}, ["no scale", "micro"]),
        (["table1"], {"arms": "tbrm-n44"}, ["--arms", "tbrm-n4"]),
        (["table1/base"], {"arms": "ppo-n1"}, ["no arm in common"]),
        (["table1"], {"seeds": 0}, ["--seeds"]),
    ],
)
def test_what_selects_nothing_says_what_is_near(ids, options, words):
    with pytest.raises(InputError) as error:
        registry.select(ids, **options)
    for word in words:
        assert word in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", list(registry.experiments()))
def test_the_smoke_twin_follows_from_the_micro_scale(name):
    experiment = registry.get(name)
    micro, smoke = experiment.scales["micro"], experiment.scales["smoke"]
    assert smoke == twins.smoke_twin(micro)
    assert smoke.task == micro.task and smoke.first_seed == micro.first_seed and smoke.seeds == 1
    if experiment.tabular:
        assert smoke.base["instances"] <= 20 and smoke.train == micro.train
        return
    assert smoke.train["steps"] <= 4 and smoke.base["recipe"]["steps"] <= 100
    assert {arm: parts.get("method") for arm, parts in smoke.arms.items()} == {
        arm: parts.get("method") for arm, parts in micro.arms.items()
    }, "the smoke twin runs the same methods"
    assert all(one["questions"] <= 8 for one in smoke.evaluation["sets"])


def test_only_a_bandit_needs_no_tuning_of_its_own_or_of_another_experiment():
    """Its learning rate is the paper's, and all arms share it."""
    without = {name: registry.get(name).tuned_in for name in NAMES if not registry.get(name).tuning}
    assert without == {"figure1": "", "table5-svamp": "table5"}
    assert registry.get("figure1").tabular and registry.get("table5").tuning


@pytest.mark.parametrize("name", [name for name in NAMES if registry.get(name).tuning])
def test_tuning_spends_the_same_budget_on_every_trained_core_arm(name):
    experiment, twin = registry.get(name), registry.get(f"{name}-tuning")
    assert set(experiment.tuning) >= {arm.id for arm in experiment.core_arms if arm.trained}
    for arm, grid in experiment.tuning.items():
        assert len(set(grid.learning_rates)) == 4 and len(set(grid.values)) == 2
        points = [one.id for one in twin.arms if one.id.startswith(f"{arm}--")]
        assert len(points) == 8
        rates = {twin.scales["micro"].arms[point]["train"]["learning_rate"] for point in points}
        values = {twin.scales["micro"].arms[point]["method"][grid.parameter] for point in points}
        assert rates == set(grid.learning_rates) and values == set(grid.values)
    assert len(twin.arms) == 8 * len(experiment.tuning)
    assert all(one["split"] == "dev" for one in twin.scales["micro"].evaluation["sets"])
    assert {seed for *_, seed in trials(twin.id, seeds=3)} == {1000, 1001, 1002}


def test_tuning_ids_read_as_promised():
    assert twins.grid_arm("ppo-n1", 1e-4, "lam", 0.95) == "ppo-n1--lr0.0001-lam0.95"


def tuning_record(arm, accuracy, status="done", seed=1000, **more):
    metrics = {} if accuracy is None else {"chain-dev/accuracy": accuracy}
    record = {"experiment": "table1-tuning", "scale": "micro", "arm": arm, "seed": seed, "variant": None}
    return {**record, "status": status, "metrics": metrics, **more}


def grid_of(arm):
    grid = TABLE1.tuning[arm]
    return [
        (r, v, twins.grid_arm(arm, r, grid.short, v)) for r, v in itertools.product(grid.learning_rates, grid.values)
    ]


@given(st.lists(st.integers(0, 5), min_size=8, max_size=8), st.randoms())
def test_chosen_is_the_best_point_whatever_the_order_of_records(scores, random):
    points = grid_of("ppo-n1")
    records = [tuning_record(name, score / 10) for (_, _, name), score in zip(points, scores, strict=True)]
    best = points[scores.index(max(scores))]
    random.shuffle(records)
    found = registry.chosen(records)
    assert set(found) == {"ppo-n1"}
    assert (found["ppo-n1"]["learning_rate"], found["ppo-n1"]["minibatches"]) == best[:2]
    assert found["ppo-n1"]["accuracy"] == max(scores) / 10


def test_chosen_averages_seeds_and_leaves_out_failures_smoke_and_incomplete_grids():
    points = [name for _, _, name in grid_of("tbrm-n1")]
    records = [tuning_record(name, 0.5) for name in points[2:]]
    records += [tuning_record(points[0], 0.9), tuning_record(points[0], 0.0, seed=1001)]
    assert registry.chosen(records) == {}, "one point has no record: the budget was not equal"
    records.append(tuning_record(points[1], None, status="failed"))
    records.append(tuning_record(points[7], 1.0, scale="smoke"))
    found = registry.chosen(records)["tbrm-n1"]
    assert found["accuracy"] == 0.5 and found["trials"] == 1


def test_importing_experiments_loads_nothing_heavy():
    code = (
        "import sys, repro.experiments.registry as r, repro.experiments.resolve, repro.experiments.plan\n"
        "r.experiments()\n"
        "print([m for m in ('torch', 'pandas', 'transformers', 'numpy', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
