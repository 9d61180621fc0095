"""The payload of bandit trials is checked, and a config that a bandit cannot run is refused in one line."""

import copy

import pytest
from store_samples import config_of, record_of

from repro.errors import InputError
from repro.store.config import TrainSettings, TrialConfig
from repro.store.record import check_record
from repro.store.records import decode_record, encode_record

METHOD = {"name": "ksample", "semantics": 1, "n": 4, "k": None, "objective": "pass", "variant": "unbiased"}
BAND = {"mean": [0.0, 1.0], "low": [-1.0, 0.5], "high": [1, 2]}
PAYLOAD = {
    "actions": 100,
    "instances": 2,
    "k": 4,
    "steps": [0, 10],
    "curves": {"mean_reward": BAND, "max": BAND, "kl": BAND},
    "by_kl": {"nats": [1.0, 2.0], "reached": [2, 0], "mean": [0.5, None], "low": [0.4, None], "high": [0.6, None]},
    "values": {"mean_reward@10": [0.5, -0.5], "reward_at_kl@2": [None, 1.0]},
    "reference": [{"objective": "majority", "k": 3, "bias": 0.0, "bias_fewer": 0.1, "variance": 0.5}],
    "bounded_variance": 0.2,
}


def bandit_config(**changes):
    fields = {
        "experiment": "figure1", "arm": "pass-k4", "method": METHOD, "base": {"kind": "tabular", "instances": 2},
        "task": {"name": "bandit", "options": {"actions": 100}},
        "train": TrainSettings(steps=10, completions_per_step=4, micro_batch=4),
    }  # fmt: skip
    return config_of(**{**fields, **changes})


def bandit_record(payload=PAYLOAD):
    return record_of(bandit_config(), outcomes={}, metrics={}, bandit=copy.deepcopy(payload))


def test_a_record_survives_the_store():
    record = bandit_record()
    assert decode_record(encode_record(record), "here") == record
    check_record(record_of())  # and others need no such part


@pytest.mark.parametrize(
    ("path", "value", "word"),
    [
        ("actions", 0, "actions"),
        ("instances", True, "instances"),
        ("steps", [10, 0], "steps"),
        ("steps", [0.0, 10.0], "steps"),
        ("curves", {"mean_reward": BAND}, "curves"),
        ("curves.kl", {**BAND, "low": [0.0]}, "curves.kl.low"),
        ("curves.kl", {**BAND, "mean": [0.0, None]}, "curves.kl.mean"),
        ("by_kl.nats", [2.0, 1.0], "by_kl.nats"),
        ("by_kl.reached", [2], "by_kl.reached"),
        ("values.mean_reward@10", [0.5], "mean_reward@10"),
        ("values.mean_reward@10", [0.5, None], "mean_reward@10"),
        ("values.reward_at_kl@2", [float("nan"), 1.0], "reward_at_kl@2"),
        ("reference", [{"objective": "best", "k": 3}], "reference"),
        ("reference", [{**PAYLOAD["reference"][0], "variance": None}], "reference"),
        ("bounded_variance", "0.2", "bounded_variance"),
    ],
)
def test_a_damaged_payload_is_named(path, value, word):
    record = bandit_record()
    *parents, last = path.split(".")
    target = record["bandit"]
    for name in parents:
        target = target[name]
    target[last] = value
    with pytest.raises(InputError, match="bandit") as caught:
        check_record(record)
    assert word in str(caught.value) and "\n" not in str(caught.value)


def test_a_payload_that_is_no_object():
    for record in (record_of(bandit=[]), record_of(bandit_config(), outcomes={}, metrics={})):
        with pytest.raises(InputError, match="not an object"):
            check_record(record)


def test_a_bandit_config_survives_json():
    config = bandit_config()
    assert TrialConfig.from_json(config.to_json()) == config and config.tabular and not config_of().tabular


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"base": {"kind": "tabular"}}, "base.instances"),
        ({"base": {"kind": "tabular", "instances": 1.5}}, "base.instances"),
        ({"task": {"name": "chain", "options": {}}}, "task bandit"),
        ({"task": {"name": "bandit", "options": {"actions": 1}}}, "2 actions"),
        ({"method": {"name": "none"}}, "ksample"),
        ({"method": {**METHOD, "objective": "majority"}}, "no answers"),
        ({"method": {**METHOD, "objective": "mean", "variant": "naive"}}, "objective=mean"),
        ({"method": {**METHOD, "k": 2}}, "n=4"),
        ({"method": {**METHOD, "n": 2}}, "n=2"),
        ({"method": {**METHOD, "beta": 0.1}}, "method.beta=0.1"),
        ({"method": {**METHOD, "clip": True}}, "method.clip"),
        ({"train": TrainSettings(completions_per_step=4, micro_batch=4, temperature=0.5)}, "train.temperature=0.5"),
        ({"train": TrainSettings(completions_per_step=4, micro_batch=1, processes=4)}, "train.processes=4"),
    ],
)
def test_what_a_bandit_cannot_run_or_would_ignore(changes, word):
    with pytest.raises(InputError) as caught:
        TrialConfig.from_json(bandit_config(**changes).to_json())
    assert word in str(caught.value) and "\n" not in str(caught.value)
