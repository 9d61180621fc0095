"""The planner at 1.5B: one arm of table3's paper scale from nothing, and another one that finds the shared phases kept.

`pytest benchmarks/bench_planner.py`; about a minute. REPRO_BENCH_MODEL=7B plans another size. `extra_info` holds the
processor seconds, the memory of the process, and the cost of the second plan as a share of the first.
"""

import dataclasses
import os
import time

import pytest
import torch

from repro.cost.host import peak_host_rss
from repro.experiments import registry
from repro.experiments.resolve import resolve
from repro.training.planner import plan_trial

MODEL = f"Qwen/Qwen2.5-{os.environ.get('REPRO_BENCH_MODEL', '1.5B')}"
ARMS = ("astar-po-n1", "grpo-n4")
SPENT: dict[str, float] = {}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    torch.set_num_threads(1)
    return tmp_path_factory.mktemp("plans")


def trial(arm: str):
    config = resolve(registry.get("table3"), "paper", arm, 0)
    return dataclasses.replace(config, base={"kind": "hub", "id": MODEL, "revision": None})


@pytest.mark.parametrize("arm", ARMS)
def test_plan(benchmark, cache, arm):
    processor = time.process_time()
    plan = benchmark.pedantic(plan_trial, (trial(arm),), {"cache": cache}, rounds=1)
    SPENT[arm] = time.process_time() - processor
    assert plan["model"] == MODEL and plan["peak"]["total"] > 0
    benchmark.extra_info["processor_seconds"] = round(SPENT[arm], 1)
    benchmark.extra_info["peak_rss_mib"] = round(peak_host_rss() / 2**20)
    benchmark.extra_info["share_of_the_first"] = round(SPENT[arm] / SPENT[ARMS[0]], 2)


def test_plan_again(benchmark, cache):
    """What was planned before is read."""
    config = trial(ARMS[0])
    first = plan_trial(config, cache=cache)
    assert benchmark(lambda: plan_trial(config, cache=cache)) == first
