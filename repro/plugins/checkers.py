"""A checker from a Python file: `check(completion, gold)` returns true, false, or None where it finds no answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repro.errors import InputError, explain
from repro.plugins import source
from repro.tasks import checkers
from repro.tasks.checkers import Checker
from repro.tasks.outcome import Outcome
from repro.tasks.templates import answer_text

if TYPE_CHECKING:
    from repro.tasks.task import Prompt, Task

_MEANS = {True: Outcome.CORRECT, False: Outcome.WRONG, None: Outcome.UNPARSED}


def get(text: str) -> Checker:
    """The checker that a user names, by name or by file. InputError for what is neither or cannot be used."""
    if not text.endswith(".py"):
        return checkers.get(text)
    path = Path(text).expanduser().resolve()
    module, _ = source.load_file(path)
    function = getattr(module, "check", None)
    if not callable(function):
        raise InputError(f"{path.name} must define check(completion, gold), which judges one completion")
    summary = (module.__doc__ or "").strip().partition("\n")[0] or f"check of {path.name}"
    return Checker(path.stem, summary, _judge(function, path), checkers.MATHS)


def _judge(function: Callable[[str, str], Any], path: Path) -> checkers.Judge:
    def judge(task: Task, completions: Sequence[str], prompts: Sequence[Prompt]) -> list[Outcome]:
        outcomes = []
        for text, prompt in zip(completions, prompts, strict=True):
            try:
                found = function(answer_text(text, task.template), prompt.answer)
            except Exception as error:
                raise InputError(f"{path.name}: check raised {explain(error, path)}") from error
            if found is not None and not isinstance(found, bool):
                raise InputError(f"{path.name}: check must return true, false or None, not {type(found).__name__}")
            outcomes.append(_MEANS[found])
        return outcomes

    return judge
