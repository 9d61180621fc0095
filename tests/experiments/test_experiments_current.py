"""Which stored records belong to an experiment as it is defined now."""

import copy

from repro.experiments import registry
from repro.experiments.plan import current
from repro.experiments.resolve import resolve

TABLE1 = registry.get("table1")


def record(arm: str, seed: int, **changes) -> dict:
    config = resolve(TABLE1, "micro", arm, seed)
    content = copy.deepcopy(config.to_json())
    content["method"] |= changes
    return {
        "kind": "trial", "id": config.id, "experiment": "table1", "scale": "micro", "arm": arm, "seed": seed,
        "key": "0" * 64, "status": "done", "config": content, "provenance": {},
    }  # fmt: skip


def test_records_of_the_same_settings_belong_whatever_their_seed_and_spelling_of_numbers():
    trials = [(arm, seed) for arm in ("ppo-n1", "tbrm-n1") for seed in (0, 1, 7)]
    records = [record(arm, seed) for arm, seed in trials]
    records[0]["config"]["train"]["steps"] = float(records[0]["config"]["train"]["steps"])
    records[1]["config"]["train"]["trackers"] = ["tensorboard"]  # how a trial is run, not what comes of it
    configs = [resolve(TABLE1, "micro", arm, seed) for arm, seed in trials]
    assert current(configs, records) == records


def test_records_of_other_settings_seeds_and_kinds_do_not():
    configs = [resolve(TABLE1, "micro", arm, seed) for arm in ("ppo-n1", "tbrm-n1") for seed in (0, 1)]
    right = record("tbrm-n1", 1)
    others = [record("tbrm-n1", 0, beta=0.5), record("tbrm-n1", 2), record("tbrm-n4", 0)]
    others += [record("ppo-n1", 0) | {"kind": "timing"}]
    wrong_seed = record("ppo-n1", 1)
    wrong_seed["config"]["seed"] = 0
    assert current(configs, [right, *others, wrong_seed]) == [right]
