"""The contract of a method, checked on toy batches: what the trainer relies on, whatever the algorithm.

Each check takes a method and raises AssertionError with one line that names it and what is wrong. Shapes, NaN and
changed inputs are found by `repro.methods.guard`, which also watches a plug-in while it trains, and use of the global
random generators by `repro.testing.watched`.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import fields

import torch
from torch import Tensor

from repro.errors import TrialError
from repro.methods import configs
from repro.methods.base import Credit, GenerationBatch, Method
from repro.testing.toy import Setup, gradient, make_setup, micro_batch, permute_units, total_loss
from repro.testing.watched import Watched

ROWS, SEEDS = 8, 3
CLOSE = {"rtol": 1e-11, "atol": 1e-12}


def check(method: Method) -> None:
    """Every check of this module."""
    for one in CHECKS:
        one(method)


def rows_of(method: Method) -> int:
    """Rows of a toy batch: at least `ROWS`, whole units, and two prompts or more."""
    whole = math.lcm(method.rows_per_prompt, method.needs().unit)
    return whole * max(2, -(-ROWS // whole))


def made(method: Method, seed: int = 0, **more) -> Setup:
    """A toy batch with its credit; what the guard finds is an AssertionError."""
    with _said():
        return make_setup(Watched(method), rows_of(method), seed=seed, **more)


@contextlib.contextmanager
def _said() -> Iterator[None]:
    """Errors of the guard as failures of a test."""
    try:
        yield
    except TrialError as error:
        raise AssertionError(str(error)) from error


def config_survives_json(method: Method) -> None:
    """The config written into a record and read again is the same config."""
    entry = configs.to_json(method.name, method.config)
    again = configs.from_json(json.loads(json.dumps(entry)))
    _require(again == (method.name, method.config), method, f"its config comes back from JSON as {again[1]}")


def answers_are_well_formed(method: Method) -> None:
    """Credit and losses have the right shapes and no NaN, also where all rewards are equal and rows are short."""
    for seed in range(SEEDS):
        setup = made(method, seed)
        for rewards in (setup.batch.rewards, torch.zeros_like(setup.batch.rewards), setup.batch.rewards * 0 + 1):
            setup.batch.rewards = rewards
            with _said():
                setup.credit = _credit(setup)
                micro = micro_batch(setup, torch.arange(rows_of(method)))
                loss, _ = total_loss(setup.method, micro)
            _require(bool(torch.isfinite(loss)), method, f"the loss is {float(loss.detach())} on finite inputs")


def rounding_keeps_the_dtype(method: Method) -> None:
    """float32 in, float32 out."""
    setup = made(method)
    setup.policy.float()
    for spec in fields(GenerationBatch):
        tensor = getattr(setup.batch, spec.name)
        if isinstance(tensor, Tensor) and tensor.is_floating_point():
            setattr(setup.batch, spec.name, tensor.float())
    with _said():
        setup.credit = _credit(setup)
        loss, _ = total_loss(setup.method, micro_batch(setup, torch.arange(rows_of(method))))
    _require(loss.dtype == torch.float32, method, f"from float32 inputs its loss is {loss.dtype}")


def inputs_are_left_alone(method: Method) -> None:
    """Neither the generation batch nor a micro-batch is changed, by whatever way."""
    setup = made(method)
    before = _copies(setup.batch)
    with _said():
        setup.credit = _credit(setup)
    _same(method, "credit changed", before, _copies(setup.batch))
    micro = micro_batch(setup, torch.arange(rows_of(method)))
    before = _copies(micro)
    with _said():
        total_loss(setup.method, micro)
    _same(method, "a loss changed", before, _copies(micro))


def same_inputs_give_the_same_answers(method: Method) -> None:
    """Two calls agree bit for bit, whatever the state of torch's global generator."""
    answers = []
    for state in (0, 1):
        setup = made(method)
        with torch.random.fork_rng(devices=[]), _said():
            torch.manual_seed(state)
            setup.credit = _credit(setup)
            slope, _ = _gradient(setup, [torch.arange(rows_of(method))])
        answers.append({**_copies(setup.credit), "the gradient": slope})
    _same(method, "two calls on the same inputs differ (draw from batch.generator alone) in", *answers)


