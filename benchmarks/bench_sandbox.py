"""Sandboxed programs per second on one core: MBPP's reference solutions, and call jobs as micro program synthesis runs.

`pytest benchmarks/bench_sandbox.py`; needs MBPP in REPRO_DATA_DIR or `../shared/data`, and a sandbox. The start of the
sandbox is inside the measurement. Figures are in `extra_info`: best and median of the rounds. One reference solution
(task 123) computes for about two seconds by itself, more than half of all the time, so the figure without it is
reported too.
"""

import os

import pytest

from repro.tasks import files
from repro.tasks.code import deciding_jobs
from repro.tasks.code_sources import CODE
from repro.tasks.sandbox import Calls, isolation, run_jobs

SLOW = "123"


@pytest.fixture(scope="module", autouse=True)
def one_core():
    if not isolation().available:
        pytest.skip(f"NOT MEASURED: {isolation().missing}")
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    yield
    os.sched_setaffinity(0, cores)


@pytest.fixture(scope="module")
def references(request):
    folder = os.environ.get("REPRO_DATA_DIR") or request.config.rootpath.parent / "shared" / "data"
    source = CODE["mbpp"]["test"]
    if not os.path.isdir(folder):
        pytest.skip(f"NOT MEASURED: no folder {folder}; set REPRO_DATA_DIR")
    rows, _ = files.read(files.find(type(request.config.rootpath)(folder) / source.folder, source.stems))
    problems = [source.reader(row) for row in rows]
    return {p.source_id: deciding_jobs(p.solution, p.tests)[0][0] for p in problems}


def report(benchmark, programs):
    benchmark.extra_info["programs"] = programs
    benchmark.extra_info["programs_per_second"] = round(programs / benchmark.stats.stats.min)
    benchmark.extra_info["programs_per_second_median"] = round(programs / benchmark.stats.stats.median)


@pytest.mark.parametrize("which", ["all", "without-123"])
def test_mbpp_references(benchmark, references, which):
    jobs = [job for number, job in references.items() if which == "all" or number != SLOW]
    results = benchmark.pedantic(run_jobs, (jobs,), rounds=5, warmup_rounds=1)
    assert all(result.passed for result in results)
    report(benchmark, len(jobs))


@pytest.mark.parametrize("calls", [1, 5])
def test_calls(benchmark, calls):
    jobs = [Calls(f"def f(x):\n    return x * {n}", tuple(f"f({x})" for x in range(calls))) for n in range(500)]
    results = benchmark.pedantic(run_jobs, (jobs,), rounds=5, warmup_rounds=1)
    assert results[7].outputs[0] == "0"
    report(benchmark, len(jobs))
