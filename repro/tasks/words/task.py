"""One-step word problems in the manner of SVAMP (Patel et al., 2021), with sentences and words of the suite's own.

Levels are an operation and a form: `sub-plain`, `sub-distractor`, `sub-variation`, and so for `add`, `mul` and `div`.
A plain problem asks for what its scene is usually asked for; a variation asks for another quantity, which inverts the
operation, and may tell its facts in the other order; a distractor problem holds numbers that do not matter. A
completion is `8-3=#5` (steps form) or `#5` (direct form).

A noisy demonstration has the wrong operation, a number that does not matter, or a slip in the arithmetic.

The split depends on scene, quantity asked for and numbers, whatever the names, nouns and wording. Words are drawn, so
that two numbers can, rarely, be one question; lists leave out the second.

The tokenizer's words are those of the suite's own problems. How many words of SVAMP that covers was measured on its
training set alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

from repro.errors import InputError
from repro.tasks.generated import GeneratedTask
from repro.tasks.marker import MARKER
from repro.tasks.task import ID_BITS, SPLITS, Prompt
from repro.tasks.words import tokenizer
from repro.tasks.words.story import FORMS, OPERATIONS, Story, calculate, sentences, tell

if TYPE_CHECKING:
    from numpy.random import Generator
    from transformers import PreTrainedTokenizerFast

LEVELS = tuple(f"{operation}-{form}" for operation in OPERATIONS for form in FORMS)
_SIGNS = "0123456789+-*/=" + MARKER
_SLIPS = (1, -1, 2, -2, 10, -10)


class WordsTask(GeneratedTask):
    """Stories of `repro.tasks.words.story`. A question of the base class is level and number: `sub-plain:271`."""

    name = "words"
    summary = "one-step word problems with distractors and variations; levels are operations and forms"
    version = 1
    symbols = _SIGNS

    def __init__(
        self,
        levels: Sequence[str] = LEVELS,
        form: Literal["steps", "direct"] = "steps",
        rl: int | None = None,
        dev: int | None = None,
        test: int | None = None,
    ):
        if not isinstance(levels, list | tuple) or not set(levels) <= set(LEVELS):
            raise InputError(f"task words: levels must be a list of {', '.join(LEVELS)}, not {levels!r}")
        if form not in ("steps", "direct"):
            raise InputError(f"task words: form must be steps or direct, not {form!r}")
        self.form = form
        super().__init__(levels, rl, dev, test)

    def vocabulary(self) -> list[str]:
        """See GeneratedTask: digits and signs, then the words, in alphabetical order."""
        return [*_SIGNS, *sorted(tokenizer.words(sentences()) - set(_SIGNS))]

    def tokenizer(self) -> PreTrainedTokenizerFast:
        """See GeneratedTask."""
        return tokenizer.build(self.vocabulary())

    def tokens(self, question: str) -> int:
        """See GeneratedTask."""
        return tokenizer.length(question)

    def space(self, level: str) -> int:
        return 2**40

    def question_at(self, level: str, index: int) -> str:
        return f"{level}:{index}"

    def canonical(self, question: str) -> str:
        """Scene, quantity asked for and its numbers."""
        story = _story(question)
        return f"{story.scene}:{story.asked}:{sorted((story.first, story.second))}"

    def identity(self, prompt: Prompt) -> str:
        """See GeneratedTask."""
        return self.canonical(prompt.source_id)

    def work_out(self, question: str, rng: Generator | None = None) -> tuple[str, int]:
        story = _story(question)
        first, sign, second, answer = story.first, story.sign, story.second, story.answer
        if rng is not None:
            first, sign, second, answer = _slip(story, rng)
        equation = f"{first}{sign}{second}=" if self.form == "steps" else ""
        return f"{equation}{MARKER}{answer}", answer

    def demonstration(self, prompt: Prompt, rng: Generator, noise: float) -> str:
        """See GeneratedTask."""
        slips = rng.random() < noise
        return self.work_out(prompt.source_id, rng if slips else None)[0]

    def _prompt(self, split: str, number: int, question: str, level: str) -> Prompt:
        solution, answer = self.work_out(question)
        number |= SPLITS.index(split) << ID_BITS
        return Prompt(number, _story(question).text, str(answer), level, solution, question)

    def _questions(self, split: str, level: str) -> Iterator[str]:
        told = set()
        for question in super()._questions(split, level):
            text = _story(question).text
            if text not in told:
                told.add(text)
                yield question


def _story(question: str) -> Story:
    level, _, number = question.partition(":")
    return tell(level, int(number))


def _slip(story: Story, rng: Generator) -> tuple[int, str, int, int]:
    """An equation with one mistake, and its wrong result: another operation, a number beside the point, a slip."""
    kind = int(rng.integers(3 if story.others else 2))
    first, sign, second = story.first, story.sign, story.second
    if kind == 0:
        others = [other for other in OPERATIONS.values() if other != sign]
        sign = others[int(rng.integers(len(others)))]
    elif kind == 2:
        other = story.others[int(rng.integers(len(story.others)))]
        first, second = (other, second) if rng.random() < 0.5 else (first, other)
    if kind != 1:
        if sign in "-/" and first < second:
            first, second = second, first
        answer = calculate(first, sign, second)
        if answer != story.answer and (sign != "/" or first % second == 0):
            return first, sign, second, answer
        first, sign, second = story.first, story.sign, story.second
    slip = _SLIPS[int(rng.integers(len(_SLIPS)))]
    return first, sign, second, story.answer + (slip if story.answer + slip > 0 else abs(slip))
