"""A config and a record to change in tests."""

from repro.store.config import TrialConfig
from repro.store.key import trial_key


def config_of(**changes):
    fields = {
        "experiment": "table1",
        "scale": "micro",
        "arm": "tbrm-n4",
        "seed": 0,
        "method": {"name": "tbrm", "semantics": 1, "n": 4, "beta": 0.002},
        "task": {"name": "chain", "options": {}},
        "base": {"kind": "micro", "recipe": {"steps": 1200, "noise": 0.5}},
    }
    return TrialConfig(**{**fields, **changes})


def record_of(config=None, questions=3, n=4, **changes):
    config = config or config_of()
    hashes = {"base": "b" * 64, "prompts": {"rl": "1" * 64, "test": "2" * 64}, "template": "t" * 64}
    record = {
        "schema": 1,
        "kind": "trial",
        "key": trial_key(config, {"prompts": hashes["prompts"], "base": hashes["base"]}),
        "id": config.id,
        "experiment": config.experiment,
        "scale": config.scale,
        "variant": config.variant,
        "arm": config.arm,
        "seed": config.seed,
        "status": "done",
        "error": None,
        "config": config.to_json(),
        "hashes": hashes,
        "data": [],
        "metrics": {"chain/accuracy": 0.5},
        "outcomes": {
            "chain": {
                "questions": [f"q{i}" for i in range(questions)],
                "levels": [""] * questions,
                "samples": ["cwuC"[:n].ljust(n, "w")] * questions,
                "greedy": "c" * questions,
            }
        },
        "curve": [],
        "health": [],
        "samples": [],
        "cost": {"train_seconds": 1.5, "phases": {}},
        "provenance": {"finished": "2030-01-01T00:00:00+00:00"},
        "base": {"pass@1_rl": 0.4, "seconds": 12.0},
    }
    return {**record, **changes}
