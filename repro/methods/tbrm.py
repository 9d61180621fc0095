"""TBRM: trajectory Bellman residual minimisation (Yuan et al., arXiv 2505.15311, section 3, Eq. 4, Algorithm 1).

The policy's raw logits are read as Q-values in units of reward / beta, so V(s) = logsumexp of the logits, WITHOUT beta.
    loss = mean over rows of ( V(s_1) + ln pi(y|x) - ln pi_ref(y|x) - r / beta )².

What differs from the paper, or is not stated there:
1. The loss is the telescoped form V(s_1) + log pi(y|x) - log pi_ref(y|x) - r / beta (Appendix E), squared and averaged
   over rows, with no factor 1/2 or beta²; the authors' code may carry such a factor (not stated).
2. The trainer's gradient clip and Adam decide the real step, as r / beta is 500 at the paper's beta; the paper states
   neither the clip nor the optimizer.
3. Rewards are 0 or 1 for wrong and correct answers, without a format reward.
4. Truncated rows keep the reward they were given, and V = 0 past their last token as after an end token (not stated).
5. `epochs` and `minibatches` above 1 reuse a batch off-policy; the paper's main runs take one update per batch.
6. Log-probs and V are those of the logits divided by the sampling temperature; the paper assumes temperature 1, and
   another one is not absorbed into the reward.
The gradient passes through V(s_1) and through every log-prob (section 3; Appendix F shows that freezing V fails).
"""

from __future__ import annotations

from torch import Tensor

from repro.methods.base import Credit, GenerationBatch, Method, Metrics, MicroBatch, Needs
from repro.methods.configs import TbrmConfig
from repro.methods.terms import k3, masked, row_metric, row_weights, token_metric


def trajectory_residual(
    first_state_value: Tensor, logps: Tensor, ref_logps: Tensor, mask: Tensor, rewards: Tensor, beta: float
) -> Tensor:
    """Trajectory Bellman residual (B,): V(s_1) + sum_t log pi - sum_t log pi_ref - r / beta.

    `first_state_value` (B,) is the logsumexp of the logits before the first token; `logps`, `ref_logps` (B, T) are
    summed over `mask` (B, T), not averaged; `rewards` (B,). Zero on every trajectory at the soft optimum.
    """
    return first_state_value + masked(logps, mask).sum(dim=1) - masked(ref_logps, mask).sum(dim=1) - rewards / beta


def tbrm_loss(
    first_state_value: Tensor, logps: Tensor, ref_logps: Tensor, mask: Tensor, rewards: Tensor, beta: float
) -> Tensor:
    """Eq. 4: the mean over rows of the squared `trajectory_residual` (same arguments), a scalar."""
    return (trajectory_residual(first_state_value, logps, ref_logps, mask, rewards, beta) ** 2).mean()


class Tbrm(Method):
    name = "tbrm"
    Config = TbrmConfig

    def needs(self) -> Needs:
        c = self.config
        return Needs(reference=True, state_values="first", epochs=c.epochs, minibatches=c.minibatches)

    def credit(self, batch: GenerationBatch) -> Credit:
        """No advantage and no group effect: the residual holds the row's own reward."""
        return Credit(batch.rewards.new_zeros(batch.rewards.shape), row_weights(batch.mask, batch.rewards.dtype))

    def loss(self, micro: MicroBatch) -> tuple[Tensor, Metrics]:
        first = micro.state_values[:, 0]
        residual = trajectory_residual(first, micro.logps, micro.ref_logps, micro.mask, micro.rewards, self.config.beta)
        metrics = {
            "kl": token_metric(k3(masked(micro.logps, micro.mask), masked(micro.ref_logps, micro.mask)), micro.mask),
            "residual": row_metric(residual),
            "residual_squared": row_metric(residual**2),
            "first_state_value": row_metric(first),
        }
        return (micro.weights[:, 0] * residual**2).sum(), metrics
