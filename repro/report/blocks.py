"""One experiment over several tasks, split into a block per task: what different tasks score never shares a panel.

The task of an arm is what its records say, and without records what the experiment's settings say. With a single task
in the records the only block is the experiment as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from repro.experiments.types import Arm, Experiment
from repro.report.summary import trials

Record = dict[str, Any]


@dataclass(frozen=True)
class Block:
    """The arms of one task and their trial records."""

    task: str
    label: str  # what the displays of its arms begin with ("Maths"), else the task's name
    experiment: Experiment  # its arms only, with displays less the label
    records: list[Record]

    @property
    def title(self) -> str:
        return self.label if self.label == self.task else f"{self.label} ({self.task})"


def task_of(record: Record) -> str:
    return record["config"]["task"]["name"]


def blocks(experiment: Experiment, records: Sequence[Record]) -> list[Block]:
    """In the order in which the tasks come up in the records; an arm of a task without any record is left out.

    One task: one block, with every arm and every display as it is, and no label but the task's name.
    """
    chosen = trials(records, experiment)
    owners = {r["arm"]: task_of(r) for r in chosen}
    tasks = list(dict.fromkeys(owners.values()))
    if len(tasks) < 2:
        return [Block(task, task, experiment, chosen) for task in tasks or [""]]
    owners = {arm.id: _planned_task(experiment, arm, chosen[0]["scale"]) for arm in experiment.arms} | owners
    found = []
    for task in tasks:
        arms = [arm for arm in experiment.arms if owners.get(arm.id) == task]
        label = _shared_word(arms)
        shorts = tuple(replace(arm, display=arm.display.removeprefix(f"{label}: ")) for arm in arms)
        own = [r for r in chosen if owners[r["arm"]] == task]
        found.append(Block(task, label or task, replace(experiment, arms=shorts), own))
    return found


def _planned_task(experiment: Experiment, arm: Arm, scale: str) -> str | None:
    settings = experiment.scales.get(scale)
    return None if settings is None else settings.arms.get(arm.id, {}).get("task", settings.task)["name"]


def _shared_word(arms: Sequence[Arm]) -> str:
    """`Maths` of the displays `Maths: mean` and `Maths: pass@8`; "" unless all arms share one."""
    words = {arm.display.partition(": ")[0] if ": " in arm.display else "" for arm in arms}
    return words.pop() if len(words) == 1 else ""


def per_task(parts: Sequence[tuple[str, str]]) -> str:
    """One text for all tasks, or `Maths: 150; Code: 100` where they differ; `parts`: labels and texts."""
    texts = {text for _, text in parts}
    return texts.pop() if len(texts) == 1 else "; ".join(f"{label}: {text}" for label, text in parts)
