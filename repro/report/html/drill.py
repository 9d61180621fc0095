"""Per-question outcomes and stored completions, as scripts that the page of questions loads when it needs them.

A page opened from a disk may not `fetch` data, but it may load scripts: each file hands one value to `repro.add`. An
arm has one small file with its score on every question, and files of blocks of questions with the letters of every
sample (`repro.store.outcomes`) and the completions that its records hold. Lists of questions are shared between arms.

Keys in these values are fixed and all foreign text is a value, so no record can reach the page's own names.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from repro.report.build import Report
from repro.report.html.write import write_file
from repro.store.outcomes import decode, decode_greedy

Record = dict[str, Any]
BLOCK_BYTES = 200_000  # a block opens at once from a disk, and in well under a second over a slow network


def script(key: str, value: Any) -> str:
    """The file that hands `value` to the page. ASCII only, and no `<`, so that it is inert wherever it is pasted."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":")).replace("<", "\\u003c")
    return f"repro.add({json.dumps(key)},{text});\n"


def write_questions(report: Report, records: Sequence[Record], root: Path, prefix: str) -> dict[str, Any] | None:
    """Write the files of one report below `root / prefix`; returns its entry in the index of the page.

    None where no finished trial has outcomes (bandits).
    """
    writer = _Writer(root, prefix)
    arms = []
    for arm in report.experiment.arms:
        done = [r for r in records if r["arm"] == arm.id and r["status"] == "done" and r["outcomes"]]
        if done:
            arms.append({"id": arm.id, "display": arm.display, "chunk": writer.arm(len(arms), done)})
    return {"title": report.title, "arms": arms} if arms else None


class _Writer:
    """Files of one report; remembers the lists of questions that are written already."""

    def __init__(self, root: Path, prefix: str):
        self.root, self.prefix = root, prefix
        self.lists: dict[tuple, str] = {}

    def arm(self, number: int, done: list[Record]) -> str:
        """The files of one arm; returns the key of the first."""
        done = sorted(done, key=lambda r: r["seed"])
        completions = _completions(done)
        sets = []
        for place, name in enumerate(done[0]["outcomes"]):
            sets.append(self._set(f"{number}-{place}", name, done, completions[name]))
        return self._write(str(number), {"sets": sets})

    def _set(self, stem: str, name: str, done: list[Record], completions: dict[str, dict]) -> dict[str, Any]:
        first = done[0]["outcomes"][name]
        questions, width = first["questions"], len(first["samples"][0])
        alike = [
            (r["seed"], entry)
            for r in done
            if (entry := r["outcomes"].get(name))
            and entry["questions"] == questions
            and len(entry["samples"][0]) == width
        ]
        ids = [_text(q) for q in questions]
        right = sum(decode(entry["samples"]).correct.sum(axis=1) for _, entry in alike)
        greedy = [decode_greedy(entry["greedy"]).correct for _, entry in alike if entry.get("greedy") is not None]
        details = [
            {
                "letters": [entry["samples"][index] for _, entry in alike],
                "greedy": [(entry.get("greedy") or "")[index : index + 1] for _, entry in alike],
                **completions.get(question, {"prompt": "", "gold": "", "completions": []}),
            }
            for index, question in enumerate(ids)
        ]
        return {
            "name": name,
            "questions": self._list(ids, first.get("levels")),
            "seeds": [seed for seed, _ in alike],
            "left_out": len(done) - len(alike),
            "samples": width * len(alike),
            "right": right.tolist(),
            "greedy": sum(greedy[1:], greedy[0].astype(int)).tolist() if greedy else None,
            "greedy_of": len(greedy),
            "stored": [len(detail["completions"]) for detail in details],
            **self._blocks(stem, details),
        }

    def _blocks(self, stem: str, details: list[dict[str, Any]]) -> dict[str, Any]:
        """Write the details in blocks of equally many questions; returns how many, and the keys of the files."""
        letters = len(details[0]["letters"]) * (len(details[0]["letters"][0]) + 6)
        texts = sum(len(text) for detail in details for entry in detail["completions"] for text in entry[1:])
        size = max(1, BLOCK_BYTES * len(details) // (letters * len(details) + texts + 1))
        blocks = range(0, len(details), size)
        keys = [self._write(f"{stem}-{start // size}", details[start : start + size]) for start in blocks]
        return {"block": size, "blocks": keys}

    def _list(self, ids: list[str], levels: Any) -> str:
        levels = [_text(level) for level in levels] if isinstance(levels, list) and len(levels) == len(ids) else []
        content = (tuple(ids), tuple(levels))
        if content not in self.lists:
            self.lists[content] = self._write(f"q{len(self.lists)}", {"ids": ids, "levels": levels})
        return self.lists[content]

    def _write(self, name: str, value: Any) -> str:
        key = f"{self.prefix}/{name}"
        write_file(self.root / f"{key}.js", script(key, value))
        return key


def _completions(done: list[Record]) -> dict[str, dict[str, dict[str, Any]]]:
    """Set -> question -> its prompt, right answer and stored completions, each [seed, outcome letter, text]."""
    found: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
    for record in done:
        for sample in record.get("samples") or ():
            if not isinstance(sample, dict):
                continue
            name, question, prompt, gold, outcome, text = (
                _text(sample.get(key)) for key in ("set", "question", "prompt", "gold", "outcome", "completion")
            )
            one = found[name].setdefault(question, {"prompt": prompt, "gold": gold, "completions": []})
            one["completions"].append([record["seed"], outcome, text])
    return found


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)
