"""The paper scale's own configuration, two steps on a CPU: only what a small machine cannot have is replaced.

Replaced: model, data files, engine, process count, longest completion, prompts per step, number of steps. All else is
what the experiment registers, field by field: losses, rates, clipping, micro-batches, bf16 autocast, gradient
checkpointing, the six evaluation sets with their samples and temperatures.
"""

import dataclasses
import zlib

import pytest
from e2e_models import made_up_data, tiny_qwen2

from repro.experiments import registry
from repro.experiments.resolve import flatten, parse_changes, resolve, variant_of
from repro.store.config import TrainSettings, TrialConfig
from repro.store.workspace import Workspace
from repro.tasks.outcome import Outcome
from repro.tasks.real import RealTask

TABLE1 = registry.get("table1")
PROMPTS = 4  # per step, in place of 128
LONGEST = 12  # tokens, in place of 2048
REPLACED = {
    "variant", "base.kind", "base.path", "base.id", "train.backend", "train.processes", "train.max_completion",
    "train.completions_per_step", "train.steps", "evaluation.max_completion",
}  # fmt: skip


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return tiny_qwen2(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture
def coin(monkeypatch):
    """Training rewards by a coin that depends on the text: a model of random weights never answers a question."""
    checked = RealTask.check

    def check(task, texts, prompts):
        if task.name != "dapo17k":
            return checked(task, texts, prompts)
        return [Outcome.CORRECT if zlib.crc32(text.encode()) % 2 else Outcome.WRONG for text in texts]

    monkeypatch.setattr(RealTask, "check", check)


def replaced(arm: str, checkpoint) -> TrialConfig:
    """The registered config of an arm with exactly `REPLACED` changed."""
    words = [
        "*.backend=transformers", "*.processes=1", f"train.max_completion={LONGEST}",
        f"evaluation.max_completion={LONGEST}",
    ]  # fmt: skip
    if arm != "base":
        n = registry.arm_of(TABLE1, arm).method_config["n"]
        words += ["*.steps=2", f"{arm}.completions_per_step={PROMPTS * n}"]
    changes = parse_changes(words, model=str(checkpoint))
    return resolve(TABLE1, "paper", arm, 0, changes, variant_of(TABLE1, "paper", changes))


FAST = ("ppo-n1", "tbrm-n1")  # one with a critic, one without


@pytest.mark.parametrize(
    "arm",
    [pytest.param(arm.id, marks=() if arm.id in FAST else pytest.mark.slow) for arm in TABLE1.core_arms],
)
def test_paper_scale_runs_two_steps(arm, checkpoint, coin, tmp_path):
    from repro.training.trial import run_trial

    config = replaced(arm, checkpoint)
    record = run_trial(config, tmp_path / "runs", made_up_data(tmp_path / "data"))
    assert record["status"] == "done"

    # What ran is what is registered, but for the fields that are named above.
    registered = resolve(TABLE1, "paper", arm, 0)
    plain, ran = flatten(registered.to_json()), flatten(record["config"])
    different = {name for name in plain.keys() | ran.keys() if plain.get(name) != ran.get(name)}
    trained = arm != "base"
    assert different == (REPLACED if trained else REPLACED - {"train.steps"})

    assert set(record["outcomes"]) == {"aime24", "aime25", "amc23", "math500", "minerva", "olympiadbench"}
    for name, wanted in zip(record["outcomes"], registered.evaluation.sets, strict=True):
        outcomes = record["outcomes"][name]
        assert wanted.task == name and {len(row) for row in outcomes["samples"]} == {wanted.n}
    if not trained:
        return
    assert registered.train.precision == "bf16" and registered.train.gradient_checkpointing
    n = config.n
    assert registered.train.completions_per_step == 128 * n, "equal prompts per step at paper scale"
    assert [row["step"] for row in record["health"]] == [1, 2]
    assert all(row["grad_norm"] > 0 for row in record["health"]), "nothing was trained"
    assert record["cost"]["completions"] == 2 * PROMPTS * n and record["cost"]["prompts"] == 2 * PROMPTS
    assert not any(Workspace(tmp_path / "runs").checkpoints.iterdir())


def test_every_scale_field_is_checked(checkpoint):
    """The comparison above sees a change of any one field of the train settings."""
    config = replaced("ppo-n1", checkpoint)
    names = set(flatten(config.to_json()))
    assert all(f"train.{field.name}" in names or field.name == "lora" for field in dataclasses.fields(TrainSettings))
    assert {"method.minibatches", "method.epsilon", "evaluation.sets", "task.name"} <= names
