"""Wall time of `repro --help` and `repro list`, each in a fresh interpreter. `pytest benchmarks/bench_cli.py`.

`extra_info["bare_python"]` is the time of an interpreter that does nothing, on the same machine: what the suite adds is
the difference. `tests/cli` holds the rule behind it (no torch, no pandas at import), this only reports.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import repro

ROUNDS = 10


def fresh(*arguments: str) -> None:
    # The package this test imported, installed or not, whatever the folder.
    environment = {**os.environ, "PYTHONPATH": str(Path(repro.__file__).parents[1])}
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, env=environment)


def best(call, rounds: int) -> float:
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


@pytest.mark.parametrize("arguments", [["--help"], ["list"], ["list", "--json"], ["plan", "table1"]], ids=" ".join)
def test_cli(benchmark, tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)  # an empty workspace
    benchmark.pedantic(fresh, args=("-m", "repro.cli", *arguments), rounds=ROUNDS, warmup_rounds=1)
    benchmark.extra_info["seconds"] = round(benchmark.stats.stats.min, 3)
    benchmark.extra_info["bare_python"] = round(best(lambda: fresh("-c", "pass"), ROUNDS), 3)
