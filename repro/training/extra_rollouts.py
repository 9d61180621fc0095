"""Monte-Carlo values of reasoning steps (VinePPO, arXiv 2410.01679): fresh rollouts from every step's prefix.

1. The task's own splitter cuts a completion into steps; a cut inside a token moves to that token's end. The end token
   belongs to the last step.
2. From the prompt and from every prefix that ends a step (but not the whole completion) the current policy samples K
   continuations, from the sampled ids, never from text tokenised again; V is their mean reward.
3. Equal prefixes of one prompt are estimated once. A continuation that reaches the length limit scores 0.
The continuations are never trained on: nothing but V leaves this module.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from repro.sampling.uniforms import Draw
from repro.tasks.outcome import Outcome
from repro.training.evaluate import sampling_flops
from repro.training.sampled import continued

if TYPE_CHECKING:
    from repro.training.sampled import Sampled
    from repro.training.trainer import SuiteTrainer


def token_ends(tokenizer, ids: Sequence[int]) -> list[int]:
    """Characters of the decoded text up to and including each token."""
    pieces = [tokenizer.decode([token]) for token in ids]
    if "".join(pieces) != tokenizer.decode(list(ids)):  # tokens that share a character, or lose a space by themselves
        return [len(tokenizer.decode(list(ids[: i + 1]))) for i in range(len(ids))]
    ends, total = [], 0
    for piece in pieces:
        total += len(piece)
        ends.append(total)
    return ends


def step_starts(tokenizer, split_steps, ids: Sequence[int]) -> list[int]:
    """Index of the first token of each step but the first one, rising. `ids` without the end token."""
    ends = token_ends(tokenizer, ids)
    starts, at, token = [], 0, 0
    for step in split_steps(tokenizer.decode(list(ids)))[:-1]:
        at += len(step)
        while token < len(ids) and ends[token] < at:
            token += 1
        if token + 1 < len(ids) and (not starts or starts[-1] < token + 1):
            starts.append(token + 1)
    return starts


def step_values(trainer: SuiteTrainer, sampled: Sampled, rows: list[int], step: int) -> tuple[Tensor, Tensor]:
    """(steps (B, T) long, -1 outside the mask; values (B, S + 1): V before each step, 0 from the row's end on)."""
    ends = set(trainer.eos_token_ids)
    tokenizer, device = trainer.processing_class, sampled.mask.device
    completions = [ids[mask].tolist() for ids, mask in zip(sampled.completion_ids, sampled.mask, strict=True)]
    cap = trainer.needs.extra_states
    cuts = []  # token indices before which V is wanted, the prompt's 0 included
    steps = torch.full(sampled.mask.shape, -1, dtype=torch.long)
    for row, completion in enumerate(completions):
        body = [token for token in completion if token not in ends]
        cuts.append([0, *step_starts(tokenizer, trainer.task.split_steps, body)])
        for index, start in enumerate(cuts[-1]):
            steps[row, start : len(completion)] = index
    prefixes: dict[tuple[int, tuple[int, ...]], None] = {}
    for row, completion, starts in zip(rows, completions, cuts, strict=True):
        for start in starts[:cap]:
            prefixes[row, tuple(completion[:start])] = None
    with trainer.timer.phase("extra_rollouts") as cost:
        found, tokens, flops = _estimate(trainer, list(prefixes), step)
        cost.tokens += tokens
        cost.flops += flops
    values = torch.zeros(len(rows), max(map(len, cuts)) + 1)
    for index, (row, completion, starts) in enumerate(zip(rows, completions, cuts, strict=True)):
        for place, start in enumerate(starts[:cap]):
            values[index, place] = found[row, tuple(completion[:start])]
    return steps.to(device), values.to(device)


def _estimate(trainer: SuiteTrainer, prefixes: list[tuple[int, tuple[int, ...]]], step: int) -> tuple[dict, int, float]:
    """Mean reward of the K continuations of each (prompt row, prefix), and the tokens and FLOPs they took."""
    count, limit = trainer.needs.extra_rollouts, trainer.settings.max_completion
    number: dict[int, int] = {}  # prefixes of a prompt so far: part of the draw, so that no two share their noise
    jobs = []
    for row, prefix in prefixes:
        place = number[row] = number.get(row, -1) + 1
        for k in range(count):
            draw = Draw(trainer.seed, "extra", step, trainer.prompts[row].id, place * count + k)
            jobs.append((row, prefix, draw))
    # Similar lengths side by side: the padding of a chunk is the longest prefix in it.
    order = sorted(range(len(jobs)), key=lambda i: len(jobs[i][1]))
    rewards, tokens, flops = [0.0] * len(jobs), 0, 0.0
    chunk = max(1, trainer.settings.completions_per_step // trainer.settings.processes)
    for start in range(0, len(order), chunk):
        picked = order[start : start + chunk]
        continuations = _continue(trainer, [jobs[i] for i in picked], limit)
        tokens += sum(map(len, continuations))
        starts = [[*trainer.prompt_ids[row], *prefix] for row, prefix, _ in (jobs[i] for i in picked)]
        flops += sampling_flops(trainer.forward_flops, starts, continuations)
        for i, reward in zip(picked, _grade(trainer, [jobs[i] for i in picked], continuations), strict=True):
            rewards[i] = reward
    means = [sum(rewards[i : i + count]) / count for i in range(0, len(jobs), count)]
    return dict(zip(prefixes, means, strict=True)), tokens, flops


def _continue(trainer: SuiteTrainer, jobs: list, limit: int) -> list[list[int]]:
    starts = [[*trainer.prompt_ids[row], *prefix] for row, prefix, _ in jobs]
    return continued(trainer, starts, [limit - len(prefix) for _, prefix, _ in jobs], [draw for *_, draw in jobs])[0]


def _grade(trainer: SuiteTrainer, jobs: list, continuations: list[list[int]]) -> list[float]:
    ends = set(trainer.eos_token_ids)
    texts = [
        trainer.processing_class.decode([t for t in (*prefix, *ids) if t not in ends])
        for (_, prefix, _), ids in zip(jobs, continuations, strict=True)
    ]
    outcomes = trainer.task.check(texts, [trainer.prompts[row] for row, _, _ in jobs])
    return [
        float(outcome is Outcome.CORRECT and bool(ids) and ids[-1] in ends)
        for outcome, ids in zip(outcomes, continuations, strict=True)
    ]
