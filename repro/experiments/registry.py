"""Which experiments exist, what their ids mean, and the twins derived from each definition.

An id is `experiment`, `experiment/arm` or `experiment/arm/seedK`; each part may be a glob. Every module of this package
with a constant `EXPERIMENT` is an experiment: a new table is a new file. `repro.experiments.twins` derives its smoke
scale and its tuning experiment.
"""

from __future__ import annotations

import difflib
import fnmatch
import functools
import importlib
import pkgutil
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from repro.errors import InputError
from repro.experiments._evaluate import EVALUATE
from repro.experiments.twins import TUNING_SUFFIX, grid_arm, tuning_twin, with_smoke
from repro.experiments.types import Arm, Experiment, ScaleSettings

SCALES = ("smoke", "micro", "small", "paper")
MOST_SEEDS = 1000  # more is a slip of the keyboard, and seeds from 1000 belong to tuning


@dataclass(frozen=True)
class Selection:
    """The trials that ids select from one experiment: (arm, seed) pairs, arm by arm, seeds in order."""

    experiment: Experiment
    scale: str
    trials: tuple[tuple[str, int], ...]

    @property
    def arms(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(arm for arm, _ in self.trials))


@functools.cache
def experiments() -> Mapping[str, Experiment]:
    """Every experiment by id, with its smoke scale, and the tuning twins; in the order of their file names."""
    package = importlib.import_module("repro.experiments")
    found: dict[str, Experiment] = {}
    for module in pkgutil.iter_modules(package.__path__):
        experiment = getattr(importlib.import_module(f"{package.__name__}.{module.name}"), "EXPERIMENT", None)
        if experiment is None:
            continue
        found[experiment.id] = with_smoke(experiment)
        if experiment.tuning:
            found[experiment.id + TUNING_SUFFIX] = with_smoke(tuning_twin(experiment))
    return found


def get(name: str) -> Experiment:
    """The experiment called `name`; InputError naming the nearest ones if there is none.

    That of `repro evaluate` has records like any other, but no arms to run: it is not among `experiments`.
    """
    known = {**experiments(), EVALUATE.id: EVALUATE}
    if name not in known:
        raise InputError(f"unknown experiment {name!r}: {suggest(name, known)}")
    return known[name]


def suggest(word: str, known: Iterable[str]) -> str:
    """`did you mean a or b?`, or the list of what there is when nothing comes near."""
    names = list(known)
    near = difflib.get_close_matches(word, names, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names)}"


def settings(experiment: Experiment, scale: str) -> ScaleSettings:
    """How the experiment looks at `scale`; InputError if it does not have that scale."""
    if scale not in experiment.scales:
        raise InputError(f"{experiment.id} has no scale {scale!r}: {suggest(scale, experiment.scales)}")
    return experiment.scales[scale]


def with_methods(experiment: Experiment, names: Iterable[str]) -> Experiment:
    """The experiment with a core arm for each method, named after it, with its default config.

    InputError where there is such an arm already, and for a bandit, which has no prompts to train on.
    """
    names = tuple(names)
    if names and experiment.tabular:
        raise InputError(f"{experiment.id} runs on bandits: --method does not apply")
    for name in names:
        if any(arm.id == name for arm in experiment.arms):
            raise InputError(f"{experiment.id} has an arm called {name} already: change it with --set {name}.FIELD=…")
    return replace(experiment, arms=experiment.arms + tuple(Arm(name, name, name) for name in names))


def with_recorded(experiment: Experiment, records: Iterable[Mapping[str, Any]]) -> Experiment:
    """The experiment with the arms that only `records` of a variant have: methods plugged in when it was run."""
    known = {arm.id for arm in experiment.arms}
    added = {r["arm"]: str(r["config"]["method"]["name"]) for r in records if r["arm"] not in known}
    return replace(experiment, arms=experiment.arms + tuple(Arm(arm, arm, name) for arm, name in added.items()))


