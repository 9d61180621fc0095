"""table1 at micro scale learns for real: the base, the lift of GRPO and TBRM, PPO's clip. Minutes on one core."""

from __future__ import annotations

import dataclasses

import pytest

from repro.experiments import registry
from repro.experiments.resolve import resolve
from repro.methods.configs import build, to_json
from repro.training.base import ensure_base
from repro.training.trial import run_trial

pytestmark = pytest.mark.slow
EXPERIMENT = registry.get("table1")


def trial(arm: str):
    """Seed 0 exactly as registered, without a learning curve (it changes no training)."""
    config = resolve(EXPERIMENT, "micro", arm, 0)
    return dataclasses.replace(config, train=dataclasses.replace(config.train, eval_every=0, checkpoint_every=0))


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    return run_trial(trial("base"), tmp_path_factory.mktemp("base"))


def test_the_base_leaves_room_and_does_not_know_the_test_prompts(untrained):
    facts = ensure_base(trial("base")).facts
    for name in ("pass@1_rl", "pass@1_test"):
        assert 0.25 <= facts[name] <= 0.60, facts
    # 128 questions x 4 samples: a standard error of about 3 points each
    assert abs(facts["pass@1_rl"] - facts["pass@1_test"]) < 0.12, facts
    assert 0.25 <= untrained["metrics"]["chain/accuracy"] <= 0.60


@pytest.mark.parametrize("arm", ["grpo-n4", "tbrm-n1", "tbrm-n4"])
def test_an_arm_lifts_sampled_accuracy_by_15_points(untrained, tmp_path, arm):
    record = run_trial(trial(arm), tmp_path)
    before, after = untrained["metrics"]["chain/accuracy"], record["metrics"]["chain/accuracy"]
    assert untrained["outcomes"]["chain"]["questions"] == record["outcomes"]["chain"]["questions"]
    assert after - before >= 0.15, f"{arm}: {before:.3f} -> {after:.3f}"


# Methods of other tables, in this one's setting.
OTHERS = {
    "astar-po": ({"beta1": 0.5, "beta2": 1e-3, "minibatches": 2}, 2e-4),
    "rebel": ({"n": 2, "epochs": 4}, 1e-4),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_regression_method_lifts_sampled_accuracy_by_15_points(untrained, tmp_path, name):
    options, rate = OTHERS[name]
    plain = trial("tbrm-n1")
    config = dataclasses.replace(
        plain,
        arm=name,
        method=to_json(name, build(name, options)),
        train=dataclasses.replace(plain.train, learning_rate=rate),
    )
    record = run_trial(config, tmp_path)
    before, after = untrained["metrics"]["chain/accuracy"], record["metrics"]["chain/accuracy"]
    assert after - before >= 0.15, f"{name}: {before:.3f} -> {after:.3f}"
    if name == "astar-po":
        facts = record["stage1"]
        # The base's sampled accuracy once more; V* lies between the mean and the maximum of the rewards.
        assert abs(facts["mean_reward"] - before) < 0.05
        assert facts["mean_reward"] < facts["mean_value"] < 1 - facts["all_wrong"]


def test_ppo_clips_at_its_own_settings(tmp_path):
    record = run_trial(trial("ppo-n1"), tmp_path)
    fractions = [row["clip_fraction"] for row in record["health"]]
    assert len(fractions) == record["config"]["train"]["steps"]
    assert max(fractions) > 0, "PPO never clips: its ratio is always 1"
