"""Many independent softmax bandits side by side, trained by the estimators of `repro.methods.ksample`.

Every instance has rewards of its own, fixed scalars from a unit Gaussian, and a policy softmax(theta) that starts
uniform. A step draws k fresh actions and adds learning rate times sum_i A_i grad log pi(y_i): plain stochastic gradient
ascent, without Adam. What is logged is exact, computed from the policy and never sampled: `repro.training.exact`.

Common random numbers: rewards and the uniforms behind the draws (inverse CDF) depend on seed, step, instance and
position alone, so all arms meet the same bandits and the same luck; of two k the smaller sees the first positions.

Shape legend: P instances, M actions, k samples, G values of the KL grid, L logged steps. All in float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from repro.errors import TrialError
from repro.methods.ksample import advantages
from repro.training.exact import Bandits

REWARDS, UNIFORMS = 0, 1  # streams of one seed
CLAIMED_STEPS = (10, 100)  # early points at which every instance's values are kept, beside the last step
NATS = tuple(0.25 * i for i in range(1, 19))  # KL grid; ln 100 = 4.605 is the largest KL of 100 actions
KEPT_NATS = (1.0, 2.0, 3.0)  # at which every instance's reward is kept


@dataclass(frozen=True)
class Settings:
    """One arm of the bandit experiment."""

    seed: int
    instances: int
    actions: int
    k: int
    objective: str
    variant: str
    factor: float  # on the advantages: k takes the mean objective's own 1/k off
    steps: int
    learning_rate: float


@dataclass
class Run:
    """What a run leaves: `curves` name -> (L, P) at `steps`; `at_kl` (P, G), NaN where a KL was never reached."""

    steps: list[int]
    curves: dict[str, np.ndarray]
    at_kl: np.ndarray
    rewards: Tensor  # (P, M)
    logits: Tensor  # (P, M), after the last step


def generator(seed: int, stream: int, step: int = 0) -> np.random.Generator:
    """Counter-based: the draws of (seed, stream, step) whatever was drawn before."""
    key = np.random.SeedSequence((seed, stream)).generate_state(2, np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=[0, 0, 0, step]))


def rewards_of(seed: int, instances: int, actions: int) -> np.ndarray:
    """Rewards (P, M) of the bandits of one seed."""
    return generator(seed, REWARDS).standard_normal((instances, actions))


def logged_steps(steps: int) -> list[int]:
    """0, every step to 10, then about 20 a decade, always with CLAIMED_STEPS and the last one."""
    geometric = {round(10 ** (i / 20)) for i in range(20, 20 * 7)}
    chosen = {*range(11), *geometric, *CLAIMED_STEPS, steps}
    return sorted(step for step in chosen if step <= steps)


def learn(settings: Settings, on_step: Callable[[int], None] | None = None) -> Run:
    """Train all instances. Raises TrialError at the first logged step whose policies are not finite."""
    c = settings
    rewards = torch.from_numpy(rewards_of(c.seed, c.instances, c.actions))
    exact = Bandits(rewards)
    logits = torch.zeros_like(rewards)
    logged, curves = logged_steps(c.steps), {"mean_reward": [], "max": [], "kl": []}
    crossing = _Crossing(c.instances)
    for step in range(c.steps + 1):
        policy = logits.softmax(dim=1)
        mean, kl = exact.mean(policy), exact.kl(policy, logits)
        crossing.see(mean, kl)
        if step == logged[len(curves["kl"])]:
            if not bool(torch.isfinite(kl).all()):
                raise TrialError("the logits are not finite; lower the learning rate", step)
            for name, value in (("mean_reward", mean), ("max", exact.best_of(policy, c.k)), ("kl", kl)):
                curves[name].append(value.numpy())
            if on_step is not None:
                on_step(step)
        if step < c.steps:
            _update(logits, policy, rewards, c, step)
    found = {name: np.stack(rows) for name, rows in curves.items()}
    return Run(logged, found, crossing.reward.numpy(), rewards, logits)


def _update(logits: Tensor, policy: Tensor, rewards: Tensor, c: Settings, step: int) -> None:
    """One step of gradient ascent, in place."""
    # (k, P), so that the draws of the first positions do not depend on k.
    uniforms = torch.from_numpy(generator(c.seed, UNIFORMS, step).random((c.k, c.instances))).T.contiguous()
    actions = draw(policy, uniforms)
    found = advantages(rewards.gather(1, actions), c.objective, variant=c.variant) * c.factor
    ascent = torch.zeros_like(logits).scatter_add_(1, actions, found)
    ascent.addcmul_(found.sum(dim=1, keepdim=True), policy, value=-1.0)
    logits.add_(ascent, alpha=c.learning_rate)


def draw(policy: Tensor, uniforms: Tensor) -> Tensor:
    """Actions (P, k) of `policy` (P, M) at `uniforms` (P, k) in [0, 1), by inverse CDF."""
    cumulative = policy.cumsum(dim=1)
    # Scaled by the sum as it was rounded: no draw lies beyond the last action with any probability.
    found = torch.searchsorted(cumulative, uniforms * cumulative[:, -1:], right=True)
    return found.clamp_(max=policy.shape[1] - 1)


class _Crossing:
    """Mean reward when the KL to the initial policy first reaches each value of NATS, linear between two steps."""

    def __init__(self, instances: int):
        self.nats = torch.tensor(NATS, dtype=torch.float64)
        self.reward = torch.full((instances, len(NATS)), math.nan, dtype=torch.float64)
        self.before: tuple[Tensor, Tensor] | None = None

    def see(self, mean: Tensor, kl: Tensor) -> None:
        if self.before is not None:
            first, last = self.before[1][:, None], kl[:, None]
            new = self.reward.isnan() & (last >= self.nats)
            if bool(new.any()):
                share = (self.nats - first) / (last - first)
                self.reward = torch.where(new, torch.lerp(self.before[0][:, None], mean[:, None], share), self.reward)
        self.before = (mean, kl)
