"""What a task is: prompts in splits, a template, an answer check, a step splitter and where its data come from.

Split names: `base` trains a micro base model, `rl` is trained on with rewards, `dev` is for tuning, `test` for results.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from repro.errors import InputError
from repro.tasks.outcome import Outcome
from repro.tasks.templates import Template

__all__ = ["ID_BITS", "SPLITS", "Outcome", "Prompt", "Task", "Template", "prompts_sha256"]

SPLITS = ("base", "rl", "dev", "test")
ID_BITS = 40  # a prompt id is (position of the split in SPLITS) << ID_BITS | number within the split: below 2**48


@dataclass(frozen=True)
class Prompt:
    """One question. `id` is unique over the splits of a task and stable, because sampling uses it as a counter word."""

    id: int
    question: str
    answer: str  # canonical gold answer
    level: str = ""  # difficulty or subject level as the task names it
    solution: str | None = None  # a worked correct solution, where the data have one
    source_id: str = ""  # the row's own name in its source


class Task(ABC):
    """A set of prompts with an answer check. Everything here is deterministic: no seed changes a split or its order."""

    name: str
    summary: str
    answer_kind: Literal["numeric", "symbolic", "code"]
    splits: tuple[str, ...]
    template: Template
    generated: bool = False
    executes: bool = False  # checking runs the completion's code, which needs a sandbox

    @abstractmethod
    def prompts(self, split: str, limit: int | None = None) -> list[Prompt]:
        """The first `limit` prompts of a split (all of them by default). InputError for a split the task lacks."""

    @abstractmethod
    def check(self, completions: Sequence[str], prompts: Sequence[Prompt]) -> list[Outcome]:
        """One outcome per (completion, prompt) pair. Never raises on model text."""

    def check_lenient(self, completions: Sequence[str], prompts: Sequence[Prompt]) -> list[Outcome]:
        """Like `check`, but the last number of a completion is its answer, whatever the form it stands in.

        What a policy gains in `check` alone it has learned about the form of an answer. InputError where answers are
        not numbers.
        """
        from repro.tasks.answers import check_last_number

        if self.answer_kind != "numeric" or self.executes:
            raise InputError(f"task {self.name}: its answers are not numbers, so none can be read leniently")
        return [check_last_number(text, prompt.answer) for text, prompt in zip(completions, prompts, strict=True)]

    def worked(self, prompt: Prompt) -> str:
        """A right completion, as an example for other questions. InputError where the data have no solution."""
        if not prompt.solution:
            raise InputError(
                f"task {self.name}: its prompts have no worked solutions, so there are no examples to show"
            )
        return prompt.solution

    def render(self, question: str, examples: Sequence[Prompt] = ()) -> str:
        """The prompt text for a question, after worked examples."""
        return self.template.render(question, [(one.question, self.worked(one)) for one in examples])

    @abstractmethod
    def answers(self, completions: Sequence[str], prompts: Sequence[Prompt]) -> list[str | None]:
        """The answer each completion gives to its prompt, in one spelling per value, for voting; None: it has none.

        `check` says unparsed where the answer is None. Equal answers are equally right, except for code: there an
        answer is what the program does on given inputs, and hidden tests may still tell two such programs apart; and
        a program that only crashes has no answer, but is wrong, not unparsed. Answers that differ in spelling may both
        be right (symbolic tasks).
        """

    @abstractmethod
    def split_steps(self, text: str) -> list[str]:
        """The reasoning steps of a completion; they concatenate back to `text` exactly."""

    @abstractmethod
    def provenance(self) -> list[dict]:
        """One entry per data source: task, source, id, revision, sha256, rows, overlap (and split, notes for files)."""

    def _require_split(self, split: str) -> None:
        if split not in self.splits:
            raise InputError(f"task {self.name} has no split {split!r}: it has {', '.join(self.splits)}")


def prompts_sha256(prompts: Sequence[Prompt]) -> str:
    """Hash of what decides a run about a list of prompts: ids, questions, answers and levels, in order."""
    rows = [[p.id, p.question, p.answer, p.level] for p in prompts]
    return hashlib.sha256(json.dumps(rows, ensure_ascii=False, separators=(",", ":")).encode()).hexdigest()
