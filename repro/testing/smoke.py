"""A few training steps through the real trainer, on a tiny model and a task that rewards by chance."""

from __future__ import annotations

import math
import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import torch

from repro import plugins
from repro.methods import configs
from repro.methods.base import Method
from repro.store.config import EvaluationSet, EvaluationSettings, TrainSettings, TrialConfig
from repro.store.key import canonical
from repro.store.record import strip_measured
from repro.tasks.catalogue import SOURCES
from repro.tasks.chain import ChainTask
from repro.tasks.outcome import Outcome
from repro.tasks.task import Prompt

STEPS = 3
RECIPE = {"hidden": 16, "layers": 2, "heads": 2, "ffn": 32, "steps": 30, "batch": 16, "learning_rate": 1e-2}


class CoinTask(ChainTask):
    """Sums, right or wrong by a hash of the text: even an untrained model finds something to learn from."""

    name = "coin"
    summary = "sums whose completions are right by a hash of their text, for tests"

    def check(self, completions: Sequence[str], prompts: Sequence[Prompt]) -> list[Outcome]:
        return [Outcome.CORRECT if zlib.crc32(text.encode()) % 2 else Outcome.WRONG for text in completions]


def check_smoke(method: Method) -> None:
    """Train `method` twice for a few steps; both runs must finish and agree in everything but measured cost.

    Raises TrialError where training fails, AssertionError where the two differ or memory cannot be predicted.
    """
    from repro.training.trial import run_trial

    plugins.add_class("task", CoinTask)
    config, threads = smoke_config(method), torch.get_num_threads()
    torch.set_num_threads(1)  # more are slower at this size
    try:
        with tempfile.TemporaryDirectory() as folder:
            first, second = (run_trial(config, Path(folder, name)) for name in ("first", "second"))
    finally:
        torch.set_num_threads(threads)
    if torch.cuda.is_available():  # what follows is promised of the CPU alone
        return
    if canonical(strip_measured(first)) != canonical(strip_measured(second)):
        raise AssertionError(f"method {method.name}: two trainings with one seed end differently")
    if first["cost"]["predicted_peak"] is None:
        raise AssertionError(
            f"method {method.name}: its memory cannot be predicted: a loss must not read the values of tensors (no if, "
            "float() or boolean index on them; use torch.where and masks)"
        )


def smoke_config(method: Method) -> TrialConfig:
    """A trial of a few seconds whose batch holds whole groups, units and minibatches of this method."""
    needs = method.needs()
    group = math.lcm(method.rows_per_prompt, needs.unit)
    update = 2 * group * max(1, 4 // group)
    config = TrialConfig(
        experiment="contract",
        scale="smoke",
        arm=method.name,
        seed=0,
        method=configs.to_json(method.name, method.config),
        task={
            "name": CoinTask.name,
            "options": {"terms": [2, 3], "digits": 1, "form": "totals", "rl": 24, "dev": 12, "test": 16},
            "source": SOURCES[CoinTask.name],
        },
        base={"kind": "micro", "recipe": RECIPE},
        train=TrainSettings(
            steps=STEPS, completions_per_step=needs.minibatches * update, micro_batch=update // 2, learning_rate=1e-3,
            max_prompt=16, max_completion=12, eval_every=0, checkpoint_every=0,
        ),
        evaluation=EvaluationSettings(sets=(EvaluationSet(n=2, questions=8),), max_completion=12, batch=16),
    )  # fmt: skip
    config.validate()
    return config
