"""PPO: proximal policy optimisation (Schulman et al., arXiv 1707.06347) in its classical form for language models.

With the critic's values V, V_old at sampling time, r_t 0 but for the last token, and rho_t = pi(y_t) / pi_old(y_t):
    delta_t = r_t + gamma × V_old(s_{t+1}) - V_old(s_t),   A_t = delta_t + gamma × lambda × A_{t+1},
    loss = - mean over tokens of min( rho_t × A_t, clip(rho_t, 1 - eps, 1 + eps) × A_t ),   A whitened,
    critic's loss = mean over tokens of ( V(s_t) - V_old(s_t) - A_t )² / 2,   A not whitened.

What differs from the paper:
1. Every token is an action; the outcome reward comes with the last sampled token. As in RLHF (Ouyang et al., arXiv
   2203.02155, Eq. 2) each token's reward also carries a penalty kl_coefficient × log(pi_old / pi_ref) (estimator k1).
2. The critic is a separate network with its own learning rate; nothing is shared with the policy.
3. The critic's loss is half the squared error, clipped around the old value as in the authors' later code
   (OpenAI baselines, `ppo2`); the paper's Eq. 9 has a plain squared error. verl's range, 0.5, is the default.
4. GAE with gamma = lambda = 1 by default (verl's recommendation, which TBRM's paper says it follows): the paper's
   Table 3 to 5 use 0.99 and 0.95.
5. Advantages are whitened over the tokens of the whole generation batch (authors' code, not in the paper); the critic's
   targets are not.
6. At least two updates per batch, or the ratio is exactly 1 and the clip does nothing: the config refuses fewer.
7. The mean is over all tokens of the batch.
8. Truncated rows keep the reward they were given, at their last token, and V = 0 past it as after an end token.
"""

from __future__ import annotations

import torch
from torch import Tensor

from repro.methods.base import Credit, GenerationBatch, Method, Metrics, MicroBatch, Needs
from repro.methods.configs import PpoConfig
from repro.methods.terms import clipped_surrogate, k3, masked, token_metric, token_weights


def gae(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float) -> tuple[Tensor, Tensor]:
    """Generalised advantage estimation (arXiv 1506.02438, Eq. 16): `(advantages, returns)`, each (B, T).

    `rewards[:, t]` comes with token t, `values[:, t]` is V before token t, and V = 0 after the last token of `mask`
    (B, T). Both results are 0 outside the mask, whatever the inputs hold there; masked positions inside a row are
    skipped as if they were absent. `returns` = advantages + values, the critic's targets.
    """
    mask = mask.bool()
    rewards, values = masked(rewards, mask), masked(values, mask)
    advantages = torch.zeros_like(values)
    next_value = torch.zeros_like(values[:, 0])
    following = torch.zeros_like(next_value)
    for t in reversed(range(values.shape[1])):
        here = mask[:, t]
        delta = rewards[:, t] + gamma * next_value - values[:, t]
        following = torch.where(here, delta + gamma * lam * following, following)
        next_value = torch.where(here, values[:, t], next_value)
        advantages[:, t] = masked(following, here)
    return advantages, advantages + values


def token_rewards(rewards: Tensor, mask: Tensor, penalty: Tensor | None = None) -> Tensor:
    """(B, T): minus `penalty` (B, T) at every token, plus the outcome `rewards` (B,) at the row's last token."""
    steps = torch.zeros(mask.shape, dtype=rewards.dtype, device=rewards.device)
    if penalty is not None:
        steps = steps - masked(penalty, mask)
    positions = torch.arange(mask.shape[1], device=mask.device)
    last = torch.where(mask.bool(), positions, -1).max(dim=1).values
    return steps + torch.where(positions == last[:, None], rewards[:, None], 0.0)


def whiten(values: Tensor, mask: Tensor, eps: float = 1e-8) -> Tensor:
    """`values` (B, T) with mean 0 and variance 1 over the tokens of `mask`; 0 elsewhere, and for a single token."""
    count = mask.sum()
    values = masked(values, mask)
    mean = values.sum() / count.clamp(min=1)
    variance = masked((values - mean) ** 2, mask).sum() / (count - 1).clamp(min=1)
    return masked((values - mean) * torch.rsqrt(variance + eps), mask)


def value_error(values: Tensor, old_values: Tensor, returns: Tensor, clip: float | None) -> Tensor:
    """Half the squared error of the critic per token, any shape; with `clip` the larger of it and the clipped one."""
    error = (values - returns) ** 2
    if clip is not None:
        near = old_values + (values - old_values).clamp(-clip, clip)
        error = torch.maximum(error, (near - returns) ** 2)
    return 0.5 * error


def explained_variance(values: Tensor, returns: Tensor, mask: Tensor) -> float | None:
    """1 - Var(returns - values) / Var(returns) over the tokens of `mask`; None when the returns do not vary."""
    chosen = mask.bool()
    targets = returns[chosen]
    if targets.numel() < 2 or targets.var() == 0:
        return None
    return float(1.0 - (targets - values[chosen]).var() / targets.var())


class Ppo(Method):
    name = "ppo"
    Config = PpoConfig

    def needs(self) -> Needs:
        c = self.config
        return Needs(
            reference=c.kl_coefficient > 0,
            critic=True,
            old=True,
            entropy=c.entropy_coefficient > 0,
            epochs=c.epochs,
            minibatches=c.minibatches,
        )

    def credit(self, batch: GenerationBatch) -> Credit:
        c = self.config
        penalty = c.kl_coefficient * (batch.old_logps - batch.ref_logps) if c.kl_coefficient > 0 else None
        rewards = token_rewards(batch.rewards, batch.mask, penalty)
        advantages, returns = gae(rewards, batch.values, batch.mask, c.gamma, c.lam)
        explained = explained_variance(batch.values, returns, batch.mask)
        if c.whiten:
            advantages = whiten(advantages, batch.mask)
        weights = token_weights(batch.mask, "token-mean", advantages.dtype)
        return Credit(advantages, weights, returns, {} if explained is None else {"explained_variance": explained})

    def loss(self, micro: MicroBatch) -> tuple[Tensor, Metrics]:
        c = self.config
        logps, old_logps = masked(micro.logps, micro.mask), masked(micro.old_logps, micro.mask)
        objective, clipped = clipped_surrogate(logps - old_logps, micro.advantages, c.epsilon, c.epsilon)
        token_loss = -objective
        metrics = {"clip_fraction": token_metric(clipped.to(logps.dtype), micro.mask)}
        if c.entropy_coefficient > 0:
            token_loss = token_loss - c.entropy_coefficient * masked(micro.entropy, micro.mask)
        if micro.ref_logps is not None:
            metrics["kl"] = token_metric(k3(logps, masked(micro.ref_logps, micro.mask)), micro.mask)
        return (micro.weights * token_loss).sum(), metrics

    def critic_loss(self, micro: MicroBatch) -> tuple[Tensor, Metrics]:
        c = self.config
        values, old_values = masked(micro.values, micro.mask), masked(micro.old_values, micro.mask)
        error = value_error(values, old_values, micro.returns, c.value_clip)
        return (micro.weights * c.value_coefficient * error).sum(), {"value_loss": token_metric(error, micro.mask)}
