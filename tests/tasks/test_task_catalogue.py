"""The catalogue says what the modules say, and costs nothing to import."""

import subprocess
import sys
from importlib import import_module

import pytest

from repro.tasks import load
from repro.tasks.catalogue import TASKS
from repro.tasks.code_sources import CODE
from repro.tasks.sources import REAL


@pytest.mark.parametrize("name", TASKS)
def test_entries_match_the_modules(name):
    info = TASKS[name]
    task = load(name)
    assert type(task) is getattr(import_module(info.module), info.cls)
    assert (task.name, task.summary, task.generated) == (info.name, info.summary, info.generated)
    assert info.licence and not task.summary.endswith(".")


def test_hub_names_match_the_sources():
    assert set(REAL) | set(CODE) == {name for name, info in TASKS.items() if not info.generated}
    for name, spec in REAL.items():
        hubs = {source.hub for source in (spec.train, spec.test) if source is not None}
        assert hubs == set(TASKS[name].hub)
    for name, splits in CODE.items():
        assert {source.hub for source in splits.values()} == set(TASKS[name].hub)


def test_listing_and_loading_a_generated_task_import_nothing_heavy():
    code = (
        "import sys, repro.tasks.catalogue; from repro.tasks import load; load('chain').prompts('test', 5); "
        "load('svamp'); load('mbpp'); "
        "print([m for m in ('torch','pandas','transformers','datasets','tokenizers','numpy') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
