"""Predicted peaks against the tensors alive in real training on a CPU, counted by an independent tracker.

The real trainer runs: its roll-out, its generation, its optimizer. Two things are held as the plan assumes them: every
completion has its full length, and the head is the one that stands for CUDA's (TRL's own scores the prompt on a CPU).
"""

from __future__ import annotations

import contextlib
import dataclasses

import pytest
import torch
from transformers import AutoConfig

from repro.methods.catalogue import create
from repro.methods.configs import build, to_json
from repro.store.config import LoraSettings, TrialConfig
from repro.training import planned_step, rollout, sampled
from repro.training import trainer as trainer_module
from repro.training.planner import plan_trial

from .helpers import make_base, make_trainer, trial_config
from .live import LiveBytes

RECIPE = {"hidden": 64, "layers": 3, "heads": 4, "ffn": 256, "positions": 128, "steps": 2, "batch": 4}
ARMS = {
    "grpo": ("grpo", {"n": 4, "beta": 0.001, "minibatches": 2}, {}),
    "ppo": ("ppo", {"n": 1, "minibatches": 2}, {}),
    "astar-po": ("astar-po", {"n": 1, "samples": 2, "minibatches": 2}, {}),
    "rebel": ("rebel", {"n": 2, "minibatches": 2}, {}),
    "tbrm": ("tbrm", {"n": 1}, {}),
    "one-micro-step": ("grpo", {"n": 4}, {"micro_batch": 32}),
    "checkpointing": ("tbrm", {"n": 1}, {"gradient_checkpointing": True}),
    "critic-checkpointing": ("ppo", {"n": 1}, {"gradient_checkpointing": True}),
    "bf16": ("ppo", {"n": 1, "minibatches": 2}, {"precision": "bf16"}),
    "bf16-checkpointing": ("astar-po", {"n": 1}, {"precision": "bf16", "gradient_checkpointing": True}),
    "lora": ("tbrm", {"n": 1}, {"lora": LoraSettings(rank=4)}),
    "lora-checkpointing": ("rebel", {"n": 2}, {"lora": LoraSettings(rank=4), "gradient_checkpointing": True}),
}
SLOW = ("checkpointing", "bf16", "bf16-checkpointing", "lora")  # their parts are in other arms as well
SHAPE = {
    "completions_per_step": 32, "micro_batch": 8, "max_prompt": 32, "max_completion": 40, "steps": 2, "eval_every": 0,
    "checkpoint_every": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def wide_base(tmp_path_factory):
    torch.set_num_threads(1)
    return make_base(tmp_path_factory.mktemp("wide") / "model", RECIPE)


def config_of(base, arm: str) -> TrialConfig:
    kind, options, train = ARMS[arm]
    config = trial_config(base, **{**SHAPE, **train})
    return dataclasses.replace(config, arm=arm, method=to_json(kind, build(kind, options)))


def real_peaks(config: TrialConfig, base, folder, monkeypatch) -> dict[str, int]:
    """{phase: bytes} of the second generation batch of real training."""
    train, full = config.train, config.train.max_completion
    form = planned_step.Form(AutoConfig.from_pretrained(base), train, 0)
    live = LiveBytes()

    def whole_rows(model, prompts, *args, **settings):
        rows = generate(model, prompts, *args, **settings | {"end_ids": [0]})  # padding is hardly ever sampled
        return [(ids + [3] * full)[:full] for ids in rows]

    generate = sampled.generate
    monkeypatch.setattr(sampled, "generate", whole_rows)
    for module in (rollout, trainer_module):
        monkeypatch.setattr(module, "score", planned_step.scorer(form, False))
    prompts = 24
    values = {"prompt_values": torch.zeros(prompts)} if config.method["name"] == "astar-po" else {}
    trainer = make_trainer(base, config.arm, folder, method=create(config.method), settings=train, given=values or None)
    modules = [trainer.model, *trainer.companions.values(), *([trainer.ref_model] if trainer.ref_model else [])]
    for module in modules:
        for tensor in (*module.parameters(), *module.buffers()):
            live.add(tensor)
    phase = trainer.timer.phase

    @contextlib.contextmanager
    def tracked(name, *args):
        with live.phase(name), phase(name, *args) as cost:
            yield cost

    trainer.timer.phase = tracked
    prepare = trainer._prepare_inputs

    def restart(batch):
        due = trainer._step % (trainer.args.steps_per_generation * trainer.num_iterations) == 0
        if due:
            trainer._buffered_inputs = None  # the last batch: a plan leaves the batch out
            live.peaks.clear()
        return prepare(batch)

    trainer._prepare_inputs = restart
    with live:
        trainer.train()
    return live.peaks


@pytest.mark.parametrize("arm", [pytest.param(arm, marks=pytest.mark.slow) if arm in SLOW else arm for arm in ARMS])
def test_predicted_peaks_are_those_of_real_training(wide_base, tmp_path, monkeypatch, arm):
    config = config_of(wide_base, arm)
    planned = {name: phase["peak"]["total"] for name, phase in plan_trial(config)["phases"].items()}
    real = real_peaks(config, wide_base, tmp_path, monkeypatch)
    print(arm, {name: (size, real.get(name), round(size / real.get(name, 1), 4)) for name, size in planned.items()})
    assert set(planned) - {"stage1"} == set(real) - {"reward", "credit"}
    assert planned["update"] == pytest.approx(real["update"], rel=0.02)
    for name in set(planned) & {"old", "ref", "value", "generate"}:
        assert planned[name] == pytest.approx(real[name], rel=0.05), name
