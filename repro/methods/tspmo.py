"""T-SPMO, a RECONSTRUCTION: credit for single tokens from the prefix tree of a group (arXiv 2504.20834).

The paper's advantage and loss are not public; this is inferred from descriptions of them. For the completions of one
prompt let R(prefix) be the mean reward of those that start with it. Each unique pair of a prefix and the token v that
follows it has the advantage R(prefix + v) - R(prefix), which is 0 unless the prefix has several continuations. The
loss is minus the mean over unique pairs of pi / stopgrad(pi) times the advantage. That ratio is exactly 1: one update
per batch, no clip. A pair that several completions share is computed once, in the first of them.
    A(prefix, v) = R(prefix + v) - R(prefix),
    loss = - mean over groups of the mean over unique (prefix, v) of A(prefix, v) × pi(v|prefix) / stopgrad(pi).

What differs from the paper, or is not known of it:
1. Advantage, loss and normaliser are the reconstruction. `pairs` divides by all unique pairs of the group;
   `branching` by those whose advantage is not 0, which makes the update as large as it is sparse. Groups then count
   alike. No division by a standard deviation.
2. End tokens are tokens of a completion, so that ending and going on are two continuations of a prefix. A truncated
   completion has no end token: it counts at every prefix up to its last token, and there nobody is credited for it.
3. The regulariser's type is not known: ours is k3 on the trained tokens alone, with their weights; off by default.
4. Replay (when, from which prefixes, for which outcomes) is not known and off by default. Ours: for every prompt one
   completion of its group, drawn uniformly, restarts after a number of tokens drawn uniformly from 1 to its length - 1
   (0 for a completion of one token). The group drawn there is a tree of its own, whose root is the restart.
5. No weight falls on pairs of advantage 0, so nothing pulls at tokens before or between branching points. A tree of n
   leaves has at most 2 (n - 1) branches: fewer than 2 tokens per completion are ever trained, however long it is.
"""

from __future__ import annotations

import torch
from torch import Tensor

from repro.errors import InputError
from repro.methods.base import Credit, GenerationBatch, Method, Metrics, MicroBatch, Needs
from repro.methods.configs import TspmoConfig
from repro.methods.terms import selected_loss


def prefix_advantages(completions: list[list[int]], rewards) -> list[tuple[int, int, float]]:
    """(row, position, advantage) of every unique (prefix, token) pair of one prompt's `completions`, by row.

    A pair appears in the first completion that has it, at the token's position there, also where its advantage is 0.
    `completions`: token ids, end tokens included (see the module on truncated ones). `rewards`: a number each.
    Raises InputError for no or empty completions, or rewards that do not match them.
    """
    if not completions or not all(len(row) for row in completions):
        raise InputError("a prefix tree needs completions of at least one token each: drop the empty ones")
    scores = torch.as_tensor(rewards, dtype=torch.float64)
    if scores.shape != (len(completions),):
        raise InputError(f"{len(completions)} completions need as many rewards, not {tuple(scores.shape)}")
    lengths = torch.tensor([len(row) for row in completions])
    mask = torch.arange(int(lengths.max())) < lengths[:, None]
    ids = torch.zeros(mask.shape, dtype=torch.long)
    ids[mask] = torch.tensor([token for row in completions for token in row])
    advantages, unique = tree_advantages(ids, mask, scores, len(completions))
    rows, positions = unique.nonzero(as_tuple=True)
    return list(zip(rows.tolist(), positions.tolist(), advantages[unique].tolist(), strict=True))


