"""The answer form of micro models: worked steps, then the marker `#`, then the answer and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from repro.tasks.outcome import Outcome
from repro.tasks.task import Prompt

MARKER = "#"


def check_marked(completions: Sequence[str], prompts: Sequence[Prompt]) -> list[Outcome]:
    """What follows the first marker must be one number and nothing else, or the completion is unparsed."""
    from repro.tasks.answers import check_number

    outcomes = []
    for text, prompt in zip(completions, prompts, strict=True):
        _, marker, answer = text.partition(MARKER)
        outcomes.append(check_number(answer, prompt.answer) if marker else Outcome.UNPARSED)
    return outcomes


def marked_answers(completions: Sequence[str]) -> list[str | None]:
    """The number after the first marker in one spelling per value; None where there is none."""
    from repro.tasks.answers import parse_number, spell

    return [spell(parse_number(text.partition(MARKER)[2])) for text in completions]
