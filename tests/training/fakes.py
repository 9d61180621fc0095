"""Small methods that need what no registered method needs, or not yet: token selection, entropies, replay."""

from __future__ import annotations

from types import SimpleNamespace

import torch

from repro.methods.base import Credit, Method, Needs


class Picked(Method):
    """REINFORCE with a group baseline on about a third of the tokens, drawn; a KL term on other ones if `beta` > 0.

    `batches` keeps what credit has seen.
    """

    name = "picked"

    def __init__(self, n: int = 4, beta: float = 0.0, share: float = 1 / 3, **needs):
        super().__init__(SimpleNamespace(n=n))
        self.beta, self.share, self.batches = beta, share, []
        self._needs = Needs(reference=beta > 0, **needs)

    def needs(self) -> Needs:
        return self._needs

    def credit(self, batch) -> Credit:
        self.batches.append(batch)
        drawn = torch.rand(batch.mask.shape, generator=batch.generator)
        chosen, others = batch.mask & (drawn < self.share), batch.mask & (drawn > 0.9)
        groups = batch.rewards.view(-1, batch.group_size)
        return Credit(
            advantages=(groups - groups.mean(1, keepdim=True)).flatten(),
            weights=chosen / chosen.sum().clamp(min=1),
            kl_weights=others / others.sum().clamp(min=1) if self.beta else None,
        )

    def loss(self, micro):
        loss = -(micro.weights * micro.advantages * micro.logps).sum()
        if self.beta:
            gap = micro.ref_logps - micro.logps
            loss = loss + self.beta * (micro.kl_weights * (gap.exp() - gap - 1)).sum()
        return loss, {}


class Restarting(Picked):
    """`Picked` with replay: every group restarts somewhere inside a row that is drawn."""

    def __init__(self, **options):
        super().__init__(replay=True, **options)
        self.fresh, self.starts = [], []

    def replay_from(self, batch) -> torch.Tensor:
        lengths = batch.mask.sum(1).view(-1, batch.group_size)
        row = torch.randint(0, batch.group_size, (len(lengths),), generator=batch.generator)
        room = lengths.gather(1, row[:, None])[:, 0]
        kept = (torch.rand(len(lengths), generator=batch.generator) * room).long()
        self.fresh.append(batch)
        self.starts.append(torch.stack([row, kept], 1))
        return self.starts[-1]
