"""Pass@k Training: GRPO with the analytic advantages of pass@k (arXiv 2508.10751, Eqs. 11-15).

The group's pass@k estimate R is the reward; its deviation sqrt(R (1 - R)) divides. Right and wrong samples get one
advantage each, which sum to 0 over the group.
    R = 1 - C(wrong, k) / C(n, k),   sigma = sqrt(R × (1 - R)),   A_right = (1 - R) / sigma,
    A_wrong = ( 1 - R - C(wrong - 1, k - 1) / C(n - 1, k - 1) ) / sigma,
and the loss of `grpo` with these advantages.

What differs from the paper:
1. Only the analytic form; the group-level variants ("full", "bootstrap") are left out.
2. Token-mean loss and one update per batch by default, as in `grpo` here; the paper's training settings are not
   public to us.
3. Advantages are 0 where the deviation is 0 (all or no subsets pass), which the formula leaves open.
4. Rewards are 0 or 1: anything else is refused.
"""

from __future__ import annotations

from math import comb, sqrt

import torch
from torch import Tensor

from repro.errors import InputError
from repro.methods.base import Credit, GenerationBatch, Method, Metrics, MicroBatch, Needs
from repro.methods.configs import PasskTrainingConfig
from repro.methods.terms import clipped_loss, token_weights


def passk_advantages(rewards: Tensor, k: int) -> Tensor:
    """Advantages (P, n) of `rewards` (P, n) of 0 and 1: A_pos for right samples, A_neg for wrong ones.

    R = 1 - C(wrong, k) / C(n, k); A_pos = (1 - R) / sigma; A_neg = (1 - R - C(wrong - 1, k - 1) / C(n - 1, k - 1)) /
    sigma. Raises InputError for k outside 1 … n, another shape, or rewards that are neither 0 nor 1.
    """
    if rewards.dim() != 2:
        raise InputError(f"rewards must be (prompts, n), not {tuple(rewards.shape)}")
    n = rewards.shape[1]
    if not 1 <= k <= n:
        raise InputError(f"pass@{k} needs k from 1 to the n={n} samples of a prompt")
    if not bool(((rewards == 0) | (rewards == 1)).all()):
        raise InputError("passk-training needs rewards of 0 and 1")
    dtype = rewards.dtype if rewards.is_floating_point() else torch.get_default_dtype()
    table = torch.tensor([_pair(n, c, k) for c in range(n + 1)], dtype=dtype, device=rewards.device)
    chosen = table[rewards.sum(dim=1).long()]
    return torch.where(rewards > 0, chosen[:, :1], chosen[:, 1:])


def _pair(n: int, right: int, k: int) -> tuple[float, float]:
    """(A_pos, A_neg) of a group with `right` of n samples right."""
    wrong = n - right
    missed = comb(wrong, k) / comb(n, k)  # 1 - R
    sigma = sqrt(missed * (1 - missed))
    if sigma == 0:
        return 0.0, 0.0
    # Chance that the other k - 1 of a wrong sample's subset are wrong too.
    return missed / sigma, (missed - comb(wrong - 1, k - 1) / comb(n - 1, k - 1)) / sigma


class PasskTraining(Method):
    name = "passk-training"
    Config = PasskTrainingConfig

    def needs(self) -> Needs:
        c = self.config
        return Needs(reference=c.beta > 0, old=c.updates > 1, epochs=c.epochs, minibatches=c.minibatches)

    def credit(self, batch: GenerationBatch) -> Credit:
        advantages = passk_advantages(batch.rewards.view(-1, batch.group_size), self.config.k)
        signal = (advantages != 0).any(dim=1).repeat_interleave(batch.group_size)
        weights = token_weights(batch.mask, "token-mean", advantages.dtype)
        return Credit(advantages.reshape(-1), weights, signal=signal)

    def loss(self, micro: MicroBatch) -> tuple[Tensor, Metrics]:
        return clipped_loss(micro, self.config.epsilon, self.config.epsilon, self.config.beta)
