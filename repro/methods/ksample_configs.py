"""Settings of the methods that train for a k-sample objective (`ksample`, `pkpo`, `passk-training`), torch-free."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from repro.methods.options import MethodConfig


class _KsampleChecks(MethodConfig):
    """Checks of all three; fields are the subclasses'."""

    @property
    def group(self) -> int:
        """k: samples that the objective sees at once."""
        return self.n if self.k is None else self.k

    def _check(self):
        self._at_least(1, "n", "k", "epochs", "minibatches")
        self._at_least(0, "beta")
        self._above_zero("epsilon")
        self._below_one("epsilon")
        if self.group > self.n:
            raise self._error(f"k={self.group} exceeds n={self.n} rollouts per prompt: raise n or lower k")

    def _check_updates(self):
        if self.clip:
            self._two_updates()
        elif self.updates > 1:
            raise self._error("several updates per batch without clip follow no policy's gradient: set clip=true")


@dataclass(frozen=True)
class KsampleConfig(_KsampleChecks):
    n: int = 8
    """Rollouts per prompt, a multiple of k."""
    k: int | None = None
    """Samples that the objective aggregates; null means n. n / k groups of a prompt are independent estimates."""
    objective: Literal["mean", "pass", "majority"] = "pass"
    """Mean reward, best of k (pass@k), or the reward of the most frequent answer."""
    variant: Literal["unbiased", "biased", "naive"] = "unbiased"
    """Leave-one-out control variate (Lemma 1), its centred form (inferred), or no control variate."""
    scale: Literal["plain", "matched"] = "plain"
    """matched: the mean objective's advantages without their factor 1/k, as large as those of the others."""
    clip: bool = False
    """PPO's clip on every token's ratio (needs at least two updates per batch), or the plain policy gradient (one)."""
    epsilon: float = 0.2
    """The probability ratio is clipped to 1 - epsilon … 1 + epsilon."""
    beta: float = 0.0
    """Coefficient of the k3 KL term, outside the aggregation; 0 loads no reference model."""
    epochs: int = 1
    """Passes over one generation batch."""
    minibatches: int = 1
    """Optimizer updates per pass."""

    def _check(self):
        super()._check()
        if self.n % self.group:
            raise self._error(f"k={self.group} does not divide n={self.n} rollouts per prompt: choose a divisor of n")
        if self.variant != "naive" and self.group < 2:
            raise self._error(f"variant {self.variant} leaves one sample out: k must be at least 2, not {self.group}")
        if self.scale == "matched" and self.objective != "mean":
            raise self._error("scale=matched is for objective=mean: the others have no factor 1/k")
        self._check_updates()


@dataclass(frozen=True)
class PkpoConfig(_KsampleChecks):
    n: int = 8
    """Rollouts per prompt."""
    k: int = 4
    """The k of pass@k (of max@k for real rewards), at most n."""
    baseline: Literal["none", "loo", "loo-1"] = "loo-1"
    """No baseline (Eq. 19), leave-one-out over n - 1 samples (Eq. 29, k < n), or over subsets (Eq. 33, the default)."""
    clip: bool = False
    """PPO's clip on every token's ratio (needs at least two updates per batch), or the plain policy gradient (one)."""
    epsilon: float = 0.2
    """The probability ratio is clipped to 1 - epsilon … 1 + epsilon."""
    beta: float = 0.0
    """Coefficient of the k3 KL term, outside the objective; 0 loads no reference model."""
    epochs: int = 1
    """Passes over one generation batch."""
    minibatches: int = 1
    """Optimizer updates per pass."""

    def _check(self):
        super()._check()
        if self.baseline == "loo" and self.k >= self.n:
            raise self._error(f"baseline loo leaves a sample out and needs k below n={self.n}, not {self.k}")
        if self.baseline == "loo-1" and self.k < 2:
            raise self._error("baseline loo-1 takes a sample out of subsets of k: k must be at least 2, not 1")
        self._check_updates()


@dataclass(frozen=True)
class PasskTrainingConfig(_KsampleChecks):
    n: int = 8
    """Rollouts per prompt."""
    k: int = 4
    """The k of pass@k, at most n."""
    epsilon: float = 0.2
    """The probability ratio is clipped to 1 - epsilon … 1 + epsilon."""
    beta: float = 0.0
    """Coefficient of the k3 KL term in every token's loss; 0 loads no reference model."""
    epochs: int = 1
    """Passes over one generation batch."""
    minibatches: int = 1
    """Optimizer updates per pass."""
