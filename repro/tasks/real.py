"""Tasks over public data sets, from the hub or from a folder with the public files.

1. `rl` is the training set minus `dev`; `dev` is a slice of it, chosen by a hash of the question, so that repeats of a
   question fall on one side; `test` is the test set. A task without a training set has only `test`, and the other way
   round.
2. Prompts are in the order of that hash: MATH is sorted by subject, and a `limit` should be a fair sample. Ids keep the
   row number of the source.
3. Known errors of a data set are kept, as every published figure contains them, and named in the provenance.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from repro.errors import InputError
from repro.tasks import files, hub
from repro.tasks.catalogue import TASKS
from repro.tasks.marker import MARKER, check_marked, marked_answers
from repro.tasks.outcome import Outcome
from repro.tasks.overlap import normalise, overlap
from repro.tasks.sources import REAL, Source
from repro.tasks.task import ID_BITS, SPLITS, Prompt, Task, prompts_sha256
from repro.tasks.templates import answer_text, cut
from repro.tasks.templates import get as get_template

DEV_DEFAULT = 512  # but at most a tenth of the training set


@dataclass(frozen=True)
class _Loaded:
    rows: list[Prompt]  # ids are row numbers, still without the split
    entry: dict  # of the provenance


class RealTask(Task):
    """One of `sources.REAL`. Data are read when prompts or provenance are first asked for."""

    def __init__(
        self,
        name: str,
        data_dir: Path | None = None,
        template: str = "qwen-math",
        dev: int | None = None,
        revisions: dict[str, str] | None = None,
        rl: int | None = None,
        strict: bool = False,
    ):
        """`dev`: size of the dev slice of the training set (default: 512, at most a tenth). `rl`: how many of the other
        training prompts are used (default: all). `revisions`: commit per hub id. `strict`: only an answer in a box,
        after `####` or in the template's tag counts, where otherwise the final number of a text without one does. With
        the template `micro` the answer is what follows the marker `#`, as in generated tasks, and nothing else."""
        for split, size in (("dev", dev), ("rl", rl)):
            if size is not None and (not isinstance(size, int) or isinstance(size, bool) or size < 0):
                raise InputError(f"task {name}: {split} must be a number of prompts, not {size!r}")
        if not isinstance(strict, bool):
            raise InputError(f"task {name}: strict must be true or false, not {strict!r}")
        self._spec = REAL[name]
        self.name, self.summary, self.answer_kind = name, TASKS[name].summary, self._spec.answer_kind
        self.template = get_template(template)
        self._marked, self._strict = template == "micro", strict
        trained, tested = self._spec.train is not None, self._spec.test is not None
        self.splits = ("rl", "dev") * trained + ("test",) * tested
        unknown = set(revisions or {}) - set(TASKS[name].hub)
        if unknown:
            raise InputError(f"task {name} does not load {sorted(unknown)[0]!r}: it loads {', '.join(TASKS[name].hub)}")
        self._revisions = revisions or {}
        self._dev, self._rl = dev, rl
        folder = data_dir if data_dir is not None else os.environ.get("REPRO_DATA_DIR")
        self._data_dir = Path(folder) if folder else None
        self._loaded: dict[str, _Loaded] = {}
        self._prompts: dict[str, list[Prompt]] = {}

    def prompts(self, split: str, limit: int | None = None) -> list[Prompt]:
        self._require_split(split)
        if split not in self._prompts:
            if split == "test":
                self._prompts["test"] = in_split("test", self._load("test").rows)
            else:
                self._cut_train()
        return self._prompts[split][:limit]

    def check(self, completions: Sequence[str], prompts: Sequence[Prompt]) -> list[Outcome]:
        from repro.tasks.answers import check_numeric, check_symbolic_many

        if self._marked:
            return check_marked(completions, prompts)
        answers = self._final(completions)
        if self.answer_kind == "numeric":
            return [check_numeric(text, prompt.answer) for text, prompt in zip(answers, prompts, strict=True)]
        return check_symbolic_many([(text, prompt.answer) for text, prompt in zip(answers, prompts, strict=True)])

    def answers(self, completions: Sequence[str], prompts: Sequence[Prompt]) -> list[str | None]:
        """See Task."""
        from repro.tasks.answers import extract_number, spell, voting_form

        if self._marked:
            return marked_answers(completions)
        texts = self._final(completions)
        if self.answer_kind == "numeric":
            return [spell(extract_number(text)) for text in texts]
        return [voting_form(text) for text in texts]

    def _final(self, completions: Sequence[str]) -> list[str]:
        from repro.tasks.answers.extract import marked_answer

        texts = [answer_text(text, self.template) for text in completions]
        return [text if not self._strict or marked_answer(text) is not None else "" for text in texts]

    def check_lenient(self, completions: Sequence[str], prompts: Sequence[Prompt]) -> list[Outcome]:
        """See Task. What follows a stop string does not count here either."""
        return super().check_lenient([cut(text, self.template.stop) for text in completions], prompts)

    def worked(self, prompt: Prompt) -> str:
        """See Task: the data's own solution, if any, and the answer in the form that the template asks for."""
        from repro.tasks.answers.extract import marked_answer

        solution = re.sub(r"(?<=[0-9])\.0\b", "", prompt.solution or "")
        if self._marked:
            equation = re.sub(r"\A\(|\)\Z| ", "", solution)
            return f"{equation}={MARKER}{prompt.answer}" if equation else f"{MARKER}{prompt.answer}"
        if self.template.answer_tag:
            tag = self.template.answer_tag
            return f"<think> {solution} </think> <{tag}> {prompt.answer} </{tag}>"
        if marked_answer(solution) is not None:
            return solution
        return f"{solution} = \\boxed{{{prompt.answer}}}" if solution else f"\\boxed{{{prompt.answer}}}"

    def split_steps(self, text: str) -> list[str]:
        """See Task: VinePPO's splitter for maths with formulas; else a step is a line with the line breaks after it."""
        if self.answer_kind == "symbolic":
            from repro.methods.vineppo import split_steps  # with torch, which listing tasks must not load

            return split_steps(text)
        return re.findall(r"[^\n]*\n+|[^\n]+", text)

    def provenance(self) -> list[dict]:
        """See Task. `sha256` is that of the uncompressed file, or for the hub that of the questions and answers.

        Further keys: `split` (train or test), `errata` (rows known to be wrong, kept), `repeated` and `unreadable`
        (numbers of rows left out). The overlap stands with the test set.
        """
        entries = []
        for split in ("train", "test"):
            if getattr(self._spec, split) is None:
                continue
            entry = dict(self._load(split).entry)
            if split == "test" and self._spec.train is not None:
                questions = [prompt.question for prompt in self._load("test").rows]
                entry["overlap"] = overlap((prompt.question for prompt in self._load("train").rows), questions)
            entries.append(entry)
        return entries

    def _cut_train(self) -> None:
        rows = self._load("train").rows
        size = min(DEV_DEFAULT, len(rows) // 10) if self._dev is None else self._dev
        keys = sorted({_order(row) for row in rows})
        if size >= len(keys):
            raise InputError(f"task {self.name}: dev={size} leaves nothing of {len(keys)} training questions; lower it")
        held_out = set(keys[:size])
        if self._rl is not None and self._rl > len(keys) - size:
            raise InputError(f"task {self.name}: rl={self._rl} asked for, but there are {len(keys) - size}; lower it")
        self._prompts["dev"] = in_split("dev", (row for row in rows if _order(row) in held_out))
        self._prompts["rl"] = in_split("rl", (row for row in rows if _order(row) not in held_out))[: self._rl]

    def _load(self, split: str) -> _Loaded:
        if split not in self._loaded:
            source: Source = getattr(self._spec, split)
            self._loaded[split] = self._read(split, source)
        return self._loaded[split]

    def _read(self, split: str, source: Source) -> _Loaded:
        if self._data_dir is None:
            rows, revision = hub.fetch(source.hub, source.config, source.split, self._revisions.get(source.hub))
            origin = {"source": "hub", "id": source.hub, "revision": revision, "sha256": ""}
        else:
            path = files.find(self._data_dir / source.folder, source.stems)
            rows, sha256 = files.read(path)
            origin = {"source": "folder", "id": f"{source.folder}/{path.name}", "revision": None, "sha256": sha256}
        prompts, repeated, unreadable = _to_prompts(rows, source, self.answer_kind)
        if not prompts:
            raise InputError(f"task {self.name}: {origin['id']} has no usable rows")
        present = {prompt.source_id for prompt in prompts}
        entry = {
            "task": self.name,
            "split": split,
            **origin,
            "rows": len(prompts),
            "overlap": {},
            "errata": {row: note for row, note in source.errata.items() if row in present},
            "repeated": repeated,
            "unreadable": unreadable,
        }
        entry["sha256"] = entry["sha256"] or prompts_sha256(prompts)
        return _Loaded(prompts, entry)


def _to_prompts(rows: Iterable[files.Row], source: Source, kind: str) -> tuple[list[Prompt], int, int]:
    prompts: list[Prompt] = []
    seen: set[str] = set()
    repeated = unreadable = 0
    for number, row in enumerate(rows):
        fields = source.reader(row)
        if source.unique:
            if fields.question in seen:
                repeated += 1
                continue
            seen.add(fields.question)
        if source.only_level and fields.level != source.only_level:
            continue
        answer = _gold_number(fields.answer) if kind == "numeric" else _gold_symbolic(fields.answer)
        if answer is None:
            if not source.skip_unreadable:
                wanted = "a number" if kind == "numeric" else "an answer"
                raise InputError(f"{row.where}: the answer {fields.answer[:40]!r} is not {wanted}")
            unreadable += 1
            continue
        prompts.append(Prompt(number, fields.question, answer, fields.level, fields.solution, fields.source_id))
    return prompts, repeated, unreadable


def _gold_number(text: str) -> str | None:
    """A gold number written plainly ("27.0" -> "27", "336^\\circ" -> "336"), None where it is none."""
    from repro.tasks.answers import parse_number, spell

    return spell(parse_number(text))


def _gold_symbolic(text: str) -> str | None:
    text = text.strip()
    if len(text) > 2 and text[0] == text[-1] == "$" and text.count("$") == 2:
        text = text[1:-1].strip()
    return text or None


def _order(prompt: Prompt) -> bytes:
    return hashlib.sha256(normalise(prompt.question).encode()).digest()


def in_split(split: str, rows: Iterable[Prompt]) -> list[Prompt]:
    """The rows, whose ids are row numbers, in the order of rule 2 and with ids of this split."""
    offset = SPLITS.index(split) << ID_BITS
    return [
        Prompt(offset | row.id, row.question, row.answer, row.level, row.solution, row.source_id)
        for row in sorted(rows, key=lambda row: (_order(row), row.id))
    ]
