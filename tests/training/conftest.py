import os

import pytest
import torch

from repro.tasks.chain import ChainTask

from .helpers import coin, make_base


@pytest.fixture(scope="package", autouse=True)
def private_cache(tmp_path_factory):
    """Bases and predicted peaks of the tests never land in the user's own cache."""
    before = os.environ.get("REPRO_CACHE_DIR")
    os.environ["REPRO_CACHE_DIR"] = str(tmp_path_factory.mktemp("cache"))
    yield
    os.environ.pop("REPRO_CACHE_DIR")
    if before is not None:
        os.environ["REPRO_CACHE_DIR"] = before


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    torch.set_num_threads(1)
    return make_base(tmp_path_factory.mktemp("base") / "model")


@pytest.fixture
def coin_rewards(monkeypatch):
    """Every trial of the test is rewarded by `helpers.coin`."""
    monkeypatch.setattr(ChainTask, "check", lambda task, texts, prompts: coin(texts, prompts))
