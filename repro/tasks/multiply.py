"""Multiplication, directly (`47*36=` -> `#1692`) or with partial products: `1410;282;#1692`.

Levels are digits per factor, as in "2x1". The steps form writes one partial product per digit of the second factor,
highest first (per digit of the first factor where the second has a single digit); from the second one on each is
followed by the running sum, and the last running sum is the answer. A noisy demonstration has one wrong number (a
neighbouring row of the times table, an off-by-one or a carry lost or invented); later sums follow from it.
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


class MultiplyTask(GeneratedTask):
    """Products of two factors without the factors 0 and 1."""

    name = "multiply"
    summary = "multi-digit multiplication, direct or with partial products; levels are digits per factor"
    version = 1
    symbols = "0123456789*=;" + MARKER

    def __init__(
        self,
        levels: Sequence[str] = ("2x1", "2x2"),
        form: Literal["steps", "direct"] = "steps",
        rl: int | None = None,
        dev: int | None = None,
        test: int | None = None,
    ):
        valid = isinstance(levels, list | tuple) and all(
            isinstance(level, str) and re.fullmatch("[1-6]x[1-6]", level) for level in levels
        )
        if not valid:
            raise InputError(
                f'task multiply: levels must be a list such as ["2x1", "2x2"] (1 to 6 digits), not {levels!r}'
            )
        if form not in ("steps", "direct"):
            raise InputError(f"task multiply: form must be steps or direct, not {form!r}")
        self.form = form
        super().__init__(levels, rl, dev, test)

    def space(self, level: str) -> int:
        first, second = _ranges(level)
        return len(first) * len(second)

    def question_at(self, level: str, index: int) -> str:
        first, second = _ranges(level)
        i, j = divmod(index, len(second))
        return f"{first[i]}*{second[j]}="

    def canonical(self, question: str) -> str:
        return "{}*{}".format(*sorted(_factors(question)))

    def work_out(self, question: str, rng: Generator | None = None) -> tuple[str, int]:
        first, second = _factors(question)
        if self.form == "direct":
            answer = first * second
            if rng is not None:
                answer += _slip(rng, answer, (1, 10, first, second))
            return f"{MARKER}{answer}", answer
        whole, digits = (first, str(second)) if second > 9 else (second, str(first))
        products = [
            whole * int(digit) * 10**place for digit, place in zip(digits, reversed(range(len(digits))), strict=True)
        ]
        wrong = -1 if rng is None else int(rng.integers(2 * len(products) - 1))
        numbers: list[int] = []
        total = 0
        for place, product in enumerate(products):
            if rng is not None and len(numbers) == wrong:
                product += _slip(rng, product, (1, 10, whole * 10 ** (len(products) - 1 - place)))
            numbers.append(product)
            total += product
            if place:
                if rng is not None and len(numbers) == wrong:
                    total += _slip(rng, total, (1, 10, 100))
                numbers.append(total)
        steps = numbers[:-1] if len(products) > 1 else []
        return "".join(f"{number};" for number in steps) + f"{MARKER}{total}", total


def _slip(rng: Generator, number: int, sizes: Sequence[int]) -> int:
    size = sizes[int(rng.integers(len(sizes)))]
    return -size if rng.random() < 0.5 and number >= size else size


def _ranges(level: str) -> tuple[range, range]:
    first, second = (range(max(2, 10 ** (int(d) - 1)), 10 ** int(d)) for d in level.split("x"))
    return first, second


def _factors(question: str) -> tuple[int, int]:
    first, second = question.rstrip("=").split("*")
    return int(first), int(second)
