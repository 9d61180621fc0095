"""What a trial on a bandit came to, as stored in its record: typed, and checked when it comes from outside.

The trial of one seed holds P instances, each a bandit with rewards of its own. Nothing in it is sampled: expectations
under the policy are exact, given the course that the sampled gradients took. Shape legend: P instances, L logged steps,
G values of KL.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any, TypedDict

from repro.errors import InputError

if TYPE_CHECKING:
    from repro.store.config import TrialConfig

CURVES = ("mean_reward", "max", "kl")  # max: of the trial's own k; kl: nats, to the uniform initial policy
OBJECTIVES = ("pass", "mean", "majority")
_UNUSED = {"beta": 0.0, "clip": False, "epochs": 1, "minibatches": 1}  # a bandit's step has no such parts
_TRAIN = (
    "steps", "completions_per_step", "micro_batch", "learning_rate", "checkpoint_every", "keep_checkpoints",
    "eval_every", "trackers", "processes",
)  # fmt: skip


class Band(TypedDict):
    """Over instances."""

    mean: list[float]
    low: list[float]  # 10th percentile
    high: list[float]  # 90th percentile


class ByKl(TypedDict):
    """Mean reward when the KL to the initial policy first reaches a value; over the instances that reach it."""

    nats: list[float]  # G, increasing
    reached: list[int]  # instances
    mean: list[float | None]  # null where none reached it
    low: list[float | None]
    high: list[float | None]


class ReferenceRow(TypedDict):
    """The trial's variant in the 4-action reference set-up, enumerated exactly; see `repro.training.estimators`."""

    objective: str  # from OBJECTIVES
    k: int
    bias: float  # largest component against the gradient of E[f_k]
    bias_fewer: float  # against the gradient of E[f_(k-1)]
    variance: float  # total


class Bandit(TypedDict):
    actions: int
    instances: int  # P
    k: int
    steps: list[int]  # L, increasing, from 0
    curves: dict[str, Band]  # keys from CURVES, L each
    by_kl: ByKl
    # P each, rounded: "mean_reward@100", "max@4@100", "kl@100", the same after 10 and after all steps, "reward_at_kl@2"
    # (null where never reached), "variance" (total, of the estimator at the uniform policy of that bandit; exact)
    values: dict[str, list[float | None]]
    reference: list[ReferenceRow]
    bounded_variance: float  # as "variance", where half of the actions have reward 1 and half 0; exact


def check_bandit(bandit: Any) -> None:
    """Raise `InputError` with one line unless `bandit` is a `Bandit`."""
    _require(isinstance(bandit, dict), "is not an object")
    for name in ("actions", "instances", "k"):
        _require(type(bandit.get(name)) is int and bandit[name] > 0, f"{name} is not a positive whole number")
    steps, curves, values = bandit.get("steps"), bandit.get("curves"), bandit.get("values")
    _require(_rising(steps) and all(type(step) is int for step in steps), "steps must be rising whole numbers")
    _require(isinstance(curves, dict) and set(curves) == set(CURVES), f"curves must be of {', '.join(CURVES)}")
    for name, band in curves.items():
        _band(f"curves.{name}", band, len(steps))
    by_kl = bandit.get("by_kl")
    _require(isinstance(by_kl, dict) and _rising(by_kl.get("nats")), "by_kl.nats must rise")
    size = len(by_kl["nats"])
    _numbers("by_kl.reached", by_kl.get("reached"), size)
    _band("by_kl", by_kl, size, gaps=True)
    _require(isinstance(values, dict), "values is not an object")
    for name, row in values.items():
        _numbers(f"values.{name}", row, bandit["instances"], gaps=name.startswith("reward_at_kl@"))
    _check_reference(bandit.get("reference"))
    _numbers("bounded_variance", [bandit.get("bounded_variance")], 1)


def check_tabular(config: TrialConfig) -> None:
    """Raise `InputError` unless `config`, of base kind tabular, is a trial that a bandit can run."""
    method, task, instances = config.method, config.task, config.base.get("instances")
    if type(instances) is not int or instances < 1:
        raise InputError(f"base.instances={instances!r} must be a positive whole number")
    actions = task.get("options", {}).get("actions")
    if task["name"] != "bandit" or type(actions) is not int or actions < 2:
        raise InputError("base.kind=tabular needs the task bandit with a whole number of at least 2 actions")
    if method["name"] != "ksample" or method.get("objective") not in ("mean", "pass"):
        raise InputError("a bandit needs the method ksample with objective mean or pass: its actions have no answers")
    if method["objective"] == "mean" and method.get("variant") != "unbiased":
        raise InputError(
            "a bandit with objective=mean needs variant unbiased: centred it is the same, naive it is not run"
        )
    if method.get("k") not in (None, config.n) or config.train.completions_per_step != config.n:
        raise InputError(
            f"a bandit draws k samples a step: method.k and train.completions_per_step must be n={config.n}"
        )
    for name, value in _UNUSED.items():
        if method.get(name, value) != value:
            raise InputError(f"method.{name}={method[name]} does nothing on a bandit: leave it at {value}")
    if config.train.processes != 1:
        raise InputError(f"train.processes={config.train.processes} must be 1 on a bandit")
    _no_effect("train", config.train, _TRAIN)
    _no_effect("evaluation", config.evaluation)


def _no_effect(where: str, settings: Any, used: tuple[str, ...] = ()) -> None:
    """Refuse a setting that differs from its default and would be ignored."""
    for item in dataclasses.fields(settings):
        value = getattr(settings, item.name)
        if item.name not in used and value != getattr(type(settings)(), item.name):
            raise InputError(f"{where}.{item.name}={value!r} does nothing on a bandit: leave it at its default")


def _check_reference(rows: Any) -> None:
    _require(isinstance(rows, list), "reference is not a list")
    for row in rows:
        good = isinstance(row, dict) and row.get("objective") in OBJECTIVES and type(row.get("k")) is int
        _require(good, "reference: a row needs its objective and k")
        _numbers("reference", [row.get(name) for name in ("bias", "bias_fewer", "variance")], 3)


def _band(where: str, band: Any, length: int, gaps: bool = False) -> None:
    _require(isinstance(band, dict), f"{where} is not an object")
    for name in ("mean", "low", "high"):
        _numbers(f"{where}.{name}", band.get(name), length, gaps)


def _rising(values: Any) -> bool:
    if not isinstance(values, list) or not values or not all(_number(value) for value in values):
        return False
    return values[0] >= 0 and all(a < b for a, b in zip(values, values[1:], strict=False))


def _numbers(where: str, values: Any, length: int, gaps: bool = False) -> None:
    good = isinstance(values, list) and len(values) == length
    good = good and all(_number(value) or (gaps and value is None) for value in values)
    _require(good, f"{where} needs {length} finite number{'s' if length > 1 else ''}")


def _number(value: Any) -> bool:
    # `type`, because a JSON true is an int to Python.
    return type(value) in (int, float) and math.isfinite(value)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise InputError(f"record: bandit: {message}")
