"""GRPO on the tokens of highest entropy only (Beyond the 80/20 Rule, arXiv 2506.01939), after TRL's option.

The surrogate is taken on the tokens whose entropy under the sampling policy reaches the quantile 1 - `top_entropy` of
all tokens' entropies; the other tokens keep their place in the normaliser. A method of its own, so that `grpo` stays
what it was. In `table5` it is a control of token selection: as many tokens as S-GRPO trains, chosen by entropy.
With A_i and rho as in `grpo`, H_t the entropy of token t and h the quantile:
    loss = mean over tokens of [ beta × k3 - w_t × min( rho × A_i, clip(rho, 1 - eps, 1 + eps) × A_i ) ],
    w_t = 1 where H_t >= h, else 0.

What differs from the paper and from TRL 1.16:
1. The quantile is taken once, over the generation batch at sampling time, not for every micro-batch anew: a row's
   weights then depend neither on how the batch is split nor on the update.
2. As in TRL the quantile is interpolated and tokens equal to it count, so ties may keep more than the share; the
   normaliser counts all tokens, and the KL term stays on all of them.
3. Everything else, and what it leaves out, is `grpo`'s.
"""

from __future__ import annotations

import torch
from torch import Tensor

from repro.errors import InputError
from repro.methods.base import Credit, GenerationBatch, Method, Metrics, MicroBatch, Needs
from repro.methods.configs import GrpoEntropyConfig
from repro.methods.grpo import group_advantages
from repro.methods.terms import selected_loss, token_weights


def high_entropy_tokens(entropies: Tensor, mask: Tensor, share: float) -> Tensor:
    """bool (B, T): tokens of `mask` (B, T) with an entropy at or above the quantile 1 - `share` of all of them.

    `entropies` (B, T) may hold anything outside the mask. Raises InputError for a share outside (0, 1].
    """
    if not 0 < share <= 1:
        raise InputError(f"the share of tokens must be above 0 and at most 1, not {share}")
    tokens = entropies[mask]
    if tokens.numel() == 0:
        return torch.zeros_like(mask)
    return mask & (entropies >= torch.quantile(tokens, 1 - share))


class GrpoEntropy(Method):
    name = "grpo-entropy"
    Config = GrpoEntropyConfig

    def needs(self) -> Needs:
        c = self.config
        return Needs(
            reference=c.beta > 0, old=c.updates > 1, entropies=True, selected=c.beta == 0, example=True,
            epochs=c.epochs, minibatches=c.minibatches,
        )  # fmt: skip

    def selected_tokens(self, length: int) -> float:
        return self.config.top_entropy * length

    def credit(self, batch: GenerationBatch) -> Credit:
        c = self.config
        mask = batch.mask.bool()
        selected = high_entropy_tokens(batch.entropies, mask, c.top_entropy)
        advantages = group_advantages(batch.rewards, batch.group_size, c.scale)
        every = token_weights(mask, c.aggregate, advantages.dtype)
        return Credit(
            advantages,
            every * selected,
            metrics={"token_share": float(selected.sum()) / max(1, int(mask.sum()))},
            kl_weights=every if c.beta > 0 else None,
        )

    def loss(self, micro: MicroBatch) -> tuple[Tensor, Metrics]:
        return selected_loss(micro, self.config.beta, self.config.epsilon)
