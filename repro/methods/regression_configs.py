"""Typed settings of the methods that regress log-probabilities onto rewards; `configs` registers them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from repro.methods.options import MethodConfig

BETA1_RULE = (
    'beta1 must be a number above 0, "mean" or "max", not {!r}: 0 is the mean in the authors\' code, but the maximum '
    "as a limit, so name the one you mean"
)


@dataclass(frozen=True)
class TbrmConfig(MethodConfig):
    n: int = 1
    """Rollouts per prompt (the paper: 1, 4 and 16); more of them only add trajectories."""
    beta: float = 0.002
    """KL strength of the target; enters the loss as reward / beta."""
    epochs: int = 1
    """Passes over one generation batch; the paper's main runs use one."""
    minibatches: int = 1
    """Optimizer updates per pass; more than one is an off-policy regime that the paper did not test."""

    def _check(self):
        self._at_least(1, "n", "epochs", "minibatches")
        self._above_zero("beta")


@dataclass(frozen=True)
class BrmConfig(MethodConfig):
    n: int = 1
    """Rollouts per prompt."""
    beta: float = 0.002
    """KL strength of the target; enters the loss as reward / beta."""
    epochs: int = 1
    """Passes over one generation batch."""
    minibatches: int = 1
    """Optimizer updates per pass."""

    def _check(self):
        self._at_least(1, "n", "epochs", "minibatches")
        self._above_zero("beta")


@dataclass(frozen=True)
class AstarPoConfig(MethodConfig):
    n: int = 1
    """On-policy rollouts per prompt (the paper: 1); more of them only add rows."""
    samples: int = 8
    """Completions per prompt that the frozen base draws before training (N of stage 1)."""
    beta1: float | Literal["mean", "max"] = 0.5
    """KL strength of the V* estimate, above 0; "mean" and "max" are its limits at infinity and at 0."""
    beta2: float = 1e-3
    """KL strength of the regression; the loss holds beta2 × log-ratio."""
    filter_wrong: bool = False
    """Drop prompts whose N samples are all wrong; prompts that are all right stay (authors: off, TRL: on)."""
    entropy_coefficient: float = 0.0
    """Weight of the entropy bonus in the authors' code (there 0.001); the paper's loss has none."""
    epochs: int = 1
    """Passes over one generation batch."""
    minibatches: int = 2
    """Optimizer updates per pass; the second one is a step off-policy and not corrected, as in the authors' code."""

    def _check(self):
        self._at_least(1, "n", "samples", "epochs", "minibatches")
        self._at_least(0, "entropy_coefficient")
        self._above_zero("beta2")
        if not isinstance(self.beta1, str) and self.beta1 <= 0:
            raise self._error(BETA1_RULE.format(self.beta1))


@dataclass(frozen=True)
class RebelConfig(MethodConfig):
    n: int = 2
    """Rollouts per prompt; even, because rows 2p and 2p + 1 are one pair and a pair shares its prompt."""
    eta: float = 1.0
    """Step size: the exact minimiser is the old policy × exp(eta × reward), normalised."""
    scale: Literal["paper", "code"] = "paper"
    """(log-ratios / eta - rewards)² of the paper, or the authors' (log-ratios - eta × rewards)², eta² times as much."""
    kl_coefficient: float = 0.0
    """Weight of the sequence's log-ratio to the base in the reward; 0 loads no reference model."""
    epochs: int = 1
    """Passes over one generation batch."""
    minibatches: int = 1
    """Optimizer updates per pass."""

    def _check(self):
        self._at_least(2, "n")
        if self.n % 2:
            raise self._error(f"n must be even, not {self.n}: the rollouts of a prompt are compared in pairs")
        self._at_least(1, "epochs", "minibatches")
        self._at_least(0, "kl_coefficient")
        self._above_zero("eta")
