"""GRPO: group-relative policy optimisation (DeepSeekMath, arXiv 2402.03300, section 4.1), no critic.

With the rewards r_1 … r_G of one prompt and the ratio rho = pi(y_t) / pi_old(y_t) of a token:
    A_i = (r_i - mean(r)) / (std(r) + 1e-4),
    loss = mean over tokens of [ beta × k3(pi, pi_ref) - min( rho × A_i, clip(rho, 1 - eps, 1 + eps) × A_i ) ].

What differs from the paper:
1. One update per batch by default (the paper's Algorithm 1 allows several). Then the old policy is the policy itself,
   the ratio is exactly 1, nothing is clipped, and the gradient is REINFORCE's with a group baseline.
2. The normaliser is a choice: `sequence-mean` is Eq. 3; the default `token-mean` is DAPO's (arXiv 2503.14476, Eq. 8)
   and TRL 1.16's; `fixed` is Dr. GRPO's (arXiv 2503.20783), which also goes with `scale="none"`.
3. KL coefficient 0 by default (paper: 0.04), as in TRL 1.16; the k3 estimator is the paper's Eq. 4.
4. The standard deviation is the sample's (n - 1) and 1e-4 is added to it, as in TRL; the paper writes std(r) only.
5. Outcome rewards only; process supervision (section 4.1.3) is left out.
6. The upper clip bound may differ from the lower one (DAPO's clip-higher, `epsilon_high`).
7. Truncated rows keep the reward they were given, and all their tokens count (no overlong filtering).
"""

from __future__ import annotations

import torch
from torch import Tensor

from repro.errors import InputError
from repro.methods.base import Credit, GenerationBatch, Method, Metrics, MicroBatch, Needs
from repro.methods.configs import GrpoConfig
from repro.methods.terms import clipped_loss, token_weights


def group_advantages(rewards: Tensor, group_size: int, scale: str = "std", eps: float = 1e-4) -> Tensor:
    """Group-relative advantages (B,) of `rewards` (B,), whose rows are prompt-major groups of `group_size`.

    (r - mean) / (std + eps) with the sample standard deviation of the group for `scale="std"`; r - mean for `"none"`.
    A group of one has advantage 0. Raises InputError when B is no multiple of `group_size` or `scale` is unknown.
    """
    if scale not in ("std", "none"):
        raise InputError(f"scale must be std or none, not {scale!r}")
    if group_size < 1 or rewards.dim() != 1 or rewards.shape[0] % group_size:
        raise InputError(f"rewards of shape {tuple(rewards.shape)} do not divide into groups of {group_size}")
    if not rewards.is_floating_point():
        rewards = rewards.to(torch.get_default_dtype())
    groups = rewards.view(-1, group_size)
    centred = groups - groups.mean(dim=1, keepdim=True)
    if group_size == 1:
        return torch.zeros_like(rewards)
    if scale == "std":
        centred = centred / (groups.std(dim=1, keepdim=True) + eps)
    return centred.reshape(-1)


class Grpo(Method):
    name = "grpo"
    Config = GrpoConfig

    def needs(self) -> Needs:
        c = self.config
        return Needs(reference=c.beta > 0, old=c.updates > 1, epochs=c.epochs, minibatches=c.minibatches)

    def credit(self, batch: GenerationBatch) -> Credit:
        c = self.config
        advantages = group_advantages(batch.rewards, batch.group_size, c.scale)
        return Credit(advantages, token_weights(batch.mask, c.aggregate, advantages.dtype, c.fixed_length))

    def loss(self, micro: MicroBatch) -> tuple[Tensor, Metrics]:
        c = self.config
        return clipped_loss(micro, c.epsilon, c.epsilon if c.epsilon_high is None else c.epsilon_high, c.beta)
