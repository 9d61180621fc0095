"""RLOO: REINFORCE leave-one-out (Ahmadian et al., arXiv 2402.14740, section 3; estimator of Kool et al. 2019).

With the rewards r_1 … r_n of one prompt and the ratio rho = pi(y|x) / pi_old(y|x) of the whole completion:
    A_i = r_i - mean of the other r_j,
    loss = - mean over rows of min( rho × A_i, clip(rho, 1 - eps, 1 + eps) × A_i ).

What differs from the paper:
1. The paper's estimator takes one update per batch. With more, the whole sequence's probability ratio is clipped
   as in TRL's RLOOTrainer; with one the ratio is exactly 1 and the gradient is the paper's.
2. KL penalty 0 by default; with `beta` > 0 the reward becomes r - beta × log(pi_old(y|x) / pi_ref(y|x)), the paper's
   sequence-level reward, before the baseline is taken.
3. Advantages are not normalised or clipped (TRL offers it; the paper does not).
4. A completion is one action: its log-probs are summed, never averaged over its tokens, and the mean is over rows.
5. Truncated rows keep the reward they were given.
"""

from __future__ import annotations

import torch
from torch import Tensor

from repro.errors import InputError
from repro.methods.base import Credit, GenerationBatch, Method, Metrics, MicroBatch, Needs
from repro.methods.configs import RlooConfig
from repro.methods.terms import clipped_surrogate, k3, masked, row_metric, row_weights, token_metric


def leave_one_out_advantages(rewards: Tensor, group_size: int) -> Tensor:
    """Advantages (B,) of `rewards` (B,), prompt-major groups: each reward minus the mean of the OTHERS in its group.

    Equals (r - mean) × n / (n - 1). Raises InputError for groups of one, or when B is no multiple of `group_size`.
    """
    if group_size < 2:
        raise InputError(f"leave-one-out needs groups of at least 2, not {group_size}")
    if rewards.dim() != 1 or rewards.shape[0] % group_size:
        raise InputError(f"rewards of shape {tuple(rewards.shape)} do not divide into groups of {group_size}")
    if not rewards.is_floating_point():
        rewards = rewards.to(torch.get_default_dtype())
    groups = rewards.view(-1, group_size)
    others = (groups.sum(dim=1, keepdim=True) - groups) / (group_size - 1)
    return (groups - others).reshape(-1)


class Rloo(Method):
    name = "rloo"
    Config = RlooConfig

    def needs(self) -> Needs:
        c = self.config
        penalty = c.beta > 0
        return Needs(reference=penalty, old=penalty or c.updates > 1, epochs=c.epochs, minibatches=c.minibatches)

    def credit(self, batch: GenerationBatch) -> Credit:
        rewards = batch.rewards
        if self.config.beta > 0:
            rewards = rewards - self.config.beta * masked(batch.old_logps - batch.ref_logps, batch.mask).sum(dim=1)
        advantages = leave_one_out_advantages(rewards, batch.group_size)
        return Credit(advantages, row_weights(batch.mask, advantages.dtype))

    def loss(self, micro: MicroBatch) -> tuple[Tensor, Metrics]:
        c = self.config
        logps = masked(micro.logps, micro.mask)
        old_logps = logps.detach() if micro.old_logps is None else masked(micro.old_logps, micro.mask)
        log_ratio = (logps - old_logps).sum(dim=1)
        objective, clipped = clipped_surrogate(log_ratio, micro.advantages[:, 0], c.epsilon, c.epsilon)
        metrics = {"clip_fraction": row_metric(clipped.to(logps.dtype))}
        if micro.ref_logps is not None:
            metrics["kl"] = token_metric(k3(logps, masked(micro.ref_logps, micro.mask)), micro.mask)
        return -(micro.weights[:, 0] * objective).sum(), metrics
