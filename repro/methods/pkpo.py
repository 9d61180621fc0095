"""PKPO: unbiased pass@k (max@k) policy gradients from any n >= k samples (arXiv 2505.15201).

Where `ksample` with k < n splits a prompt's samples into groups, PKPO averages over all subsets of size k, which has
less variance. With k = n and its default baseline it is `ksample`'s unbiased pass objective.
    s_i = sum over the k-subsets that hold i of ( their maximum - their maximum without i ) / C(n, k)   (loo-1),
    loss = - mean over prompts of the sum over i of s_i × ln pi(y_i|x).

What differs from the paper:
1. Formulas are those of the paper's main text; its appendix and hyper-parameters are not public to us.
2. `k` is constant: the paper also anneals it from 8 to 1.
3. Loss, KL term and clip as in `ksample`: log-probs summed over tokens, a sum within the prompt, a mean over prompts.
"""

from __future__ import annotations

from math import comb

import torch
from torch import Tensor

from repro.errors import InputError
from repro.methods.base import Credit, GenerationBatch, Method, Metrics, MicroBatch, Needs
from repro.methods.configs import PkpoConfig
from repro.methods.ksample import group_credit
from repro.methods.terms import clipped_loss

BASELINES = ("none", "loo", "loo-1")


def pkpo_weights(rewards: Tensor, k: int, baseline: str = "loo-1") -> Tensor:
    """Weights (P, n) of grad log pi(y_i) in the estimate of grad E[max of k samples], from `rewards` (P, n).

    `none`: s_i, the sum over the k-subsets that hold i of their maximum, divided by C(n, k) (Eqs. 19 and 27).
    `loo`: less the mean over j of the same quantity of sample j computed without sample i (Eq. 29).
    `loo-1`: in every subset less the maximum without i (Eq. 33).
    Raises InputError for k outside 1 … n (loo: 1 … n - 1; loo-1: 2 … n), an unknown baseline or another shape.
    """
    if rewards.dim() != 2:
        raise InputError(f"rewards must be (prompts, n), not {tuple(rewards.shape)}")
    if baseline not in BASELINES:
        raise InputError(f"unknown baseline {baseline!r}: use {', '.join(BASELINES)}")
    n = rewards.shape[1]
    low, high = (2 if baseline == "loo-1" else 1), (n - 1 if baseline == "loo" else n)
    if not low <= k <= high:
        raise InputError(f"baseline {baseline} with n={n} samples needs k from {low} to {high}, not {k}")
    ordered, order = rewards.double().sort(dim=1)
    if baseline == "loo-1":
        found = _gains(ordered, k)
    else:
        found = _shares(ordered, k)
        if baseline == "loo":
            found = found - torch.stack([_others(ordered, i, k) for i in range(n)], dim=1)
    dtype = rewards.dtype if rewards.is_floating_point() else torch.get_default_dtype()
    return torch.empty_like(found).scatter_(1, order, found).to(dtype)


def _shares(ordered: Tensor, k: int) -> Tensor:
    """s (P, n) of ascending rewards: i is the largest of its subset, or some b above it is, and k - 2 lie below b."""
    n = ordered.shape[1]
    total = float(_choose(n, k))
    own = torch.tensor([_choose(j, k - 1) / total for j in range(n)], dtype=ordered.dtype, device=ordered.device)
    above = torch.tensor([_choose(b - 1, k - 2) / total for b in range(n)], dtype=ordered.dtype, device=ordered.device)
    tail = (ordered * above).flip(1).cumsum(1).flip(1)  # sum over b >= j
    return ordered * own + torch.cat([tail[:, 1:], torch.zeros_like(tail[:, :1])], dim=1)


def _gains(ordered: Tensor, k: int) -> Tensor:
    """What each of the ascending rewards adds to the maximum of its subsets: (g_j - g_b) where b is the next best."""
    n = ordered.shape[1]
    weight = torch.tensor(
        [_choose(b, k - 2) / float(_choose(n, k)) for b in range(n)], dtype=ordered.dtype, device=ordered.device
    )
    below = torch.cat([torch.zeros(1, dtype=ordered.dtype, device=ordered.device), weight.cumsum(0)[:-1]])
    sums = torch.cat([torch.zeros_like(ordered[:, :1]), (ordered * weight).cumsum(1)[:, :-1]], dim=1)
    return ordered * below - sums


def _others(ordered: Tensor, i: int, k: int) -> Tensor:
    """Mean (P,) of s over the n - 1 samples without i."""
    return _shares(torch.cat([ordered[:, :i], ordered[:, i + 1 :]], dim=1), k).mean(dim=1)


def _choose(n: int, k: int) -> int:
    """C(n, k), and 0 outside 0 <= k <= n."""
    return comb(n, k) if 0 <= k <= n else 0


class Pkpo(Method):
    name = "pkpo"
    Config = PkpoConfig

    def needs(self) -> Needs:
        c = self.config
        return Needs(reference=c.beta > 0, old=c.clip, epochs=c.epochs, minibatches=c.minibatches)

    def credit(self, batch: GenerationBatch) -> Credit:
        c = self.config
        weights = pkpo_weights(batch.rewards.view(-1, batch.group_size), c.k, c.baseline)
        return group_credit(weights, batch.mask, c.beta)

    def loss(self, micro: MicroBatch) -> tuple[Tensor, Metrics]:
        return clipped_loss(micro, self.config.epsilon, self.config.epsilon, self.config.beta)
