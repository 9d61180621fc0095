"""What a long run shows while it goes on: a table that fills seed by seed on a terminal, one line per trial elsewhere.

Everything goes to stderr; stdout holds results only.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, TextIO

from repro.cli.common import duration
from repro.experiments.plan import Plan
from repro.store.config import TrialConfig

ENDED = ("done", "failed", "cached")


class Progress:
    """Follows the events of a run. Use as a context manager; `event` takes each event, `note` a line of text."""

    def __init__(self, configs: Sequence[TrialConfig], plan: Plan, stream: TextIO | None = None):
        self.configs, self.plan = {config.id: config for config in configs}, plan
        self.stream = stream or sys.stderr
        self.ended: dict[str, str] = {}
        self.messages: dict[str, str] = {}  # of failed trials
        self.kinds: dict[str, str] = {}
        self.steps: dict[str, int] = {}
        self.running: dict[str, str] = {}
        self.resumed_at: dict[str, int] = {}
        self.started = time.monotonic()
        self.working: float | None = None  # when the first trial started; building a base model comes before it
        self.base_said = False

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_) -> None:
        pass

    def note(self, text: str) -> None:
        print(text, file=self.stream, flush=True)

    def event(self, event: dict[str, Any]) -> None:
        name, trial = event["event"], event.get("id", "")
        if name == "base":  # its steps are not the trial's
            self.running[trial] = f"base {event['step']}/{event['total']}"
            if not self.base_said:
                self.base_said = True
                self.note("training the base model (once; it is kept for later runs)")
            return
        if name == "started" and self.working is None:
            self.working = time.monotonic()
        if event.get("step") is not None:
            self.resumed_at.setdefault(trial, event["step"] if name == "phase" else 0)
            self.steps[trial] = event["step"]
        if name in ENDED:
            self.running.pop(trial, None)
            self.ended[trial] = name
            if name == "failed":
                self.messages[trial] = event.get("message") or "no message"
                self.kinds[trial] = event.get("kind", "trial")
            self.finished(trial, event)
        elif trial:
            self.running[trial] = words(event, self.running.get(trial, ""))

    def finished(self, trial: str, event: dict[str, Any]) -> None:
        """Say that a trial has ended."""
        parts = [f"[{len(self.ended)}/{len(self.configs)}] {trial} {event['event']}"]
        if event.get("accuracy") is not None:
            parts.append(f"accuracy {100 * event['accuracy']:.1f} %")
        if event.get("seconds") is not None:
            parts.append(f"in {duration(event['seconds'])}")
        if event["event"] == "failed":
            parts.append(self.messages[trial])
        left = self.time_to_go()
        if left and len(self.ended) < len(self.configs):
            parts.append(f"about {duration(left)} to go")
        self.note(", ".join(parts))
        if event.get("traceback") and os.environ.get("REPRO_DEBUG", "") not in ("", "0"):
            self.note(event["traceback"])

    def time_to_go(self) -> float | None:
        """Seconds by the rate of this run's own steps; before the first one, by the plan's estimate."""
        done = left = 0
        for trial, config in self.configs.items():
            whole, before = config.train.steps + 1, self.resumed_at.get(trial, 0)
            ended = self.ended.get(trial)
            reached = whole if ended else self.steps.get(trial, before)
            left += whole - reached
            if ended != "cached":
                done += reached - before
        # A few steps of one arm say nothing about the others.
        if done == 0 or (done < (done + left) / 50 and self.plan.estimated_seconds is not None):
            return self.plan.estimated_seconds
        return (time.monotonic() - (self.working or self.started)) * left / done


class LiveProgress(Progress):
    """The same on a terminal. `table(running)` renders the results so far; it is called anew when a trial ends."""

    def __init__(self, configs, plan, table: Callable[[dict[str, str]], Any], stream: TextIO | None = None):
        super().__init__(configs, plan, stream)
        from rich.console import Console
        from rich.live import Live

        self.table = table
        self.console = Console(file=self.stream)
        self.live = Live(console=self.console, refresh_per_second=2, get_renderable=self.render, transient=True)

    def __enter__(self) -> Progress:
        self.live.__enter__()
        return self

    def __exit__(self, *error) -> None:
        self.live.__exit__(*error)

    def note(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False)

    def finished(self, trial: str, event: dict[str, Any]) -> None:
        if event["event"] == "failed":
            super().finished(trial, event)

    def render(self):
        from rich.console import Group
        from rich.text import Text

        spent = time.monotonic() - self.started
        line = f"{len(self.ended)} of {len(self.configs)} trials, {duration(spent)} so far"
        left = self.time_to_go()
        line += f", about {duration(left)} to go" if left is not None else ""
        return Group(self.table(self.running), Text(line, style="bold"))


def words(event: dict[str, Any], before: str) -> str:
    """A cell's text for a running trial."""
    if event["event"] == "step":
        return f"{event['step']}/{event.get('total', '?')}"
    if event["event"] == "phase":
        return str(event.get("message") or before)
    return before or "starting"
