"""Exact quantities of softmax bandits with fixed rewards: expectations of any policy, variances at the uniform one.

Derivations. Actions sorted by reward, F_j = P(reward <= r_(j)) of one draw, E[.] over k independent draws.
- max@k: P(max = r_(j)) = F_j^k - F_(j-1)^k.
- Gradient: d E[f_k] / d theta_a = k pi_a (E[f | y_1 = a] - E[f]).
- An estimate g = sum_i A_i (e_(y_i) - pi) has |g|^2 = sum_ij A_i A_j [y_i = y_j] - (sum A)^2 / M at uniform pi. Its
  total variance is E|g|^2 - |E g|^2, and E g is the gradient of E[f_k], of the centred form that of E[f_(k-1)].
- Leave-one-out for max: A is r_(1st) - r_(2nd) =: D on the best sample, nothing elsewhere. P(best a, second b < a) =
  k p (F_b^(k-1) - F_(b-1)^(k-1)); a best action that is drawn twice has D = 0.
- Centred: A is (1 - 1/k) D on the best, -D/k on the others, so equal pairs among the others count as well.
- Mean: A_i = (r_i - mean) / (k - 1); with v the variance of the rewards over actions the total variance is
  v (1 / (k - 1) - 2 / (M k)).
Rewards of 0 and 1 tie by nature; there the number of right samples decides, and forms of their own are below. Tests
compare all of it with enumeration of every tuple.

Shape legend: P instances, M actions. All in float64.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


class Bandits:
    """Bandits with fixed `rewards` (P, M), distinct within a bandit, and their expectations under a policy (P, M)."""

    def __init__(self, rewards: Tensor):
        self.rewards = rewards
        self.sorted, self.order = rewards.sort(dim=1)

    def mean(self, policy: Tensor) -> Tensor:
        """Expected reward (P,)."""
        return (policy * self.rewards).sum(dim=1)

    def best_of(self, policy: Tensor, k: int) -> Tensor:
        """max@k (P,): the expected best reward of k draws."""
        below = policy.gather(1, self.order).cumsum(dim=1).clamp_(max=1.0)
        return (self.sorted * _differences(below**k)).sum(dim=1)

    def kl(self, policy: Tensor, logits: Tensor) -> Tensor:
        """KL (P,) of softmax(`logits`) = `policy` to the uniform policy, in nats: ln M - entropy."""
        entropy = logits.logsumexp(dim=1) - (policy * logits).sum(dim=1)
        return (math.log(policy.shape[1]) - entropy).clamp_(min=0.0)

    def variance(self, objective: str, variant: str, k: int) -> Tensor:
        """Total variance (P,) of one estimate at the uniform policy; objective mean or pass (max@k)."""
        if objective == "mean":
            return self.rewards.var(dim=1, correction=0) * (1 / (k - 1) - 2 / (self.rewards.shape[1] * k))
        second = {"naive": self._naive, "unbiased": self._leave_one_out, "biased": self._centred}[variant](k)
        gradient = self._gradient(k - 1 if variant == "biased" else k)
        return second - gradient.square().sum(dim=1)

    def _below(self) -> Tensor:
        """F (M,) at the uniform policy."""
        actions = self.rewards.shape[1]
        return torch.arange(1, actions + 1, dtype=torch.float64) / actions

    def _gradient(self, k: int) -> Tensor:
        """Gradient (P, M) of max@k at the uniform policy, in the order of sorted rewards."""
        below, r = self._below(), self.sorted
        others = r * _differences(below ** (k - 1))  # contribution of each best reward among k - 1 draws
        above = others.sum(dim=1, keepdim=True) - others.cumsum(dim=1)
        given = r * below ** (k - 1) + above
        return k / r.shape[1] * (given - given.mean(dim=1, keepdim=True))

    def _naive(self, k: int) -> Tensor:
        """E|g|^2 where every sample weighs max r."""
        below, actions = self._below(), self.rewards.shape[1]
        of_k, of_fewer = ((self.sorted.square() * _differences(below**j)).sum(dim=1) for j in (k, k - 1))
        # Of two equal draws only k - 1 different ones are left.
        return (k - k * k / actions) * of_k + k * (k - 1) / actions * of_fewer

    def _leave_one_out(self, k: int) -> Tensor:
        weights = _differences(self._below() ** (k - 1))
        return (1 - 1 / self.rewards.shape[1]) * self._squared_gaps(k, weights)

    def _centred(self, k: int) -> Tensor:
        below, actions = self._below(), self.rewards.shape[1]
        weights = ((1 - 1 / k) ** 2 + (k - 1) / k**2) * _differences(below ** (k - 1))
        if k > 2:
            # P(two of the others are equal, and the best of the others is b): equal below b, or at b.
            lower = torch.arange(actions, dtype=torch.float64)
            pairs = (
                lower * _differences(below ** (k - 3), first=0.0 if k > 3 else 1.0) + below ** (k - 3)
            ) / actions**2
            weights = weights + (k - 1) * (k - 2) / k**2 * pairs
        return self._squared_gaps(k, weights)

    def _squared_gaps(self, k: int, weights: Tensor) -> Tensor:
        """k p times the sum over pairs b < a of weights_b (r_a - r_b)^2, by running sums over b."""
        r = self.sorted
        total = torch.zeros_like(r)
        for power, sign in ((0, 1.0), (1, -2.0), (2, 1.0)):
            part = weights * r**power
            total += sign * r ** (2 - power) * (part.cumsum(dim=1) - part)
        return k / r.shape[1] * total.sum(dim=1)


def _differences(cumulative: Tensor, first: float = 0.0) -> Tensor:
    """Along the last dimension, each entry less the one before; `first` stands before the first."""
    return torch.diff(cumulative, dim=-1, prepend=torch.full_like(cumulative[..., :1], first))


def bounded_variance(objective: str, variant: str, k: int, actions: int, right: int) -> float:
    """Total variance of one estimate at the uniform policy over `actions`, of which `right` have reward 1, others 0.

    By the number c of right samples, binomial with p = right / actions: leave-one-out has a signal only at c = 1, the
    naive form at every c >= 1.
    """
    p, m = right / actions, actions
    if objective == "mean":
        return p * (1 - p) * (1 / (k - 1) - 2 / (m * k))
    some, one = 1 - (1 - p) ** k, k * p * (1 - p) ** (k - 1)
    j = k
    if variant == "naive":
        second = (k - k * k / m) * some + k * (k - 1) / m * (1 - (1 - p) ** (k - 1))
    elif variant == "unbiased":
        second = one * (1 - 1 / m)
    else:
        j = k - 1
        second = one * ((1 - 1 / k) ** 2 + ((k - 1) + (k - 1) * (k - 2) / (m - right)) / k**2)
    # j / m times P(the other j - 1 fail) less P(all j fail), for a right action and for a wrong one.
    gradient = right * (j / m * (1 - p) ** j) ** 2 + (m - right) * (j / m * p * (1 - p) ** (j - 1)) ** 2
    return second - gradient
