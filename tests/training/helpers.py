"""A tiny task, base model and trainer for the tests of the training package."""

from __future__ import annotations

import dataclasses
import zlib
from pathlib import Path

import torch

from repro import tasks
from repro.cost.phases import PhaseTimer
from repro.methods.catalogue import METHODS as METHOD_CATALOGUE
from repro.methods.catalogue import create
from repro.methods.configs import build, to_json
from repro.store.config import EvaluationSet, EvaluationSettings, TrainSettings, TrialConfig
from repro.tasks.outcome import Outcome
from repro.training import micro
from repro.training.evaluate import encode
from repro.training.tokenizer import load_tokenizer
from repro.training.trainer import SuiteTrainer

TASK = {"name": "chain", "options": {"terms": [2, 3], "digits": 1, "form": "totals", "rl": 24, "dev": 12, "test": 16}}
RECIPE = {"hidden": 16, "layers": 2, "heads": 2, "ffn": 32, "steps": 30, "batch": 16, "learning_rate": 1e-2}
TRAIN = TrainSettings(
    steps=4, completions_per_step=8, micro_batch=4, learning_rate=1e-3, max_prompt=16, max_completion=12, eval_every=2,
    checkpoint_every=1,
)  # fmt: skip
# One method of every kind, with two minibatches where the method allows it.
METHODS = {
    "grpo": {"n": 4, "beta": 0.001},
    "grpo-minibatches": {"n": 4, "minibatches": 2},
    "rloo": {"n": 4},
    "ppo": {"n": 1, "minibatches": 2},
    "tbrm": {"n": 1},
    "brm": {"n": 1},
    "astar-po": {"n": 1, "samples": 4, "minibatches": 2},
    "astar-po-entropy": {"n": 2, "samples": 4, "minibatches": 1, "entropy_coefficient": 0.01},
    "rebel": {"n": 4, "minibatches": 2},
    "ksample": {"n": 4, "objective": "majority", "beta": 0.01},
    "ksample-clipped": {"n": 4, "k": 2, "variant": "biased", "clip": True, "minibatches": 2},
    "pkpo": {"n": 4, "k": 2},
    "passk-training": {"n": 4, "k": 2},
    "sgrpo": {"n": 4, "alpha": 1, "beta": 0.01},
    "tspmo": {"n": 4},
    "tspmo-replay": {"n": 2, "replay": True, "normalise": "branching"},
    "krpo": {"n": 4, "minibatches": 2},
    "grpo-entropy": {"n": 4, "top_entropy": 0.5, "minibatches": 2},
}


def make_base(folder: Path, recipe: dict = RECIPE) -> Path:
    """A base model trained for a few steps, so that some answers are right."""
    task = tasks.load(TASK["name"], TASK["options"])
    folder.mkdir(parents=True, exist_ok=True)
    micro.build(micro.Recipe.from_json(recipe), task, folder, lambda event: None)
    return folder


def method_json(name: str) -> dict:
    kind = max((known for known in METHOD_CATALOGUE if f"{name}-".startswith(f"{known}-")), key=len)
    return to_json(kind, build(kind, METHODS[name]))


def make_trainer(
    base: Path, name: str, folder: Path, on_batch=None, method=None, settings: TrainSettings = TRAIN,
    given: dict | None = None, seed: int = 3, **changes,
) -> SuiteTrainer:  # fmt: skip
    """A trainer of METHODS[name] with `changes` to TRAIN; `method` and `settings` take the place of both.

    `given` replaces what stage 1 gives a trainer.
    """
    task = tasks.load(TASK["name"], TASK["options"])
    tokenizer = load_tokenizer(base)
    prompts = task.prompts("rl")
    settings = dataclasses.replace(settings, **changes)
    method = method or create(method_json(name))
    # Another V* for every row, so that a mix-up of rows shows.
    values = torch.linspace(0, 1, len(prompts)) if method.needs().prompt_samples else None
    torch.manual_seed(0)
    return SuiteTrainer(
        base=base,
        method=method,
        task=task,
        prompts=prompts,
        prompt_ids=encode(tokenizer, task, prompts, settings.max_prompt),
        tokenizer=tokenizer,
        settings=settings,
        seed=seed,
        folder=folder,
        timer=PhaseTimer(),
        on_batch=on_batch,
        **{"prompt_values": values, **(given or {})},
    )


def coin(texts, prompts) -> list[Outcome]:
    """An answer check that depends on the text alone: a weak base has no reward to compare."""
    return [Outcome.CORRECT if zlib.crc32(text.encode()) % 2 else Outcome.WRONG for text in texts]


def reward_by_text(trainer) -> None:
    """Replace the answer check of one trainer by the coin."""
    trainer.task.check = coin


def trial_config(base: Path, name: str = "grpo", seed: int = 0, **train) -> TrialConfig:
    """A whole trial on the folder `base`; `name` "none" evaluates the base."""
    return TrialConfig(
        experiment="unit",
        scale="micro",
        arm=name,
        seed=seed,
        method={"name": "none", "semantics": 1} if name == "none" else method_json(name),
        task=TASK,
        base={"kind": "folder", "path": str(base)},
        train=dataclasses.replace(TRAIN, **train),
        evaluation=EvaluationSettings(
            sets=(EvaluationSet(n=2),), max_completion=12, batch=16, dev_questions=8, dev_n=1
        ),
    )
