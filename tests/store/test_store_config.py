import dataclasses
import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repro.errors import InputError
from repro.store.config import (
    EvaluationSet,
    EvaluationSettings,
    LoraSettings,
    TrainSettings,
    TrialConfig,
    experiment_id,
)

_positive = st.floats(1e-9, 10, allow_nan=False)


@st.composite
def trial_configs(draw):
    n, prompts, pieces = draw(st.sampled_from([1, 2, 4])), draw(st.integers(1, 8)), draw(st.sampled_from([1, 2]))
    total = n * prompts * pieces
    lora = draw(st.none() | st.builds(LoraSettings, rank=st.integers(1, 64), layers=st.none() | st.just((0, 2))))
    train = TrainSettings(
        completions_per_step=total,
        micro_batch=total // pieces,
        learning_rate=draw(_positive),
        schedule=draw(st.sampled_from(["constant", "linear", "cosine"])),
        lora=lora,
        trackers=tuple(draw(st.lists(st.sampled_from(["wandb", "tensorboard"]), max_size=2))),
    )
    sets = draw(
        st.lists(
            st.builds(
                EvaluationSet,
                task=st.none() | st.just("gsm8k"),
                options=st.dictionaries(st.text(max_size=5), st.integers() | st.booleans() | st.none(), max_size=2),
                questions=st.none() | st.integers(1, 99),
                n=st.integers(1, 32),
            ),
            min_size=1,
            max_size=3,
        )
    )
    return TrialConfig(
        experiment="table1",
        scale=draw(st.sampled_from(["smoke", "micro", "small", "paper"])),
        arm="tbrm-n4",
        seed=draw(st.integers(0, 2**32 - 1)),
        method={"name": "tbrm", "n": n, "beta": draw(_positive)},
        task={"name": "chain", "options": {"levels": [1, 2]}},
        base={"kind": "hub", "id": "some/model", "revision": None},
        train=train,
        evaluation=EvaluationSettings(sets=tuple(sets)),
        variant=draw(st.none() | st.just("0a1b2c3d")),
    )


@given(trial_configs())
def test_round_trip_through_json_text(config):
    assert TrialConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_ids_name_scale_and_variant(make_config):
    assert make_config().id == "table1/tbrm-n4/seed0"
    assert make_config(scale="smoke", seed=3).id == "table1@smoke/tbrm-n4/seed3"
    assert make_config(scale="paper").experiment_id == "table1@paper"
    assert make_config(variant="0a1b2c3d").id == "table1@0a1b2c3d/tbrm-n4/seed0"
    assert experiment_id("table1", "smoke", "0a1b2c3d") == "table1@smoke-0a1b2c3d"


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("train.learning_rat", 1e-4, ["train.learning_rat", "did you mean learning_rate"]),
        ("train.lora", {"ranks": 4}, ["train.lora.ranks", "did you mean rank"]),
        ("train.learning_rate", -1e-4, ["train.learning_rate", "negative"]),
        ("train.learning_rate", "1e-4", ["train.learning_rate", "number"]),
        ("train.learning_rate", float("nan"), ["train.learning_rate", "finite"]),
        ("train.steps", True, ["train.steps", "whole number"]),
        ("train.steps", 1.5, ["train.steps", "whole number"]),
        ("train.completions_per_step", 126, ["126", "n=4"]),
        ("train.micro_batch", 48, ["completions_per_step=128", "micro_batch=48"]),
        ("train.processes", 3, ["processes=3"]),
        ("train.sharding", "fsdp", ["train.sharding", "processes"]),
        ("train.schedule", "step", ["train.schedule", "cosine"]),
        ("train.adam_beta2", 1.0, ["adam_beta2"]),
        ("train.vllm_memory", 0.0, ["vllm_memory"]),
        ("train.trackers", "wandb", ["train.trackers", "list"]),
        ("evaluation.sets", [], ["evaluation.sets", "empty"]),
        ("evaluation.sets", [{"n": 0}], ["evaluation.sets[0].n"]),
        ("evaluation.sets", [{"kl": True, "verify": True}], ["evaluation.sets[0].kl", "verify"]),
        ("evaluation.sets", [{"kl": True, "temperature": 0.0, "n": 1}], ["evaluation.sets[0].kl", "temperature=0"]),
        ("evaluation.sets", [{"split": "test", "nn": 1}], ["evaluation.sets[0].nn", "did you mean n?"]),
        ("evaluation.sets", [{"lenient": True, "verify": True}], ["evaluation.sets[0].verify", "lenient"]),
        ("evaluation.sets", [{"shots": -1}], ["evaluation.sets[0].shots"]),
        ("evaluation.sets", [{"shots": 4, "split": "rl"}], ["evaluation.sets[0].shots", "rl split"]),
        ("base", {"kind": "folder"}, ["base.path"]),
        ("base", {"kind": "file"}, ["base.kind"]),
        ("base", {"kind": "micro", "recipe": {"noise": 0.5}, "task": "words"}, ["base.task", "name"]),
        ("base", {"kind": "hub", "id": "some/model", "task": {"name": "words"}}, ["base.task", "micro"]),
        ("method", {}, ["method", "name"]),
        ("method", {"name": "tbrm", "n": 0}, ["method.n"]),
        ("method", {"name": "tbrm", "beta": float("inf")}, ["method.beta"]),
        ("scale", "huge", ["scale", "micro"]),
        ("seed", -1, ["seed"]),
        ("arm", "../evil", ["arm"]),
        ("variant", "xyz", ["variant"]),
    ],
)
def test_bad_fields_give_one_clear_line(make_config, path, value, words):
    data = make_config().to_json()
    *parents, last = path.split(".")
    target = data
    for name in parents:
        target = target[name]
    target[last] = value
    with pytest.raises(InputError) as caught:
        TrialConfig.from_json(data)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


@pytest.mark.parametrize("missing", ["experiment", "method", "base"])
def test_missing_field_is_named(make_config, missing):
    data = make_config().to_json()
    del data[missing]
    with pytest.raises(InputError, match=f"{missing} is missing"):
        TrialConfig.from_json(data)


def test_base_arm_needs_no_multiple_of_n(make_config):
    config = make_config(method={"name": "none", "n": 3}, arm="base")
    config.validate()
    assert not config.trains


def test_every_field_is_documented():
    import inspect

    for cls in (LoraSettings, TrainSettings, EvaluationSet, EvaluationSettings, TrialConfig):
        lines = [line.strip() for line in inspect.getsource(cls).splitlines()]
        for item in dataclasses.fields(cls):
            at = next(i for i, line in enumerate(lines) if line.startswith(f"{item.name}:"))
            assert lines[at + 1].startswith('"""'), f"{cls.__name__}.{item.name}"


def test_store_and_statistics_import_no_heavy_package():
    code = (
        "import sys, repro.store.config, repro.store.records, repro.store.published, repro.store.lock, "
        "repro.store.provenance, repro.statistics.contrast; repro.store.provenance.collect('x'); "
        "heavy = {'torch', 'pandas', 'transformers', 'scipy'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    subprocess.run(
        [sys.executable, "-c", "import sys, repro.store.config; assert 'numpy' not in sys.modules"], check=True
    )
