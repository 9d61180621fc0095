"""k-sample gradient estimators by exact enumeration: bias and total variance over all M^k tuples of a small bandit.

The reference set-up has 4 actions: logits, then rewards, from numpy's default_rng(0). For majority, actions 0 and 1
share the right answer and actions 2 and 3 have wrong ones of their own. float64 throughout.
"""

from __future__ import annotations

import itertools

import numpy as np
import torch
from torch import Tensor

from repro.methods.ksample import OBJECTIVES, advantages

ACTIONS, SAMPLES = 4, (2, 3, 4)
_rng = np.random.default_rng(0)
LOGITS = torch.tensor(_rng.standard_normal(ACTIONS))
REWARDS = torch.tensor(_rng.standard_normal(ACTIONS))
ANSWERS = torch.tensor([0, 0, 1, 2])
RIGHT = torch.tensor([1.0, 1.0, 0.0, 0.0], dtype=torch.float64)
DIGITS = 13  # kept in a record: enough for a tolerance of 1e-12, too few for the noise of summation


def reference(variant: str) -> list[dict]:
    """One row per aggregation and k: bias (largest component against the gradient of E[f_k]), bias_fewer (against that
    of E[f_(k-1)]) and total variance of `variant` in the reference set-up.
    """
    rows = []
    for objective in OBJECTIVES:
        rewards, answers = (RIGHT, ANSWERS) if objective == "majority" else (REWARDS, None)
        for k in SAMPLES:
            mean, variance = moments(LOGITS, rewards, answers, objective, variant, k)
            bias, fewer = (
                float((mean - gradient(LOGITS, rewards, answers, objective, j)).abs().max()) for j in (k, k - 1)
            )
            row = {"bias": bias, "bias_fewer": fewer, "variance": variance}
            rows.append({"objective": objective, "k": k, **{name: round(x, DIGITS) for name, x in row.items()}})
    return rows


def moments(
    logits: Tensor, rewards: Tensor, answers: Tensor | None, objective: str, variant: str, k: int
) -> tuple[Tensor, float]:
    """Mean (M,) and total variance of the estimate sum_i A_i grad log pi(y_i) over all tuples."""
    drawn, chances = _tuples(logits, k)
    found = advantages(rewards[drawn], objective, None if answers is None else answers[drawn], variant)
    scores = torch.eye(len(logits), dtype=logits.dtype)[drawn] - logits.softmax(0)
    estimates = (found[:, :, None] * scores).sum(dim=1)
    mean = (chances[:, None] * estimates).sum(dim=0)
    return mean, float((chances * (estimates - mean).square().sum(dim=1)).sum())


def gradient(logits: Tensor, rewards: Tensor, answers: Tensor | None, objective: str, k: int) -> Tensor:
    """Gradient (M,) of E[f of k samples] in the logits."""
    theta = logits.clone().requires_grad_()
    drawn, chances = _tuples(theta, k)
    f = OBJECTIVES[objective](rewards[drawn], None if answers is None else answers[drawn])
    return torch.autograd.grad((chances * f).sum(), theta)[0]


def _tuples(logits: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """All tuples (M^k, k) of actions and their chances (M^k,)."""
    drawn = torch.tensor(list(itertools.product(range(len(logits)), repeat=k)))
    return drawn, logits.softmax(0)[drawn].prod(dim=1)
