r"""The real data sets as data: where each is on the hub and in a folder, and how one row becomes a question and an
answer.

Field names differ between the hub's copies and the public files, so each reader takes the names of both. Gold answers
are made canonical here: numeric ones are written without `.0`, commas or `^\circ`, symbolic ones without `$` and
`\boxed{}`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from repro.errors import InputError
from repro.tasks.files import Row

_DAPO_BEFORE = re.compile(
    r"\ASolve the following math problem step by step\. The last line .*?answer to the problem\.\s*", re.DOTALL
)
_DAPO_AFTER = re.compile(r'\s*Remember to put your answer on its own line after "Answer:"\.?\s*\Z')


@dataclass(frozen=True)
class Fields:
    """What a reader takes from a row; `answer` is not yet canonical."""

    question: str
    answer: str
    level: str = ""
    solution: str | None = None
    source_id: str = ""


@dataclass(frozen=True)
class Source:
    """One split of one public data set."""

    hub: str
    split: str  # the hub's name of the split
    folder: str  # under the data folder
    stems: tuple[str, ...]  # file names without suffix
    reader: Callable[[Row], Fields]
    config: str | None = None
    unique: bool = False  # keep only the first row of each question
    skip_unreadable: bool = False  # leave out, and count, rows whose gold answer is no number (or none at all)
    only_level: str = ""  # keep only rows of this level
    errata: dict[str, str] = field(default_factory=dict)  # rows known to be wrong; kept, and named in the provenance


@dataclass(frozen=True)
class RealSpec:
    """The sources of a task: `train` is cut into rl and dev."""

    answer_kind: str
    train: Source | None = None
    test: Source | None = None


def boxed(row: Row, name: str) -> str:
    r"""The content of the last `\boxed{...}` of a field (or of `\boxed 5`, as some MATH solutions have it)."""
    from repro.tasks.answers.extract import marked_answer

    text = row.text(name)
    marked = marked_answer(text)
    if marked is not None and marked.kind == "box" and marked.text:
        return marked.text
    bare = re.findall(r"\\boxed\s+([^\s$.]+)", text)
    if not bare:
        raise InputError(f"{row.where}: field {name!r} has no \\boxed{{}} answer")
    return bare[-1]


def _svamp(row: Row) -> Fields:
    question = f"{row.text('Body')} {row.text('Question')}"
    return Fields(
        question, row.text("Answer"), row.optional("Type"), row.optional("Equation") or None, row.optional("ID")
    )


def _gsm8k(row: Row) -> Fields:
    solution = row.text("answer")
    _, marker, answer = solution.rpartition("####")
    if not marker:
        raise InputError(f"{row.where}: field 'answer' has no '####' line")
    return Fields(row.text("question"), answer.strip(), solution=solution)


def _math(row: Row) -> Fields:
    answer = row.text("answer") if row.optional("answer") else boxed(row, "solution")
    level = row.optional("level").removeprefix("Level").strip()
    return Fields(row.text("problem"), answer, level, row.text("solution"), row.optional("unique_id"))


def _dapo(row: Row) -> Fields:
    prompt = row.get("prompt", "question", "problem")
    if isinstance(prompt, list):
        if not prompt or not isinstance(prompt[-1], dict):
            raise InputError(f"{row.where}: field 'prompt' is not a list of messages")
        prompt = Row(row.where, prompt[-1]).text("content")
    elif not isinstance(prompt, str):
        raise InputError(f"{row.where}: field 'prompt' is neither text nor a list of messages")
    reward = row.data.get("reward_model")
    answer = Row(row.where, reward).text("ground_truth") if isinstance(reward, dict) else row.text("answer", "solution")
    info = row.data.get("extra_info")
    source_id = Row(row.where, info).optional("index") if isinstance(info, dict) else row.optional("id")
    question = _DAPO_AFTER.sub("", _DAPO_BEFORE.sub("", prompt)).strip()
    if not question:
        raise InputError(f"{row.where}: field 'prompt' has no question")
    return Fields(question, answer, source_id=source_id)


def _contest(row: Row) -> Fields:
    answer = row.text("answer") if row.optional("answer") else boxed(row, "solution")
    return Fields(row.text("problem", "question"), answer, source_id=row.optional("id"))


def _olympiad(row: Row) -> Fields:
    answer = row.get("final_answer", "answer")
    if isinstance(answer, list):
        if not answer or not all(isinstance(part, str) and part.strip() for part in answer):
            raise InputError(f"{row.where}: field 'final_answer' is not a list of answers")
        answer = ", ".join(part.strip().strip("$").strip() for part in answer)
    else:
        answer = row.text("final_answer", "answer")
    return Fields(row.text("question", "problem"), answer, row.optional("subfield"), source_id=row.optional("id"))


def _math2(row: Row) -> Fields:
    """The answer is a field of its own or the box of the solution; rows with neither are counted and left out."""
    from repro.tasks.answers.extract import marked_answer

    question, solution = row.text("Question", "question", "problem"), row.optional("Solution", "solution")
    marked = marked_answer(solution)
    answer = row.optional("Answer", "answer") or (marked.text if marked is not None else "")
    return Fields(question, answer, row.optional("level"), solution or None, row.optional("id"))


def _gpqa(row: Row) -> Fields:
    """Four choices in an order that depends on the row alone; the answer is a letter."""
    choices = [row.text(name).strip() for name in ("Correct Answer", *(f"Incorrect Answer {i}" for i in (1, 2, 3)))]
    source_id = row.optional("Record ID")
    digest = hashlib.sha256((source_id or row.text("Question")).encode()).digest()
    order = sorted(range(4), key=lambda i: digest[i : i + 4])
    listed = "\n".join(f"({letter}) {choices[i]}" for letter, i in zip("ABCD", order, strict=True))
    question = f"{row.text('Question').strip()}\n\n{listed}\n\nAnswer with the letter of the right choice."
    return Fields(question, "ABCD"[order.index(0)], row.optional("High-level domain"), source_id=source_id)


_CHAL_680 = {"chal-680": "the authors' answer 1 contradicts their own equation, which gives 5"}
_MATH500 = Source("HuggingFaceH4/MATH-500", "test", "math500", ("math500", "test"), _math)


def _contest_source(name: str) -> Source:
    return Source(f"math-ai/{name}", "test", name, ("test", name), _contest)


REAL = {
    "svamp": RealSpec(
        "numeric",
        Source("ChilleD/SVAMP", "train", "svamp", ("train",), _svamp, errata=_CHAL_680),
        Source("ChilleD/SVAMP", "test", "svamp", ("test",), _svamp, errata=_CHAL_680),
    ),
    "gsm8k": RealSpec(
        "numeric",
        Source("openai/gsm8k", "train", "gsm8k", ("train",), _gsm8k, config="main"),
        Source("openai/gsm8k", "test", "gsm8k", ("test",), _gsm8k, config="main"),
    ),
    "math": RealSpec(
        "symbolic", Source("DigitalLearningGmbH/MATH-lighteval", "train", "math", ("train",), _math), _MATH500
    ),
    "math500": RealSpec("symbolic", test=_MATH500),
    # The hub's file repeats every question about a hundred times.
    "dapo17k": RealSpec(
        "numeric",
        Source(
            "BytedTsinghua-SIA/DAPO-Math-17k",
            "train",
            "dapo17k",
            ("train", "dapo-math-17k"),
            _dapo,
            unique=True,
            skip_unreadable=True,
        ),
    ),
    "aime24": RealSpec("numeric", test=_contest_source("aime24")),
    "aime25": RealSpec("numeric", test=_contest_source("aime25")),
    "amc23": RealSpec("numeric", test=_contest_source("amc23")),
    # MATH^2 (arXiv 2407.21009) and GPQA (2311.12022): from the hub only; GPQA's authors ask that no question be copied.
    "math2": RealSpec(
        "symbolic",
        test=Source("veds12/math-squared", "train", "math2", ("math2", "test"), _math2, skip_unreadable=True),
    ),
    "gpqa": RealSpec(
        "symbolic",
        test=Source("Idavidrein/gpqa", "train", "gpqa", ("gpqa", "test"), _gpqa, "gpqa_diamond", only_level="Physics"),
    ),
    "minerva": RealSpec(
        "symbolic", test=Source("math-ai/minervamath", "test", "minerva", ("test", "minerva"), _contest)
    ),
    "olympiadbench": RealSpec(
        "symbolic", test=Source("math-ai/olympiadbench", "test", "olympiadbench", ("test", "olympiadbench"), _olympiad)
    ),
}