def select(
    patterns: Iterable[str],
    scale: str | None = None,
    arms: str | None = None,
    seeds: int | None = None,
    methods: Iterable[str] = (),
) -> list[Selection]:
    """The trials that `patterns` name, one Selection per experiment and scale.

    `arms`: "core" (as when absent), "all", or a comma-separated list of arm ids or globs. `seeds`: how many, counted
    from the scale's first seed. An id with an arm or a seed in it selects that one even if it is an ablation arm or a
    seed beyond the count. `methods` become arms of every experiment that is selected (`with_methods`). Raises
    InputError for anything that selects nothing.
    """
    if seeds is not None and not 1 <= seeds <= MOST_SEEDS:
        raise InputError(f"--seeds must be from 1 to {MOST_SEEDS}, not {seeds}")
    merged: dict[tuple[str, str], dict[tuple[str, int], None]] = {}
    whole: dict[str, Experiment] = {}
    for pattern in patterns:
        name, arm_part, seed_part = _parts(pattern)
        name, id_scale = _scale_of(name, pattern)
        if scale and id_scale and scale != id_scale:
            raise InputError(f"{pattern!r} says scale {id_scale}, --scale says {scale}: give one of them")
        chosen_scale = id_scale or scale or "micro"
        for experiment in _matching_experiments(name):
            experiment = whole.setdefault(experiment.id, with_methods(experiment, methods))
            here = settings(experiment, chosen_scale)
            picked = merged.setdefault((experiment.id, chosen_scale), {})
            for arm in _matching_arms(experiment, arm_part, arms, pattern):
                for seed in _matching_seeds(here, seed_part, seeds, pattern):
                    picked[arm, seed] = None
    result = []
    for (name, chosen_scale), picked in merged.items():
        order = {arm.id: index for index, arm in enumerate(whole[name].arms)}
        trials = sorted(picked, key=lambda trial: (order[trial[0]], trial[1]))
        result.append(Selection(whole[name], chosen_scale, tuple(trials)))
    return result


def chosen(records: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The best grid point of every arm by its grid's metric on dev questions, from the records of tuning experiments.

    Returns {arm: {"learning_rate", <parameter>: value, <metric>: score, "trials": seeds behind it}}. Failed trials are
    left out; the score is the mean over the point's seeds; a tie goes to the point that comes first in the grid (the
    lowest rate). An arm of which some grid point has no record is left out too: an incomplete grid chooses nothing.
    """
    done: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    seen: set[tuple[str, str]] = set()
    for record in records:
        if not record["experiment"].endswith(TUNING_SUFFIX) or record.get("variant") or record["scale"] != "micro":
            continue
        point = (record["experiment"].removesuffix(TUNING_SUFFIX), record["arm"])
        seen.add(point)
        if record["status"] == "done":
            done[point].append(record)
    best: dict[str, dict[str, Any]] = {}
    for experiment in experiments().values():
        for arm, grid in experiment.tuning.items():
            points = [(rate, value) for rate in grid.learning_rates for value in grid.values]
            keys = [(experiment.id, grid_arm(arm, rate, grid.short, value)) for rate, value in points]
            if not all(key in seen for key in keys):
                continue
            for key, (rate, value) in zip(keys, points, strict=True):
                if not done[key]:
                    continue
                score = sum(_dev_score(record, grid.metric) for record in done[key]) / len(done[key])
                if arm not in best or score > best[arm][grid.metric]:
                    best[arm] = {
                        "learning_rate": rate,
                        grid.parameter: value,
                        grid.metric: score,
                        "trials": len(done[key]),
                    }
    return best


def _dev_score(record: Mapping[str, Any], metric: str) -> float:
    metrics = record["metrics"]
    names = [f"dev/{metric}", *sorted(name for name in metrics if name.endswith(f"/{metric}"))]
    return float(next(metrics[name] for name in names if name in metrics))


def _is_glob(text: str) -> bool:
    return any(sign in text for sign in "*?[")


def _parts(pattern: str) -> tuple[str, str | None, str | None]:
    parts = pattern.strip().split("/")
    if not 1 <= len(parts) <= 3 or not all(parts):
        raise InputError(f"{pattern!r} is not an id: write experiment, experiment/arm or experiment/arm/seed0")
    return parts[0], *(parts[1:] + [None, None])[:2]


def _scale_of(name: str, pattern: str) -> tuple[str, str | None]:
    """`table1@smoke` means table1 at scale smoke; a variant's id names results, not something to run."""
    name, at, scale = name.partition("@")
    if not at:
        return name, None
    if scale not in SCALES:
        raise InputError(
            f"{pattern!r}: after @ comes a scale ({', '.join(SCALES)}); to re-run a variant, repeat its --set"
        )
    return name, scale


