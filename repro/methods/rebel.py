"""REBEL: regressing relative rewards (Gao et al., arXiv 2404.16767), with pairs from the current policy.

Two completions y, y' of one prompt from pi_t; with d = ln pi(y|x) - ln pi_t(y|x), summed over the tokens, the loss is
    mean over pairs of ( (d - d') / eta - (r - r') )².
The reference of the log-ratios is the policy that sampled the rows, renewed with every batch; A*-PO's is the frozen
base. The exact minimiser of one iteration is pi_t × exp(eta × r), normalised per prompt.

What differs from the paper or from the authors' code:
1. `scale="code"` is the authors' form (d - d' - eta × (r - r'))², eta² times the paper's: the same minimiser, another
   size of the gradient.
2. Each iteration's regression is `epochs` × `minibatches` updates on one batch; the authors take 4 passes on
   summaries and chat. Which of this A*-PO's baseline took is not stated, nor are eta, samples or learning rate.
3. With n > 2 rollouts the rows 2p and 2p + 1 are the pairs; pairs of all combinations are left out.
4. The KL penalty to the base, r - kl_coefficient × (ln pi_t - ln pi_ref) summed over the sequence, is the authors'
   and off by default (theirs: 0.05).
5. Rewards are 0 or 1 for wrong and right answers. A pair with equal rewards still holds its two log-ratios together.
6. Truncated rows keep the reward they were given, without the authors' penalty for a missing end token.
"""

from __future__ import annotations

from torch import Tensor

from repro.errors import InputError
from repro.methods.base import Credit, GenerationBatch, Method, Metrics, MicroBatch, Needs
from repro.methods.configs import RebelConfig
from repro.methods.terms import k3, masked, row_metric, row_weights, token_metric


def pair_difference(values: Tensor) -> Tensor:
    """(P,): row 2p minus row 2p + 1 of `values` (2P,). Raises InputError for an odd number of rows."""
    if values.dim() != 1 or values.shape[0] % 2:
        raise InputError(f"pairs need an even number of rows, one value each; not shape {tuple(values.shape)}")
    return values[0::2] - values[1::2]


def pair_log_ratio(logps: Tensor, old_logps: Tensor, mask: Tensor) -> Tensor:
    """(P,): difference within each pair of sum_t(ln pi - ln pi_t), from `logps`, `old_logps`, `mask` (2P, T).

    `logps` alone gets a gradient.
    """
    return pair_difference((masked(logps, mask) - masked(old_logps.detach(), mask)).sum(dim=1))


def pair_residual(log_ratio: Tensor, reward_gap: Tensor, eta: float, scale: str = "paper") -> Tensor:
    """(P,): `log_ratio` / eta - `reward_gap` for "paper", eta times that for "code"; both arguments (P,)."""
    if scale not in ("paper", "code"):
        raise InputError(f"scale must be paper or code, not {scale!r}")
    if not eta > 0:
        raise InputError(f"eta must be above 0, not {eta}")
    return log_ratio / eta - reward_gap if scale == "paper" else log_ratio - eta * reward_gap


def rebel_loss(
    logps: Tensor, old_logps: Tensor, mask: Tensor, rewards: Tensor, eta: float, scale: str = "paper"
) -> Tensor:
    """Mean over pairs of the squared `pair_residual`, a scalar; rows 2p and 2p + 1 are one pair.

    `logps`, `old_logps`, `mask` (2P, T), `rewards` (2P,). `scale="code"` is eta² times `"paper"`. Raises InputError
    for an odd number of rows, eta <= 0 or another scale.
    """
    log_ratio = pair_log_ratio(logps, old_logps, mask)
    return (pair_residual(log_ratio, pair_difference(rewards), eta, scale) ** 2).mean()


class Rebel(Method):
    name = "rebel"
    Config = RebelConfig

    def needs(self) -> Needs:
        c = self.config
        return Needs(reference=c.kl_coefficient > 0, old=True, unit=2, epochs=c.epochs, minibatches=c.minibatches)

    def credit(self, batch: GenerationBatch) -> Credit:
        """The rows' rewards after the KL penalty as advantages; a row weighs 1 / B, so a pair weighs 1 / P."""
        rewards = batch.rewards
        if self.config.kl_coefficient > 0:
            penalty = masked(batch.old_logps - batch.ref_logps, batch.mask).sum(dim=1)
            rewards = rewards - self.config.kl_coefficient * penalty
        return Credit(rewards, row_weights(batch.mask, rewards.dtype))

    def loss(self, micro: MicroBatch) -> tuple[Tensor, Metrics]:
        c = self.config
        log_ratio = pair_log_ratio(micro.logps, micro.old_logps, micro.mask)
        errors = pair_residual(log_ratio, pair_difference(micro.advantages[:, 0]), c.eta, c.scale)
        weights = micro.weights[0::2, 0] + micro.weights[1::2, 0]
        metrics = {
            "pairs_with_signal": row_metric((pair_difference(micro.rewards) != 0).to(errors.dtype)),
            "dlogratio": row_metric(log_ratio.abs()),  # 0 at a batch's first update
            "residual": row_metric(errors),
            "residual_squared": row_metric(errors**2),
        }
        if micro.ref_logps is not None:
            kl = k3(masked(micro.logps, micro.mask), masked(micro.ref_logps, micro.mask))
            metrics["kl"] = token_metric(kl, micro.mask)
        return (weights * errors**2).sum(), metrics
