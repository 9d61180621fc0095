"""A method whose every answer is checked: what a plug-in does wrong ends its trial with one line that says so.

Checked are shapes, dtypes, NaN and infinity, weights outside the mask, and that inputs are left as they are: any
in-place change that torch counts, and whatever way rewards and mask are changed. The checks read values, so a guarded
method cannot be planned on fake tensors.
"""

from __future__ import annotations

import re
import sys
from dataclasses import fields
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from repro.errors import TrialError, explain, is_termination
from repro.methods.base import Credit, GenerationBatch, Method, Metrics, MicroBatch, Needs

# Figures of a record's health that the trainer fills in; `kl` and `clip_fraction` are the methods' own.
TRAINERS = (
    "step", "reward", "zero_variance_groups", "truncated", "unparsed", "length", "grad_norm", "loss", "signal",
    "signal_by_level", "replayed_reward", "replayed_length", "sampler_mismatch", "group",
)  # fmt: skip
FIGURE = re.compile(r"[a-z][a-z0-9_@]{0,39}")  # as records from outside may name them (`repro.store.foreign`)


class Guarded(Method):
    """`inner` with its answers checked. Raises TrialError that names the method and what is wrong."""

    def __init__(self, inner: Method):
        super().__init__(inner.config)
        self.inner, self.name = inner, inner.name
        self._file = getattr(sys.modules[type(inner).__module__], "__file__", None)

    @cached_property
    def _needs(self) -> Needs:
        first, second = self._ask("needs"), self._ask("needs")
        if first != second:
            raise self._wrong("needs", "answers differently when it is asked again: let it depend on the config alone")
        return first

    def needs(self) -> Needs:
        return self._needs

    def credit(self, batch: GenerationBatch) -> Credit:
        credit = self._ask("credit", batch)
        if not isinstance(credit, Credit):
            raise self._wrong("credit", f"must return Credit, not {type(credit).__name__}")
        self._check_credit(batch, credit)
        return credit

    def loss(self, micro: MicroBatch) -> tuple[Tensor, Metrics]:
        return self._loss("loss", micro)

    def critic_loss(self, micro: MicroBatch) -> tuple[Tensor, Metrics]:
        return self._loss("critic_loss", micro)

    def verdict_loss(self, micro: MicroBatch) -> tuple[Tensor, Metrics]:
        return self._loss("verdict_loss", micro)

    def prompt_values(self, rewards: Tensor) -> Tensor:
        values = self._ask("prompt_values", rewards)
        self._tensor("prompt_values", "the result", values, rewards.shape[:1])
        return values

    def kept_prompts(self, rewards: Tensor) -> Tensor:
        kept = self._ask("kept_prompts", rewards)
        self._tensor("kept_prompts", "the result", kept, rewards.shape[:1], floating=False)
        return kept

    def replay_from(self, batch: GenerationBatch) -> Tensor:
        places = self._ask("replay_from", batch)
        shape = (batch.rewards.shape[0] // batch.group_size, 2)
        self._tensor("replay_from", "the result", places, shape, floating=False)
        return places

    def selected_tokens(self, length: int) -> float:
        return self._ask("selected_tokens", length)

    @property
    def rows_per_prompt(self) -> int:
        return self.inner.rows_per_prompt

    # -- checks ----------------------------------------------------------------------------------------------------

    def _ask(self, name: str, *given: Any) -> Any:
        """What the method's function `name` answers; TrialError if it raises, or changes what it was given."""
        before, copies = [_state(one) for one in given], [_copies(one) for one in given]
        try:
            answer = getattr(self.inner, name)(*given)
        except (Exception, SystemExit) as error:
            if is_termination(error):
                raise
            hint = ""
            if "NoneType" in str(error):
                hint = "; a tensor that needs() does not ask for is None"
            raise self._wrong(name, f"raised {explain(error, self._file)}{hint}") from error
        for one, seen, held in zip(given, before, copies, strict=True):
            now, values = _state(one), _copies(one)
            changed = [key for key in seen if now.get(key) != seen[key]]
            changed += [key for key, value in held.items() if not torch.equal(value, values[key])]
            if changed:
                raise self._wrong(name, f"changed {changed[0]}, which it was given: work on a copy, not in place")
        return answer

    def _loss(self, name: str, micro: MicroBatch) -> tuple[Tensor, Metrics]:
        answer = self._ask(name, micro)
        if not isinstance(answer, tuple) or len(answer) != 2 or not isinstance(answer[1], dict):
            raise self._wrong(name, "must return (loss, metrics)")
        loss, metrics = answer
        self._tensor(name, "the loss", loss, (), finite=False)
        if not loss.requires_grad:
            raise self._wrong(name, "does not depend on what is trained: it has no gradient")
        if not bool(torch.isfinite(loss)) and all(_finite(micro, field.name) for field in fields(micro)):
            raise self._wrong(name, f"is {float(loss.detach())} although all it was given is finite")
        for key, pair in metrics.items():
            self._check_metric(name, key, pair)
        return loss, metrics

    def _check_name(self, where: str, key: Any) -> None:
        if key in TRAINERS:
            raise self._wrong(
                where, f"has a metric called {key!r:.60}, which the trainer fills in: choose another name"
            )
        if not isinstance(key, str) or not FIGURE.fullmatch(key):
            rule = "up to 40 small letters, digits, _ and @, a letter first"
            raise self._wrong(where, f"has a metric called {key!r:.60}: a name has {rule}")

    def _check_metric(self, where: str, key: Any, pair: Any) -> None:
        self._check_name(where, key)
        good = isinstance(pair, tuple) and len(pair) == 2
        good = good and all(isinstance(part, Tensor) and part.numel() == 1 for part in pair)
        if not good:
            raise self._wrong(where, f"metric {key!r} must be two tensors of one number, (numerator, denominator)")
        if any(part.requires_grad for part in pair):
            raise self._wrong(where, f"metric {key!r} keeps the graph alive: detach it")

    def _check_credit(self, batch: GenerationBatch, credit: Credit) -> None:
        rows, tokens = batch.rewards.shape, batch.mask.shape
        self._tensor("credit", "advantages", credit.advantages, rows, tokens, inside=batch.mask)
        self._tensor("credit", "weights", credit.weights, tokens)
        outside = {"weights": credit.weights, "kl_weights": credit.kl_weights}
        if credit.kl_weights is not None:
            self._tensor("credit", "kl_weights", credit.kl_weights, tokens)
        for name, tensor in outside.items():
            if tensor is not None and bool((tensor[~batch.mask] != 0).any()):
                raise self._wrong("credit", f"{name} must be 0 outside the mask")
        if self._needs.critic and credit.returns is None:
            raise self._wrong("credit", "returns are missing: they are the targets of the critic")
        if credit.returns is not None:
            self._tensor("credit", "returns", credit.returns, tokens, inside=batch.mask)
        if self._needs.verdict != "none" and credit.verdict_weights is None:
            raise self._wrong("credit", "verdict_weights are missing: needs() asks for verdicts")
        if credit.verdict_weights is not None:
            self._tensor("credit", "verdict_weights", credit.verdict_weights, rows)
        if credit.signal is not None:
            self._tensor("credit", "signal", credit.signal, rows, floating=False)
        for key, value in credit.metrics.items():
            self._check_name("credit", key)
            if type(value) not in (int, float) or value != value or value in (float("inf"), float("-inf")):
                raise self._wrong("credit", f"metric {key!r} must be a finite number, not {value!r}")

    def _tensor(
        self, where: str, name: str, value: Any, *shapes: tuple[int, ...], floating: bool = True, finite: bool = True,
        inside: Tensor | None = None,
    ) -> None:  # fmt: skip
        if not isinstance(value, Tensor):
            raise self._wrong(where, f"{name} must be a tensor, not {type(value).__name__}")
        if tuple(value.shape) not in map(tuple, shapes):
            wanted = " or ".join(str(tuple(shape)) for shape in shapes)
            raise self._wrong(where, f"{name} must have shape {wanted}, not {tuple(value.shape)}")
        if floating and not value.is_floating_point():
            raise self._wrong(where, f"{name} must be floating point, not {str(value.dtype).removeprefix('torch.')}")
        if floating and finite:
            seen = value[inside] if inside is not None and value.shape == inside.shape else value
            if not bool(torch.isfinite(seen).all()):
                what = "NaN" if bool(torch.isnan(seen).any()) else "infinity"
                raise self._wrong(where, f"there is {what} in {name}")

    def _wrong(self, where: str, what: str) -> TrialError:
        return TrialError(f"method {self.name}: {where}: {what}")


def _state(given: Any) -> dict[str, tuple[int, int]]:
    """Identity and number of in-place changes of every tensor that a method is given, by name."""
    if isinstance(given, Tensor):
        return {"rewards": (id(given), given._version)}
    if not isinstance(given, (GenerationBatch, MicroBatch)):
        return {}
    values = {spec.name: getattr(given, spec.name) for spec in fields(given)}
    return {name: (id(v), v._version if isinstance(v, Tensor) else 0) for name, v in values.items() if name != "extra"}


def _copies(given: Any) -> dict[str, Tensor]:
    """Copies of small tensors that every method reads: torch does not count writes through `.data` or `.numpy()`."""
    if isinstance(given, Tensor):
        return {"rewards": given.clone()}
    if not isinstance(given, (GenerationBatch, MicroBatch)):
        return {}
    return {"rewards": given.rewards.clone(), "mask": given.mask.clone()}


def _finite(micro: MicroBatch, name: str) -> bool:
    """Whether a column is finite where the method may read it."""
    value = getattr(micro, name)
    if not isinstance(value, Tensor) or not value.is_floating_point():
        return True
    inside = micro.mask if micro.scored is None else micro.scored
    return bool(torch.isfinite(value[inside] if value.shape == inside.shape else value).all())
