"""Allocator settings: growing caches by concatenation must reuse memory instead of faulting it in again."""

import subprocess
import sys

import pytest

from repro.launch.process import FORCED, environment

GROW = """
import resource, sys
import numpy
from repro.launch.process import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
cache, new = numpy.zeros((128, 4, 1, 32), numpy.float32), numpy.zeros((128, 4, 1, 32), numpy.float32)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(2):
    caches = [cache, cache]
    for _ in range(64):
        caches = [numpy.concatenate([one, new], 2) for one in caches]
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the settings are those of glibc")
def test_freed_memory_is_reused():
    faults = {
        mode: int(subprocess.run([sys.executable, "-c", GROW, mode], capture_output=True, text=True, check=True).stdout)
        for mode in ("plain", "keep")
    }
    assert faults["keep"] * 3 < faults["plain"], faults


def test_environment_forces_threads_and_keeps_the_users_other_choices(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    monkeypatch.setenv("WANDB_SILENT", "false")
    variables = environment()
    assert {name: variables[name] for name in FORCED} == FORCED
    assert variables["WANDB_SILENT"] == "false"
    assert "HF_HUB_OFFLINE" not in FORCED  # data sets come from the hub by default
