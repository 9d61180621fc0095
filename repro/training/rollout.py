"""One generation batch: sample, grade, score, assign credit, cut into micro-batches. Nothing here has a gradient."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from repro.methods.base import GenerationBatch
from repro.sampling.transformers_backend import generate
from repro.sampling.uniforms import Draw
from repro.tasks.outcome import Outcome
from repro.training.evaluate import sampling_flops
from repro.training.example_group import example_group
from repro.training.extra_rollouts import step_values
from repro.training.forward import score

if TYPE_CHECKING:
    from repro.training.trainer import SuiteTrainer


@dataclass
class Sampled:
    """Rows of this process as padded tensors: prompts on the left, completions on the right."""

    prompt_ids: Tensor  # (B, S)
    prompt_mask: Tensor  # (B, S)
    completion_ids: Tensor  # (B, T)
    mask: Tensor  # (B, T) bool
    rewards: Tensor  # (B,)
    truncated: Tensor  # (B,) bool
    unparsed: Tensor  # (B,) bool
    levels: Tensor  # (B,) long: place of the prompt's level among the trainer's
    answers: Tensor | None = None  # (B,) long, where the method wants them
    sampler_logps: Tensor | None = None  # (B, T) by the engine, when it reports them

    @property
    def inputs(self) -> tuple[Tensor, Tensor]:
        ids = torch.cat([self.prompt_ids, self.completion_ids], dim=1)
        return ids, torch.cat([self.prompt_mask, self.mask.long()], dim=1)


def _pad(rows: list[list[int]], value: int, left: bool) -> Tensor:
    width = max(1, max(len(row) for row in rows))
    return torch.tensor([[value] * (width - len(r)) + r if left else r + [value] * (width - len(r)) for r in rows])


def sample(trainer: SuiteTrainer, rows: list[int], step: int) -> Sampled:
    """Generate and grade one completion per entry of `rows` (indices of prompts; equal ones are contiguous)."""
    timer, device = trainer.timer, trainer.accelerator.device
    prompts = [trainer.prompts[row] for row in rows]
    prompt_ids = [trainer.prompt_ids[row] for row in rows]
    index = [i % trainer.num_generations for i in range(len(rows))]
    with timer.phase("generate") as cost:
        if trainer.use_vllm:
            completions, sampler = trainer._generate_single_turn(prompt_ids, None, {}, trainer.num_generations)
        else:
            draws = [
                Draw(trainer.seed, "rollout", step, prompt.id, i) for prompt, i in zip(prompts, index, strict=True)
            ]
            with trainer.generation_model() as model:
                completions = generate(
                    model,
                    prompt_ids,
                    draws,
                    max_new_tokens=trainer.settings.max_completion,
                    temperature=trainer.settings.temperature,
                    end_ids=trainer.eos_token_ids,
                    pad_id=trainer.pad_id,
                )
            sampler = None
        cost.tokens += sum(len(ids) for ids in completions)
        cost.flops += sampling_flops(trainer.forward_flops, prompt_ids, completions)
    with timer.phase("reward"):
        texts = graded_texts(trainer.processing_class, trainer.eos_token_ids, completions)
        outcomes = trainer.task.check(texts, prompts)
        answers = trainer.task.answers(texts, prompts) if trainer.needs.answers else None
    ends, pad = set(trainer.eos_token_ids), trainer.pad_id
    ids = _pad(completions, pad, left=False)
    prompt_tensor = _pad(prompt_ids, pad, left=True)
    return Sampled(
        prompt_ids=prompt_tensor.to(device),
        prompt_mask=_pad([[1] * len(p) for p in prompt_ids], 0, left=True).to(device),
        completion_ids=ids.to(device),
        mask=_pad([[1] * len(c) for c in completions], 0, left=False).bool().to(device),
        rewards=torch.tensor([float(o is Outcome.CORRECT) for o in outcomes], device=device),
        truncated=torch.tensor([not c or c[-1] not in ends for c in completions], device=device),
        unparsed=torch.tensor([o is Outcome.UNPARSED for o in outcomes], device=device),
        levels=torch.tensor([trainer.levels.index(prompt.level) for prompt in prompts], device=device),
        answers=None if answers is None else torch.tensor(list(map(answer_id, answers)), device=device),
        sampler_logps=None if sampler is None else _pad_floats(sampler, ids.shape[1]).to(device),
    )


def graded_texts(tokenizer, end_ids, completions: list[list[int]]) -> list[str]:
    """What training and stage 1 grade of completions in ids. End tokens are no text."""
    ends = set(end_ids)
    return [tokenizer.decode([t for t in ids if t not in ends]) for ids in completions]


def answer_id(answer: str | None) -> int:
    """A whole number that stands for an answer on every process, -1 for none."""
    if answer is None:
        return -1
    return int.from_bytes(hashlib.blake2b(answer.encode("utf-8", "surrogatepass"), digest_size=7).digest(), "big")


def _pad_floats(rows: list[list[float]], width: int) -> Tensor:
    # The engine reports None for a token it could not score; NaN keeps it out of the mismatch's mean.
    return torch.tensor([[float("nan") if x is None else x for x in row] + [0.0] * (width - len(row)) for row in rows])


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
        batch = GenerationBatch(
            rewards=everything["rewards"],
            mask=everything["mask"],
            completion_ids=everything["completion_ids"],
            group_size=trainer.num_generations,
            truncated=everything["truncated"],
            unparsed=everything["unparsed"],
            old_logps=everything.get("old_logps"),
            ref_logps=everything.get("ref_logps"),
            values=everything.get("old_values"),
            steps=everything.get("steps"),
            step_values=everything.get("step_values"),
            prompt_values=everything.get("prompt_values"),
            answers=everything.get("answers"),
            entropies=everything.get("entropies"),
            generator=trainer.method_generator(step),
        )
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
    groups = batch.rewards.view(-1, batch.group_size)
    same = (groups == groups[:, :1]).all(1).float().mean()
    return {
        "reward": float(batch.rewards.mean()),
        "zero_variance_groups": float(same) if batch.group_size > 1 else None,
        "truncated": float(batch.truncated.float().mean()),
        "unparsed": float(batch.unparsed.float().mean()),
        "length": float(batch.mask.sum(1).float().mean()),
    }
