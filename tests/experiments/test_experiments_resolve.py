"""Layers of settings, `--set`, `--task`, `--model`, and when a change makes a variant."""

import dataclasses
import json
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repro.errors import InputError
from repro.experiments import registry
from repro.experiments.resolve import flatten, parse_changes, parse_model, resolve, resolve_selection, variant_of

TABLE1 = registry.get("table1")


def changed(*sets, arm="tbrm-n4", scale="micro", **more):
    changes = parse_changes(sets, **more)
    return resolve(TABLE1, scale, arm, 0, changes, variant_of(TABLE1, scale, changes))


@pytest.fixture
def checkpoint(tmp_path):
    folder = tmp_path / "tiny"
    folder.mkdir()
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (folder / name).write_text("{}")
    return folder


def test_layers_apply_in_order():
    plain = resolve(TABLE1, "paper", "tbrm-n4", 3)
    assert plain.train.learning_rate == 2.5e-6, "the scale's value for the arm wins over the scale"
    assert plain.train.warmup_steps == 0, "unnamed fields keep their default"
    assert (plain.id, plain.variant) == ("table1@paper/tbrm-n4/seed3", None)
    assert resolve(TABLE1, "micro", "tbrm-n4-lora", 0).train.lora.rank == 16


@given(st.floats(1e-9, 1e3, allow_nan=False), st.integers(1, 10**6))
def test_values_are_read_with_the_fields_type(number, steps):
    changes = parse_changes([f"*.learning_rate={number!r}", f"tbrm-n4.steps={steps}", f"*.beta={number!r}"])
    config = resolve(TABLE1, "micro", "tbrm-n4", 0, changes)
    assert config.train.learning_rate == config.method["beta"] == number
    assert config.train.steps == steps and type(config.train.steps) is int


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("*.steps=1e2", "train.steps", 100),
        ("*.precision=bf16", "train.precision", "bf16"),
        ("*.gradient_checkpointing=true", "train.gradient_checkpointing", True),
        ("*.sharding=null", "train.sharding", None),
        ("*.trackers=wandb,tensorboard", "train.trackers", ["wandb", "tensorboard"]),
        ("*.trackers=[]", "train.trackers", []),
        ('*.lora={"rank": 4}', "train.lora.rank", 4),
        ("train.learning_rate=3e-4", "train.learning_rate", 3e-4),
        ("tbrm-n4.train.learning_rate=3e-4", "train.learning_rate", 3e-4),
        ("tbrm*.method.beta=0.5", "method.beta", 0.5),
        ("*.evaluation.max_completion=9", "evaluation.max_completion", 9),
    ],
)
def test_set_finds_the_field(text, path, value):
    assert flatten(changed(text).to_json())[path] == value


def test_set_on_every_evaluation_set():
    config = changed("evaluation.temperature=1", "evaluation.n=3", "evaluation.questions=10", scale="paper")
    assert {(one.n, one.questions) for one in config.evaluation.sets} == {(3, 10)}


def test_arm_ids_with_dots():
    twin = registry.get("table1-tuning")
    arm = "tbrm-n1--lr0.0001-beta0.02"
    assert arm in [one.id for one in twin.arms]
    changes = parse_changes([f"{arm}.steps=7"])
    assert resolve(twin, "micro", arm, 1000, changes).train.steps == 7


def test_later_assignments_win_and_only_named_arms_change():
    changes = parse_changes(["*.steps=7", "tbrm-n4.steps=8"])
    assert resolve(TABLE1, "micro", "tbrm-n4", 0, changes).train.steps == 8
    assert resolve(TABLE1, "micro", "ppo-n1", 0, changes).train.steps == 7
    assert resolve(TABLE1, "micro", "ppo-n1", 0, parse_changes(["tbrm*.beta=1"])) == resolve(
        TABLE1, "micro", "ppo-n1", 0
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("steps=3", ["ARM.FIELD=VALUE"]),
        ("*.steps", ["ARM.FIELD=VALUE"]),
        (".steps=3", ["ARM.FIELD=VALUE"]),
        ("tbrm-n5.steps=3", ["no arm", "tbrm-n4"]),
        ("*.learing_rate=1", ["learing_rate", "learning_rate"]),
        ("ppo-n1.train.lam=1", ["no field 'lam'"]),
        ("base.beta=1", ["no field 'beta'"]),
        ("*.steps=ten", ["steps", "whole number"]),
        ("*.steps=1.5", ["steps", "whole number"]),
        ("*.steps=inf", ["steps", "whole number"]),
        ("*.learning_rate=nan", ["learning_rate"]),
        ("*.learning_rate=fast", ["learning_rate", "a number"]),
        ("*.precision=fp8", ["precision", "fp32", "bf16"]),
        ("*.gradient_checkpointing=maybe", ["true or false"]),
        ("*.lora={rank: 4}", ["lora"]),
        ("*.steps=-1", ["steps"]),
        ("grpo-n4.n=1", ["n"]),
        ("grpo-n4.completions_per_step=127", ["multiple"]),
        ("ppo-n1.minibatches=1", ["at least 2"]),
    ],
)
def test_a_bad_set_is_one_clear_line(text, words):
    with pytest.raises(InputError) as error:
        changed(text, arm="grpo-n4")
        changed(text, arm="ppo-n1")
    for word in words:
        assert word in str(error.value)
    assert "\n" not in str(error.value)


