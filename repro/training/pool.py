"""The pool behind test-time scaling: every sample of a set with its answer, its length and the verifier's score.

Chunks are written to disk as they are drawn, whole or not at all, so that an evaluation that was killed goes on at the
chunk where it stopped and ends with the same numbers. What is kept for good is the scaling entry of the record.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from repro.evaluation.entry import answer_numbers, scaling_entry
from repro.store.files import write_whole
from repro.tasks.verdict import VerdictTokens
from repro.training.verdicts import Judge, verdict_scores

THRESHOLDS = (0.0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)  # of early stopping


class Pool:
    """The samples of one set. `judge` None: the policy judges its own samples (^V, or the LLM-as-judge baseline)."""

    def __init__(self, folder: Path, tokens: VerdictTokens, judge: Judge | None, budgets: tuple[int, ...]):
        self.folder, self.tokens, self.judge, self.budgets = folder, tokens, judge, budgets
        self.chunks: dict[int, dict] = {}

    def load(self, number: int) -> tuple[list[str], list[str]] | None:
        """Letters and texts of a chunk that an earlier run has drawn; None if it did not get there."""
        path = self._path(number)
        if not path.exists():
            return None
        try:
            chunk = json.loads(path.read_text())
        except ValueError:
            path.unlink()
            return None
        self.chunks[number] = chunk
        return chunk["letters"], chunk["texts"]

    def add(
        self,
        number: int,
        policy,
        answers: list[str | None],
        prompts: list[list[int]],
        completions: list[list[int]],
        letters: list[str],
        texts: list[str],
    ) -> None:
        """Judge a chunk of samples and keep it. `answers` as `Task.answers` gives them."""
        yes, no = verdict_scores(policy.model, self.judge, self.tokens, prompts, completions, policy.end_ids)
        self.chunks[number] = {
            "letters": letters,
            "texts": texts,
            "answers": [None if letter in "uU" else answer for letter, answer in zip(letters, answers, strict=True)],
            "lengths": [len(ids) for ids in completions],
            "yes": yes,
            "no": no,
        }
        write_whole(self._path(number), json.dumps(self.chunks[number]).encode())

    def scaling(self, questions: int, n: int, letters: str) -> dict:
        """The "scaling" entry of a record's outcomes, from all chunks; `letters` of all samples in order."""

        def column(name: str) -> list:
            return [item for number in sorted(self.chunks) for item in self.chunks[number][name]]

        correct = np.array([letter in "cC" for letter in letters])
        shape = (questions, n)
        return scaling_entry(
            answer_numbers(column("answers"), n),
            correct.reshape(shape),
            np.array(column("yes")).reshape(shape),
            np.array(column("no")).reshape(shape),
            np.array(column("lengths")).reshape(shape),
            self.budgets,
            THRESHOLDS,
        )

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:05d}.json"
