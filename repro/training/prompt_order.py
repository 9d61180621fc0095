"""Which prompts each generation batch holds: a pure function of (seed, epoch).

TRL's sampler keeps a running generator, so that a resume after the first epoch sees another order. Here the whole
training is one pass of the data loader, and the epochs over the prompts lie inside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler

from repro.sampling.uniforms import generator


def epoch_order(seed: int, epoch: int, prompts: int) -> np.ndarray:
    """The permutation of prompt rows used in one epoch: (prompts,) int64."""
    return generator(seed, "order", epoch).permutation(prompts)


def batch_rows(seed: int, batch: int, prompts: int, prompts_per_batch: int) -> np.ndarray:
    """Rows of generation batch `batch` (0-based): (prompts_per_batch,) int64. Batches may straddle two epochs."""
    rows = []
    position = batch * prompts_per_batch
    while len(rows) < prompts_per_batch:
        epoch, start = divmod(position + len(rows), prompts)
        rows.extend(epoch_order(seed, epoch, prompts)[start : start + prompts_per_batch - len(rows)])
    return np.array(rows, dtype=np.int64)


class PromptOrder(Sampler[int]):
    """Yields, for each generation batch, its rows repeated `group_size` times, and that `repeats` times.

    The repetition is what TRL's loader expects: it asks for the generation batch once per micro-step. With `rows` the
    order runs over these rows alone, and `prompts` is their number.
    """

    def __init__(
        self,
        seed: int,
        prompts: int,
        prompts_per_batch: int,
        group_size: int,
        batches: int,
        repeats: int,
        rows: Sequence[int] | None = None,
    ):
        self.seed, self.prompts, self.prompts_per_batch = seed, prompts, prompts_per_batch
        self.group_size, self.batches, self.repeats = group_size, batches, repeats
        self.rows = None if rows is None else np.array(rows, dtype=np.int64)

    def __len__(self) -> int:
        return self.batches * self.prompts_per_batch * self.group_size * self.repeats

    def __iter__(self) -> Iterator[int]:
        for batch in range(self.batches):
            rows = batch_rows(self.seed, batch, self.prompts, self.prompts_per_batch)
            if self.rows is not None:
                rows = self.rows[rows]
            rows = rows.repeat(self.group_size).tolist()
            for _ in range(self.repeats):
                yield from rows
