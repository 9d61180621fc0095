"""Chained addition and subtraction, worked out one step at a time: `12+45-17=` -> `12+45=57;57-17=40;#40`.

Levels are numbers of terms. A noisy demonstration has one wrong intermediate result (off by one or two, or a carry lost
or invented) and goes on from it consistently, so every later number is wrong by the same amount.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from repro.errors import InputError
from repro.tasks.generated import GeneratedTask
from repro.tasks.marker import MARKER

if TYPE_CHECKING:
    from numpy.random import Generator

_SLIPS = (1, -1, 2, -2, 10, -10)


class ChainTask(GeneratedTask):
    """`terms` numbers of `digits` digits, added or subtracted from left to right.

    `subtraction=False` leaves only sums; `negative=False` keeps every intermediate result at or above zero. Form
    `equations` writes each step out, `totals` only the running totals (`57;#40`), in less than half the characters.
    """

    name = "chain"
    summary = "chained addition and subtraction with worked steps; levels are numbers of terms"
    version = 1
    symbols = "0123456789+-=;" + MARKER

    def __init__(
        self,
        terms: Sequence[int] = (2, 3, 4),
        digits: int = 2,
        subtraction: bool = True,
        negative: bool = False,
        form: Literal["equations", "totals"] = "equations",
        rl: int | None = None,
        dev: int | None = None,
        test: int | None = None,
    ):
        if not isinstance(terms, list | tuple) or not all(isinstance(k, int) and 2 <= k <= 8 for k in terms):
            raise InputError(f"task chain: terms must be a list of numbers from 2 to 8, not {terms!r}")
        if not isinstance(digits, int) or not 1 <= digits <= 6:
            raise InputError(f"task chain: digits must be 1 to 6, not {digits!r}")
        if form not in ("equations", "totals"):
            raise InputError(f"task chain: form must be equations or totals, not {form!r}")
        self.digits, self.subtraction, self.negative, self.form = digits, subtraction, negative, form
        super().__init__([str(k) for k in terms], rl, dev, test)

    def space(self, level: str) -> int:
        signs = 2 ** (int(level) - 1) if self.subtraction else 1
        return self._operands() ** int(level) * signs

    def question_at(self, level: str, index: int) -> str | None:
        smallest = 10 ** (self.digits - 1)
        terms: list[int] = []
        for position in range(int(level)):
            index, offset = divmod(index, self._operands())
            minus = 0
            if self.subtraction and position:
                index, minus = divmod(index, 2)
            terms.append(-(smallest + offset) if minus else smallest + offset)
        if not self.negative and min(_totals(terms)) < 0:
            return None
        return "".join(f"{term:+d}" for term in terms)[1:] + "="

    def canonical(self, question: str) -> str:
        return "".join(f"{term:+d}" for term in sorted(_terms(question)))

    def work_out(self, question: str, rng: Generator | None = None) -> tuple[str, int]:
        terms = _terms(question)
        totals = _totals(terms)
        if rng is not None:
            first = 1 + int(rng.integers(len(terms) - 1))
            slip = _SLIPS[int(rng.integers(len(_SLIPS)))]
            if not self.negative and min(totals[first:]) + slip < 0:
                slip = abs(slip)
            totals = totals[:first] + [total + slip for total in totals[first:]]
        if self.form == "totals":
            steps = [f"{total};" for total in totals[1:-1]]
        else:
            steps = [f"{totals[i - 1]}{terms[i]:+d}={totals[i]};" for i in range(1, len(terms))]
        return "".join(steps) + f"{MARKER}{totals[-1]}", totals[-1]

    def _operands(self) -> int:
        return 9 * 10 ** (self.digits - 1)


def _terms(question: str) -> list[int]:
    return [int(term) for term in re.findall(r"[+-]?[0-9]+", question)]


def _totals(terms: Sequence[int]) -> list[int]:
    totals = [terms[0]]
    for term in terms[1:]:
        totals.append(totals[-1] + term)
    return totals
