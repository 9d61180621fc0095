"""Left-to-right calculation modulo 100, step by step, with or without showing one's work: `47+8-3=` -> `15:55;52,#52`.

Levels are a kind and a number of operations: `sum3` has three additions and subtractions of a digit, `mix3` has at
least one multiplication among its three. So training can stay on short sums, longer sums are harder questions of the
same kind, and multiplications lie outside what was trained on.

A careful step writes down the result for the units first (7 + 8 = 15), then the running result, and ends with `;`. A
hasty one writes the running result alone and ends with `,`. In a noisy demonstration half of the steps are hasty, and
errors come as people make them: with the probability `noise` a hasty step loses its carry (or borrow), or takes one
where there is none; any step is off by one with 3 %. The working goes on from the wrong number. So errors lead to few
wrong answers, which may well be more frequent than the right one: a majority of samples can be wrong where a look at
the working would tell which ones to trust, and care costs tokens. Neither the check nor a reward looks at the working.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from repro.errors import InputError
from repro.tasks.generated import GeneratedTask
from repro.tasks.marker import MARKER
from repro.tasks.task import Prompt

if TYPE_CHECKING:
    from numpy.random import Generator

_LEVEL = re.compile(r"(sum|mix)([1-9])")
_FIRST, _DIGITS = range(10, 100), range(2, 10)
CAREFUL = 0.5
_OTHER_SLIPS = 0.03
_STEP = re.compile("[^;,]*[;,]|[^;,]+")


class LadderTask(GeneratedTask):
    """Questions of `levels`. Base demonstrations come from `base_levels` (by default the same): a base model may know
    kinds of questions that RL never trains on."""

    name = "ladder"
    summary = "left-to-right calculation modulo 100 with worked steps; levels are kinds and numbers of operations"
    version = 1
    symbols = "0123456789+-*=:;," + MARKER + "?YN"

    def __init__(
        self,
        levels: Sequence[str] = ("sum2", "sum3"),
        base_levels: Sequence[str] | None = None,
        rl: int | None = None,
        dev: int | None = None,
        test: int | None = None,
    ):
        for given in (levels, base_levels if base_levels is not None else levels):
            if not isinstance(given, list | tuple) or not all(
                isinstance(x, str) and _LEVEL.fullmatch(x) for x in given
            ):
                raise InputError(
                    f'task ladder: levels must be a list such as ["sum2", "mix3"] (1 to 9 operations), not {given!r}'
                )
        self.base_levels = tuple(base_levels if base_levels is not None else levels)
        super().__init__(levels, rl, dev, test)

    def space(self, level: str) -> int:
        kind, count = _parts(level)
        return len(_FIRST) * ((3 if kind == "mix" else 2) * len(_DIGITS)) ** count

    def question_at(self, level: str, index: int) -> str | None:
        kind, count = _parts(level)
        operators = "+-*" if kind == "mix" else "+-"
        index, first = divmod(index, len(_FIRST))
        text = str(_FIRST[first])
        for _ in range(count):
            index, operator = divmod(index, len(operators))
            index, digit = divmod(index, len(_DIGITS))
            text += f"{operators[operator]}{_DIGITS[digit]}"
        return None if kind == "mix" and "*" not in text else text + "="

    def canonical(self, question: str) -> str:
        """The first number and the operations in any order: a question and its reorderings share one split."""
        first, operations = _operations(question)
        return str(first) + "".join(sorted(f"{operator}{digit}" for operator, digit in operations))

    def base_prompt(self, rng: Generator) -> Prompt:
        """See GeneratedTask; levels are those of the base demonstrations."""
        levels, self.levels = self.levels, self.base_levels
        try:
            return super().base_prompt(rng)
        finally:
            self.levels = levels

    def work_out(self, question: str, rng: Generator | None = None, noise: float = 1.0) -> tuple[str, int]:
        value, operations = _operations(question)
        text = ""
        for operator, digit in operations:
            units = _apply(operator, value % 10, digit)
            value, careful = _apply(operator, value, digit), rng is None or rng.random() < CAREFUL
            if rng is not None:
                slip = rng.random()
                if slip < _OTHER_SLIPS:
                    value += 1 if rng.random() < 0.5 else -1
                elif not careful and slip < _OTHER_SLIPS + noise:
                    carried = units // 10 * 10  # negative for a borrow
                    value -= carried or (10 if operator == "-" else -10)
            value %= 100
            text += f"{units}:{value};" if careful else f"{value},"
        return f"{text}{MARKER}{value}", value

    def split_steps(self, text: str) -> list[str]:
        """See Task: a step ends with its mark."""
        return _STEP.findall(text)

    def demonstration(self, prompt: Prompt, rng: Generator, noise: float) -> str:
        """A worked solution in which every step may go wrong (see the module); `noise` is per step, not per text."""
        return self.work_out(prompt.question, rng, noise)[0]


def _parts(level: str) -> tuple[str, int]:
    return level[:3], int(level[3:])


def _operations(question: str) -> tuple[int, list[tuple[str, int]]]:
    first = re.match("[0-9]+", question).group()
    return int(first), [(text[0], int(text[1])) for text in re.findall("[-+*][0-9]", question[len(first) :])]


def _apply(operator: str, value: int, digit: int) -> int:
    return {"+": value + digit, "-": value - digit, "*": value * digit}[operator]
