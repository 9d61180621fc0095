"""Terms that several methods share: nan-safe masking and sums, token normalisers, the clipped surrogate, the k3 KL.

Positions outside the mask may hold anything, NaN included: they change neither a value nor a gradient.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from repro.methods.base import Metrics, MicroBatch


def masked(values: Tensor, mask: Tensor) -> Tensor:
    """`values` (B, T) with 0 outside `mask` (B, T); no gradient flows into the masked positions."""
    return values.masked_fill(~mask.bool(), 0.0)


def token_weights(mask: Tensor, aggregate: str, dtype: torch.dtype, fixed_length: int | None = None) -> Tensor:
    """Weights (B, T) by which a weighted sum over tokens becomes the named mean over the whole batch.

    - `token-mean`: 1 / number of tokens in the batch (DAPO, arXiv 2503.14476, Eq. 8);
    - `sequence-mean`: 1 / (B × tokens of the row), the mean of row means (DeepSeekMath, arXiv 2402.03300, Eq. 3);
    - `fixed`: 1 / (B × fixed_length), no length bias (Dr. GRPO, arXiv 2503.20783, section 3.2).
    """
    tokens = mask.to(dtype)
    if aggregate == "token-mean":
        return tokens / tokens.sum().clamp(min=1.0)
    if aggregate == "sequence-mean":
        return tokens / tokens.sum(dim=1, keepdim=True).clamp(min=1.0) / mask.shape[0]
    if aggregate == "fixed" and fixed_length:
        return tokens / (mask.shape[0] * fixed_length)
    raise ValueError(f"no token weights for aggregate {aggregate!r} with fixed_length {fixed_length!r}")


def row_weights(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Weights (B, T) of a mean over rows: 1 / B in column 0, 0 elsewhere (see `Credit`)."""
    weights = torch.zeros(mask.shape, dtype=dtype, device=mask.device)
    weights[:, 0] = 1.0 / mask.shape[0]
    return weights


def clipped_surrogate(log_ratio: Tensor, advantages: Tensor, low: float, high: float) -> tuple[Tensor, Tensor]:
    """PPO's pessimistic objective (arXiv 1707.06347, Eq. 7), any shape, to be MAXIMISED, and where the clip is active.

    Returns min(ratio × A, clip(ratio, 1 - low, 1 + high) × A) and a bool tensor: True where the ratio has left the
    range on the side on which the clip takes the gradient away (TRL's definition of clip ratio).
    """
    ratio = log_ratio.exp()
    objective = torch.minimum(ratio * advantages, ratio.clamp(1.0 - low, 1.0 + high) * advantages)
    active = ((ratio < 1.0 - low) & (advantages < 0)) | ((ratio > 1.0 + high) & (advantages > 0))
    return objective, active


def k3(logps: Tensor, ref_logps: Tensor) -> Tensor:
    """Schulman's estimator of KL(pi || ref) per token, any shape: exp(-d) - 1 + d with d = logps - ref_logps.

    Never negative, and unbiased for tokens sampled from pi; the form of DeepSeekMath (Eq. 4) and of TRL.
    """
    difference = ref_logps - logps
    return torch.expm1(difference) - difference


def clamped_k3(logps: Tensor, ref_logps: Tensor, limit: float) -> Tensor:
    """`k3` clamped to 0 … `limit` (VinePPO's authors' code: 10); beyond the limit the gradient is 0, never NaN."""
    # k3 passes the limit well before its difference does, and exp of more might overflow: inf has no gradient.
    difference = (ref_logps - logps).clamp(max=limit + 1.0)
    return (torch.expm1(difference) - difference).clamp(0.0, limit)


def token_metric(values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """(sum of `values` over the tokens of `mask`, number of tokens), detached: one entry of `Metrics`."""
    return masked(values.detach(), mask).sum(), mask.sum()


def row_metric(values: Tensor) -> tuple[Tensor, Tensor]:
    """(sum of `values` (b,), number of rows), detached: one entry of `Metrics`."""
    return values.detach().sum(), torch.tensor(values.shape[0], device=values.device)


def clipped_loss(micro: MicroBatch, low: float, high: float, beta: float) -> tuple[Tensor, Metrics]:
    """Weighted sum over tokens of minus the clipped surrogate, plus `beta` times k3 where there is a reference.

    Without `old_logps` (one update per batch) the old policy is the policy itself, and the ratio exactly 1. The KL term
    has the weights of the surrogate unless there are `kl_weights`.
    """
    logps = masked(micro.logps, micro.mask)
    old_logps = logps.detach() if micro.old_logps is None else masked(micro.old_logps, micro.mask)
    objective, clipped = clipped_surrogate(logps - old_logps, micro.advantages, low, high)
    token_loss = -objective
    metrics = {"clip_fraction": token_metric(clipped.to(logps.dtype), micro.mask)}
    if micro.ref_logps is not None:
        kl = k3(logps, masked(micro.ref_logps, micro.mask))
        metrics["kl"] = token_metric(kl, micro.mask)
        if micro.kl_weights is not None:
            return (micro.weights * token_loss).sum() + beta * (micro.kl_weights * kl).sum(), metrics
        token_loss = token_loss + beta * kl
    return (micro.weights * token_loss).sum(), metrics


def selected_loss(micro: MicroBatch, beta: float, clip: float = math.inf) -> tuple[Tensor, Metrics]:
    """`clipped_loss` and its metrics on the tokens with a weight or a KL weight alone.

    The log-probs of all others need not have been computed (`Needs.selected`): they may hold anything. An infinite
    `clip` clips nothing, which is exact at one update per batch, where every ratio is 1.
    """
    scored = micro.weights != 0
    if micro.kl_weights is not None:
        scored = scored | (micro.kl_weights != 0)
    return clipped_loss(replace(micro, mask=micro.mask & scored), clip, clip, beta)
