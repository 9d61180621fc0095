"""What follows from every experiment's definition by one rule: its smoke scale and its tuning experiment.

`smoke` is the micro scale with everything small: it shows that all parts work, and carries no verdict. `<id>-tuning`
runs every point of every tuned arm's grid, on the dev split, with seeds from 1000, so that nothing tuned is reported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from repro.experiments.types import Deviation, Experiment, ScaleSettings

TUNING_SUFFIX = "-tuning"
TUNING_SEED = 1000
_TUNING_SAMPLES = 8

_SMOKE_TRAIN = {"steps": 4, "completions_per_step": 16, "micro_batch": 4, "eval_every": 2, "checkpoint_every": 2}
_SMOKE_EVALUATION = {"batch": 64, "dev_questions": 8, "dev_n": 1}
_SMOKE_SET = {"questions": 8, "n": 2}
_SMOKE_INSTANCES = 20
_SMOKE_RECIPE = {"hidden": 32, "layers": 2, "heads": 2, "ffn": 64, "steps": 60, "batch": 32}


def with_smoke(experiment: Experiment) -> Experiment:
    """The experiment with its smoke scale in front, if it has a micro scale to derive it from."""
    scales = dict(experiment.scales)
    if "micro" in scales:
        scales = {"smoke": smoke_twin(scales["micro"]), **scales}
    return replace(experiment, scales=scales)


def smoke_twin(micro: ScaleSettings) -> ScaleSettings:
    """The smoke scale of any experiment: its micro scale with few steps, few questions, one seed and a tiny base.

    Of bandits: few of them, with all their steps, which cost little.
    """
    if micro.base["kind"] == "tabular":
        return replace(micro, base={**micro.base, "instances": _SMOKE_INSTANCES}, seeds=1)
    return replace(
        micro,
        base=_smoke_base(micro.base),
        seeds=1,
        train=_smoke_train(micro.train),
        evaluation=_smoke_evaluation({"sets": [{}], **micro.evaluation}),
        arms={arm: _smoke_arm(parts) for arm, parts in micro.arms.items()},
    )


def _smoke_train(train: Mapping[str, Any]) -> dict[str, Any]:
    small = {**train, **_SMOKE_TRAIN}
    if (small.get("lora") or {}).get("layers"):  # the tiny base has but few
        small["lora"] = {**small["lora"], "layers": [_SMOKE_RECIPE["layers"] - 1]}
    return small


def _smoke_arm(parts: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    small = {
        **parts,
        "method": parts.get("method", {}),
        "train": {k: v for k, v in parts.get("train", {}).items() if k not in _SMOKE_TRAIN},
    }
    if "base" in parts:
        small["base"] = _smoke_base(parts["base"])
    if "evaluation" in parts:
        small["evaluation"] = _smoke_evaluation(parts["evaluation"])
    return small


def _smoke_base(base: Mapping[str, Any]) -> dict[str, Any]:
    return {**base, "recipe": {**base["recipe"], **_SMOKE_RECIPE}} if base.get("kind") == "micro" else dict(base)


def _smoke_evaluation(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    small = {**evaluation, **_SMOKE_EVALUATION}
    if "sets" in evaluation:
        small["sets"] = [{**one, **_SMOKE_SET} for one in evaluation["sets"]]
    if evaluation.get("dev_pass") is not None:
        small["dev_pass"] = 1
    return small


def tuning_twin(experiment: Experiment) -> Experiment:
    """`<id>-tuning`: every point of every tuned arm's grid as an arm, at the micro scale, measured on the dev split."""
    micro = experiment.scales["micro"]
    arms, overrides = [], {}
    for base_id, grid in experiment.tuning.items():
        origin = experiment.arm(base_id)
        of_scale = micro.arms.get(base_id, {})
        for rate in grid.learning_rates:
            for value in grid.values:
                name = grid_arm(base_id, rate, grid.short, value)
                display = f"{origin.display}, lr {rate:g}, {grid.parameter} {_short(value)}"
                arms.append(replace(origin, id=name, display=display, core=True))
                overrides[name] = {
                    **of_scale,
                    "method": {**of_scale.get("method", {}), grid.parameter: value},
                    "train": {**of_scale.get("train", {}), "learning_rate": rate},
                }
                if "evaluation" in of_scale:
                    overrides[name]["evaluation"] = _tuning_evaluation(of_scale["evaluation"])
    scale = replace(
        micro, seeds=1, first_seed=TUNING_SEED, evaluation=_tuning_evaluation(micro.evaluation), arms=overrides
    )
    chosen_by = [grid.metric for grid in experiment.tuning.values()]
    return Experiment(
        id=experiment.id + TUNING_SUFFIX,
        title=f"Tuning of {experiment.id}",
        paper=experiment.paper,
        summary=f"The tuning budget behind {experiment.id}, equal for every arm: 4 learning rates x 2 values of one "
        f"method parameter, on the dev split, with seeds from {TUNING_SEED}.",
        arms=tuple(arms),
        metrics=tuple(dict.fromkeys(("accuracy", *chosen_by, "greedy", "train_seconds"))),
        claims=(),
        ledger=(
            Deviation("tuning", "not reported", f"seeds from {TUNING_SEED}, dev split", "no test question is used"),
        ),
        scales={"micro": scale},
    )


def _tuning_evaluation(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    if "sets" not in evaluation:
        return dict(evaluation)
    sets = [_tuning_set(one) for one in evaluation["sets"]]
    if any(one.get("verify") for one in evaluation["sets"]):
        sets = sets[:1]  # sets of harder questions are for results; choosing by them would use them up
    return {**evaluation, "sets": sets}


def _tuning_set(one: Mapping[str, Any]) -> dict[str, Any]:
    """A set on the dev split. A pool of judged samples shrinks to a few: every arm is tuned for sampled accuracy."""
    plain = {**one, "split": "dev"}
    if plain.get("name") == "test":
        plain["name"] = "tuning"
    return {**plain, "verify": False, "n": min(one["n"], _TUNING_SAMPLES)} if one.get("verify") else plain


def grid_arm(arm: str, learning_rate: float, short: str, value: Any) -> str:
    """Arm id of one grid point: `ppo-n1--lr0.0001-mb4`."""
    return f"{arm}--lr{learning_rate:g}-{short}{_short(value)}"


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, (int, float)) and not isinstance(value, bool) else str(value)
