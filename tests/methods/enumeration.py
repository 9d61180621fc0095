"""Exact expectations of k-sample estimators: all M^k tuples of a softmax policy over M arms, float64.

The reference set-up is that of the claims' source: numpy's default_rng(0), logits first, then rewards; arms 0 and 1
share the right answer, arms 2 and 3 have wrong ones of their own.
"""

from __future__ import annotations

import itertools

import numpy as np
import torch
from torch import Tensor

ARMS = 4
_rng = np.random.default_rng(0)
THETA = torch.tensor(_rng.standard_normal(ARMS))
REWARDS = torch.tensor(_rng.standard_normal(ARMS))
PI = THETA.softmax(0)
ANSWERS = torch.tensor([0, 0, 1, 2])
RIGHT = torch.tensor([1.0, 1.0, 0.0, 0.0], dtype=torch.float64)


def tuples(k: int) -> Tensor:
    """All tuples (M^k, k) of arms."""
    return torch.tensor(list(itertools.product(range(ARMS), repeat=k)))


def setting(objective: str) -> tuple[Tensor, Tensor | None]:
    """Rewards of the arms, and their answers where the objective needs them."""
    return (RIGHT, ANSWERS) if objective == "majority" else (REWARDS, None)


def expected_objective(theta: Tensor, f, rewards: Tensor, answers: Tensor | None, k: int) -> Tensor:
    """E[f of k samples], differentiable in theta."""
    drawn = tuples(k)
    chances = theta.softmax(0)[drawn].prod(dim=1)
    return (chances * f(rewards[drawn], None if answers is None else answers[drawn])).sum()


def true_gradient(f, rewards: Tensor, answers: Tensor | None, k: int) -> Tensor:
    theta = THETA.clone().requires_grad_()
    return torch.autograd.grad(expected_objective(theta, f, rewards, answers, k), theta)[0]


def estimates(advantages_of, rewards: Tensor, answers: Tensor | None, k: int) -> tuple[Tensor, Tensor]:
    """Chance (M^k,) and gradient estimate (M^k, M) of every tuple: sum over i of A_i grad log pi(y_i)."""
    drawn = tuples(k)
    found = advantages_of(rewards[drawn], None if answers is None else answers[drawn])
    scores = torch.eye(ARMS, dtype=torch.float64)[drawn] - PI
    return PI[drawn].prod(dim=1), (found[:, :, None] * scores).sum(dim=1)


def moments(chances: Tensor, gradients: Tensor) -> tuple[Tensor, float]:
    """Mean (M,) and total variance of the estimate."""
    mean = (chances[:, None] * gradients).sum(dim=0)
    return mean, float((chances * (gradients - mean).square().sum(dim=1)).sum())
