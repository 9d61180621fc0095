"""Completions of an evaluation that is under way, kept on disk: one that was killed goes on where it stopped.

A part (one batch of rows, in their fixed order) is written whole or not at all. The folder belongs to one trial key,
so what lies in it was sampled from the same weights, prompts and draws.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from repro.store.files import write_whole


class Kept:
    """The parts of one set. `tell` gets the number of completions that there are, after each part."""

    def __init__(self, folder: Path, tell: Callable[[int], None]):
        self.folder, self.tell = folder, tell
        self.rows = self.found = 0  # completions there are, and of them those of an earlier run

    def load(self, part: str) -> list[list[int]] | None:
        """The completions of a part in ids; None if no earlier run got that far."""
        try:
            completions = json.loads((self.folder / f"{part}.json").read_text())
        except (FileNotFoundError, ValueError):
            return None
        self.found += len(completions)
        self._count(completions)
        return completions

    def add(self, part: str, completions: list[list[int]]) -> None:
        write_whole(self.folder / f"{part}.json", json.dumps(completions).encode())
        self._count(completions)

    def _count(self, completions: list[list[int]]) -> None:
        self.rows += len(completions)
        self.tell(self.rows)
