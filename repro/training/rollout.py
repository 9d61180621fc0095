"""One generation batch: sample, grade, score, assign credit, cut into micro-batches. Nothing here has a gradient."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from repro.methods.base import GenerationBatch
from repro.training.example_group import example_group
from repro.training.extra_rollouts import step_values
from repro.training.forward import score
from repro.training.replay import sample_twice
from repro.training.sampled import Sampled, complete, generation_batch, padded

if TYPE_CHECKING:
    from repro.training.trainer import SuiteTrainer


def sample(trainer: SuiteTrainer, rows: list[int], step: int) -> Sampled:
    """Generate and grade one completion per entry of `rows` (indices of prompts; equal ones are contiguous)."""
    if trainer.needs.replay:
        return sample_twice(trainer, rows, step)
    return padded(trainer, complete(trainer, rows, step))


def _in_chunks(function, sampled: Sampled, rows: int) -> Tensor:
    ids, mask = sampled.inputs
    return torch.cat([function(ids[i : i + rows], mask[i : i + rows]) for i in range(0, len(ids), rows)])


@torch.no_grad()
def roll_out(trainer: SuiteTrainer, rows: list[int], step: int) -> tuple[list[dict[str, Tensor]], dict[str, Any]]:
    """The micro-batches of one generation batch, in order, and its health figures."""
    needs, timer = trainer.needs, trainer.timer
    sampled = sample(trainer, rows, step)
    keep, micro = sampled.completion_ids.shape[1], trainer.args.per_device_train_batch_size
    tokens = int(sampled.mask.sum())
    columns: dict[str, Tensor] = {}  # of the micro-batches
    states: dict[str, Tensor] = {}  # for credit alone

    def scores(model, entropy: bool = False) -> tuple[Tensor, ...]:
        """Log-probs, and with `entropy` entropies as well, each (B, T)."""

        def run(ids, mask):
            out = score(
                model,
                ids,
                mask,
                keep,
                temperature=trainer.temperature,
                entropy=entropy,
                packed=needs.replay,
                autocast=trainer.accelerator.autocast,
            )
            return torch.stack([out.logps, out.entropy] if entropy else [out.logps], dim=1)

        return _in_chunks(run, sampled, micro).unbind(1)

    lengths, scored = sampled.inputs[1].sum(1), sampled.mask.sum(1)
    if needs.old or needs.entropies or sampled.sampler_logps is not None:
        with timer.phase("old", tokens) as cost:
            found = scores(trainer.model, needs.entropies)
            if needs.entropies:
                states["entropies"] = found[1]
            if needs.old or sampled.sampler_logps is not None:
                columns["old_logps"] = found[0]
            cost.flops += trainer.forward_flops.forward(lengths, scored)
    if needs.reference:
        with timer.phase("ref", tokens) as cost, trainer.reference_model() as reference:
            (columns["ref_logps"],) = scores(reference)
            cost.flops += trainer.forward_flops.forward(lengths, scored)
    if needs.critic:
        with timer.phase("value", tokens) as cost, trainer.accelerator.autocast():
            cost.flops += trainer.forward_flops.forward(lengths, torch.zeros_like(scored))
            columns["old_values"] = _in_chunks(lambda i, m: trainer.critic(i, m, keep), sampled, micro)

    if needs.prompt_samples:
        columns["prompt_values"] = trainer.prompt_values[rows].to(sampled.rewards)

    if needs.extra_rollouts:
        states |= zip(("steps", "step_values"), step_values(trainer, sampled, rows, step), strict=True)

    with timer.phase("credit", tokens):
        everything = trainer.gather_rows({**vars(sampled), **columns, **states})
        batch = generation_batch(trainer, everything, trainer.method_generator(step))
        credit = trainer.method.credit(batch)
        advantages = credit.advantages
        if advantages.dim() == 1:
            advantages = advantages.unsqueeze(1).expand_as(batch.mask)
        local = trainer.local_rows(len(rows))
        columns["advantages"] = advantages[local, :keep]
        # Each of the M minibatches stands for the whole batch; data-parallel training averages over processes.
        scale = needs.minibatches * trainer.accelerator.num_processes
        columns["weights"] = credit.weights[local, :keep] * scale
        if credit.returns is not None:
            columns["returns"] = credit.returns[local, :keep]
        if credit.kl_weights is not None:
            columns["kl_weights"] = credit.kl_weights[local, :keep] * scale
        if credit.verdict_weights is not None:
            columns["verdict_weights"] = credit.verdict_weights[local] * scale
    health = _health(batch) | credit.metrics
    if credit.signal is not None:
        health |= _signal(credit.signal, everything["levels"], trainer.levels)
    if needs.example and step in (0, trainer.settings.steps - 1):
        health["group"] = example_group(trainer, rows, batch, credit)
    if sampled.sampler_logps is not None:
        gap = (columns["old_logps"] - sampled.sampler_logps).abs()[sampled.mask]
        health["sampler_mismatch"] = float(torch.nanmean(gap))
    columns.update(
        prompt_ids=sampled.prompt_ids,
        prompt_mask=sampled.prompt_mask,
        completion_ids=sampled.completion_ids,
        mask=sampled.mask,
        rewards=sampled.rewards,
    )
    count = len(rows) // micro
    return [{k: v[i * micro : (i + 1) * micro] for k, v in columns.items()} for i in range(count)], health


def _signal(signal: Tensor, levels: Tensor, names: list[str]) -> dict:
    """Share of rows whose group has an advantage other than 0, and by level: rows with and rows in all."""
    by_level = {}
    for place, name in enumerate(names):
        here = levels == place
        if bool(here.any()):
            by_level[name] = [int(signal[here].sum()), int(here.sum())]
    return {"signal": float(signal.float().mean()), "signal_by_level": by_level}


def _health(batch: GenerationBatch) -> dict[str, float]:
    """Figures of the fresh rows, which are those of every arm; with replay also of the replayed ones."""
    fresh = torch.ones_like(batch.truncated) if batch.replayed is None else ~batch.replayed
    groups = batch.rewards[fresh].view(-1, batch.group_size)
    same = (groups == groups[:, :1]).all(1).float().mean()
    figures = {
        "reward": float(batch.rewards[fresh].mean()),
        "zero_variance_groups": float(same) if batch.group_size > 1 else None,
        "truncated": float(batch.truncated[fresh].float().mean()),
        "unparsed": float(batch.unparsed[fresh].float().mean()),
        "length": float(batch.mask[fresh].sum(1).float().mean()),
    }
    if batch.replayed is not None:
        figures["replayed_reward"] = float(batch.rewards[batch.replayed].mean())
        figures["replayed_length"] = float(batch.mask[batch.replayed].sum(1).float().mean())
    return figures
