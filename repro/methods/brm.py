"""BRM: token-level Bellman residual minimisation, the ablation of TBRM's paper (arXiv 2505.15311, Eq. 3, Appendix H.3).

It differs from `tbrm` in one thing: every transition's residual is squared, instead of their sum over the trajectory.
The paper reports that its reward collapses and its outputs turn into gibberish.
    loss = mean over tokens of ( V(s_t) + ln pi(y_t) - ln pi_ref(y_t) - r_t / beta - V(s_{t+1}) )²,
with V(s) the logsumexp of the logits, V = 0 past the last token, and r_t = 0 before it.

What differs from the paper, or is not stated there:
1. Eq. 3 is reconstructed from the paper's prose.
2. The mean is over all transitions (tokens) of the batch, the data set D of Eq. 3; no factor 1/2.
3. The gradient passes through both values of a residual, V(s_h) (inside the logit) and V(s_{h+1}), as in TBRM: no
   target network, no stop-gradient.
4. The outcome reward comes with the last sampled token; V = 0 past it, for truncated rows too.
5. The rest as in `tbrm`, points 2, 3, 5 and 6.
"""

from __future__ import annotations

import torch
from torch import Tensor

from repro.methods.base import Credit, GenerationBatch, Method, Metrics, MicroBatch, Needs
from repro.methods.configs import BrmConfig
from repro.methods.terms import k3, masked, token_metric, token_weights


def token_residuals(
    state_values: Tensor, logps: Tensor, ref_logps: Tensor, mask: Tensor, rewards: Tensor, beta: float
) -> Tensor:
    """Bellman residual of every transition (B, T): logit(s_t, a_t) - r_t / beta - log pi_ref - V(s_{t+1}).

    `state_values[:, t]` (B, T) is the logsumexp of the logits before token t, so logit = V + log pi. `rewards` (B,)
    come with the last token of `mask` (B, T, padded on the right), and V = 0 after it. 0 outside the mask; a row's sum
    is the trajectory residual of `tbrm`.
    """
    mask = mask.bool()
    values = masked(state_values, mask)
    next_values = torch.cat([values[:, 1:], values.new_zeros(values.shape[0], 1)], dim=1)
    is_last = mask & ~torch.cat([mask[:, 1:], mask.new_zeros(mask.shape[0], 1)], dim=1)
    steps = torch.where(is_last, rewards[:, None] / beta, 0.0)
    return masked(values + masked(logps, mask) - masked(ref_logps, mask) - steps - next_values, mask)


class Brm(Method):
    name = "brm"
    Config = BrmConfig

    def needs(self) -> Needs:
        c = self.config
        return Needs(reference=True, state_values="all", epochs=c.epochs, minibatches=c.minibatches)

    def credit(self, batch: GenerationBatch) -> Credit:
        """No advantage: the residuals hold the row's own reward."""
        weights = token_weights(batch.mask, "token-mean", batch.rewards.dtype)
        return Credit(batch.rewards.new_zeros(batch.rewards.shape), weights)

    def loss(self, micro: MicroBatch) -> tuple[Tensor, Metrics]:
        residuals = token_residuals(
            micro.state_values, micro.logps, micro.ref_logps, micro.mask, micro.rewards, self.config.beta
        )
        metrics = {
            "kl": token_metric(k3(masked(micro.logps, micro.mask), masked(micro.ref_logps, micro.mask)), micro.mask),
            "residual": token_metric(residuals, micro.mask),
            "residual_squared": token_metric(residuals**2, micro.mask),
        }
        return (micro.weights * residuals**2).sum(), metrics
