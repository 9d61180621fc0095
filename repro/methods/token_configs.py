"""Settings of the methods that select tokens (`sgrpo`, `tspmo`, `grpo-entropy`) and of `krpo`, torch-free."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from repro.methods.options import MethodConfig


@dataclass(frozen=True)
class SgrpoConfig(MethodConfig):
    n: int = 4
    """Rollouts per prompt; at least 2, because a group of one has advantage 0."""
    alpha: int = 2
    """Leading tokens of a completion that always count (not public; IAPO's 150 would cover a short answer whole)."""
    k: int | None = None
    """Cap on the tokens that count; null means none, so that late tokens have the same chance (IAPO: 341)."""
    p: float = 0.3
    """Chance that a token after the first alpha counts; with alpha=2, 37 to 48 % of 8 to 20 tokens do (IAPO: 0.5)."""
    reading: Literal["so_far", "length", "random_rest"] = "so_far"
    """What k is compared with: tokens selected so far (the formula's words), the length, or all draws together."""
    scale: Literal["std", "none"] = "std"
    """Divide group-centred rewards by the group's sample standard deviation, or not (the paper's choice is unknown)."""
    beta: float = 0.0
    """Coefficient of the k3 KL term in the loss; 0 loads no reference model."""
    kl_scope: Literal["selected", "all"] = "selected"
    """Tokens of the KL term: those that count, or all of them; either way a mean per completion."""

    def _check(self):
        self._at_least(2, "n")
        self._at_least(0, "alpha", "k", "beta")
        self._unit_interval("p")


@dataclass(frozen=True)
class TspmoConfig(MethodConfig):
    n: int = 4
    """Rollouts per prompt (and per replay); at least 2, because one completion has no branching point."""
    normalise: Literal["pairs", "branching"] = "pairs"
    """Mean over all unique (prefix, token) pairs of a group (the reconstruction), or over those with an advantage."""
    beta: float = 0.0
    """Coefficient of the k3 KL term on the trained tokens, our regulariser; 0 loads no reference model."""
    replay: bool = False
    """Draw a second group per prompt that restarts inside a completion of the first."""

    def _check(self):
        self._at_least(2, "n")
        self._at_least(0, "beta")


@dataclass(frozen=True)
class GrpoEntropyConfig(MethodConfig):
    n: int = 4
    """Rollouts per prompt; at least 2, because a group of one has advantage 0."""
    top_entropy: float = 0.2
    """Share of the batch's tokens, those of highest entropy, that the surrogate is taken on; 1 is `grpo`."""
    scale: Literal["std", "none"] = "std"
    """Divide group-centred rewards by the group's sample standard deviation, or not (Dr. GRPO)."""
    aggregate: Literal["token-mean", "sequence-mean"] = "token-mean"
    """Mean over all tokens, or mean of per-row means; tokens without a weight count too (TRL's normaliser)."""
    epsilon: float = 0.2
    """The probability ratio is clipped to 1 - epsilon … 1 + epsilon."""
    beta: float = 0.0
    """Coefficient of the k3 KL term on all tokens; 0 loads no reference model."""
    epochs: int = 1
    """Passes over one generation batch."""
    minibatches: int = 1
    """Optimizer updates per pass."""

    def _check(self):
        self._at_least(2, "n")
        self._at_least(1, "epochs", "minibatches")
        self._at_least(0, "beta")
        self._above_zero("top_entropy", "epsilon")
        self._unit_interval("top_entropy")
        self._below_one("epsilon")


@dataclass(frozen=True)
class KrpoConfig(MethodConfig):
    n: int = 4
    """Rollouts per prompt (the authors' code: 12); at least 2."""
    q: float = 1e-5
    """Variance that the baseline gains with every sample (process noise)."""
    r: float = 1e-2
    """Variance of a reward around the baseline (measurement noise)."""
    x0: float = 0.0
    """Baseline before the first reward."""
    p0: float = 1.0
    """Variance of the baseline before the first reward."""
    order: Literal["sampling", "shuffled", "averaged"] = "sampling"
    """The samples' order in the filter: as drawn (the code), a random one, or the exact mean over all orders."""
    baseline: Literal["kalman", "running-mean", "group-mean"] = "kalman"
    """The filter, or a control: GRPO with a running mean; GRPO's advantages times sqrt(i / r), i the sample's place."""
    scale: Literal["filter", "unit"] = "filter"
    """unit: divide by the filter's mean weight, a constant, so that advantages are as large as RLOO's."""
    epsilon: float = 0.2
    """The probability ratio is clipped to 1 - epsilon … 1 + epsilon."""
    beta: float = 0.01
    """Coefficient of the k3 KL term in the loss (the authors' code: 0.01); 0 loads no reference model."""
    epochs: int = 1
    """Passes over one generation batch."""
    minibatches: int = 1
    """Optimizer updates per pass (the authors' code: 24)."""

    def _check(self):
        self._at_least(2, "n")
        self._at_least(1, "epochs", "minibatches")
        self._at_least(0, "q", "beta")
        self._above_zero("r", "p0", "epsilon")
        self._below_one("epsilon")
        if self.baseline != "kalman" and self.order == "averaged":
            raise self._error("order=averaged is the filter's mean over orders: it needs baseline=kalman")
        if self.baseline != "kalman" and self.scale == "unit":
            raise self._error("scale=unit divides by the filter's mean weight: it needs baseline=kalman")
