"""Records written, loaded and found per second; a bundle read. `pytest benchmarks/bench_store.py`."""

import pytest

from repro.store.config import TrialConfig
from repro.store.key import trial_key
from repro.store.published import read_bundle, write_bundle
from repro.store.records import find_all, load_records, write_record
from repro.store.workspace import Workspace

COUNT, QUESTIONS, SAMPLES = 2000, 256, 8


def _record(seed: int) -> dict:
    config = TrialConfig(
        experiment=f"table{seed % 5}",
        scale="micro",
        arm="tbrm-n4",
        seed=seed,
        method={"name": "tbrm", "semantics": 1, "n": 4, "beta": 0.002},
        task={"name": "chain", "options": {}},
        base={"kind": "micro", "recipe": {"steps": 1200}},
    )
    outcomes = {
        "questions": [f"chain:{i}" for i in range(QUESTIONS)],
        "levels": ["2"] * QUESTIONS,
        "samples": ["cwuCWwcc"[:SAMPLES]] * QUESTIONS,
        "greedy": "cw" * (QUESTIONS // 2),
    }
    point = dict.fromkeys(("reward", "entropy", "kl", "clip_fraction", "grad_norm", "loss", "length"), 0.123456789)
    return {
        "schema": 1,
        "kind": "trial",
        "key": trial_key(config, {"prompts": "p", "base": "b"}),
        "id": config.id,
        "experiment": config.experiment,
        "scale": config.scale,
        "variant": None,
        "arm": config.arm,
        "seed": seed,
        "status": "done",
        "error": None,
        "config": config.to_json(),
        "hashes": {"base": "b", "prompts": {"test": "p"}, "template": "t"},
        "data": [],
        "metrics": {"chain/accuracy": 0.5},
        "outcomes": {"chain": outcomes},
        "curve": [],
        "health": [{"step": step, **point} for step in range(60)],
        "samples": [{"set": "chain", "question": "q", "prompt": "1+2", "completion": "3" * 60, "gold": "3"}] * 16,
        "cost": {"phases": {}},
        "provenance": {"finished": "2030-01-01"},
        "base": {},
    }


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    workspace = Workspace(tmp_path_factory.mktemp("runs"))
    records = [_record(seed) for seed in range(COUNT)]
    for record in records:
        write_record(workspace, record)
    return workspace, records


def test_load(benchmark, stored):
    records, problems = benchmark.pedantic(load_records, args=(stored[0],), rounds=3)
    assert (len(records), problems) == (COUNT, [])
    rate = COUNT / benchmark.stats.stats.min
    benchmark.extra_info["records_per_second"] = round(rate)
    assert rate > 200  # thousands in seconds, also on a busy machine


def test_find_25_keys(benchmark, stored):
    workspace, records = stored
    keys = [record["key"] for record in records[:25]]
    assert len(benchmark(find_all, workspace, keys)) == 25


def test_read_bundle(benchmark, stored, tmp_path):
    path = write_bundle(tmp_path / "b.jsonl.gz", stored[1][:500])
    assert len(benchmark.pedantic(read_bundle, args=(path,), rounds=3)) == 500


def test_write(benchmark, tmp_path):
    benchmark(write_record, Workspace(tmp_path), _record(0))
