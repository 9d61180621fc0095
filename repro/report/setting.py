"""What was run, in words, from the records alone: task, base model, evaluation, training steps, seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from repro.experiments.types import Experiment
from repro.report.blocks import blocks, per_task
from repro.report.format import percent
from repro.report.summary import set_names

Record = dict[str, Any]


def setting(experiment: Experiment, chosen: Sequence[Record]) -> dict[str, str]:
    """Heading -> words; {} without records. Where arms have tasks of their own, each task is named with its base."""
    if not chosen:
        return {}
    parts = blocks(experiment, chosen)
    several = len(parts) > 1
    models = [(part.label, _model(part.records)) for part in parts]
    seeds = sorted({r["seed"] for r in chosen})
    return {
        "Task": "; ".join(part.title for part in parts),
        # Each task has a base of its own, even where two are described by the same words.
        "Base model": "; ".join(f"{label}: {text}" for label, text in models) if several else models[0][1],
        "Evaluation": per_task([(part.label, _evaluation(part.records, set_names(chosen))) for part in parts]),
        "Training steps": per_task([(part.label, _steps(part.records)) for part in parts]),
        "Seeds": ", ".join(map(str, seeds)),
    }


def _model(records: Sequence[Record]) -> str:
    base = records[0]["config"]["base"]
    model = (
        {"micro": "micro model trained from scratch by this suite"}.get(base["kind"])
        or base.get("id")
        or "local folder"
    )
    facts = next((r["base"] for r in records if r.get("base")), {})
    if "pass@1_test" in facts:
        rl, test = percent(facts["pass@1_rl"]), percent(facts["pass@1_test"])
        model += f" (sampled pass@1 {rl} % on RL, {test} % on test prompts)"
    return model


def _evaluation(records: Sequence[Record], names: Sequence[str]) -> str:
    done = [r for r in records if r["status"] == "done"]
    sets = []
    for name in names if done else ():
        outcome = done[0]["outcomes"].get(name)
        if outcome:
            samples = len(outcome["samples"][0]) if outcome["samples"] else 0
            sets.append(f"{name}: {len(outcome['questions'])} questions x {samples} samples")
    return "; ".join(sets) or "none"


def _steps(records: Sequence[Record]) -> str:
    steps = sorted({r["config"]["train"]["steps"] for r in records if r["config"]["method"]["name"] != "none"})
    return ", ".join(map(str, steps)) or "none"