def test_a_variant_is_a_function_of_what_really_changes():
    one = variant_of(TABLE1, "micro", parse_changes(["tbrm-n4.steps=7"]))
    assert one == variant_of(TABLE1, "micro", parse_changes(["tbrm-n4.steps=9", "tbrm-n4.train.steps=7.0"]))
    assert one != variant_of(TABLE1, "micro", parse_changes(["tbrm-n4.steps=8"]))
    assert one != variant_of(TABLE1, "micro", parse_changes(["tbrm-n1.steps=7"]))
    steps = TABLE1.scales["micro"].train["steps"]
    assert variant_of(TABLE1, "micro", parse_changes([f"*.steps={steps}"])) is None
    assert variant_of(TABLE1, "micro", parse_changes(["*.trackers=wandb", "*.checkpoint_every=3"])) is None
    assert variant_of(TABLE1, "micro", parse_changes()) is None


def test_all_trials_of_a_command_carry_the_variant():
    selection = registry.select(["table1"])[0]
    configs = resolve_selection(selection, parse_changes(["tbrm-n4.beta=0.5"]))
    assert len({config.variant for config in configs}) == 1 and configs[0].variant
    assert configs[0].id == f"table1@{configs[0].variant}/base/seed0"


def test_training_settings_do_not_touch_the_untrained_arm():
    plain = resolve(TABLE1, "micro", "base", 0)
    assert resolve(TABLE1, "micro", "base", 0, parse_changes(["*.learning_rate=1", "*.steps=3"])) == plain


def test_model_folder(checkpoint):
    config = changed(model=str(checkpoint))
    assert config.base == {"kind": "folder", "path": str(checkpoint.resolve())} and config.variant


@pytest.mark.parametrize("missing", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_folder_without_a_checkpoint_is_refused(checkpoint, missing):
    (checkpoint / missing).unlink()
    with pytest.raises(InputError, match=missing.removeprefix("model").removesuffix(".json").replace(".", r"\.")):
        parse_model(str(checkpoint))


def test_hub_ids():
    assert parse_model("Qwen/Qwen2.5-0.5B") == {"kind": "hub", "id": "Qwen/Qwen2.5-0.5B", "revision": None}
    assert parse_model("Qwen/Qwen2.5-0.5B@abc123")["revision"] == "abc123"


@pytest.mark.parametrize("text", ["/no/such/folder", "./nowhere/x", "nowhere", "a/b/c", "", "owner/", "sp ace/x"])
def test_neither_folder_nor_hub_id(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="--model"):
        parse_model(text)


def test_a_mistyped_path_is_not_taken_for_a_hub_id(checkpoint, monkeypatch):
    monkeypatch.chdir(checkpoint.parent.parent)
    with pytest.raises(InputError, match="no such folder"):
        parse_model(f"{checkpoint.parent.name}/tyni")


def test_task_replaces_the_trials_and_the_evaluations(checkpoint):
    config = changed(task="svamp", model=str(checkpoint), scale="smoke")
    assert config.task == {"name": "svamp", "options": {}}
    assert [one.task for one in config.evaluation.sets] == [None]
    assert config.train.max_prompt >= 512, "a real question does not fit a micro prompt"
    paper = changed(task="gsm8k", scale="paper")
    assert [(one.task, one.split) for one in paper.evaluation.sets] == [(None, "test")]
    assert paper.train.max_completion == 2048, "the lengths of a GPU scale are its own"


def test_lengths_the_user_sets_win_over_the_tasks(checkpoint):
    assert changed("*.max_prompt=99", task="svamp", model=str(checkpoint)).train.max_prompt == 99


def test_real_text_needs_a_real_model():
    with pytest.raises(InputError, match="--model"):
        changed(task="svamp")
    assert changed(task="multiply").task["name"] == "multiply"


def test_a_base_that_learns_another_task_is_the_experiments_own(monkeypatch):
    """With another task the micro base learns that one."""
    micro = TABLE1.scales["micro"]
    base = {**micro.base, "task": {"name": "words", "options": {}}}
    real = dataclasses.replace(micro, task={"name": "svamp", "options": {"template": "micro"}}, base=base)
    experiment = dataclasses.replace(TABLE1, scales={"micro": real})
    plain, same, other = (
        resolve(experiment, "micro", "tbrm-n4", 0, parse_changes(task=task)) for task in (None, "svamp", "multiply")
    )
    assert plain.base == same.base == base and plain.task == same.task and plain.train == same.train
    assert other.base == micro.base and other.task == {"name": "multiply", "options": {}}
    with pytest.raises(InputError, match="--task gsm8k needs --model"):
        resolve(experiment, "micro", "tbrm-n4", 0, parse_changes(task="gsm8k"))


def test_unknown_task_names_the_nearest():
    with pytest.raises(InputError, match="svamp"):
        parse_changes(task="swamp")


_TREES = st.recursive(
    st.integers(), lambda inner: st.dictionaries(st.sampled_from("abc"), inner, min_size=1), max_leaves=8
)


@given(_TREES)
def test_flatten_keeps_every_leaf(value):
    def leaves(item):
        return sum(map(leaves, item.values())) if isinstance(item, dict) else 1

    assert len(flatten({"top": value})) == leaves(value)


def test_configs_are_plain_json():
    config = SimpleNamespace(**json.loads(json.dumps(changed("*.steps=3").to_json())))
    assert config.train["steps"] == 3
