"""Typed settings of every method, torch-free, checked when built.

A config holds what belongs to the algorithm. Learning rates, steps, lengths and the temperature belong to the trial's
train settings. `SEMANTICS` is part of the trial key: raise a method's number whenever the same config and seed would
give other results, so that older records stop counting as this method's.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, make_dataclass
from functools import cache
from typing import Any, Literal

from repro.errors import InputError
from repro.methods.ksample_configs import KsampleConfig, PasskTrainingConfig, PkpoConfig
from repro.methods.options import MethodConfig, nearest
from repro.methods.regression_configs import AstarPoConfig, BrmConfig, RebelConfig, TbrmConfig
from repro.methods.token_configs import GrpoEntropyConfig, KrpoConfig, SgrpoConfig, TspmoConfig


@dataclass(frozen=True)
class GrpoConfig(MethodConfig):
    n: int = 4
    """Rollouts per prompt; at least 2, because a group of one has advantage 0."""
    scale: Literal["std", "none"] = "std"
    """Divide group-centred rewards by the group's sample standard deviation, or not (Dr. GRPO)."""
    aggregate: Literal["token-mean", "sequence-mean", "fixed"] = "token-mean"
    """Mean over all tokens (DAPO), mean of per-row means (DeepSeekMath), or division by a constant (Dr. GRPO)."""
    fixed_length: int | None = None
    """The constant tokens per row of aggregate "fixed", usually the completion limit."""
    epsilon: float = 0.2
    """The probability ratio is clipped below at 1 - epsilon."""
    epsilon_high: float | None = None
    """The ratio is clipped above at 1 + epsilon_high (DAPO's clip-higher); null means epsilon."""
    beta: float = 0.0
    """Coefficient of the k3 KL term in the loss; 0 loads no reference model."""
    epochs: int = 1
    """Passes over one generation batch."""
    minibatches: int = 1
    """Optimizer updates per pass."""

    def _check(self):
        self._at_least(2, "n")
        self._at_least(1, "epochs", "minibatches", "fixed_length")
        self._at_least(0, "beta")
        self._above_zero("epsilon", "epsilon_high")
        self._below_one("epsilon")
        if (self.aggregate == "fixed") != (self.fixed_length is not None):
            raise self._error("set fixed_length exactly when aggregate is fixed (to the completion limit, as a rule)")


@dataclass(frozen=True)
class RlooConfig(MethodConfig):
    n: int = 4
    """Rollouts per prompt; at least 2, because the baseline is the mean of the others."""
    epsilon: float = 0.2
    """Clip range of the whole sequence's probability ratio; without effect at one update per batch."""
    beta: float = 0.0
    """Coefficient of the sequence's KL penalty in the reward; 0 loads no reference model."""
    epochs: int = 1
    """Passes over one generation batch."""
    minibatches: int = 1
    """Optimizer updates per pass."""

    def _check(self):
        self._at_least(2, "n")
        self._at_least(1, "epochs", "minibatches")
        self._at_least(0, "beta")
        self._above_zero("epsilon")
        self._below_one("epsilon")


@dataclass(frozen=True)
class LooConfig(MethodConfig):
    n: int = 4
    """Rollouts per prompt; at least 2, because the baseline is the mean of the others."""
    epsilon: float = 0.2
    """The probability ratio of every token is clipped to 1 - epsilon … 1 + epsilon."""
    beta: float = 0.0
    """Coefficient of the k3 KL term in the loss; 0 loads no reference model."""
    epochs: int = 1
    """Passes over one generation batch."""
    minibatches: int = 2
    """Optimizer updates per pass; epochs times minibatches must be at least 2."""

    def _check(self):
        self._at_least(2, "n")
        self._at_least(1, "epochs", "minibatches")
        self._at_least(0, "beta")
        self._above_zero("epsilon")
        self._below_one("epsilon")
        self._two_updates()


@dataclass(frozen=True)
class VinePpoConfig(MethodConfig):
    n: int = 4
    """Rollouts per prompt that are trained on (the paper: 8)."""
    k: int = 3
    """Fresh rollouts per step prefix, whose mean reward is its value (the paper: 9); they are never trained on."""
    epsilon: float = 0.2
    """The probability ratio of every token is clipped to 1 - epsilon … 1 + epsilon."""
    beta: float = 1e-4
    """Coefficient of the KL term, the mean over rows of the SUM of k3 over tokens; 0 loads no reference model."""
    cap: int | None = None
    """States per row that get an estimated value; steps that start after them have advantage 0. Null means all."""
    whiten: bool = True
    """Bring the batch's token advantages to mean 0 and standard deviation 1."""
    epochs: int = 1
    """Passes over one generation batch (the paper: 2)."""
    minibatches: int = 2
    """Optimizer updates per pass (the paper: 8); epochs times minibatches must be at least 2."""

    def _check(self):
        self._at_least(1, "n", "k", "cap", "epochs", "minibatches")
        self._at_least(0, "beta")
        self._above_zero("epsilon")
        self._below_one("epsilon")
        self._two_updates()


