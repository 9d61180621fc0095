"""Tasks whose answers are programs: HumanEval, MBPP, CodeContests and TACO, judged by running them in the sandbox.

1. A program is right if it passes every test of its problem; contests are judged on at most `tests` cases, those that
   the question shows first.
2. Identical (program, problem) pairs of one call run once, and a program that fails an early case is not run on the
   later ones.
3. For voting, an answer is what the program does: values of the calls that the question shows (else those the tests
   make, without what they expect), or what it prints for the inputs that the question shows.

Not covered: problems with several right outputs, programs that need files or packages, other languages than Python 3,
and problems whose tests need more memory or time than the limits here.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

from repro.errors import InputError
from repro.tasks import files, hub
from repro.tasks.behaviour import calls, case_call, value_is
from repro.tasks.catalogue import TASKS
from repro.tasks.code_sources import CODE, CodeSource, Criteria
from repro.tasks.outcome import Outcome
from repro.tasks.overlap import overlap
from repro.tasks.programs import complete, extract_program
from repro.tasks.real import in_split
from repro.tasks.sandbox import Asserts, Calls, Job, Limits, Result, Stdio, run_jobs
from repro.tasks.sandbox.judge import normal
from repro.tasks.task import Prompt, Task, prompts_sha256
from repro.tasks.templates import cut
from repro.tasks.templates import get as get_template

ROUNDS = (1, 8, None)  # cases run before the next look at which programs still stand
SHOWN = 8  # calls or inputs that describe a program's behaviour
LONGEST_ANSWER = 400  # characters; longer behaviours are voted on by their hash
MEMORY = 512 << 20
CONTEST_MEMORY = 1 << 30


class CodeTask(Task):
    """One of `code_sources.CODE`. Data are read when prompts or provenance are first asked for."""

    executes = True
    answer_kind = "code"

    def __init__(
        self,
        name: str,
        data_dir: Path | None = None,
        template: str = "qwen-code",
        rl: int | None = None,
        tests: int = 32,
        seconds: int | None = None,
        revisions: dict[str, str] | None = None,
    ):
        """`rl`: how many training prompts are used (default: all). `tests`: cases per contest problem. `seconds`:
        processor time of one run (default: 5 for functions, 10 for contests). `revisions`: commit per hub id."""
        for option, size, least in (("rl", rl, 0), ("tests", tests, 1), ("seconds", seconds, 1)):
            if size is not None and (not isinstance(size, int) or isinstance(size, bool) or size < least):
                raise InputError(f"task {name}: {option} must be a whole number of at least {least}, not {size!r}")
        unknown = set(revisions or {}) - set(TASKS[name].hub)
        if unknown:
            raise InputError(f"task {name} does not load {sorted(unknown)[0]!r}: it loads {', '.join(TASKS[name].hub)}")
        self.name, self.summary = name, TASKS[name].summary
        self.template = get_template(template)
        self.splits = tuple(CODE[name])
        self._rl, self._tests, self._revisions = rl, tests, revisions or {}
        contest = name in ("code_contests", "taco")
        cpu = seconds or (10 if contest else 5)
        memory = CONTEST_MEMORY if contest else MEMORY
        self.limits = Limits(cpu_seconds=cpu, wall_seconds=3.0 * cpu, memory_bytes=memory, output_bytes=4 << 20)
        folder = data_dir if data_dir is not None else os.environ.get("REPRO_DATA_DIR")
        self._data_dir = Path(folder) if folder else None
        self._loaded: dict[str, tuple[list[Prompt], dict]] = {}

    def prompts(self, split: str, limit: int | None = None) -> list[Prompt]:
        self._require_split(split)
        found = self._load(split)[0]
        if split == "rl" and self._rl is not None:
            if self._rl > len(found):
                raise InputError(f"task {self.name}: rl={self._rl} asked for, but there are {len(found)}; lower it")
            found = found[: self._rl]
        return found[:limit]

    def program(self, completion: str, prompt: Prompt) -> str | None:
        """The program a completion gives to its prompt, with what the prompt provides; None: there is none."""
        tests = Criteria.of(prompt.answer)
        prefix = self.template.prefix
        opened = prefix[prefix.rfind("```") :] if "```" in prefix else ""
        found = extract_program(opened + cut(completion, self.template.stop), tests.entry)
        return None if found is None else complete(found, tests.header, tests.stub, "" if tests.cases else tests.entry)

    def check(self, completions: Sequence[str], prompts: Sequence[Prompt]) -> list[Outcome]:
        """See Task. Raises InputError where programs can neither be locked in nor may run unprotected."""
        pairs = self._pairs(completions, prompts)
        standing = dict.fromkeys(pair for pair in pairs if pair is not None)
        plans = {pair: deciding_jobs(pair[0], Criteria.of(pair[1])) for pair in standing}
        begin = 0
        for end in ROUNDS:
            chosen = [(pair, case) for pair in standing for case in plans[pair][begin:end]]
            results = run_jobs([job for _, (job, _) in chosen], self.limits)
            lost = {p for (p, (_, wanted)), result in zip(chosen, results, strict=True) if not _right(result, wanted)}
            standing = {pair: None for pair in standing if pair not in lost}
            begin = end
        return [
            Outcome.UNPARSED if pair is None else Outcome.CORRECT if pair in standing else Outcome.WRONG
            for pair in pairs
        ]

    def answers(self, completions: Sequence[str], prompts: Sequence[Prompt]) -> list[str | None]:
        """See Task. None also where a program ends in an error on everything that was tried."""
        pairs = self._pairs(completions, prompts)
        plans = {
            pair: _tried(pair[0], Criteria.of(pair[1]), prompts[at].question) for at, pair in enumerate(pairs) if pair
        }
        jobs = [job for plan in plans.values() for job in plan]
        results = iter(run_jobs(jobs, self.limits))
        found = {pair: _behaviour(plan, [next(results) for _ in plan]) for pair, plan in plans.items()}
        return [None if pair is None else found[pair] for pair in pairs]

    def split_steps(self, text: str) -> list[str]:
        """See Task: a step is a line with the line breaks after it."""
        return re.findall(r"[^\n]*\n+|[^\n]+", text)

    def provenance(self) -> list[dict]:
        """See Task. Further keys: `split`, `errata`, and `unreadable` (problems left out as they cannot be judged)."""
        entries = []
        for split in self.splits:
            entry = dict(self._load(split)[1])
            if split == "test" and "rl" in self.splits:
                seen = (prompt.question for prompt in self._load("rl")[0])
                entry["overlap"] = overlap(seen, [prompt.question for prompt in self._load("test")[0]])
            entries.append(entry)
        return entries

    def _pairs(self, completions, prompts) -> list[tuple[str, str] | None]:
        programs = [self.program(*pair) for pair in zip(completions, prompts, strict=True)]
        return [None if one is None else (one, prompt.answer) for one, prompt in zip(programs, prompts, strict=True)]

    def _load(self, split: str) -> tuple[list[Prompt], dict]:
        if split not in self._loaded:
            self._loaded[split] = self._read(split, CODE[self.name][split])
        return self._loaded[split]

    def _read(self, split: str, source: CodeSource) -> tuple[list[Prompt], dict]:
        if self._data_dir is None:
            rows, revision = hub.fetch(source.hub, source.config, source.split, self._revisions.get(source.hub))
            origin = {"source": "hub", "id": source.hub, "revision": revision, "sha256": ""}
        else:
            path = files.find(self._data_dir / source.folder, source.stems)
            rows, sha256 = files.read(path)
            origin = {"source": "folder", "id": f"{source.folder}/{path.name}", "revision": None, "sha256": sha256}
        prompts, unreadable = [], 0
        for number, row in enumerate(rows):
            problem = source.reader(row)
            if problem is None:
                unreadable += 1
            elif source.numbers is None or _number(row, problem.source_id) in source.numbers:
                tests = problem.tests
                if len(tests.cases) > self._tests:
                    tests = Criteria(**{**vars(tests), "cases": tests.cases[: self._tests]})
                prompts.append(
                    Prompt(
                        number, problem.question, tests.to_text(), problem.level, problem.solution, problem.source_id
                    )
                )
        if not prompts:
            raise InputError(f"task {self.name}: {origin['id']} has no usable rows for split {split}")
        present = {prompt.source_id for prompt in prompts}
        errata = {row: note for row, note in source.errata.items() if row in present}
        entry = {"task": self.name, "split": split, **origin, "rows": len(prompts), "overlap": {}, "errata": errata,
                 "unreadable": unreadable}  # fmt: skip
        entry["sha256"] = entry["sha256"] or prompts_sha256(prompts)
        return in_split(split, prompts), entry


def _number(row: files.Row, text: str) -> int:
    if not text.isdigit():
        raise InputError(f"{row.where}: field 'task_id' is not a number but {text[:40]!r}")
    return int(text)


def deciding_jobs(program: str, tests: Criteria) -> list[tuple[Job, str | None]]:
    """The jobs that decide, each with the value it must give (None: it must pass)."""
    if not tests.cases:
        setup, source = ("", f"{tests.setup}\n{tests.source}") if tests.late_setup else (tests.setup, tests.source)
        return [(Asserts(program, source, setup, (tests.entry,)), None)]
    if tests.entry:
        return [(case_call(program, tests, given), wanted) for given, wanted in tests.cases]
    return [(Stdio(program, given, wanted), None) for given, wanted in tests.cases]


def _right(result: Result, wanted: str | None) -> bool:
    return result.passed and (wanted is None or value_is(result.outputs[0], wanted))


def _tried(program: str, tests: Criteria, question: str) -> list[Job]:
    """The jobs whose outputs are the program's behaviour."""
    if not tests.cases:
        around = (program, tests.setup) if tests.late_setup else (tests.setup, program)
        found = calls(question, tests, SHOWN)
        return [Calls("\n".join(part for part in around if part), found)] if found else []
    given = [one for one, _ in tests.cases[: max(1, min(tests.public, SHOWN))]]
    if tests.entry:
        return [case_call(program, tests, one) for one in given]
    return [Stdio(program, one) for one in given]


def _behaviour(jobs: Sequence[Job], results: Sequence[Result]) -> str | None:
    """One spelling of all outputs; None where there is not one."""
    outputs: list[str | None] = []
    for job, result in zip(jobs, results, strict=True):
        if isinstance(job, Stdio):
            outputs.append(normal(result.outputs[0]) if result.passed else None)
        else:
            outputs.extend(result.outputs)
    if all(output is None for output in outputs):
        return None
    text = json.dumps(outputs, ensure_ascii=False)
    return text if len(text) <= LONGEST_ANSWER else hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
