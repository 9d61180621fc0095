"""Rows of a generation batch: sampled in ids, graded as text, padded to tensors. Nothing here has a gradient."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from repro.methods.base import GenerationBatch
from repro.sampling.transformers_backend import generate
from repro.sampling.uniforms import Draw
from repro.tasks.outcome import Outcome
from repro.training.evaluate import sampling_flops

if TYPE_CHECKING:
    from repro.training.trainer import SuiteTrainer


@dataclass
class Completed:
    """Rows in ids. A row's prompt is that of the training prompt, and after it the prefix from which it restarts."""

    rows: list[int]  # indices of training prompts; the rows of one group are contiguous
    prefixes: list[list[int]]  # of an earlier completion; empty for a fresh row
    completions: list[list[int]]  # what follows prompt and prefix
    outcomes: list[Outcome]  # of prefix and completion together
    answers: list[str | None] | None = None  # where the method wants them
    logps: list[list[float | None]] | None = None  # by the engine, when it reports them


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
    replayed: Tensor | None = None  # (B,) bool, with replay: the prompt ends in a prefix of a completion
    sampler_logps: Tensor | None = None  # (B, T) by the engine, when it reports them

    @property
    def inputs(self) -> tuple[Tensor, Tensor]:
        ids = torch.cat([self.prompt_ids, self.completion_ids], dim=1)
        return ids, torch.cat([self.prompt_mask, self.mask.long()], dim=1)


def complete(
    trainer: SuiteTrainer, rows: list[int], step: int, stream: str = "rollout", prefixes: list[list[int]] | None = None
) -> Completed:
    """Sample and grade one completion per entry of `rows` (indices of prompts), in groups of the trainer's size.

    The rows of a group share their prefix; prefix and completion together keep to the length limit.
    """
    timer, group, limit = trainer.timer, trainer.num_generations, trainer.settings.max_completion
    prompts = [trainer.prompts[row] for row in rows]
    prefixes = prefixes or [[] for _ in rows]
    starts = [[*trainer.prompt_ids[row], *prefix] for row, prefix in zip(rows, prefixes, strict=True)]
    draws = [Draw(trainer.seed, stream, step, prompt.id, i % group) for i, prompt in enumerate(prompts)]
    with timer.phase("generate") as cost:
        completions, logps = continued(trainer, starts, [limit - len(prefix) for prefix in prefixes], draws, group)
        cost.tokens += sum(len(ids) for ids in completions)
        cost.flops += sampling_flops(trainer.forward_flops, starts, completions)
    with timer.phase("reward"):
        whole = [[*prefix, *ids] for prefix, ids in zip(prefixes, completions, strict=True)]
        texts = graded_texts(trainer.processing_class, trainer.eos_token_ids, whole)
        outcomes = trainer.task.check(texts, prompts)
        answers = trainer.task.answers(texts, prompts) if trainer.needs.answers else None
    return Completed(rows, prefixes, completions, outcomes, answers, logps)


def continued(
    trainer: SuiteTrainer, starts: list[list[int]], room: list[int], draws: Sequence[Draw], group: int = 1
) -> tuple[list[list[int]], list[list[float | None]] | None]:
    """What the current policy samples after `starts`, each at most `room` tokens long; the engine's log-probs, if any.

    `starts` hold every start `group` times in a row.
    """
    logps = None
    if trainer.use_vllm:
        sampled, logps = trainer._generate_single_turn(starts, None, {}, group)
        logps = [values[:most] for values, most in zip(logps, room, strict=True)]
    else:
        with trainer.generation_model() as model:
            sampled = generate(
                model,
                starts,
                draws,
                max_new_tokens=max(room),
                temperature=trainer.settings.temperature,
                end_ids=trainer.eos_token_ids,
                pad_id=trainer.pad_id,
            )
    return [ids[:most] for ids, most in zip(sampled, room, strict=True)], logps


def padded(trainer: SuiteTrainer, done: Completed) -> Sampled:
    """The rows as tensors on the trainer's device."""
    ends, pad, device = set(trainer.eos_token_ids), trainer.pad_id, trainer.accelerator.device
    starts = [[*trainer.prompt_ids[row], *prefix] for row, prefix in zip(done.rows, done.prefixes, strict=True)]
    levels = [trainer.levels.index(trainer.prompts[row].level) for row in done.rows]
    ids = _pad(done.completions, pad, left=False)
    return Sampled(
        prompt_ids=_pad(starts, pad, left=True).to(device),
        prompt_mask=_pad([[1] * len(p) for p in starts], 0, left=True).to(device),
        completion_ids=ids.to(device),
        mask=_pad([[1] * len(c) for c in done.completions], 0, left=False).bool().to(device),
        rewards=torch.tensor([float(o is Outcome.CORRECT) for o in done.outcomes], device=device),
        truncated=torch.tensor([not c or c[-1] not in ends for c in done.completions], device=device),
        unparsed=torch.tensor([o is Outcome.UNPARSED for o in done.outcomes], device=device),
        levels=torch.tensor(levels, device=device),
        answers=None if done.answers is None else torch.tensor(list(map(answer_id, done.answers)), device=device),
        sampler_logps=None if done.logps is None else _pad_floats(done.logps, ids.shape[1]).to(device),
    )


def generation_batch(trainer: SuiteTrainer, columns: dict[str, Tensor], generator: torch.Generator) -> GenerationBatch:
    """What methods see of rows: `columns` are those of `Sampled` and what was computed for them, of all processes."""
    return GenerationBatch(
        rewards=columns["rewards"],
        mask=columns["mask"],
        completion_ids=columns["completion_ids"],
        group_size=trainer.num_generations,
        truncated=columns["truncated"],
        unparsed=columns["unparsed"],
        old_logps=columns.get("old_logps"),
        ref_logps=columns.get("ref_logps"),
        values=columns.get("old_values"),
        steps=columns.get("steps"),
        step_values=columns.get("step_values"),
        prompt_values=columns.get("prompt_values"),
        answers=columns.get("answers"),
        entropies=columns.get("entropies"),
        replayed=columns.get("replayed"),
        generator=generator,
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


def _pad(rows: list[list[int]], value: int, left: bool) -> Tensor:
    width = max(1, max(len(row) for row in rows))
    return torch.tensor([[value] * (width - len(r)) + r if left else r + [value] * (width - len(r)) for r in rows])


def _pad_floats(rows: list[list[float]], width: int) -> Tensor:
    # The engine reports None for a token it could not score; NaN keeps it out of the mismatch's mean.
    return torch.tensor([[float("nan") if x is None else x for x in row] + [0.0] * (width - len(row)) for row in rows])
