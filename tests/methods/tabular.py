"""Every sequence of a small tree as one row, and the policies on it as tables: optima can be written down exactly."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

VOCABULARY, LENGTH = 3, 3


def _ended(prefix: tuple[int, ...]) -> bool:
    return len(prefix) == LENGTH or (len(prefix) > 0 and prefix[-1] == 0)


PREFIXES = [
    prefix for size in range(LENGTH) for prefix in itertools.product(range(VOCABULARY), repeat=size) if 0 not in prefix
]
# Token 0 ends a row and counts as one of its tokens; rows that never end are cut off after LENGTH tokens.
ROWS = [(*prefix, token) for prefix in PREFIXES for token in range(VOCABULARY) if _ended((*prefix, token))]
_PLACE = {prefix: place for place, prefix in enumerate(PREFIXES)}
IDS = torch.tensor([[*row, *[0] * (LENGTH - len(row))] for row in ROWS])
MASK = torch.arange(LENGTH) < torch.tensor([[len(row)] for row in ROWS])
STATES = torch.tensor([[_PLACE.get(row[:t], 0) for t in range(LENGTH)] for row in ROWS])


def table(seed: int) -> Tensor:
    """Logits (prefixes, vocabulary) of a random policy; float64."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(len(PREFIXES), VOCABULARY, generator=generator, dtype=torch.float64)


def logps(logits: Tensor) -> Tensor:
    """Log-probabilities (rows, LENGTH) of every row's tokens, NaN past its end."""
    picked = logits.log_softmax(-1)[STATES].gather(-1, IDS[..., None])[..., 0]
    return torch.where(MASK, picked, torch.nan)


def row_logps(logits: Tensor) -> Tensor:
    """Log-probability (rows,) of every whole row."""
    return torch.where(MASK, logps(logits), 0.0).sum(1)


def tilted(logits: Tensor, bonus: Tensor) -> Tensor:
    """Logits of the policy proportional to pi × exp(bonus), `bonus` (rows,), by backward induction over prefixes."""
    log_probs, ends = logits.log_softmax(-1), dict(zip(ROWS, bonus.tolist(), strict=True))
    value, made = {}, torch.zeros_like(logits)
    for prefix in reversed(PREFIXES):
        after = [(*prefix, token) for token in range(VOCABULARY)]
        future = torch.tensor([ends[row] if _ended(row) else value[row] for row in after], dtype=torch.float64)
        made[_PLACE[prefix]] = log_probs[_PLACE[prefix]] + future
        value[prefix] = float(made[_PLACE[prefix]].logsumexp(0))
    return made


def minimise(loss, logits: Tensor) -> Tensor:
    """Logits at a minimum of `loss(logits)`, a scalar, by L-BFGS from `logits`."""
    point = logits.clone().requires_grad_()
    optimizer = torch.optim.LBFGS(
        [point], max_iter=2000, tolerance_grad=1e-14, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def closure():
        optimizer.zero_grad()
        value = loss(point)
        value.backward()
        return value

    optimizer.step(closure)
    return point.detach()