def tree_advantages(ids: Tensor, mask: Tensor, rewards: Tensor, group_size: int) -> tuple[Tensor, Tensor]:
    """Advantages (B, T), float64, and the unique pairs, bool (B, T), of the prefix trees of consecutive groups.

    `ids` and `mask` (B, T), `rewards` (B,). A pair is marked in the first row of its group that has it; advantages are
    0 elsewhere. Time and memory are `group_size` × B × T and B × T: rows are compared with each other as far as they
    agree, no prefix is ever stored. Raises InputError for an empty row or rows that do not divide into groups.
    """
    if group_size < 1 or mask.shape[0] % group_size:
        raise InputError(f"{mask.shape[0]} rows do not divide into groups of {group_size}")
    if not bool(mask.any(dim=1).all()):
        raise InputError("a prefix tree needs completions of at least one token each: drop the empty ones")
    shared = _shared_prefixes(ids.masked_fill(~mask, -1).view(-1, group_size, mask.shape[1]))
    bins = shared.flatten(0, 1)  # (B, G): a row counts at the first bins[...] + 1 prefixes of another
    heads = torch.zeros(mask.shape[0], mask.shape[1] + 1, dtype=torch.long, device=mask.device)
    count = _from_the_right(heads.scatter_add_(1, bins, torch.ones_like(bins)))
    # Counted from the group's first reward, which no difference of means sees: equal rewards then give exactly 0.
    scores = rewards.double().view(-1, 1, group_size)
    scores = (scores - scores[:, :, :1]).expand_as(shared).flatten(0, 1)
    total = _from_the_right(torch.zeros_like(heads, dtype=torch.float64).scatter_add_(1, bins, scores))
    means = total / count.clamp(min=1)  # of the prefix of t tokens in column t; nobody counts past the row's end
    row = torch.arange(group_size, device=mask.device)
    earlier = shared.masked_fill(row >= row[:, None], 0).amax(dim=2).view(-1, 1)
    unique = mask & (torch.arange(mask.shape[1], device=mask.device) >= earlier)
    branching = unique & (count[:, 1:] != count[:, :-1])
    return torch.where(branching, means[:, 1:] - means[:, :-1], 0.0), unique


def _shared_prefixes(ids: Tensor) -> Tensor:
    """(P, G, G) long: how many tokens two rows of `ids` (P, G, T) share from the start; -1 follows a row's end."""
    width = ids.shape[2]
    columns = []
    for j in range(ids.shape[1]):
        differ = (ids != ids[:, j : j + 1]) | (ids < 0)
        first = differ.to(torch.uint8).argmax(dim=2)
        columns.append(torch.where(differ.any(dim=2), first, width))
    return torch.stack(columns, dim=2)


def _from_the_right(values: Tensor) -> Tensor:
    return values.flip(1).cumsum(1).flip(1)


class Tspmo(Method):
    name = "tspmo"
    Config = TspmoConfig

    def needs(self) -> Needs:
        return Needs(reference=self.config.beta > 0, selected=True, example=True, replay=self.config.replay)

    def selected_tokens(self, length: int) -> float:
        n = self.config.n
        return min(float(length), 2 * (n - 1) / n)

    def replay_from(self, batch: GenerationBatch) -> Tensor:
        prompts = batch.rewards.shape[0] // batch.group_size
        draws = torch.rand(2, prompts, generator=batch.generator, dtype=torch.float64)
        row = (draws[0] * batch.group_size).long()
        inside = batch.mask.sum(dim=1).cpu().view(prompts, -1).gather(1, row[:, None])[:, 0] - 1
        return torch.stack([row, (1 + (draws[1] * inside).long()).clamp(max=inside)], dim=1)

    def credit(self, batch: GenerationBatch) -> Credit:
        mask = batch.mask.bool()
        advantages, unique = tree_advantages(batch.completion_ids, mask, batch.rewards, batch.group_size)
        trained = advantages != 0
        counted = unique if self.config.normalise == "pairs" else trained
        trees = mask.shape[0] // batch.group_size
        pairs = counted.view(trees, -1).sum(dim=1).clamp(min=1).repeat_interleave(batch.group_size)
        dtype = batch.rewards.dtype
        return Credit(
            advantages.to(dtype),
            trained.to(dtype) / (trees * pairs[:, None]),
            metrics={
                "token_share": float(trained.sum()) / int(mask.sum()),
                "branching": float(trained.sum()) / int(unique.sum()),
            },
            signal=trained.view(trees, -1).any(dim=1).repeat_interleave(batch.group_size),
        )

    def loss(self, micro: MicroBatch) -> tuple[Tensor, Metrics]:
        return selected_loss(micro, self.config.beta)
