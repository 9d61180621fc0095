"""Generated tasks: questions enumerated by number, split by a hash of the question, answered by a worked solution.

The split of a question depends on nothing but its canonical text (operands sorted where order does not matter), so
base, rl, dev and test prompts are disjoint by construction, for every choice of options and for both orders of a sum.

Not covered: parts of questions. The step `12+45` of a test question may well occur among the base prompts, as
arithmetic facts do in any pretraining text.
"""

from __future__ import annotations

import hashlib
import re
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from repro.errors import InputError
from repro.tasks.marker import check_marked, marked_answers
from repro.tasks.outcome import Outcome
from repro.tasks.permutation import permute
from repro.tasks.task import ID_BITS, SPLITS, Prompt, Task, prompts_sha256
from repro.tasks.templates import TEMPLATES

if TYPE_CHECKING:
    from numpy.random import Generator
    from transformers import PreTrainedTokenizerFast

SIZES = {"rl": 4096, "dev": 256, "test": 512}
# Upper bounds of hash % 100: 10 % test, 5 % dev, 30 % rl; the remaining 55 % are base.
_BOUNDS = ((10, "test"), (15, "dev"), (45, "rl"), (100, "base"))


class GeneratedTask(Task):
    """Base of the arithmetic tasks. A completion is worked steps ended by `;`, then the marker `#` and the answer.

    Subclasses enumerate the questions of a level (`space`, `question_at`), give their canonical form, and work them
    out.
    """

    generated = True
    answer_kind = "numeric"
    splits = SPLITS
    template = TEMPLATES["micro"]
    version: int  # bump when the same options give other prompts or other demonstrations
    symbols: str  # every character of questions and solutions

    def __init__(self, levels: Sequence[str], rl: int | None, dev: int | None, test: int | None):
        """`rl`, `dev`, `test`: exact numbers of prompts; None means 4096, 256, 512, or as many as there are."""
        if not levels or len(set(levels)) != len(levels):
            raise InputError(f"task {self.name}: levels must be given, each once; got {list(levels)}")
        self.levels = tuple(levels)
        self._sizes = {"rl": rl, "dev": dev, "test": test}
        for split, size in self._sizes.items():
            if size is not None and (not isinstance(size, int) or isinstance(size, bool) or size < 0):
                raise InputError(f"task {self.name}: {split} must be a number of prompts, not {size!r}")
        self._lists: dict[tuple[str, int | None], list[Prompt]] = {}

    @abstractmethod
    def space(self, level: str) -> int:
        """How many numbers `question_at` accepts for a level."""

    @abstractmethod
    def question_at(self, level: str, index: int) -> str | None:
        """The question with that number (distinct for distinct numbers), None where the options exclude it."""

    @abstractmethod
    def canonical(self, question: str) -> str:
        """One text for all questions that are the same up to the order of operands."""

    @abstractmethod
    def work_out(self, question: str, rng: Generator | None = None) -> tuple[str, int]:
        """The worked solution and the number it ends with; with an `rng`, one random slip that makes it wrong."""

    def identity(self, prompt: Prompt) -> str:
        """What two prompts share if they are the same question."""
        return self.canonical(prompt.question)

    def vocabulary(self) -> list[str]:
        """The characters a micro tokenizer needs for this task, whatever its options."""
        return list(self.symbols)

    def tokenizer(self) -> PreTrainedTokenizerFast:
        """The tokenizer of a micro base model for this task, over its `vocabulary`."""
        from repro.tasks import tokenizer

        return tokenizer.build(self.vocabulary())

    def tokens(self, question: str) -> int:
        """Length of the prompt in tokens of that tokenizer."""
        return len(self.template.render(question))

    def split_of(self, question: str) -> str:
        """The only split this question can ever be in."""
        digest = hashlib.sha256(f"{self.name}:{self.canonical(question)}".encode()).digest()
        share = int.from_bytes(digest[:8], "big") % 100
        return next(split for bound, split in _BOUNDS if share < bound)

    def prompts(self, split: str, limit: int | None = None) -> list[Prompt]:
        """See Task. Levels take turns. `base` has no size of its own (see `base_prompt`), so it needs a limit."""
        self._require_split(split)
        size = self._sizes.get(split)
        wanted = size if size is not None else SIZES.get(split)
        if limit is not None:
            wanted = limit if wanted is None else min(limit, wanted)
        if wanted is None:
            raise InputError(f"task {self.name}: base prompts are drawn online; give a limit to list some")
        if (split, wanted) not in self._lists:
            self._lists[split, wanted] = list(islice(self._enumerate(split), wanted))
        found = self._lists[split, wanted]
        if size is not None and len(found) < wanted:
            raise InputError(
                f"task {self.name}: {split}={size} asked for, but these levels and options have only {len(found)} such "
                f"questions; lower {split} or widen the levels"
            )
        return list(found)

    def base_prompt(self, rng: Generator) -> Prompt:
        """One prompt of the base split, levels equally likely. Its id is a hash of the question."""
        level = self.levels[int(rng.integers(len(self.levels)))]
        size = self.space(level)
        while True:
            question = self.question_at(level, int.from_bytes(rng.bytes(16), "little") % size)
            if question is not None and self.split_of(question) == "base":
                number = int.from_bytes(hashlib.sha256(question.encode()).digest()[: ID_BITS // 8], "big")
                return self._prompt("base", number, question, level)

    def demonstration(self, prompt: Prompt, rng: Generator, noise: float) -> str:
        """A worked solution: exact, or with probability `noise` with one slip that leads to a wrong answer.

        The end token is not part of the text.
        """
        slips = rng.random() < noise
        return self.work_out(prompt.question, rng if slips else None)[0]

    def check(self, completions: Sequence[str], prompts: Sequence[Prompt]) -> list[Outcome]:
        """See Task. What follows the first marker must be one number and nothing else, or it is unparsed."""
        return check_marked(completions, prompts)

    def answers(self, completions: Sequence[str], prompts: Sequence[Prompt]) -> list[str | None]:
        """See Task."""
        return marked_answers(completions)

    def split_steps(self, text: str) -> list[str]:
        """See Task: a step ends with its semicolon."""
        return re.findall(r"[^;]*;|[^;]+", text)

    def provenance(self) -> list[dict]:
        """See Task. The hash covers the rl, dev and test prompts; the overlap is that of rl and test questions."""
        lists = {split: self.prompts(split) for split in SIZES}
        trained = {self.identity(prompt) for prompt in lists["rl"]}
        return [
            {
                "task": self.name,
                "source": "generated",
                "id": self.name,
                "revision": f"generator {self.version}",
                "sha256": prompts_sha256([prompt for prompts in lists.values() for prompt in prompts]),
                "rows": sum(map(len, lists.values())),
                "overlap": {"exact": sum(self.identity(prompt) in trained for prompt in lists["test"])},
            }
        ]

    def _prompt(self, split: str, number: int, question: str, level: str) -> Prompt:
        solution, answer = self.work_out(question)
        return Prompt(SPLITS.index(split) << ID_BITS | number, question, str(answer), level, solution, question)

    def _enumerate(self, split: str) -> Iterator[Prompt]:
        streams = {level: self._questions(split, level) for level in self.levels}
        number = 0
        while streams:
            for level in list(streams):
                question = next(streams[level], None)
                if question is None:
                    del streams[level]
                else:
                    yield self._prompt(split, number, question, level)
                    number += 1

    def _questions(self, split: str, level: str) -> Iterator[str]:
        size = self.space(level)
        for index in range(size):
            question = self.question_at(level, permute(index, size, f"{self.name}:{level}"))
            if question is not None and self.split_of(question) == split:
                yield question
