"""Program synthesis from an example: `31427>7241=` -> `s[::-1][:-1]`, a Python expression that is really executed.

A question shows what a hidden function makes of one list of digits; a completion is an expression in the list `s`, and
passes if it agrees with the function on other lists. Many programs are the same function, and often several functions
fit the example (to drop the first of 7,7,1 or to reverse and then drop the last), so what one would try in k attempts
differs from what one would try in one. Levels `op1`, `op2`, `op3` are functions that need so many operations; those
that fewer would give are left out.

Operations: reverse, sort, repeat, drop the first, drop the last, every second from the first or the second, first two,
last two. A noisy demonstration has one operation replaced by another. The split depends on the example alone: the
functions are shared, as the operations of any language are, the examples are not.

Votes are by output behaviour: the answer of a program is what it makes of the test lists, not knowing what is right.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from repro.errors import InputError
from repro.tasks.generated import GeneratedTask
from repro.tasks.outcome import Outcome
from repro.tasks.task import ID_BITS, SPLITS, Prompt

if TYPE_CHECKING:
    from numpy.random import Generator

# Python that goes around or behind the expression so far.
OPERATIONS = ("{}[::-1]", "sorted({})", "{}*2", "{}[1:]", "{}[:-1]", "{}[::2]", "{}[1::2]", "{}[:2]", "{}[-2:]")
LENGTH = 5  # digits of an example
LONGEST = 10  # digits of its result
TESTS = ((4, 1, 7, 2, 9), (3, 0, 8, 8, 1, 5), (6, 2, 5, 0, 9, 3, 1), (2, 7, 7, 4), (9, 8, 6, 5, 3, 1, 0, 2))
_LEVELS = ("op1", "op2", "op3")
# The text is one expression, whatever brackets or line ends it holds.
_HARNESS = (
    "program = compile({!r}, 'program', 'eval')\ndef f(*s): return eval(program, {{'s': list(s), 'sorted': sorted}})"
)

Program = tuple[int, ...]  # places in OPERATIONS, in the order of application
Outputs = tuple[str | None, ...]  # what a program makes of TESTS; None where it fails


class SynthesisTask(GeneratedTask):
    """Functions of a list of digits, each shown on one list."""

    name = "synthesis"
    summary = "a Python expression from an example of what it does, executed; levels are numbers of operations"
    version = 1
    symbols = "0123456789>=s[:]-*()orted"
    executes = True

    def __init__(
        self,
        levels: Sequence[str] = _LEVELS,
        rl: int | None = None,
        dev: int | None = None,
        test: int | None = None,
    ):
        if not isinstance(levels, list | tuple) or not set(levels) <= set(_LEVELS):
            raise InputError(f"task synthesis: levels must be a list of {', '.join(_LEVELS)}, not {levels!r}")
        self._last: tuple[list[str], list[Outputs]] = [], []  # completions of the last call, and their outputs
        super().__init__(levels, rl, dev, test)

    # A "question" of the base class is a program and a list ("03@31427"): it is the source id of the prompt, whose
    # text, which the model reads, shows the list and the result.

    def space(self, level: str) -> int:
        return len(_programs(_count(level))) * 10**LENGTH

    def question_at(self, level: str, index: int) -> str | None:
        place, number = divmod(index, 10**LENGTH)
        program, shown = _programs(_count(level))[place], f"{number:0{LENGTH}}"
        if not 0 < len(_apply(program, list(shown))) <= LONGEST:
            return None
        return "".join(map(str, program)) + "@" + shown

    def canonical(self, question: str) -> str:
        """What the model reads."""
        program, shown = _parts(question)
        return f"{shown}>{''.join(_apply(program, list(shown)))}="

    def identity(self, prompt: Prompt) -> str:
        """See GeneratedTask."""
        return prompt.question

    def work_out(self, question: str, rng: Generator | None = None) -> tuple[str, int]:
        raise TypeError("a program has no number for an answer: see `demonstration`")

    def demonstration(self, prompt: Prompt, rng: Generator, noise: float) -> str:
        """The program behind the question, or with probability `noise` one with another operation in one place."""
        if rng.random() >= noise:
            return prompt.solution
        program = list(_parts(prompt.source_id)[0])
        program[int(rng.integers(len(program)))] = int(rng.integers(len(OPERATIONS)))
        return write(program)

    def check(self, completions: Sequence[str], prompts: Sequence[Prompt]) -> list[Outcome]:
        """See Task. A program that fails on every list is unparsed; equal programs of a batch are executed once."""
        outcomes = []
        for outputs, prompt in zip(self._outputs(completions), prompts, strict=True):
            answer = _spell(outputs)
            outcomes.append(
                Outcome.UNPARSED if answer is None else Outcome.CORRECT if answer == prompt.answer else Outcome.WRONG
            )
        return outcomes

    def answers(self, completions: Sequence[str], prompts: Sequence[Prompt]) -> list[str | None]:
        """See Task: the outputs on all test lists."""
        return [_spell(outputs) for outputs in self._outputs(completions)]

    def split_steps(self, text: str) -> list[str]:
        """See Task: a program is one step."""
        return [text] if text else []

    def _prompt(self, split: str, number: int, question: str, level: str) -> Prompt:
        program, _ = _parts(question)
        answer = _spell(tuple(str(_apply(program, list(test))) for test in TESTS))
        number |= SPLITS.index(split) << ID_BITS
        return Prompt(number, self.canonical(question), answer, level, write(program), question)

    def _outputs(self, completions: Sequence[str]) -> list[Outputs]:
        """Outputs of every program, by execution in the sandbox.

        Of earlier calls only the last is remembered, for `answers` after `check` of one batch: a longer memory would
        let a training step take less time because of what was executed before it.
        """
        from repro.tasks.sandbox import Calls, Limits, run_jobs

        completions = list(completions)
        if completions == self._last[0]:
            return self._last[1]
        programs = list(dict.fromkeys(completions))
        calls = tuple(f"f{test}" for test in TESTS)
        # Results are short lists; what needs more is wrong whatever it gives. Processor time decides, which other work
        # on the machine does not lengthen, so the wall time is generous.
        limits = Limits(cpu_seconds=1, wall_seconds=20.0, output_bytes=4096)
        results = run_jobs([Calls(_HARNESS.format(text), calls) for text in programs], limits)
        found = {text: result.outputs or (None,) * len(TESTS) for text, result in zip(programs, results, strict=True)}
        self._last = completions, [found[text] for text in completions]
        return self._last[1]


def write(program: Sequence[int]) -> str:
    """The program as a Python expression in `s`."""
    text = "s"
    for place in program:
        # A product binds less tightly than a slice.
        text = OPERATIONS[place].format(f"({text})" if text.endswith("*2") and place != 1 else text)
    return text


def _apply(program: Sequence[int], values: list) -> list:
    for place in program:
        match place:
            case 0:
                values = values[::-1]
            case 1:
                values = sorted(values)
            case 2:
                values = values * 2
            case 3:
                values = values[1:]
            case 4:
                values = values[:-1]
            case 5:
                values = values[::2]
            case 6:
                values = values[1::2]
            case 7:
                values = values[:2]
            case 8:
                values = values[-2:]
    return values


@cache
def _programs(count: int) -> tuple[Program, ...]:
    """One program of `count` operations for every function that needs so many."""
    made = {_behaviour(()): ()}
    for length in range(1, count + 1):
        new: dict[str, Program] = {}
        for program in itertools.product(range(len(OPERATIONS)), repeat=length):
            outputs = _behaviour(program)
            if outputs not in made:
                new.setdefault(outputs, program)
        made |= new
    return tuple(new.values())


def _behaviour(program: Program) -> str:
    return str([_apply(program, list(test)) for test in TESTS])


def _spell(outputs: Outputs) -> str | None:
    return None if all(one is None for one in outputs) else ";".join("-" if one is None else one for one in outputs)


def _count(level: str) -> int:
    return int(level[2:])


def _parts(question: str) -> tuple[Program, str]:
    program, _, shown = question.partition("@")
    return tuple(map(int, program)), shown
