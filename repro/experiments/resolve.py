"""From experiment + scale + arm + seed + the user's changes to one validated `TrialConfig`.

Layers, later ones winning: defaults of the typed settings, the scale, the arm, the scale's values for the arm, and
`--task`, `--model`, `--set`; `--method` adds an arm. A set of changes that alters any field which decides results makes
a *variant*: an id with a hash (`table1@1a2b3c4d`) and tables of its own.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from repro import plugins
from repro.errors import InputError
from repro.experiments import registry
from repro.experiments.assign import Assignment, apply, check_assignments, parse_assignment
from repro.experiments.types import Experiment, ScaleSettings
from repro.methods import configs
from repro.store.config import EvaluationSettings, TrialConfig
from repro.tasks import catalogue

NAMES = ("experiment", "arm", "variant")
# They change how a trial runs, never its result: no variant for them.
OPERATIONAL = ("train.trackers", "train.keep_checkpoints", "train.checkpoint_every", "train.processes")
# What an untrained arm still depends on: how it is evaluated.
_EVALUATION_ONLY = ("max_prompt", "max_completion", "temperature", "precision", "backend", "vllm_memory", "processes")
# A real question or solution does not fit the lengths of a micro task.
_REAL_TASK_LENGTHS = {"smoke": (1024, 32), "micro": (1024, 256)}
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+(@[\w.-]+)?")


@dataclass(frozen=True)
class Changes:
    """What the command line changes about an experiment."""

    sets: tuple[Assignment, ...] = ()
    task: str | None = None
    model: Mapping[str, Any] | None = field(default=None, hash=False)  # a trial config's `base`
    methods: tuple[str, ...] = ()  # that `registry.with_methods` adds as arms
    beside: str | None = None  # arm whose task and base these take, where it has some of its own

    def __bool__(self) -> bool:
        return bool(self.sets or self.task or self.model or self.methods)


UNCHANGED = Changes()


def parse_changes(
    sets: Iterable[str] = (), task: str | None = None, model: str | None = None, methods: Iterable[str] = ()
) -> Changes:
    """The changes of `--set`, `--task`, `--model` and `--method`; loads the plug-ins that they name.

    Raises InputError for what cannot be a change whatever the experiment.
    """
    return Changes(
        tuple(map(parse_assignment, sets)),
        None if task is None else plugins.add("task", task),
        None if model is None else parse_model(model),
        tuple(dict.fromkeys(plugins.add("method", text) for text in methods)),
    )


def parse_model(text: str) -> dict[str, Any]:
    """A trial config's `base` from `--model`: a folder that holds a checkpoint, or a hub id `owner/name[@revision]`."""
    path = Path(text).expanduser()
    if path.is_dir():
        missing = [name for name in ("config.json",) if not (path / name).is_file()]
        if not any((path / name).is_file() for name in ("tokenizer.json", "tokenizer.model", "vocab.json")):
            missing.append("tokenizer.json")
        if not any(path.glob("*.safetensors")):
            missing.append("*.safetensors")
        if missing:
            raise InputError(f"--model {text}: not a checkpoint folder, {' and '.join(missing)} missing")
        return {"kind": "folder", "path": str(path.resolve())}
    first = Path(path.parts[0]) if path.parts else path
    if path.exists() or not _HUB_ID.fullmatch(text) or first.is_dir():
        raise InputError(f"--model {text}: no such folder, and not a hub id of the form owner/name")
    name, _, revision = text.partition("@")
    return {"kind": "hub", "id": name, "revision": revision or None}


