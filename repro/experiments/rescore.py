"""Stored completions judged again by another checker: what changes, arm by arm, and which completions change it.

A record keeps the letters of all its samples but the text of a few, so every figure here says of how many completions
it speaks. What the right answers are comes from the task, whose questions are made or read again and must be the very
ones of the record, by hash. Nothing is written.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from repro import plugins, tasks
from repro.errors import InputError
from repro.store.config import TrialConfig
from repro.store.evaluation import EvaluationSet
from repro.store.key import content_hash
from repro.tasks import catalogue
from repro.tasks.checkers import Checker
from repro.tasks.task import Prompt, Task, prompts_sha256
from repro.training.hashes import set_name

Record = dict[str, Any]
_RIGHT = {"c", "C"}


@dataclass(frozen=True)
class Change:
    """A completion that the two checkers judge differently; outcomes are the letters of a record, cut off or not."""

    trial: str
    set: str
    question: str
    recorded: str
    other: str
    gold: str
    completion: str

    @property
    def flips(self) -> bool:
        """Whether it counts for the accuracy: right by one of the checkers."""
        return (self.recorded in _RIGHT) != (self.other in _RIGHT)


@dataclass(frozen=True)
class Arm:
    """One arm on one set, over its trials. Accuracies are fractions of the stored completions unless they say all."""

    arm: str
    set: str
    trials: int
    stored: int
    of: int  # samples whose outcome was recorded
    recorded: float
    other: float
    now_right: int
    now_wrong: int
    otherwise: int  # wrong by one checker, without an answer by the other
    recorded_of_all: float
    other_of_all: float | None  # where the records hold it: the lenient reading


@dataclass(frozen=True)
class Rescored:
    """`changes` lie in the order of the trials; `without`: finished trials that hold no completion."""

    checker: str
    arms: list[Arm]
    changes: list[Change]
    stored: int
    of: int
    without: int


@dataclass
class _Asked:
    """The questions of one set of one recipe, as the task gives them today."""

    task: Task
    item: EvaluationSet
    prompts: list[Prompt]
    sha256: str

    def __post_init__(self):
        self.shots = self.task.prompts("rl", self.item.shots) if self.item.shots else []
        self.by_name = {prompt.source_id or str(prompt.id): prompt for prompt in self.prompts}


def rescore(records: Sequence[Record], checker: Checker, data_dir: Path | None = None) -> Rescored:
    """The stored completions of the finished trials among `records` by `checker`.

    Raises InputError where no completion is stored, where a task's questions are no longer those of the records, or
    where the checker cannot read its answers.
    """
    done = [r for r in records if r["kind"] == "trial" and r["status"] == "done" and r["outcomes"]]
    held = [record for record in done if record.get("samples")]
    if not held:
        raise InputError("no completions are stored: the records hold none to judge again")
    rows: dict[tuple[int, str], list[tuple[Record, dict[str, Any], Prompt]]] = defaultdict(list)
    asked: dict[tuple[str, str], dict[str, _Asked]] = {}
    questions: dict[int, _Asked] = {}
    for record in held:
        here = _questions(record, checker, data_dir, asked)
        for sample in record["samples"]:
            one = here.get(sample["set"])
            prompt = one.by_name.get(sample["question"]) if one else None
            if prompt is None:
                raise InputError(f"{record['id']}: {sample['question']!r} is no question of the set {sample['set']!r}")
            _same_prompt(record, sample, one, prompt)
            questions[id(one)] = one
            rows[id(one), sample["set"]].append((record, sample, prompt))
    letters: dict[tuple[str, str], list[Change]] = defaultdict(list)
    for (place, name), own in rows.items():
        texts, prompts = [sample["completion"] for _, sample, _ in own], [prompt for *_, prompt in own]
        outcomes = checker.check(questions[place].task, texts, prompts)
        for (record, sample, prompt), outcome in zip(own, outcomes, strict=True):
            before = sample["outcome"]
            after = outcome.value.upper() if before.isupper() else outcome.value
            change = Change(record["id"], name, sample["question"], before, after, prompt.answer, sample["completion"])
            letters[record["id"], name].append(change)
    arms = _arms(held, letters, checker)
    changes = [c for record in held for name in record["outcomes"] for c in letters[record["id"], name]]
    return Rescored(
        checker=checker.name,
        arms=arms,
        changes=[change for change in changes if change.recorded != change.other],
        stored=sum(arm.stored for arm in arms),
        of=sum(arm.of for arm in arms),
        without=len(done) - len(held),
    )


def _questions(record: Record, checker: Checker, data_dir: Path | None, asked: dict) -> dict[str, _Asked]:
    """Set -> its questions; those of trials with the same task and sets are made once."""
    config = TrialConfig.from_json(record["config"])
    key = content_hash([record["config"]["task"], record["config"]["evaluation"]["sets"]]), checker.name
    if key not in asked:
        plugins.ensure(config)
        found = [_asked(config, item, checker, data_dir) for item in config.evaluation.sets]
        asked[key] = {set_name(one.item, one.task): one for one in found}
    for name, one in asked[key].items():
        if record["hashes"]["prompts"].get(name) != one.sha256:
            raise InputError(
                f"{record['id']}: the questions of the set {name} are not those that task {one.task.name} has now (its "
                "data or its generator changed), so the right answers are not known"
            )
    return asked[key]


def _asked(config: TrialConfig, item: EvaluationSet, checker: Checker, data_dir: Path | None) -> _Asked:
    name, options = (config.task["name"], config.task.get("options", {})) if item.task is None else (
        item.task, item.options
    )  # fmt: skip
    info = catalogue.TASKS.get(name)
    more = checker.options if info is not None and not info.generated else {}
    task = tasks.load(name, options, data_dir)
    if more and not task.executes:
        task = tasks.load(name, {**options, **more}, data_dir)
    if task.executes:
        from repro.tasks import sandbox  # listing the experiments must not pay for it

        sandbox.require()
    prompts = task.prompts(item.split, item.questions)
    return _Asked(task, item, prompts, prompts_sha256(prompts))


def _same_prompt(record: Record, sample: dict[str, Any], one: _Asked, prompt: Prompt) -> None:
    shown, gold = sample.get("prompt"), sample.get("gold")
    if shown is not None and shown != one.task.render(prompt.question, one.shots):
        raise InputError(f"{record['id']}: the prompt of {sample['question']!r} is not the one that the task has now")
    if gold is not None and gold != prompt.answer:
        raise InputError(f"{record['id']}: the answer to {sample['question']!r} is not the one that the task has now")


def _arms(records: Iterable[Record], judged: dict[tuple[str, str], list[Change]], checker: Checker) -> list[Arm]:
    groups: dict[tuple[str, str], list[tuple[Record, list[Change]]]] = defaultdict(list)
    for record in records:
        for name in record["outcomes"]:
            groups[record["arm"], name].append((record, judged[record["id"], name]))
    return [_arm(arm, name, own, checker) for (arm, name), own in groups.items() if any(part for _, part in own)]


def _arm(arm: str, name: str, own: list[tuple[Record, list[Change]]], checker: Checker) -> Arm:
    from repro.store.outcomes import question_scores

    every = [change for _, part in own for change in part]
    entries = [record["outcomes"][name] for record, _ in own]
    right = [(change.recorded in _RIGHT, change.other in _RIGHT) for change in every]
    lenient = checker.name == "lenient" and all(entry.get("lenient") is not None for entry in entries)

    def mean(metric: str) -> float:
        return fmean(float(question_scores(entry, metric).mean()) for entry in entries)

    return Arm(
        arm=arm,
        set=name,
        trials=len(own),
        stored=len(every),
        of=sum(len(entry["questions"]) * len(entry["samples"][0]) for entry in entries),
        recorded=sum(before for before, _ in right) / len(every),
        other=sum(after for _, after in right) / len(every),
        now_right=sum(after and not before for before, after in right),
        now_wrong=sum(before and not after for before, after in right),
        otherwise=sum(not change.flips and change.recorded != change.other for change in every),
        recorded_of_all=mean("accuracy"),
        other_of_all=mean("accuracy_lenient") if lenient else None,
    )