def _matching_experiments(name: str) -> list[Experiment]:
    if not _is_glob(name):
        found = get(name)
        if not found.arms:
            raise InputError(f"{name} has no arms of its own: repro {name} --model PATH_OR_ID --task NAME makes them")
        return [found]
    found = [
        experiment
        for key, experiment in experiments().items()
        # A tuning twin is a day of work: a glob means it only when it says so.
        if fnmatch.fnmatchcase(key, name) and (not key.endswith(TUNING_SUFFIX) or "tuning" in name)
    ]
    if not found:
        raise InputError(f"no experiment matches {name!r}: known: {', '.join(experiments())}")
    return found


def _matching_arms(experiment: Experiment, part: str | None, arms: str | None, pattern: str) -> list[str]:
    every = [arm.id for arm in experiment.arms]
    if arms is None:
        allowed = every if part else [arm.id for arm in experiment.core_arms]
    else:
        allowed = _listed_arms(experiment, arms)
    if part is None:
        return allowed
    found = [arm for arm in every if fnmatch.fnmatchcase(arm, part)]
    if not found:
        raise InputError(f"{pattern!r}: {experiment.id} has no arm {part!r}: {suggest(part, every)}")
    both = [arm for arm in found if arm in allowed]
    if not both:
        raise InputError(f"{pattern!r} and --arms {arms} have no arm in common")
    return both


def _listed_arms(experiment: Experiment, arms: str) -> list[str]:
    every = [arm.id for arm in experiment.arms]
    picked: set[str] = set()
    for item in (text.strip() for text in arms.split(",")):
        if item == "all":
            picked.update(every)
        elif item == "core":
            picked.update(arm.id for arm in experiment.core_arms)
        else:
            found = [arm for arm in every if fnmatch.fnmatchcase(arm, item)]
            if not found:
                raise InputError(f"--arms: {experiment.id} has no arm {item!r}: {suggest(item, every)}")
            picked.update(found)
    return [arm for arm in every if arm in picked]


def _matching_seeds(here: ScaleSettings, part: str | None, seeds: int | None, pattern: str) -> list[int]:
    usual = [here.first_seed + index for index in range(here.seeds if seeds is None else seeds)]
    if part is None:
        return usual
    exact = re.fullmatch(r"seed(\d{1,9})", part)
    if exact:
        return [int(exact.group(1))]
    found = [seed for seed in usual if fnmatch.fnmatchcase(f"seed{seed}", part)]
    if not found:
        raise InputError(f"{pattern!r}: no seed matches {part!r}: write seed{usual[0]} … seed{usual[-1]}")
    return found


def arm_of(experiment: Experiment, arm_id: str) -> Arm:
    """The arm called `arm_id`; InputError naming the nearest ones if there is none."""
    try:
        return experiment.arm(arm_id)
    except KeyError:
        names = [arm.id for arm in experiment.arms]
        raise InputError(f"{experiment.id} has no arm {arm_id!r}: {suggest(arm_id, names)}") from None
