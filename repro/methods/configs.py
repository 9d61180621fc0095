"""Typed settings of every method, torch-free, checked when built.

A config holds what belongs to the algorithm. Learning rates, steps, lengths and the temperature belong to the trial's
train settings. `SEMANTICS` is part of the trial key: raise a method's number whenever the same config and seed would
give other results, so that older records stop counting as this method's.
"""

from __future__ import annotations

import difflib
import math
from dataclasses import asdict, dataclass, fields
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from repro.errors import InputError


@dataclass(frozen=True)
class MethodConfig:
    """Base of all method configs: checks field types and turns whole numbers into floats where a float is meant."""

    def __post_init__(self):
        hints = get_type_hints(type(self))
        for spec in fields(self):
            value = _typed(getattr(self, spec.name), hints[spec.name])
            if value is _BAD:
                wanted = _wanted(hints[spec.name])
                raise self._error(f"{spec.name} must be {wanted}, not {getattr(self, spec.name)!r}")
            object.__setattr__(self, spec.name, value)
        self._check()

    def _check(self) -> None:
        """Ranges and combinations; subclasses extend it."""

    def _error(self, message: str) -> InputError:
        return InputError(f"method {self._name()}: {message}")

    def _name(self) -> str:
        return next((name for name, cls in CONFIGS.items() if cls is type(self)), type(self).__name__)

    def _at_least(self, minimum: float, *names: str) -> None:
        for name in names:
            value = getattr(self, name)
            if value is not None and value < minimum:
                raise self._error(f"{name} must be at least {minimum}, not {value}")

    def _above_zero(self, *names: str) -> None:
        for name in names:
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise self._error(f"{name} must be above 0, not {value}")

    def _below_one(self, *names: str) -> None:
        for name in names:
            if getattr(self, name) >= 1:
                raise self._error(f"{name} must be below 1, not {getattr(self, name)}")

    def _unit_interval(self, *names: str) -> None:
        for name in names:
            if not 0 <= getattr(self, name) <= 1:
                raise self._error(f"{name} must be between 0 and 1, not {getattr(self, name)}")

    @property
    def updates(self) -> int:
        """Optimizer updates on one generation batch."""
        return getattr(self, "epochs", 1) * getattr(self, "minibatches", 1)


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
        if self.updates < 2:
            raise self._error(
                "epochs × minibatches must be at least 2: with one update per batch the ratio is exactly 1, nothing "
                "is ever clipped, and it is not PPO"
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
class NoneConfig(MethodConfig):
    """Arm `base`: the base model is evaluated as it is."""


CONFIGS: dict[str, type[MethodConfig]] = {
    "none": NoneConfig,
    "grpo": GrpoConfig,
    "rloo": RlooConfig,
    "ppo": PpoConfig,
    "tbrm": TbrmConfig,
    "brm": BrmConfig,
}

SEMANTICS: dict[str, int] = {"none": 1, "grpo": 1, "rloo": 1, "ppo": 1, "tbrm": 1, "brm": 1}


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
    """The `method` entry of a trial config: name, semantics version and every resolved field."""
    return {"name": name, "semantics": SEMANTICS[name], **asdict(config)}


def from_json(method: dict[str, Any]) -> tuple[str, MethodConfig]:
    """Inverse of `to_json`. The semantics number is identity, not an option: other versions are read as they are."""
    if "name" not in method:
        raise InputError("a method entry needs a name")
    options = {key: value for key, value in method.items() if key not in ("name", "semantics")}
    return method["name"], build(method["name"], options)


def nearest(word: str, known) -> str:
    """`; did you mean …?` with the closest known words, or nothing."""
    close = difflib.get_close_matches(str(word), list(known), n=2)
    return f"; did you mean {' or '.join(close)}?" if close else ""


_BAD = object()


def _typed(value: Any, hint: Any) -> Any:
    """`value` as the annotation `hint` wants it, or `_BAD`. Numbers are canonical: 1 and 1.0 must hash alike."""
    if get_origin(hint) is Literal:
        return value if isinstance(value, str) and value in get_args(hint) else _BAD
    if NoneType in get_args(hint):
        inner = next(part for part in get_args(hint) if part is not NoneType)
        return None if value is None else _typed(value, inner)
    if hint is bool or isinstance(value, bool):
        return value if hint is bool and isinstance(value, bool) else _BAD
    if hint is float and isinstance(value, (int, float)):
        return float(value) if math.isfinite(value) else _BAD
    if hint is int and isinstance(value, (int, float)) and value == value // 1:
        return int(value)
    return _BAD


def _wanted(hint: Any) -> str:
    """The annotation in words, for an error message."""
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(get_args(hint))
    if NoneType in get_args(hint):
        return _wanted(next(part for part in get_args(hint) if part is not NoneType)) + " or null"
    return {bool: "true or false", int: "a whole number", float: "a number"}[hint]
