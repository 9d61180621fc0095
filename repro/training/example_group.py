"""One group of a generation batch as the record keeps it: what a method made of which tokens, for figures.

Only methods with `Needs.example` have it, in the health of the first and the last batch. The group is the first of this
process whose rewards differ, else the first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor

from repro.methods.base import Credit, GenerationBatch

if TYPE_CHECKING:
    from repro.training.trainer import SuiteTrainer

MOST_ROWS, MOST_TOKENS = 16, 64  # what a picture can show


def example_group(trainer: SuiteTrainer, rows: list[int], batch: GenerationBatch, credit: Credit) -> dict[str, Any]:
    """Prompt, rewards, and per token its text, advantage and weight; see `repro.store.record.Group`.

    `rows`: the prompts' numbers behind this process's rows of `batch`.
    """
    size, start = batch.group_size, trainer.local_rows(len(rows)).start
    rewards = batch.rewards[start : start + len(rows)].view(-1, size)
    mixed = (rewards != rewards[:, :1]).any(1).nonzero().flatten()
    first = int(mixed[0]) * size if len(mixed) else 0
    prompt = trainer.prompts[rows[first]]
    advantages = credit.advantages if credit.advantages.dim() == 2 else credit.advantages[:, None].expand_as(batch.mask)
    kept = range(start + first, start + first + min(size, MOST_ROWS))
    lengths = [min(int(batch.mask[row].sum()), MOST_TOKENS) for row in kept]

    def numbers(values: Tensor) -> list[list[float]]:
        return [[round(v, 6) for v in values[row, :length].tolist()] for row, length in zip(kept, lengths, strict=True)]

    own = trainer.task.generated  # questions of public data stay in their files
    return {
        "prompt": prompt.question if own else None,
        "gold": prompt.answer if own else None,
        "rewards": [float(batch.rewards[row]) for row in kept],
        "tokens": [
            [trainer.processing_class.decode([token]) for token in batch.completion_ids[row, :length].tolist()]
            for row, length in zip(kept, lengths, strict=True)
        ],
        "advantages": numbers(advantages),
        "weights": numbers(credit.weights),
    }
