"""The checkers by which stored completions can be judged again, by name. Listing them imports nothing heavy.

Each judges the same text as the task does: a completion without what follows a stop string, or what stands in the
template's answer tag.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from repro.errors import InputError
from repro.tasks.outcome import Outcome

if TYPE_CHECKING:
    from repro.tasks.task import Prompt, Task

Judge = Callable[["Task", Sequence[str], "Sequence[Prompt]"], list[Outcome]]


@dataclass(frozen=True)
class Checker:
    """One way to judge. `kinds`: of answers (`Task.answer_kind`) that it can read; `options`: of the task to set."""

    name: str
    summary: str
    judge: Judge
    kinds: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)

    def check(self, task: Task, completions: Sequence[str], prompts: Sequence[Prompt]) -> list[Outcome]:
        """One outcome per (completion, prompt) pair; InputError for a task whose answers are of another kind."""
        if self.name != OWN and (task.executes or task.answer_kind not in self.kinds):
            kind = "programs" if task.executes else f"{task.answer_kind} ones"
            raise InputError(
                f"checker {self.name} cannot read the answers to task {task.name}, which are {kind}: use checker "
                f"{OWN}, or name arms of other tasks, ID/ARM"
            )
        return self.judge(task, completions, prompts)


def _own(task: Task, completions: Sequence[str], prompts: Sequence[Prompt]) -> list[Outcome]:
    return task.check(completions, prompts)


def _lenient(task: Task, completions: Sequence[str], prompts: Sequence[Prompt]) -> list[Outcome]:
    return task.check_lenient(completions, prompts)


def _marker(task: Task, completions: Sequence[str], prompts: Sequence[Prompt]) -> list[Outcome]:
    from repro.tasks.marker import check_marked

    return check_marked(completions, prompts)


def _numeric(task: Task, completions: Sequence[str], prompts: Sequence[Prompt]) -> list[Outcome]:
    from repro.tasks.answers import check_numeric

    return [check_numeric(text, gold) for text, gold in _pairs(task, completions, prompts)]


def _symbolic(task: Task, completions: Sequence[str], prompts: Sequence[Prompt]) -> list[Outcome]:
    from repro.tasks.answers import check_symbolic_many

    return check_symbolic_many(_pairs(task, completions, prompts))


def _math_verify(task: Task, completions: Sequence[str], prompts: Sequence[Prompt]) -> list[Outcome]:
    from repro.tasks.answers import check_by_math_verify

    return check_by_math_verify(_pairs(task, completions, prompts))


def _pairs(task: Task, completions: Sequence[str], prompts: Sequence[Prompt]) -> list[tuple[str, str]]:
    from repro.tasks.templates import answer_text

    return [(answer_text(text, task.template), one.answer) for text, one in zip(completions, prompts, strict=True)]


OWN = "task"
NUMBERS, MATHS = ("numeric",), ("numeric", "symbolic")
CHECKERS = {
    checker.name: checker
    for checker in (
        Checker(OWN, "the task's own checker as it is today; programs are run in the sandbox", _own, ()),
        Checker("strict", "the task's own, but an answer without its mark (box, ####, tag) counts as none", _own, MATHS,
                {"strict": True}),
        Checker("lenient", "the last number of a completion is its answer, whatever it is part of", _lenient, NUMBERS),
        Checker("marker", "what follows the first # must be one number and nothing else", _marker, NUMBERS),
        Checker("numeric", "one plain number: the last box, the line after ####, or the final number", _numeric,
                NUMBERS),
        Checker("symbolic", "the canonical form of this suite first, math-verify for what it leaves open", _symbolic,
                MATHS),
        Checker("math-verify", "the marked answer (else the final number) as math-verify alone sees it", _math_verify,
                MATHS),
    )
}  # fmt: skip


def get(name: str) -> Checker:
    """The checker of that name; InputError with the nearest names otherwise."""
    if name not in CHECKERS:
        near = difflib.get_close_matches(name, CHECKERS, n=3)
        known = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(CHECKERS)}"
        raise InputError(f"unknown checker {name!r}: {known}")
    return CHECKERS[name]
