"""S-GRPO: GRPO's advantage on some tokens of each completion (arXiv 2504.20834): the first alpha, later ones by chance.

The ratio pi / stopgrad(pi) is exactly 1: REINFORCE with a group baseline, one update per batch, no clip. The loss is a
mean over the selected tokens of a completion, then over completions. With alpha = 0 and k = null the tokens are a
uniform random sample, a control; with p = 1 and k = null it is full-token GRPO (`grpo`, aggregate sequence-mean).
    token t of a completion is selected if t < alpha, else with chance P while fewer than k are,
    loss = mean over completions of the mean over their selected tokens of [ beta × k3 - A_i × pi / stopgrad(pi) ],
with A_i the advantage of `grpo`.

What differs from the paper, or is not stated there (its token rule and loss are known at second hand only):
1. The default reading compares k with the number of tokens selected so far, scanning from the left, as the formula
   does. Two public implementations read it otherwise: `length` (IAPO) draws only where the completion is shorter than
   k and else keeps the first alpha; `random_rest` (Mamformer) draws all and keeps a random k - alpha of them.
2. Positions count from 0, so the first alpha tokens always count; the end token is a token like any other.
3. Whether advantages are divided by the group's standard deviation is unverified; the default is `grpo`'s.
4. Estimator and scope of the KL term are unverified: k3 on the selected tokens, or on all (`kl_scope`); off by default.
5. alpha, k and P are not public. The defaults suit answers of 8 to 20 tokens, of which they select the 30 to 50 % that
   are reported at second hand. Where alpha covers all completions this is full-token GRPO: a warning says so once per
   process, and the metric `disguised` is the share of completions whose tokens all count whatever is drawn.
6. A completion without selected tokens adds 0, but is counted in the mean over completions.
"""

from __future__ import annotations

import math
import warnings

import torch
from torch import Tensor

from repro.errors import InputError
from repro.methods.base import Credit, GenerationBatch, Method, Metrics, MicroBatch, Needs
from repro.methods.configs import SgrpoConfig
from repro.methods.grpo import group_advantages
from repro.methods.terms import selected_loss, token_weights

READINGS = ("so_far", "length", "random_rest")


def select_tokens(
    mask: Tensor,
    alpha: int,
    k: int | None,
    p: float,
    generator: torch.Generator | None = None,
    reading: str = "so_far",
) -> Tensor:
    """The tokens that count, bool (B, T), of `mask` (B, T), whose rows are True up to their length.

    Tokens before `alpha` always; later ones with chance `p` each, at most `k` in all (None: no limit) as `reading`
    understands it; see the module. One uniform number is drawn for every token of `mask`, row after row: the choice
    depends on the generator's state and the rows' lengths, neither on the padding nor on alpha, k, p or the reading.
    Raises InputError for a negative alpha or k, p outside [0, 1], an unknown reading or another shape.
    """
    _check_rule(alpha, k, p, reading)
    if mask.dim() != 2:
        raise InputError(f"the mask must be (rows, positions), not {tuple(mask.shape)}")
    mask = mask.bool()
    draws = torch.full(mask.shape, math.inf, dtype=torch.float64)
    draws[mask.cpu()] = torch.rand(int(mask.sum()), generator=generator, dtype=torch.float64)
    draws = draws.to(mask.device)
    position = torch.arange(mask.shape[1], device=mask.device)
    first = mask & (position < alpha)
    later = (draws < p) & ~first
    if k is None:
        return first | later
    if reading == "length":
        return first | (later & (mask.sum(dim=1, keepdim=True) < k))
    if reading == "so_far":
        rank = later.cumsum(dim=1)
    else:  # among the tokens drawn the numbers are uniform again: their smallest are a random choice
        rank = draws.masked_fill(~later, math.inf).argsort(dim=1).argsort(dim=1) + 1
    return first | (later & (rank <= k - alpha))


def expected_tokens(length: int, alpha: int, k: int | None, p: float, reading: str = "so_far") -> float:
    """Expected number of selected tokens of a completion of `length` tokens.

    min(alpha, length) + E[min(k - alpha, Binomial(length - alpha, p))] for `so_far` and `random_rest`. Raises
    InputError as `select_tokens` does.
    """
    _check_rule(alpha, k, p, reading)
    later = max(0, length - alpha)
    if k is None or (reading == "length" and length < k):
        return min(alpha, length) + p * later
    if reading == "length" or k <= alpha or later == 0 or p == 0:
        return float(min(alpha, length))
    if p == 1:
        return float(min(alpha, length) + min(k - alpha, later))
    count = torch.arange(later + 1, dtype=torch.float64)
    ways = math.lgamma(later + 1) - torch.lgamma(count + 1) - torch.lgamma(later - count + 1)
    chances = (ways + count * math.log(p) + (later - count) * math.log1p(-p)).exp()
    return alpha + float((chances * count.clamp(max=k - alpha)).sum())


def _check_rule(alpha: int, k: int | None, p: float, reading: str) -> None:
    for name, value in (("alpha", alpha), ("k", k)):
        if value is not None and value < 0:
            raise InputError(f"{name} counts tokens and must be at least 0, not {value}")
    if not 0 <= p <= 1:
        raise InputError(f"p is a chance and must be between 0 and 1, not {p}")
    if reading not in READINGS:
        raise InputError(f"unknown reading {reading!r} of k: use {', '.join(READINGS)}")


class Sgrpo(Method):
    name = "sgrpo"
    Config = SgrpoConfig
    _warned = False  # by class, hence once per process

    def needs(self) -> Needs:
        c = self.config
        return Needs(reference=c.beta > 0, selected=c.beta == 0 or c.kl_scope == "selected", example=True)

    def selected_tokens(self, length: int) -> float:
        c = self.config
        return expected_tokens(length, c.alpha, c.k, c.p, c.reading)

    def credit(self, batch: GenerationBatch) -> Credit:
        c = self.config
        mask = batch.mask.bool()
        selected = select_tokens(mask, c.alpha, c.k, c.p, batch.generator, c.reading)
        advantages = group_advantages(batch.rewards, batch.group_size, c.scale)
        covered = mask.sum(dim=1) <= c.alpha
        if c.p == 1:
            covered |= (selected == mask).all(dim=1)
        if bool(covered.all()):
            self._warn()
        every = c.beta > 0 and c.kl_scope == "all"
        return Credit(
            advantages,
            token_weights(selected, "sequence-mean", advantages.dtype),
            metrics={
                "token_share": float(selected.sum()) / max(1, int(mask.sum())),
                "disguised": float(covered.float().mean()),
            },
            kl_weights=token_weights(mask, "sequence-mean", advantages.dtype) if every else None,
        )

    def _warn(self) -> None:
        if not Sgrpo._warned:
            Sgrpo._warned = True
            c = self.config
            warnings.warn(
                f"S-GRPO with alpha={c.alpha}, k={c.k}, p={c.p} selects every token of every completion of this batch: "
                "it is full-token GRPO in disguise. Lower alpha (or p) to train on fewer tokens.",
                stacklevel=2,
            )

    def loss(self, micro: MicroBatch) -> tuple[Tensor, Metrics]:
        return selected_loss(micro, self.config.beta)
