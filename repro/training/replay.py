"""Replay: half of the groups of a generation batch restart inside a completion of the other half.

1. Each prompt has two groups of n rows. The first is sampled afresh and graded.
2. The method names, for each prompt, a row of that group and how many of its tokens are kept (`Method.replay_from`).
3. The rows of the second group continue the prompt and the kept tokens, as the ids that were sampled, with noise of
   their own (stream "replay"). Kept and new tokens together keep to the length limit and are graded together.
So a batch holds as many sampled completions as without replay, of half as many prompts. A replayed row is trained on
its new tokens alone: the kept ones are part of its prompt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from repro.methods.base import GenerationBatch
from repro.training.sampled import Completed, Sampled, complete, generation_batch, padded

if TYPE_CHECKING:
    from repro.training.trainer import SuiteTrainer


def sample_twice(trainer: SuiteTrainer, rows: list[int], step: int) -> Sampled:
    """The rows of a batch with replay, prompt-major: a prompt's fresh group, then its replayed one.

    `rows` names every prompt 2n times in a row. Raises ValueError where the method restarts beyond a completion.
    """
    n = trainer.num_generations
    once = [row for place, row in enumerate(rows) if place % (2 * n) < n]
    fresh = complete(trainer, once, step)
    with trainer.timer.phase("credit"):
        own = padded(trainer, fresh)
        everything = trainer.gather_rows(vars(own))
        batch = generation_batch(trainer, everything, trainer.method_generator(step, "replay"))
        starts = _checked(trainer.method.replay_from(batch), batch)
        own_prompts = trainer.local_rows(len(once) // n)
    prefixes = []
    for prompt, (row, kept) in enumerate(starts[own_prompts].tolist()):
        prefixes += [fresh.completions[prompt * n + row][:kept]] * n
    again = complete(trainer, once, step, "replay", prefixes)
    sampled = padded(trainer, _interleaved(fresh, again, n))
    second = torch.arange(len(rows), device=sampled.mask.device) % (2 * n) >= n
    sampled.replayed = second
    return sampled


def _checked(starts: Tensor, batch: GenerationBatch) -> Tensor:
    """`starts` (P, 2) if at least one token is left to sample after every one of them."""
    n = batch.group_size
    prompts = len(batch.rewards) // n
    if starts.shape != (prompts, 2):
        raise ValueError(f"replay_from gave shape {tuple(starts.shape)} for {prompts} prompts, not ({prompts}, 2)")
    row, kept = starts.unbind(1)
    if bool(((row < 0) | (row >= n)).any()):
        raise ValueError(f"replay_from named a row outside 0 … {n - 1} of a group")
    lengths = batch.mask.sum(1).view(prompts, n).gather(1, row.unsqueeze(1)).squeeze(1)
    if bool(((kept < 0) | (kept >= lengths.clamp(min=1))).any()):
        raise ValueError("replay_from must keep at least 0 tokens and fewer than the row has")
    return starts


def _interleaved(fresh: Completed, again: Completed, n: int) -> Completed:
    def merged(one: list | None, other: list | None) -> list | None:
        if one is None:
            return None
        return [item for at in range(0, len(one), n) for item in (*one[at : at + n], *other[at : at + n])]

    return Completed(**{name: merged(value, getattr(again, name)) for name, value in vars(fresh).items()})
