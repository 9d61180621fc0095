"""From the suite's settings to TRL's `GRPOConfig`, with everything TRL would decide by itself switched off."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from trl import GRPOConfig

from repro.errors import InputError
from repro.methods.base import Needs
from repro.store.config import TrainSettings


@dataclass
class SuiteConfig(GRPOConfig):
    """`GRPOConfig` that allows one completion per prompt: TRL refuses it when the config is built, and only there."""

    def __post_init__(self):
        group_size = self.num_generations
        if group_size == 1:
            # Any divisor of the batch greater than 1 passes TRL's check; the trainer itself works with 1.
            self.num_generations = self.per_device_train_batch_size * self.steps_per_generation
        super().__post_init__()
        self.num_generations = group_size


def split_plan(settings: TrainSettings, needs: Needs, group_size: int) -> tuple[int, int, int]:
    """(micro-batch rows, micro-steps per update, micro-steps per generation batch) on one process.

    Raises InputError when units, groups, micro-batches, minibatches and processes do not fit together.
    """
    rows, micro = settings.completions_per_step, settings.micro_batch
    per_process = rows // settings.processes
    per_update = per_process // needs.minibatches
    pair = 2 * group_size if needs.replay else 1
    problems = [
        (rows % settings.processes, f"completions_per_step {rows} is not a multiple of processes {settings.processes}"),
        (per_process % group_size, f"{per_process} rows per process are not a multiple of the group size {group_size}"),
        (
            per_process % pair,
            f"{per_process} rows per process are not a multiple of {pair}: with replay a prompt has two groups of "
            f"n={group_size} rows",
        ),
        (
            per_process % needs.minibatches,
            f"{per_process} rows per process are not a multiple of minibatches {needs.minibatches}",
        ),
        (per_update % micro, f"{per_update} rows per update are not a multiple of micro_batch {micro}"),
        (micro % needs.unit, f"micro_batch {micro} is not a multiple of the method's unit of {needs.unit} rows"),
        (per_update % needs.unit, f"{per_update} rows per update are not a multiple of the unit {needs.unit}"),
    ]
    for remainder, message in problems:
        if remainder:
            raise InputError(f"train: {message}; change completions_per_step or micro_batch")
    if rows < 2:
        raise InputError("train: completions_per_step must be at least 2")
    return micro, per_update // micro, per_process // micro


def build(
    settings: TrainSettings, needs: Needs, group_size: int, seed: int, folder: Path, stops: list[int] = ()
) -> SuiteConfig:
    """TRL's arguments for one trial; `folder` receives checkpoints and tracker files, `stops` also end a completion."""
    micro, per_update, per_generation = split_plan(settings, needs, group_size)
    updates = settings.steps * needs.epochs * needs.minibatches
    extra = {}
    if settings.sharding == "fsdp":
        extra["fsdp"] = "full_shard auto_wrap"
    if settings.backend == "vllm":
        extra.update(
            use_vllm=True,
            vllm_mode="colocate",
            vllm_gpu_memory_utilization=settings.vllm_memory,
            # TRL would reweight the loss by the engine's mismatch, for which no paper here accounts; we log it instead.
            vllm_importance_sampling_correction=False,
            generation_kwargs={"stop_token_ids": list(stops)},
        )
    return SuiteConfig(
        output_dir=str(folder),
        seed=seed % (1 << 32),
        max_steps=updates,
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=per_update,
        steps_per_generation=per_generation,
        num_generations=group_size,
        num_iterations=needs.epochs,
        max_completion_length=settings.max_completion,
        temperature=settings.temperature,
        top_p=1.0,
        top_k=0,
        beta=1.0 if needs.reference else 0.0,  # a switch only: it makes TRL keep a reference policy
        learning_rate=settings.learning_rate,
        lr_scheduler_type=settings.schedule if settings.warmup_steps == 0 else _with_warmup(settings.schedule),
        warmup_steps=settings.warmup_steps,
        adam_beta1=settings.adam_beta1,
        adam_beta2=settings.adam_beta2,
        adam_epsilon=settings.adam_epsilon,
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        optim="adamw_torch_fused",
        bf16=settings.precision == "bf16",
        gradient_checkpointing=settings.gradient_checkpointing,
        use_cpu=not torch.cuda.is_available(),
        shuffle_dataset=False,
        remove_unused_columns=False,
        save_strategy="no",
        eval_strategy="no",
        logging_strategy="steps" if settings.trackers else "no",
        logging_steps=1,
        logging_nan_inf_filter=False,
        report_to=list(settings.trackers) or "none",
        disable_tqdm=True,
        dataloader_pin_memory=torch.cuda.is_available(),
        model_init_kwargs={"dtype": "float32", "use_safetensors": True},
        **extra,
    )


def _with_warmup(schedule: str) -> str:
    return "constant_with_warmup" if schedule == "constant" else schedule
