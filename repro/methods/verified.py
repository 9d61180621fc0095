"""Unified verification (RL^V, arXiv 2505.04842): any method's form in which one model also learns to judge.

J = J_RL + lambda × J_verify. The rollouts already drawn are the verifier's examples: asked after each whether it is
correct, the model shall answer Yes if its reward is 1, else No; J_verify is the log-likelihood of that one token. The
wrapped method's credit and loss stay what they are, bit for bit; with lambda = 0 nothing is added.
    loss = loss of the method - lambda × mean over rollouts of ln pi( Yes if r = 1 else No | x, y, "is it correct?" ).

What differs from the paper, or is not stated there:
1. The lambda that the paper uses is not known here; 0.1 is among the values that the authors' scripts try.
2. The mean is over the rollouts of the generation batch, and it is taken again in every pass over it (not stated).
3. Balancing right and wrong rollouts is an option, off by default (not stated).
4. Verdicts with a binary cross-entropy head, or by a model of its own (`verifier`), are this suite's forms of the
   paper's ablations. For a separate model lambda only scales a loss that nothing else joins: with Adam it has almost no
   effect, with a gradient clip none or little.
5. `verdict_accuracy` counts the rollouts whose right verdict has a probability above 1/2 while training; the
   evaluation's accuracy reads P(Yes) alone.
How the question is put, and what the model sees before it, is the trainer's and the task's business.
"""

from __future__ import annotations

import math
from dataclasses import fields, replace
from functools import cache

import torch
from torch import Tensor

from repro.methods import configs
from repro.methods.base import Credit, GenerationBatch, Method, Metrics, MicroBatch, Needs
from repro.methods.terms import row_metric


def verdict_labels(rewards: Tensor) -> Tensor:
    """The right verdicts (B,) of `rewards` (B,), bool: True is Yes, for a reward of 1; all others are No."""
    return rewards == 1


def verdict_weights(rewards: Tensor, balance: bool = False) -> Tensor:
    """Weights (B,) of the verdicts on rollouts with `rewards` (B,); they add up to 1.

    1 / B each; with `balance` the rows of either label share 1/2 evenly, or 1 where the other label is absent.
    """
    if not balance:
        return torch.full_like(rewards, 1.0 / rewards.shape[0])
    labels = verdict_labels(rewards)
    right = labels.sum()
    wrong = labels.numel() - right
    both = (right > 0) & (wrong > 0)
    same = torch.where(labels, right, wrong).to(rewards.dtype)
    return torch.where(both, 0.5, 1.0).to(rewards.dtype) / same


@cache
def verified(inner: type[Method]) -> type[Method]:
    """The form of `inner` with unified verification: name `<inner>-v`, config `configs.verified(inner.Config)`."""

    class Verified(Method):
        name = f"{inner.name}-v"
        Config = configs.verified(inner.Config)

        def __init__(self, config):
            super().__init__(config)
            self.inner = inner(inner.Config(**{f.name: getattr(config, f.name) for f in fields(inner.Config)}))

        @property
        def _active(self) -> bool:
            return self.config.verify_lambda > 0

        def needs(self) -> Needs:
            needs = self.inner.needs()
            return replace(needs, verdict=self.config.verifier) if self._active else needs

        def credit(self, batch: GenerationBatch) -> Credit:
            credit = self.inner.credit(batch)
            if not self._active:
                return credit
            return replace(credit, verdict_weights=verdict_weights(batch.rewards, self.config.balance))

        def loss(self, micro: MicroBatch) -> tuple[Tensor, Metrics]:
            loss, metrics = self.inner.loss(micro)
            if not self._active or self.config.verifier == "separate":
                return loss, metrics
            verdict_loss, verdict_metrics = self.verdict_loss(micro)
            return loss + verdict_loss, metrics | verdict_metrics

        def prompt_values(self, rewards: Tensor) -> Tensor:
            return self.inner.prompt_values(rewards)

        def kept_prompts(self, rewards: Tensor) -> Tensor:
            return self.inner.kept_prompts(rewards)

        def replay_from(self, batch: GenerationBatch) -> Tensor:
            return self.inner.replay_from(batch)

        def selected_tokens(self, length: int) -> float:
            return self.inner.selected_tokens(length)

        def critic_loss(self, micro: MicroBatch) -> tuple[Tensor, Metrics]:
            return self.inner.critic_loss(micro)

        def verdict_loss(self, micro: MicroBatch) -> tuple[Tensor, Metrics]:
            if not self._active:
                return super().verdict_loss(micro)
            logps = micro.verdict_logps
            right = (logps > math.log(0.5)).to(logps.dtype)
            metrics = {"verdict_loss": row_metric(-logps), "verdict_accuracy": row_metric(right)}
            return -self.config.verify_lambda * (micro.verdict_weights * logps).sum(), metrics

    Verified.__name__ = Verified.__qualname__ = f"Verified{inner.__name__}"
    Verified.__doc__ = f"`{inner.name}` with unified verification."
    return Verified
