"""From the arguments of `repro evaluate` to trial configs: the untrained arm of any experiment, with nothing around it.

The id of such a trial is `evaluate@VARIANT/MODEL-DIGEST/seedK`. The variant stands for the task and the way of asking,
so that all models evaluated alike share one id and one table; the digest tells two models of one name apart.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from repro import tasks
from repro.errors import InputError
from repro.experiments import registry
from repro.experiments._evaluate import EVALUATE, GENERATED_COMPLETION
from repro.experiments.assign import check_assignments, parse_assignment
from repro.experiments.resolve import Changes, resolve
from repro.experiments.types import Arm, Experiment
from repro.store.config import TrialConfig
from repro.store.key import content_hash
from repro.tasks import catalogue

TRAIN = ("max_prompt", "vllm_memory")  # settings of training that an evaluation obeys
_STRANGE = re.compile(r"[^A-Za-z0-9._+=-]+")
_LONGEST = 60  # characters of a model's name
_OPTION = re.compile(r"[A-Za-z_]\w*")


def configs(
    task: str,
    base: Mapping[str, Any],
    digest: str,
    scale: str,
    seeds: int = 1,
    options: Mapping[str, Any] | None = None,
    asked: Mapping[str, Any] | None = None,
    sets: Sequence[str] = (),
    data_dir: Path | None = None,
) -> list[TrialConfig]:
    """The trials of one model on one task, one per seed.

    `task`: a name of the catalogue. `base`, `digest`: of `repro.training.base`. `asked`: fields of the evaluation
    set that differ from the scale's. `sets`: further `SECTION.FIELD=VALUE`. Raises InputError for what cannot be used.
    """
    if not 1 <= seeds <= registry.MOST_SEEDS:
        raise InputError(f"--seeds must be from 1 to {registry.MOST_SEEDS}, not {seeds}")
    loaded = tasks.load(task, options, data_dir)
    experiment = _experiment(loaded, options or {}, base, digest, scale, asked or {})
    (arm,) = experiment.arms
    changes = Changes(sets=tuple(map(_assignment, sets)))
    check_assignments(experiment, changes.sets)
    first = resolve(experiment, scale, arm.id, 0, changes)
    variant = content_hash({name: first.to_json()[name] for name in ("task", "train", "evaluation")})[:8]
    return [dataclasses.replace(first, seed=seed, variant=variant) for seed in range(seeds)]


def arm_name(base: Mapping[str, Any], digest: str) -> str:
    """A name for a model among others: what it is called, and the first digits of its content (of a hub id: none)."""
    if base["kind"] == "hub":
        name = base["id"].replace("/", "--") + (f"+{base['revision']}" if base.get("revision") else "")
        return _plain(name)
    return f"{_plain(Path(base['path']).name)}-{digest[:8]}"


def _plain(name: str) -> str:
    return _STRANGE.sub("-", name)[:_LONGEST].strip("._+=-") or "model"


def parse_options(texts: Sequence[str]) -> dict[str, Any]:
    """The task's options from NAME=VALUE; a value is JSON where it can be read as such, else a text."""
    import json

    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not _OPTION.fullmatch(name):
            raise InputError(f"--option {text}: write NAME=VALUE, for example template=plain or terms=[2,3]")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


def _experiment(task, options, base, digest, scale, asked) -> Experiment:
    """The experiment at one scale, with one arm for the model."""
    settings = registry.settings(EVALUATE, scale)
    source = {"source": catalogue.SOURCES[task.name]} if task.name in catalogue.SOURCES else {}
    longest = settings.evaluation["max_completion"]
    (usual,) = settings.evaluation["sets"]
    filled = dataclasses.replace(
        settings,
        task={"name": task.name, "options": dict(options), **source},
        base=dict(base),
        evaluation={
            "sets": [_set(task, usual, asked)],
            "max_completion": min(longest, GENERATED_COMPLETION) if task.generated else longest,
        },
    )
    name = arm_name(base, digest)
    return dataclasses.replace(EVALUATE, arms=(Arm(name, name, "none"),), scales={scale: filled})


def _set(task, usual: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of the evaluation set: everything that costs no further completion is recorded."""
    one = {**usual, **asked}
    if one["temperature"] == 0:
        one |= {"n": 1, "greedy": False, **asked}
    # The answers of programs would have to be found by running each of them once more.
    votes = one["n"] > 1 and not task.executes
    return {"vote": votes, "lenient": task.answer_kind == "numeric" and not task.executes, **one}


def _assignment(text: str):
    section, _, field = text.partition("=")[0].strip().partition(".")
    if (section, field) in [("evaluation", name) for name in ("task", "options", "sets")]:
        raise InputError(
            f"--set {text}: one task is evaluated at a time: name it with --task, its options with --option"
        )
    if section != "evaluation" and (section, field) not in [("train", name) for name in TRAIN]:
        named = " or ".join(f"train.{name}" for name in TRAIN)
        raise InputError(f"--set {text}: nothing is trained here: write evaluation.FIELD=VALUE, or {named}")
    return parse_assignment(text)
