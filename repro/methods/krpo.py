"""KRPO: GRPO whose baseline and scale come from a Kalman filter over the group's rewards (arXiv 2505.07527).

The filter's state is a prompt's mean reward; it starts anew with every prompt and takes in the rewards in the order in
which the completions were sampled. Advantage of the i-th: (r_i - x_i) / (sqrt(P_i) + 1e-8), with the mean x_i and its
variance P_i AFTER r_i. The gains do not depend on the rewards: with the default variances x_i is about the running
mean, and A_i about 10 sqrt(i) (r_i - x_i). So the place of a completion in its group decides how much it counts.
    P'_i = P_{i-1} + q,   K_i = P'_i / (P'_i + r),   x_i = x_{i-1} + K_i × (r_i - x_{i-1}),   P_i = (1 - K_i) × P'_i,
    A_i = (r_i - x_i) / (sqrt(P_i) + 1e-8),
with r_i a reward and r the variance of the measurement; the loss is that of `grpo`, a mean over completions.

What differs from the paper, or is not known of it (its body is not public to us):
1. The denominator is the authors' code's; a digest has sqrt(P + eps).
2. `order`: `sampling` is the code's. `averaged` is the exact mean of the advantages over all orders of the group, which
   depends on no order (see `averaged_advantages`); `shuffled` filters in a random order. Both are ours.
3. `baseline`: `running-mean` (rewards minus the mean of those so far, over the group's deviation) and `group-mean`
   (GRPO's advantages times sqrt(i / r)) are controls of ours, not methods of the paper.
4. `scale=unit` divides by the mean over places of an advantage's slope in its own reward, a constant: KRPO's advantages
   are up to ten times GRPO's, so one learning rate does not mean the same for both (Adam and a gradient clip hide most
   of it). Off by default.
5. One update per batch by default, at which the ratio is 1 and nothing is clipped; the code makes 24.
6. The rest is the code's: clipped surrogate, k3 KL, mean over a completion's tokens, then over completions. Controls
   divide by `grpo`'s standard deviation plus 1e-4 (the code's GRPO: plus 1e-8).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from repro.errors import InputError
from repro.methods.base import Credit, GenerationBatch, Method, Metrics, MicroBatch, Needs
from repro.methods.configs import KrpoConfig
from repro.methods.grpo import group_advantages
from repro.methods.terms import clipped_loss, token_weights

EPSILON = 1e-8  # of the denominator (authors' code)


def kalman_advantages(rewards: Tensor, q: float = 1e-5, r: float = 1e-2, x0: float = 0.0, p0: float = 1.0) -> Tensor:
    """Advantages (P, G) of `rewards` (P, G), one prompt per row, in sampling order; computed in float64.

    `q`, `r`: variances of process and measurement; `x0`, `p0`: mean and variance before the first reward. The result
    has the rewards' dtype. Raises InputError for another shape, q < 0, r <= 0 or p0 <= 0.
    """
    gains, variances = _filter(_groups(rewards).shape[1], q, r, p0)
    mean, columns = torch.full_like(rewards[:, 0], x0, dtype=torch.float64), []
    for reward, gain, variance in zip(rewards.double().unbind(1), gains, variances, strict=True):
        mean = mean + gain * (reward - mean)
        columns.append((reward - mean) / (variance**0.5 + EPSILON))
    return torch.stack(columns, dim=1).to(_dtype(rewards))


def averaged_advantages(rewards: Tensor, q: float = 1e-5, r: float = 1e-2, x0: float = 0.0, p0: float = 1.0) -> Tensor:
    """The mean of `kalman_advantages` over all G! orders of each group, (P, G); same arguments and errors.

    At place i, A = g_i (r - x) with g_i = (1 - K_i) / (sqrt(P_i) + 1e-8), and x, the mean before this reward, weighs x0
    by c_i = (1 - K_1) … (1 - K_{i-1}) and the earlier rewards by 1 - c_i in all. Over all orders a completion is at
    every place equally often, and each earlier place holds every other completion equally often. So with `others` the
    mean of the other rewards, the average is mean(g) (r - others) + mean(g c) (others - x0): a constant times RLOO's
    advantage, plus a shrinkage towards x0 that the first places leave.
    """
    rewards64 = _groups(rewards).double()
    slopes, shrinkage = _constants(rewards.shape[1], q, r, p0)
    others = (rewards64.sum(dim=1, keepdim=True) - rewards64) / max(1, rewards.shape[1] - 1)
    return (slopes * (rewards64 - others) + shrinkage * (others - x0)).to(_dtype(rewards))


def control_advantages(rewards: Tensor, baseline: str, r: float = 1e-2) -> Tensor:
    """Advantages (P, G) of the controls `running-mean` and `group-mean` on `rewards` (P, G); see the module."""
    place = torch.arange(1, rewards.shape[1] + 1, dtype=_dtype(rewards), device=rewards.device)
    if baseline == "group-mean":
        centred = group_advantages(rewards.reshape(-1), rewards.shape[1]).view_as(rewards)
        return centred * (place / r).sqrt()
    return (rewards - rewards.cumsum(dim=1) / place) / (rewards.std(dim=1, keepdim=True) + 1e-4)


def order_dependence(
    rewards: Tensor, advantages: Callable[[Tensor, torch.Generator | None], Tensor], generator: torch.Generator | None
) -> float:
    """Mean |A - A'| over mean |A|; A': advantages of the same completions, `rewards` (P, G), in a random order.

    0: the order does not matter; 0 as well where all advantages are 0.
    """
    found = advantages(rewards, generator)
    order = torch.rand(rewards.shape, generator=generator, dtype=torch.float64).argsort(dim=1).to(rewards.device)
    again = torch.zeros_like(found).scatter(1, order, advantages(rewards.gather(1, order), generator))
    size = float(found.abs().mean())
    return float((found - again).abs().mean()) / size if size else 0.0


def _groups(rewards: Tensor) -> Tensor:
    if rewards.dim() != 2 or rewards.shape[1] < 1:
        raise InputError(f"rewards must be (prompts, group), not {tuple(rewards.shape)}")
    return rewards


def _dtype(rewards: Tensor) -> torch.dtype:
    return rewards.dtype if rewards.is_floating_point() else torch.get_default_dtype()


def _filter(size: int, q: float, r: float, p0: float) -> tuple[list[float], list[float]]:
    """Gains and posterior variances at places 1 … `size`; they do not depend on the rewards."""
    if q < 0 or r <= 0 or p0 <= 0:
        raise InputError(f"the filter's variances must be q >= 0, r > 0 and p0 > 0, not q={q}, r={r}, p0={p0}")
    gains, variances, variance = [], [], p0
    for _ in range(size):
        variance += q
        gain = variance / (variance + r)
        variance *= 1 - gain
        gains.append(gain)
        variances.append(variance)
    return gains, variances


def _constants(size: int, q: float, r: float, p0: float) -> tuple[float, float]:
    """mean(g) and mean(g c) of `averaged_advantages`, over the places 1 … `size`."""
    slopes, shrinkage, kept = 0.0, 0.0, 1.0
    for gain, variance in zip(*_filter(size, q, r, p0), strict=True):
        slope = (1 - gain) / (variance**0.5 + EPSILON)
        slopes, shrinkage = slopes + slope / size, shrinkage + slope * kept / size
        kept *= 1 - gain
    return slopes, shrinkage


class Krpo(Method):
    name = "krpo"
    Config = KrpoConfig

    def needs(self) -> Needs:
        c = self.config
        return Needs(reference=c.beta > 0, old=c.updates > 1, epochs=c.epochs, minibatches=c.minibatches, example=True)

    def credit(self, batch: GenerationBatch) -> Credit:
        rewards = batch.rewards.view(-1, batch.group_size)
        advantages = self._advantages(rewards, batch.generator).reshape(-1)
        return Credit(
            advantages,
            token_weights(batch.mask, "sequence-mean", advantages.dtype),
            metrics={"order_dependence": order_dependence(rewards, self._advantages, batch.generator)},
        )

    def _advantages(self, rewards: Tensor, generator: torch.Generator | None) -> Tensor:
        c = self.config
        settings = (c.q, c.r, c.x0, c.p0)
        if c.order == "averaged":
            found = averaged_advantages(rewards, *settings)
        else:
            order = torch.arange(rewards.shape[1]).expand(rewards.shape)
            if c.order == "shuffled":
                order = torch.rand(rewards.shape, generator=generator, dtype=torch.float64).argsort(dim=1)
            order = order.to(rewards.device)
            ordered = rewards.gather(1, order)
            if c.baseline == "kalman":
                ordered = kalman_advantages(ordered, *settings)
            else:
                ordered = control_advantages(ordered, c.baseline, c.r)
            found = torch.zeros_like(ordered).scatter(1, order, ordered)
        if c.scale == "unit":
            found = found / _constants(rewards.shape[1], c.q, c.r, c.p0)[0]
        return found

    def loss(self, micro: MicroBatch) -> tuple[Tensor, Metrics]:
        return clipped_loss(micro, self.config.epsilon, self.config.epsilon, self.config.beta)
