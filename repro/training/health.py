"""Per-step health figures: why a reward is flat shows here before it shows in the accuracy."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import torch

from repro.methods.base import Metrics, MicroBatch

# Columns of one row; a figure that a method does not have is null.
COLUMNS = (
    "step", "reward", "zero_variance_groups", "truncated", "unparsed", "length", "entropy", "kl", "clip_fraction",
    "grad_norm", "loss",
)  # fmt: skip


class Health:
    """Rows of figures, one per generation batch; micro-batch figures are (sum, count) pairs until `finish`."""

    def __init__(self, rows: list[dict] | None = None):
        self.rows = rows or []
        self._open: dict | None = None

    def start(self, step: int, figures: dict) -> None:
        self._open = {"step": step, **figures}
        self._sums = defaultdict(lambda: [0.0, 0.0])
        self._norms: list[float] = []
        self._loss = 0.0
        self.updates = 0  # optimizer updates of the open row

    @torch.no_grad()
    def add(self, metrics: Metrics, micro: MicroBatch, loss: torch.Tensor) -> None:
        """Add the method's figures of one micro-batch, and the mean entropy of the tokens that were scored."""
        scored = micro.mask if micro.scored is None else micro.scored
        pairs = dict(metrics)
        if micro.entropy is not None:
            pairs["entropy"] = (micro.entropy.masked_fill(~scored, 0.0).sum(), scored.sum())
        for name, (total, count) in pairs.items():
            self._sums[name][0] += float(total)
            self._sums[name][1] += float(count)
        self._loss += float(loss)

    def norm(self, value: float) -> None:
        """Gradient norm of one update, before clipping."""
        self._norms.append(value)

    def finish(self, over_processes: Callable[[list[float]], list[float]] | None = None) -> dict:
        """Close the row. `over_processes` sums a list of numbers over all processes; None if there is only one."""
        if over_processes is not None:
            flat = over_processes([x for name in sorted(self._sums) for x in self._sums[name]] + [self._loss, 1.0])
            for place, name in enumerate(sorted(self._sums)):
                self._sums[name] = flat[2 * place : 2 * place + 2]
            # Every process scales its share of the loss by their number, for gradients that are averaged.
            self._loss = flat[-2] / flat[-1]
        row = dict(self._open)
        row.update({name: total / count if count else None for name, (total, count) in self._sums.items()})
        row["grad_norm"] = sum(self._norms) / len(self._norms) if self._norms else None
        row["loss"] = self._loss / max(1, self.updates)
        self.rows.append({name: row.get(name) for name in COLUMNS} | row)
        self._open = None
        return self.rows[-1]
