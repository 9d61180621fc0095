"""The part of a trial's configuration that says how the trained model is measured: sets of questions. No torch."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Literal

from repro.store.typed import lists_to_tuples, not_negative, positive, require

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+=-]*")


@dataclass(frozen=True)
class EvaluationSet:
    """One set of questions on which the trained model is measured."""

    task: str | None = None
    """Task name; null means the trial's own task."""
    options: dict[str, Any] = field(default_factory=dict)
    """The task's keyword arguments; ignored when `task` is null (the trial's own options apply)."""
    split: str = "test"
    """Split of the task."""
    questions: int | None = None
    """First so many questions of the split; null means all."""
    n: int = 8
    """Sampled completions per question."""
    temperature: float = 1.0
    """Sampling temperature; 0 means greedy decoding, with n = 1 (Avg@1 as papers report it)."""
    greedy: bool = True
    """Also decode every question once greedily."""
    name: str | None = None
    """Label of the set in records and tables; null means the task's name (and the split, if it is not test)."""
    verify: bool = False
    """Score every sample with the trained model as verifier, and record accuracy against the number of samples."""
    kl: bool = False
    """Also estimate the KL divergence to the base from the samples, per sequence and per token."""
    vote: bool = False
    """Also record the accuracy of majority votes of 1, 2, 4, … n samples, from the answers that the task reads."""
    lenient: bool = False
    """Also record the accuracy where the last number of a completion is its answer, whatever the form it stands in."""
    shots: int = 0
    """Worked examples of the task's rl split before each question (few-shot prompting)."""

    def validate(self, where: str) -> None:
        positive(self, where, "n")
        not_negative(self, where, "temperature", "shots")
        require(self.temperature > 0 or self.n == 1, f"{where}.temperature=0 draws one completion: set n to 1")
        require(self.questions is None or self.questions > 0, f"{where}.questions must be positive or null")
        require(bool(self.split), f"{where}.split is empty")
        require(self.name is None or bool(NAME.fullmatch(self.name)), f"{where}.name={self.name!r} is not a name")
        require(self.name != "dev", f"{where}.name=dev stands for the learning curve's questions: choose another name")
        require(not self.verify or self.n > 1, f"{where}.verify needs a pool of samples: set n to at least 2")
        require(not (self.vote and self.verify), f"{where}.vote: verify records majority votes already, keep one")
        require(not self.vote or self.n > 1, f"{where}.vote needs several samples: set n to at least 2")
        require(not (self.verify and (self.lenient or self.shots)), f"{where}.verify excludes lenient and shots")
        require(not self.shots or self.split != "rl", f"{where}.shots come from the rl split: evaluate another one")
        require(not (self.kl and self.verify), f"{where}.kl and verify exclude each other: use two sets")
        require(
            not self.kl or self.temperature > 0,
            f"{where}.kl is a mean over samples and temperature=0 draws none: raise it, or use a set of its own",
        )


@dataclass(frozen=True)
class EvaluationSettings:
    """How the trained model is measured."""

    sets: tuple[EvaluationSet, ...] = (EvaluationSet(),)
    """Sets measured once, after training."""
    max_completion: int = 64
    """Longest completion in tokens, the end token included."""
    batch: int = 256
    """Rows generated side by side."""
    curve: str | None = None
    """Split behind the learning curve; null means dev. Test questions only where nothing is chosen by them."""
    dev_questions: int = 128
    """First so many questions of that split behind each point of the learning curve."""
    dev_n: int = 4
    """Sampled completions per question of the learning curve."""
    dev_pass: int | None = None
    """Also record pass@k, at this k, in every point of the learning curve."""
    backend: Literal["transformers", "vllm"] = "transformers"
    """Engine that samples the completions of the sets; points of the learning curve use the trainer's own."""
    completions: Literal["few", "all"] = "few"
    """Which sampled completions the record keeps: the first one of 16 questions over all sets, or every one."""
    budgets: tuple[int, ...] = ()
    """Token limits up to max_completion at which sets with verify are measured as well (sequential scaling)."""

    def __post_init__(self):
        lists_to_tuples(self)

    def validate(self, where: str = "evaluation") -> None:
        positive(self, where, "max_completion", "batch", "dev_questions", "dev_n")
        if self.dev_pass is not None:
            good = 0 < self.dev_pass <= self.dev_n
            require(good, f"{where}.dev_pass={self.dev_pass} must lie in 1 … dev_n={self.dev_n}: raise dev_n")
        require(
            self.curve not in ("", "base", "rl"), f"{where}.curve={self.curve!r} is not a split of questions held out"
        )
        require(bool(self.sets), f"{where}.sets is empty: name at least one set")
        wrong = [budget for budget in self.budgets if not 0 < budget <= self.max_completion]
        require(not wrong, f"{where}.budgets must lie in 1 … max_completion={self.max_completion}, not {wrong[:1]}")
        require(list(self.budgets) == sorted(set(self.budgets)), f"{where}.budgets must rise from one to the next")
        for index, item in enumerate(self.sets):
            item.validate(f"{where}.sets[{index}]")
