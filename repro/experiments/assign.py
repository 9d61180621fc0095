"""`--set ARM.FIELD=VALUE`: finding the arms and the field that are meant, and reading the value as the field's type.

A field is looked up in the method's config, then in `train`, then in `evaluation`; the first that has it is meant
(`max_completion` is that of training; write `evaluation.max_completion` for the other).
"""

from __future__ import annotations

import fnmatch
import json
import types
import typing
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from repro.errors import InputError
from repro.experiments import registry
from repro.experiments.types import Arm, Experiment
from repro.methods import configs
from repro.store.config import EvaluationSet, EvaluationSettings, TrainSettings

SECTIONS = ("method", "train", "evaluation")


@dataclass(frozen=True)
class Assignment:
    """One `--set ARM.FIELD=VALUE`, not yet applied. `section` is None until the field is looked up."""

    arm: str  # id or glob
    section: str | None
    field: str
    text: str

    def __str__(self) -> str:
        return ".".join(part for part in (self.arm, self.section, self.field) if part) + f"={self.text}"


def parse_assignment(text: str) -> Assignment:
    """`ARM.FIELD=VALUE`, `ARM.SECTION.FIELD=VALUE` or `SECTION.FIELD=VALUE` (every arm); arm ids may hold dots."""
    path, equals, value = text.partition("=")
    parts = path.strip().split(".")
    if not equals or len(parts) < 2 or not all(parts):
        raise InputError(f"--set {text}: write ARM.FIELD=VALUE, for example '*.steps=10' or tbrm-n4.beta=0.01")
    name = parts.pop()
    section = parts.pop() if parts[-1] in SECTIONS else None
    return Assignment(".".join(parts) or "*", section, name, value.strip())


def check_assignments(experiment: Experiment, assignments: Iterable[Assignment]) -> None:
    """InputError for an assignment that no arm of the experiment can take."""
    for assignment in assignments:
        names = [arm.id for arm in experiment.arms]
        arms = [arm for arm in experiment.arms if fnmatch.fnmatchcase(arm.id, assignment.arm)]
        if not arms:
            raise InputError(
                f"--set {assignment}: {experiment.id} has no arm {assignment.arm!r}: "
                f"{registry.suggest(assignment.arm, names)}"
            )
        if not any(_section(assignment, arm) for arm in arms):
            known = sorted({name for arm in arms for name in known_fields(arm, assignment.section)})
            raise InputError(
                f"--set {assignment}: no field {assignment.field!r}: {registry.suggest(assignment.field, known)}"
            )


def known_fields(arm: Arm, section: str | None = None) -> dict[str, Any]:
    """Field name -> type of everything `--set` can change on this arm (in one section, or in all)."""
    fields: dict[str, Any] = {}
    for name in reversed(SECTIONS) if section is None else (section,):
        fields |= typing.get_type_hints(_dataclass_of(name, arm))
    if section == "evaluation":
        fields |= {name: hint for name, hint in typing.get_type_hints(EvaluationSet).items() if name not in fields}
    return fields


def _section(assignment: Assignment, arm: Arm) -> str | None:
    """The section of this arm that has the field, or None."""
    for section in SECTIONS if assignment.section is None else (assignment.section,):
        here = typing.get_type_hints(_dataclass_of(section, arm))
        if assignment.field in here:
            return section
        if section == "evaluation" == assignment.section and assignment.field in typing.get_type_hints(EvaluationSet):
            return "evaluation.sets"
    return None


def _dataclass_of(section: str, arm: Arm) -> type:
    return {"train": TrainSettings, "evaluation": EvaluationSettings}.get(section) or configs.CONFIGS[arm.method]


def apply(
    assignment: Assignment, arm: Arm, method: dict[str, Any], train: dict[str, Any], evaluation: dict[str, Any]
) -> None:
    """Write the assignment's value into the section of this arm that has the field, if any."""
    section = _section(assignment, arm)
    if section is None:  # another arm of the glob has the field: check_assignments saw to that
        return
    if section == "evaluation.sets":
        value = _parse(assignment, typing.get_type_hints(EvaluationSet)[assignment.field])
        for one in evaluation["sets"]:
            one[assignment.field] = value
        return
    hint = typing.get_type_hints(_dataclass_of(section, arm))[assignment.field]
    {"method": method, "train": train, "evaluation": evaluation}[section][assignment.field] = _parse(assignment, hint)


def _parse(assignment: Assignment, hint: Any) -> Any:
    """The text as the field's type wants it; ranges are checked by the config itself."""
    text, parts = assignment.text, [hint]
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if text.lower() in ("null", "none"):
            return None
        parts = [part for part in arguments if part is not types.NoneType]
        # Of a number or a word (beta1: float | Literal["mean", "max"]) the word is meant where the text is one.
        words = [part for part in parts if typing.get_origin(part) is typing.Literal and text in typing.get_args(part)]
        hint = words[0] if words else parts[0]
        origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    try:
        if origin is typing.Literal:
            if text in arguments:
                return text
        elif hint is bool:
            return {"true": True, "false": False}[text.lower()]
        elif hint is int:
            number = float(text)
            if number.is_integer():
                return int(text) if text.lstrip("+-").isdigit() else int(number)
        elif hint is float:
            return float(text)
        elif hint is str:
            return text
        elif origin is tuple and not text.startswith("["):
            return [json.loads(item) if arguments[0] is not str else item for item in text.split(",") if item]
        else:
            return json.loads(text)
    except (ValueError, KeyError, OverflowError):
        pass
    wanted = " or ".join(map(_wanted, parts))
    raise InputError(f"--set {assignment}: {assignment.field} must be {wanted}, not {text!r}")


def _wanted(hint: Any) -> str:
    if typing.get_origin(hint) is typing.Literal:
        return "one of " + ", ".join(map(str, typing.get_args(hint)))
    if typing.get_origin(hint) is tuple:
        return "a list, as a,b,c or JSON"
    return {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}.get(hint, "JSON")