def gradients_add_up(method: Method) -> None:
    """The gradient and the metrics do not depend on how the rows are cut into micro-batches, nor on their order."""
    slopes = []
    for seed in range(SEEDS):
        slopes += [cut_agrees(method, seed, size=1), cut_agrees(method, seed, size=2, order=seed)]
    for right in (True, False):  # some methods learn only where one row of a group is unlike the others
        setup, places = made(method), torch.arange(rows_of(method))
        setup.batch.rewards = ((places % setup.batch.group_size == 0) == right).to(setup.batch.rewards.dtype)
        with _said():
            setup.credit = _credit(setup)
        slopes.append(float(_gradient(setup, [places])[0].abs().max()))
    _require(max(slopes) > 1e-6, method, "its gradient is 0 whatever the rewards")


def cut_agrees(method: Method, seed: int, size: int, order: int | None = None) -> float:
    """One batch at once against micro-batches of `size` units, permuted by the seed `order`; the largest slope."""
    setup, rows, unit = made(method, seed), rows_of(method), method.needs().unit
    whole = _gradient(setup, [torch.arange(rows)])
    places = torch.arange(rows)
    if order is not None:
        places = permute_units(rows, unit, torch.Generator().manual_seed(order))
    cut = _gradient(setup, list(places.split(size * unit)))
    _agree(method, f"micro-batches of {size * unit} rows instead of one of {rows}", whole, cut)
    return float(whole[0].abs().max())


def padding_changes_nothing(method: Method) -> None:
    """Three more columns of padding leave gradient and metrics as they are."""
    narrow, wide = made(method), made(method)
    length = narrow.batch.mask.shape[1]
    for spec in fields(GenerationBatch):
        tensor = getattr(wide.batch, spec.name)
        if isinstance(tensor, Tensor) and tensor.shape == narrow.batch.mask.shape:
            outside = torch.nan if tensor.is_floating_point() else -1 if spec.name == "steps" else 0
            filler = torch.full((tensor.shape[0], 3), outside).to(tensor.dtype)
            setattr(wide.batch, spec.name, torch.cat([tensor, filler], dim=1))
    wide.policy.widen(3)
    with _said():
        wide.credit = _credit(wide)
    everything = [torch.arange(rows_of(method))]
    first, second = _gradient(narrow, everything), _gradient(wide, everything)
    _require(float(wide.policy.position.grad[length:].abs().sum()) == 0, method, "padding has a gradient")
    kept = wide.policy.narrowed(second[0], length)
    _agree(method, "three more columns of padding", first, (kept, second[1]), {"rtol": 1e-11, "atol": 1e-9})


CHECKS: tuple[Callable[[Method], None], ...] = (
    config_survives_json,
    answers_are_well_formed,
    rounding_keeps_the_dtype,
    inputs_are_left_alone,
    same_inputs_give_the_same_answers,
    gradients_add_up,
    padding_changes_nothing,
)


def _credit(setup: Setup) -> Credit:
    """The credit of a batch that may have been changed since, with the draws of the first time."""
    setup.batch.generator.manual_seed(setup.seed)
    with torch.no_grad():
        return setup.method.credit(setup.batch)


def _gradient(setup: Setup, partition: list[Tensor]) -> tuple[Tensor, dict[str, float]]:
    with _said():
        return gradient(setup, partition)


def _copies(given) -> dict[str, Tensor]:
    values = {spec.name: getattr(given, spec.name) for spec in fields(given)}
    return {name: value.detach().clone() for name, value in values.items() if isinstance(value, Tensor)}


def _same(method: Method, what: str, before: dict[str, Tensor], after: dict[str, Tensor]) -> None:
    for name, tensor in before.items():
        other = after.get(name)
        equal = other is not None and tensor.shape == other.shape
        equal = equal and bool(torch.equal(torch.nan_to_num(tensor), torch.nan_to_num(other)))
        _require(equal, method, f"{what} {name}")


def _agree(method: Method, what: str, first, second, close: dict[str, float] = CLOSE) -> None:
    """The same gradient and metrics up to rounding in float64."""
    bound = close["atol"] * max(1.0, float(first[0].abs().max())) + close["rtol"] * first[0].abs()
    gap = (first[0] - second[0]).abs()
    good = bool((gap <= bound).all())
    _require(good, method, f"{what} change the gradient by {float(gap.max()):.1e}: a loss is a plain weighted sum over "
             "rows, and every normaliser belongs into the weights of credit")  # fmt: skip
    for name in sorted(first[1].keys() | second[1].keys()):
        pair = [values.get(name, math.nan) for values in (first[1], second[1])]
        good = math.isclose(*pair, rel_tol=close["rtol"], abs_tol=close["atol"])
        _require(good, method, f"{what} change metric {name} from {pair[0]} to {pair[1]}: give (sum, count)")


def _require(condition: bool, method: Method, message: str) -> None:
    if not condition:
        raise AssertionError(f"method {method.name}: {message}")
