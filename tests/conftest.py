"""What every test may rely on: one thread, no network, no telemetry, and real data where there is some."""

import os
import sys
from pathlib import Path

# Before any test imports torch or a hub client; child processes inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

import pytest  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402

# Wall time per example says nothing on a shared machine; in CI the examples are the same every time.
settings.register_profile(
    "suite", deadline=None, derandomize="CI" in os.environ, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("suite")


def pytest_collection_finish():
    if "torch" in sys.modules:  # imported by a test module; tests of the light parts never pay for it
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real public data: REPRO_DATA_DIR, else `shared/data` beside the checkout. Skips without it."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("REPRO_DATA_DIR") or beside)
    if not folder.is_dir():
        pytest.skip(f"NOT TESTED on real data: no folder {folder}; set REPRO_DATA_DIR to one with svamp/, gsm8k/, ...")
    return folder


@pytest.fixture
def plugged(monkeypatch, tmp_path):
    """What the test plugs in from its own folder is gone after it."""
    from repro.methods import catalogue, configs
    from repro.plugins import registry, source
    from repro.tasks import catalogue as tasks

    tables = (
        catalogue.METHODS, configs.CONFIGS, configs.SEMANTICS, configs.SOURCES, tasks.TASKS, tasks.SOURCES,
        registry._loaded,
    )  # fmt: skip
    before = [dict(table) for table in tables]
    monkeypatch.setenv(source.FILES, "[]")
    yield
    for table, content in zip(tables, before, strict=True):
        table.clear()
        table.update(content)
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]
