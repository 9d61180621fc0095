"""Leave-one-out PPO: RLOO's baseline under PPO's clip, the second base method of RL^V (arXiv 2505.04842).

The combination is LOOP's (arXiv 2502.01600). Unlike in `rloo`, every token is an action with its own ratio and clip.
    A_i = r_i - mean of the other r_j,   rho_t = pi(y_t) / pi_old(y_t),
    loss = - mean over tokens of min( rho_t × A_i, clip(rho_t, 1 - eps, 1 + eps) × A_i ).

What differs from the paper, or is not stated there:
1. RL^V's exact variant is not stated: per-token ratios and no division by the standard deviation are LOOP's.
2. The mean is over all tokens of the batch (not stated).
3. No KL term by default (not stated); with `beta` > 0 the k3 estimator joins every token's loss, as in `grpo`.
4. At least two updates per batch, or the ratio is exactly 1 and the clip does nothing: the config refuses fewer.
5. Truncated rows keep the reward they were given, and all their tokens count.
"""

from __future__ import annotations

from torch import Tensor

from repro.methods.base import Credit, GenerationBatch, Method, Metrics, MicroBatch, Needs
from repro.methods.configs import LooConfig
from repro.methods.rloo import leave_one_out_advantages
from repro.methods.terms import clipped_loss, token_weights


class Loo(Method):
    name = "loo"
    Config = LooConfig

    def needs(self) -> Needs:
        c = self.config
        return Needs(reference=c.beta > 0, old=True, epochs=c.epochs, minibatches=c.minibatches)

    def credit(self, batch: GenerationBatch) -> Credit:
        advantages = leave_one_out_advantages(batch.rewards, batch.group_size)
        return Credit(advantages, token_weights(batch.mask, "token-mean", advantages.dtype))

    def loss(self, micro: MicroBatch) -> tuple[Tensor, Metrics]:
        c = self.config
        return clipped_loss(micro, c.epsilon, c.epsilon, c.beta)
