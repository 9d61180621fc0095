"""A*-PO: optimal advantage regression in two stages (arXiv 2505.20686); no critic, no groups, no clipping.

Stage 1, once before training: N completions per prompt from the frozen base with rewards r_1 … r_N give
    V*(x) = beta1 × ln( mean_i exp(r_i / beta1) ),
the optimal value of KL-regularised RL. Stage 2: one on-policy completion y per prompt, and the loss
    mean over rows of ( beta2 × ln( pi(y|x) / pi_ref(y|x) ) - (r - V*(x)) )²,
log-probs summed over the tokens, the end token included. The gradient flows through ln pi alone.
Sources: the authors' code (`_process_values`, `compute_policy_loss`, their two scripts) and TRL's `A2POTrainer`.

What differs from the paper or from the authors' code:
1. No entropy term by default: the formula has none, the released code subtracts 0.001 × the mean token entropy. With
   `entropy_coefficient` > 0 the mean is over rows of each row's mean over its tokens: what their code computes with
   their micro-batches of one row, and the only form of it that does not depend on how the rows are split.
2. One answer check in both stages; the authors grade stage 1 more loosely than training.
3. V* is computed from exp((r - max r) / beta1), which overflows for no beta1; theirs does below about 0.0014. The
   limits are named "mean" and "max"; their 0 means the mean, their negative values mean V* = 0.
4. All-wrong prompts stay by default, as in the authors' scripts; TRL drops them. `filter_wrong` drops them.
5. Two minibatches per batch, as theirs: the second update is one step off-policy and not corrected. More passes
   (`epochs`) and more rollouts per prompt (`n`) are this suite's options.
6. V* belongs to the prompt's row in the data set; TRL keys it by the prompt's text.
7. The forward pass for the sampling policy's log-probs, which only their log uses, is left out.
8. Truncated rows keep the reward they were given.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from repro.errors import InputError
from repro.methods.base import Credit, GenerationBatch, Method, Metrics, MicroBatch, Needs
from repro.methods.configs import AstarPoConfig
from repro.methods.regression_configs import BETA1_RULE
from repro.methods.terms import k3, masked, row_metric, row_weights, token_metric, token_weights


def optimal_value(rewards: Tensor, beta1: float | str) -> Tensor:
    """V* (P,) from `rewards` (P, N): beta1 × (logsumexp(r / beta1) - ln N), in the dtype of `rewards`.

    `beta1` is a number above 0, or one of its limits: "mean" (at infinity) and "max" (at 0). Raises InputError for
    another `beta1` (0 included, which is the mean in the authors' code) and for rewards of another shape.
    """
    if rewards.dim() != 2 or rewards.shape[1] < 1:
        raise InputError(f"V* needs rewards of shape (prompts, samples), not {tuple(rewards.shape)}")
    if not rewards.is_floating_point():
        rewards = rewards.to(torch.get_default_dtype())
    if beta1 == "mean":
        return rewards.mean(dim=1)
    best = rewards.max(dim=1, keepdim=True).values
    if beta1 == "max":
        return best[:, 0]
    number = isinstance(beta1, int | float) and not isinstance(beta1, bool)
    if not number or not math.isfinite(beta1) or beta1 <= 0:
        raise InputError(BETA1_RULE.format(beta1))
    # ln mean exp(d) = ln(1 + mean(exp(d) - 1)) with d <= 0: nothing overflows as beta1 -> 0, and nothing cancels as
    # beta1 -> infinity, where logsumexp - ln N would be the difference of two equal numbers. In float64, because a
    # tiny beta1 is 0 in float32.
    below = (rewards.double() - best) / beta1
    return (best[:, 0] + beta1 * below.expm1().mean(dim=1).log1p()).to(rewards.dtype)


def residual(logps: Tensor, ref_logps: Tensor, mask: Tensor, advantages: Tensor, beta2: float) -> Tensor:
    """(B,): beta2 × sum_t(ln pi - ln pi_ref) - A, from `logps`, `ref_logps`, `mask` (B, T) and A = r - V* (B,).

    `logps` alone gets a gradient.
    """
    log_ratio = (masked(logps, mask) - masked(ref_logps.detach(), mask)).sum(dim=1)
    return beta2 * log_ratio - advantages.detach()


def astar_po_loss(
    logps: Tensor, ref_logps: Tensor, mask: Tensor, rewards: Tensor, prompt_values: Tensor, beta2: float
) -> Tensor:
    """Mean over rows of (beta2 × sum_t(ln pi - ln pi_ref) - (r - V*))², a scalar.

    `logps`, `ref_logps`, `mask` (B, T): summed over the mask, never averaged; `rewards`, `prompt_values` (B,).
    """
    return (residual(logps, ref_logps, mask, rewards - prompt_values, beta2) ** 2).mean()


class AstarPo(Method):
    name = "astar-po"
    Config = AstarPoConfig

    def needs(self) -> Needs:
        c = self.config
        return Needs(
            reference=True,
            entropy=c.entropy_coefficient > 0,
            prompt_samples=c.samples,
            epochs=c.epochs,
            minibatches=c.minibatches,
        )

    def prompt_values(self, rewards: Tensor) -> Tensor:
        return optimal_value(rewards, self.config.beta1)

    def kept_prompts(self, rewards: Tensor) -> Tensor:
        """All prompts; with `filter_wrong` those of which at least one sample was rewarded."""
        if not self.config.filter_wrong:
            return super().kept_prompts(rewards)
        return (rewards != 0).any(dim=1)

    def credit(self, batch: GenerationBatch) -> Credit:
        """A = r - V*, one weight per row; InputError when rows have no V*."""
        values = batch.prompt_values
        if values is None or values.shape != batch.rewards.shape or not torch.isfinite(values).all():
            raise InputError(
                f"method {self.name}: prompts without V*: give every row of the batch a finite prompt value, made by "
                "prompt_values from the frozen base's rewards (stage 1)"
            )
        dtype = batch.rewards.dtype
        entropy_weights = None
        if self.config.entropy_coefficient > 0:
            entropy_weights = token_weights(batch.mask, "sequence-mean", dtype)
        return Credit(batch.rewards - values, row_weights(batch.mask, dtype), kl_weights=entropy_weights)

    def loss(self, micro: MicroBatch) -> tuple[Tensor, Metrics]:
        c, advantages = self.config, micro.advantages[:, 0]
        errors = residual(micro.logps, micro.ref_logps, micro.mask, advantages, c.beta2)
        loss = (micro.weights[:, 0] * errors**2).sum()
        if c.entropy_coefficient > 0:
            loss = loss - c.entropy_coefficient * (micro.kl_weights * masked(micro.entropy, micro.mask)).sum()
        metrics = {
            "kl": token_metric(k3(masked(micro.logps, micro.mask), masked(micro.ref_logps, micro.mask)), micro.mask),
            "advantage": row_metric(advantages),
            "residual": row_metric(errors),
            "residual_squared": row_metric(errors**2),
        }
        return loss, metrics