@dataclass(frozen=True)
class PpoConfig(MethodConfig):
    n: int = 1
    """Rollouts per prompt."""
    gamma: float = 1.0
    """Discount factor per token."""
    lam: float = 1.0
    """GAE's lambda: 1 is the Monte-Carlo return minus the value, 0 the one-step temporal difference."""
    epsilon: float = 0.2
    """The probability ratio is clipped to 1 - epsilon … 1 + epsilon."""
    value_clip: float | None = 0.5
    """New values may move this far from the old ones before their loss is clipped; null switches clipping off."""
    value_coefficient: float = 1.0
    """Weight of the critic's loss, half the squared error; the critic has its own learning rate besides."""
    kl_coefficient: float = 0.001
    """Weight of the k1 KL penalty in every token's reward; 0 loads no reference model."""
    entropy_coefficient: float = 0.001
    """Weight of the entropy bonus."""
    whiten: bool = True
    """Bring the batch's token advantages to mean 0 and standard deviation 1."""
    epochs: int = 1
    """Passes over one generation batch."""
    minibatches: int = 2
    """Optimizer updates per pass; epochs times minibatches must be at least 2."""

    def _check(self):
        self._at_least(1, "n", "epochs", "minibatches")
        self._at_least(0, "kl_coefficient", "entropy_coefficient")
        self._unit_interval("gamma", "lam")
        self._above_zero("epsilon", "value_clip", "value_coefficient")
        self._below_one("epsilon")
        self._two_updates()


@dataclass(frozen=True)
class NoneConfig(MethodConfig):
    """Arm `base`: the base model is evaluated as it is."""


@dataclass(frozen=True)
class VerdictConfig(MethodConfig):
    """What unified verification (RL^V) adds to the settings of the method that it wraps; see `verified`."""

    verify_lambda: float = 0.1
    """Weight of the verdicts' negative log-likelihood in the loss; 0 is the wrapped method, bit for bit."""
    verifier: Literal["policy", "head", "separate"] = "policy"
    """Who judges: the policy in words (RL^V), a classification head on it, or a model of its own."""
    balance: bool = False
    """Give right and wrong completions half of the verdict weight each, instead of the same weight to every row."""

    def _check(self):
        super()._check()
        self._at_least(0, "verify_lambda")


@cache
def verified(inner: type[MethodConfig]) -> type[MethodConfig]:
    """The config type of `inner`'s form with unified verification: its fields and checks, then `VerdictConfig`'s."""
    name, namespace = f"Verified{inner.__name__}", {"__module__": __name__}
    return make_dataclass(name, [], bases=(VerdictConfig, inner), namespace=namespace, frozen=True)


CONFIGS: dict[str, type[MethodConfig]] = {
    "none": NoneConfig,
    "grpo": GrpoConfig,
    "rloo": RlooConfig,
    "loo": LooConfig,
    "vineppo": VinePpoConfig,
    "ppo": PpoConfig,
    "tbrm": TbrmConfig,
    "brm": BrmConfig,
    "astar-po": AstarPoConfig,
    "rebel": RebelConfig,
    "ksample": KsampleConfig,
    "pkpo": PkpoConfig,
    "passk-training": PasskTrainingConfig,
    "sgrpo": SgrpoConfig,
    "tspmo": TspmoConfig,
    "krpo": KrpoConfig,
    "grpo-entropy": GrpoEntropyConfig,
}

SEMANTICS: dict[str, int] = {
    "none": 1, "grpo": 1, "rloo": 1, "loo": 1, "vineppo": 1, "ppo": 1, "tbrm": 1, "brm": 1, "astar-po": 1, "rebel": 1,
    "ksample": 1, "pkpo": 1, "passk-training": 1, "sgrpo": 1, "tspmo": 1, "krpo": 1, "grpo-entropy": 1,
}  # fmt: skip

# sha256 of the code of methods that are plugged in (`repro.plugins`): part of a trial's identity as the number is.
SOURCES: dict[str, str] = {}

IDENTITY = ("name", "semantics", "source")  # in a method entry beside the fields of the config

VERDICT_SEMANTICS = 1  # of the wrapper that turns a method into its -v form

TRAINED = tuple(name for name in CONFIGS if name != "none")  # every one of them has a form with verdicts, <name>-v

for _name in TRAINED:
    CONFIGS[f"{_name}-v"] = verified(CONFIGS[_name])
    # The sum rises whenever one of the two does, so a number is never used twice.
    SEMANTICS[f"{_name}-v"] = SEMANTICS[_name] + VERDICT_SEMANTICS - 1
for _name, _cls in CONFIGS.items():
    _cls.method_name = _name  # for error messages
    globals()[_cls.__name__] = _cls  # the derived types are found by name as well, so that they can be pickled


def build(name: str, options: dict[str, Any] | None = None) -> MethodConfig:
    """The config of method `name` with `options` over the defaults.

    Raises InputError for an unknown method or option (naming the nearest), a wrong type or a value out of range.
    """
    if name not in CONFIGS:
        raise InputError(f"unknown method {name!r}{nearest(name, CONFIGS)}")
    known = [spec.name for spec in fields(CONFIGS[name])]
    for option in options or {}:
        if option not in known:
            listed = ", ".join(known) or "none"
            raise InputError(f"method {name} has no option {option!r}{nearest(option, known)} (options: {listed})")
    return CONFIGS[name](**(options or {}))


def to_json(name: str, config: MethodConfig) -> dict[str, Any]:
    """The `method` entry of a trial config: name, semantics version, source of a plug-in, and every resolved field."""
    source = {"source": SOURCES[name]} if name in SOURCES else {}
    return {"name": name, "semantics": SEMANTICS[name], **source, **asdict(config)}


def from_json(method: dict[str, Any]) -> tuple[str, MethodConfig]:
    """Inverse of `to_json`. Semantics and source are identity, not options: other versions are read as they are."""
    if "name" not in method:
        raise InputError("a method entry needs a name")
    options = {key: value for key, value in method.items() if key not in IDENTITY}
    return method["name"], build(method["name"], options)