def resolve(
    experiment: Experiment, scale: str, arm_id: str, seed: int, changes: Changes = UNCHANGED, variant: str | None = None
) -> TrialConfig:
    """The validated config of one trial. `variant` comes from `variant_of`, once for all trials of a command."""
    here = registry.settings(experiment, scale)
    arm = registry.arm_of(experiment, arm_id)
    special = _of_scale(here, arm.id, changes)
    method = {**arm.method_config, **special.get("method", {})}
    train = {**here.train, **arm.train, **special.get("train", {})}
    evaluation = _with_sets({**here.evaluation, **special.get("evaluation", {})})
    task, base = dict(special.get("task", here.task)), dict(special.get("base", here.base))
    if base["kind"] == "tabular" and (changes.model or changes.task):
        raise InputError(f"{experiment.id} runs on bandits: --task and --model do not apply; change it with --set")
    if changes.model:
        base = dict(changes.model)
    if changes.task:
        evaluation["sets"] = _sets_of_task(evaluation["sets"])
        if changes.task != task["name"]:
            task = _replace_task(changes.task, base)
            base.pop("task", None)
            _fit_lengths(train, evaluation, changes.task, scale)
    for assignment in changes.sets:
        if fnmatch.fnmatchcase(arm.id, assignment.arm):
            apply(assignment, arm, method, train, evaluation)
    if not arm.trained:
        train = {name: value for name, value in train.items() if name in _EVALUATION_ONLY}
        train |= {"steps": 0, "eval_every": 0, "checkpoint_every": 0}
        train |= {"completions_per_step": train.get("processes", 1), "micro_batch": 1}
    return TrialConfig.from_json(
        {
            "experiment": experiment.id,
            "scale": scale,
            "arm": arm.id,
            "seed": seed,
            "method": configs.to_json(arm.method, configs.build(arm.method, method)),
            "task": task,
            "base": base,
            "train": train,
            "evaluation": evaluation,
            "variant": variant,
        }
    )


def resolve_selection(selection: registry.Selection, changes: Changes = UNCHANGED) -> list[TrialConfig]:
    """The configs of every selected trial, with the variant of `changes`."""
    variant = variant_of(selection.experiment, selection.scale, changes)
    return [
        resolve(selection.experiment, selection.scale, arm, seed, changes, variant) for arm, seed in selection.trials
    ]


def variant_of(experiment: Experiment, scale: str, changes: Changes) -> str | None:
    """Eight hex digits of what `changes` really alter in the experiment's arms, or None if that is nothing.

    Raises InputError for a `--set` that names no arm or no field, with the nearest one.
    """
    if not changes:
        return None
    check_assignments(experiment, changes.sets)
    altered = {}
    for arm in experiment.arms:
        plain = flatten(resolve(experiment, scale, arm.id, 0).to_json())
        if arm.id in changes.methods:  # all of its method is a change
            plain = {name: value for name, value in plain.items() if not name.startswith("method.")}
        changed = flatten(resolve(experiment, scale, arm.id, 0, changes).to_json())
        difference = {
            name: changed.get(name)
            for name in sorted(plain.keys() | changed.keys())
            if plain.get(name) != changed.get(name) and name not in OPERATIONAL
        }
        if difference:
            altered[arm.id] = difference
    if not altered:
        return None
    return hashlib.sha256(json.dumps(altered, sort_keys=True).encode()).hexdigest()[:8]


def flatten(data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dicts as dotted names; lists stay whole."""
    flat: dict[str, Any] = {}
    for name, value in data.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def _of_scale(here: ScaleSettings, arm: str, changes: Changes) -> Mapping[str, Any]:
    """The scale's values for an arm; of an added method what makes it comparable with the arm that it stands beside."""
    if changes.beside is None or arm not in changes.methods:
        return here.arms.get(arm, {})
    other = here.arms.get(changes.beside, {})
    return {name: other[name] for name in ("task", "base", "evaluation") if name in other and "task" in other}


def _with_sets(evaluation: dict[str, Any]) -> dict[str, Any]:
    default = dataclasses.asdict(EvaluationSettings())
    sets = evaluation.get("sets", default["sets"])
    return {**evaluation, "sets": [dict(one) for one in sets]}


def _sets_of_task(sets: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The sets of the trial's own task; if the scale has none, one like its first set."""
    own = [one for one in sets if one.get("task") is None]
    return own or [{**sets[0], "task": None, "options": {}, "split": "test"}]


def _replace_task(name: str, base: Mapping[str, Any]) -> dict[str, Any]:
    if base["kind"] == "micro" and not catalogue.TASKS[name].generated:
        raise InputError(
            f"--task {name} needs --model: the micro base model is trained on generated tasks and cannot read real text"
        )
    source = {"source": catalogue.SOURCES[name]} if name in catalogue.SOURCES else {}
    return {"name": name, "options": {}, **source}


def _fit_lengths(train: dict[str, Any], evaluation: dict[str, Any], name: str, scale: str) -> None:
    if catalogue.TASKS[name].generated or scale not in _REAL_TASK_LENGTHS:
        return
    prompt, completion = _REAL_TASK_LENGTHS[scale]
    train["max_prompt"] = max(prompt, train.get("max_prompt", 0))
    train["max_completion"] = max(completion, train.get("max_completion", 0))
    evaluation["max_completion"] = max(completion, evaluation.get("max_completion", 0))
