"""A small model that has learned something, in both backends. Without vLLM every test here is skipped, and says so."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import SimpleNamespace

import pytest


def pytest_collection_modifyitems(items):
    if importlib.util.find_spec("vllm") is not None or os.environ.get("REPRO_REQUIRE_VLLM"):
        return
    skip = pytest.mark.skip(reason="NOT TESTED with the real engine: vLLM is not installed; run `tox -e vllm`")
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(skip)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """Folder, task, prompts and end ids of a micro model with some of its answers right.

    Two heads of width 32: vLLM's attention on a CPU has none narrower.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from repro import tasks
    from repro.training import micro
    from repro.training.evaluate import encode, end_ids

    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("checkpoint") / "model"
    task = tasks.load("chain", {"terms": [2, 3], "digits": 1, "form": "totals"})
    recipe = micro.Recipe(hidden=64, layers=2, heads=2, ffn=128, positions=128, noise=0.2, steps=400, batch=64)
    folder.mkdir()
    micro.build(recipe, task, folder, lambda event: None)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    prompts = task.prompts("test", 48)
    return SimpleNamespace(
        folder=folder,
        task=task,
        tokenizer=tokenizer,
        model=model,
        prompts=prompts,
        ids=encode(tokenizer, task, prompts, 64),
        end_ids=end_ids(tokenizer, model, task.template),
    )


@pytest.fixture(scope="session")
def engine(checkpoint):
    from repro.sampling.vllm_backend import Engine

    with Engine(checkpoint.folder, max_length=64) as engine:
        yield engine


@pytest.fixture(scope="session")
def sample(checkpoint, engine):
    """sample(count, ...) -> (rows of prompt ids, draws, completions, log-probs) of the engine, `count` per prompt."""
    from repro.sampling.uniforms import Draw

    def run(count=4, *, questions=slice(None), temperature=1.0, length=12, seed=0, stream="evaluate", ends=None):
        chosen = list(zip(checkpoint.prompts, checkpoint.ids, strict=True))[questions]
        rows = [ids for _, ids in chosen for _ in range(count)]
        draws = [Draw(seed, stream, 0, prompt.id, index) for prompt, _ in chosen for index in range(count)]
        completions, logps = engine.generate_with_logps(
            rows, draws, max_new_tokens=length, temperature=temperature,
            end_ids=checkpoint.end_ids if ends is None else ends, pad_id=checkpoint.tokenizer.pad_token_id,
        )  # fmt: skip
        return rows, draws, completions, logps

    return run
