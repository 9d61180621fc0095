"""What identifies the content that a trial works on, and the names of its sets. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from repro.store.evaluation import EvaluationSet
from repro.tasks.task import Prompt, Task, prompts_sha256


def set_name(item: EvaluationSet, task: Task) -> str:
    """The name under which a record and its reports show an evaluation set on `task`."""
    return item.name or (task.name if item.split == "test" else f"{task.name}-{item.split}")


def content_hashes(base: str, task: Task, prompts: Mapping[str, Sequence[Prompt]]) -> dict[str, Any]:
    """The hashes of a record and of its key. `base`: digest of the model; `prompts`: those of rl, dev and each set."""
    return {
        "base": base,
        "template": task.template.sha256,
        "prompts": {name: prompts_sha256(own) for name, own in prompts.items()},
    }
