"""Whether two trials can be compared, and in what else they differ: read from their records, never assumed.

An obstacle refuses the comparison: other scale, other base model, other questions, answers asked for in another way
(temperature, examples, length), or no questions at all (bandits). A difference is said beside the result: number of
answers, budget and settings of training, package versions, machine. What makes the two arms different methods (method,
its config, learning rates, prompts per step at equal completions) is what is compared, so it is neither.

Before a trial has run, `draft` makes its half of the comparison from its config alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from repro.experiments.types import Experiment
from repro.store.config import TrialConfig
from repro.store.key import before

Record = Mapping[str, Any]

_ASKED = {"temperature": "temperature", "shots": "number of examples"}  # of an evaluation set: other answers
_COUNTED = {"n": "answers per question", "greedy": "greedy decoding"}  # more or fewer of the same answers
_TRAINING = (
    "steps", "completions_per_step", "max_prompt", "max_completion", "temperature", "max_grad_norm", "weight_decay",
    "warmup_steps", "schedule", "precision", "lora", "backend",
)  # fmt: skip
_ABSENT = {"shots": 0}


def draft(config: TrialConfig, provenance: Mapping[str, Any], hashes: Mapping[str, Any] | None = None) -> Record:
    """What is known of a trial before it runs, as a record without results."""
    return {
        "scale": config.scale, "config": config.to_json(), "hashes": dict(hashes or {}), "outcomes": {}, "cost": {},
        "provenance": dict(provenance),
    }  # fmt: skip


def obstacles(one: Record, two: Record) -> list[str]:
    """Why the two cannot be compared, as half sentences about `two`; [] if they can."""
    if one["scale"] != two["scale"]:
        return [f"scale {two['scale']} against {one['scale']}"]
    tabular = [record["config"]["base"].get("kind") == "tabular" for record in (one, two)]
    if any(tabular):
        return ["it runs on bandits, without questions to pair by"]
    found = [*_base(one, two)]
    if _questions(one) != _questions(two) or not _same_prompts(one, two) or not _same_outcomes(one, two):
        return [*found, "other test questions"]
    if not _same(one, two, "template"):
        found.append("another prompt template")
    return [*found, *_asked(one, two)]


def differences(one: Record, two: Record) -> list[str]:
    """In what else `one` differs from `two`, one line each: "what: this against that"."""
    return [*_sampling(one, two), *_training(one, two), *_packages(one, two), *_machine(one, two)]


def tuning(experiment: Experiment, scale: str, arm: str, rival: str) -> list[str]:
    """A line if one of the two had a tuning budget and the other, which is trained too, had not."""
    budgets = {name: budget(experiment, scale, name) for name in (arm, rival)}
    if not all(experiment.arm(name).trained for name in budgets) or len(list(filter(None, budgets.values()))) != 1:
        return []
    tuned, other = sorted(budgets, key=lambda name: budgets[name] is None)
    return [f"tuning: {tuned} was tuned ({budgets[tuned]}), {other} was not"]


def budget(experiment: Experiment, scale: str, arm: str) -> str | None:
    """The tuning behind an arm, in words; None without. Grids run at micro scale, whose settings smoke takes over."""
    if scale not in ("micro", "smoke"):
        return None
    grid = experiment.tuning.get(arm)
    if grid is not None:
        points = len(grid.learning_rates) * len(grid.values)
        rates = f"{len(grid.learning_rates)} learning rates x {len(grid.values)} values of {grid.parameter}"
        return f"{rates}, {points} trials on dev questions"
    taken = experiment.tuned_in and arm in experiment.scales[scale].arms and experiment.arm(arm).trained
    return f"it takes the values tuned in {experiment.tuned_in}" if taken else None


def _base(one: Record, two: Record) -> Iterator[str]:
    bases = [_without_path(record["config"]["base"]) for record in (one, two)]
    learnt = [base.get("task") or record["config"]["task"] for base, record in zip(bases, (one, two), strict=True)]
    micro = all(base.get("kind") == "micro" for base in bases)
    if bases[0] != bases[1] or (micro and learnt[0] != learnt[1]):
        yield "another base model"
    elif not _same(one, two, "base"):
        short = [str(record["hashes"]["base"])[:12] for record in (one, two)]
        if micro:
            yield f"the same base model has other weights here ({short[0]}) than there ({short[1]})"
        else:
            yield f"another base model ({short[1]} against {short[0]})"


def _without_path(base: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in base.items() if name != "path"}


def _questions(record: Record) -> list[tuple]:
    """Which questions each evaluation set asks, as its config says it."""
    config, own = record["config"], record["config"]["task"]
    return [
        (
            one.get("name"),
            one.get("task") or own["name"],
            one["options"] if one.get("task") else own.get("options", {}),
            own.get("source") if not one.get("task") else None,
            one["split"],
            one["questions"],
        )
        for one in config["evaluation"]["sets"]
    ]


def _same(one: Record, two: Record, name: str) -> bool:
    """True also where one of them does not know yet."""
    return name not in one["hashes"] or name not in two["hashes"] or one["hashes"][name] == two["hashes"][name]


def _same_prompts(one: Record, two: Record) -> bool:
    left, right = (record["hashes"].get("prompts", {}) for record in (one, two))
    return all(left[name] == right[name] for name in left.keys() & right.keys() - {"rl", "dev"})


def _same_outcomes(one: Record, two: Record) -> bool:
    left, right = one["outcomes"], two["outcomes"]
    return not left or not right or all(
        left[name]["questions"] == right[name]["questions"] for name in left.keys() & right.keys()
    )  # fmt: skip


def _asked(one: Record, two: Record) -> Iterator[str]:
    for words, mine, other in _set_fields(one, two, _ASKED):
        yield f"evaluation with another {words} ({other} against {mine})"
    left, right = (record["config"]["evaluation"].get("max_completion") for record in (one, two))
    if left != right:
        yield f"evaluation with another longest completion ({right} against {left} tokens)"


def _sampling(one: Record, two: Record) -> Iterator[str]:
    for words, mine, other in _set_fields(one, two, _COUNTED):
        yield f"evaluation, {words}: {mine} against {other}"
    left, right = (before(record["config"]["evaluation"]).get("backend") for record in (one, two))
    if left != right:
        yield f"evaluation.backend: {left} against {right}"


def _set_fields(one: Record, two: Record, fields: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """(what, value of `one`, value of `two`) for the fields in which their evaluation sets differ."""
    left, right = (before(record["config"]["evaluation"])["sets"] for record in (one, two))
    for field, words in fields.items():
        values = [[item.get(field, _ABSENT.get(field)) for item in side] for side in (left, right)]
        if values[0] != values[1]:
            yield words, _said(values[0]), _said(values[1])


def _training(one: Record, two: Record) -> Iterator[str]:
    if "none" in (one["config"]["method"]["name"], two["config"]["method"]["name"]):
        return
    left, right = (record["config"]["train"] for record in (one, two))
    for field in _TRAINING:
        if left.get(field) != right.get(field):
            yield f"train.{field}: {_short(left.get(field))} against {_short(right.get(field))}"
    prompts = [record["hashes"].get("prompts", {}).get("rl") for record in (one, two)]
    tasks = [record["config"]["task"] for record in (one, two)]
    if (None not in prompts and prompts[0] != prompts[1]) or tasks[0] != tasks[1]:
        yield "training prompts: other ones"
    drawn = [(record["cost"].get("stage1") or {}).get("completions") for record in (one, two)]
    if one["cost"] and drawn[0] != drawn[1]:
        yield f"completions drawn before training: {drawn[0] or 0} against {drawn[1] or 0}"


def _packages(one: Record, two: Record) -> Iterator[str]:
    left, right = (
        {"python": record["provenance"].get("python"), **(record["provenance"].get("packages") or {})}
        for record in (one, two)
    )
    for name in sorted(left.keys() | right.keys()):
        if left.get(name) != right.get(name):
            yield f"version of {name}: {left.get(name) or 'absent'} against {right.get(name) or 'absent'}"


def _machine(one: Record, two: Record) -> Iterator[str]:
    left, right = (record["provenance"].get("measured_on") for record in (one, two))
    if left != right:
        yield f"machine: {left or 'unknown'} against {right or 'unknown'} (their times are not compared)"


def _short(value: Any) -> str:
    """A LoRA by its rank; anything else as it is."""
    return f"rank {value['rank']}" if isinstance(value, Mapping) and "rank" in value else str(value)


def _said(values: list[Any]) -> str:
    return ", ".join(dict.fromkeys(map(str, values)))
