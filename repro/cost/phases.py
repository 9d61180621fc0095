"""Wall time, tokens, model FLOPs and peak memory of each phase of a trial.

Every second belongs to one phase: a phase opened inside another pauses it. Seconds come from a monotonic clock; on
CUDA the device is synchronised at every border, so a phase pays for the kernels it started.

Not covered: a vLLM pool, which the caller reports apart; work of other processes (each process has its own timer).
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

PHASES = (
    "base", "stage1", "generate", "extra_rollouts", "reward", "old", "ref", "value", "credit", "update", "optimizer",
    "checkpoint", "evaluate",
)  # fmt: skip
"""The closed list of phases, in the order in which tables show them."""
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass
class PhaseCost:
    """Totals of one phase. The peaks are bytes on the CUDA device, None where none was used.

    `flops` are those of the model on real tokens: no padding, no recomputation. `host_rss` is the largest resident size
    seen at the phase's borders, in bytes; None where the system does not tell. Older records lack both.
    """

    seconds: float = 0.0
    tokens: int = 0
    calls: int = 0
    peak_allocated: int | None = None
    peak_reserved: int | None = None
    flops: float = 0.0
    host_rss: int | None = None


class PhaseTimer:
    """`with timer.phase("generate", tokens=n):` adds to the phase's totals.

    `device`: "cuda" (or a torch device of that type) records memory; "cpu" makes no CUDA call at all.
    """

    def __init__(self, device="cpu", clock: Callable[[], float] = time.perf_counter):
        self._cuda = sys.modules["torch"].cuda if str(device).startswith("cuda") else None
        self._device = device
        self._clock = clock
        self._open: list[PhaseCost] = []
        self._since = 0.0
        self._costs: dict[str, PhaseCost] = {}

    @contextmanager
    def phase(self, name: str, tokens: int = 0) -> Iterator[PhaseCost]:
        """Count the block as phase `name`; raises `ValueError` for a name that is not in `PHASES`.

        Yields the phase's totals, to which tokens that are only known afterwards can be added. The time of a block that
        raises is counted too. A phase inside itself goes on without a pause and counts as one more call.
        """
        if name not in PHASES:
            raise ValueError(f"{name!r} is not a phase: use one of {', '.join(PHASES)}")
        self._book()
        cost = self._costs.setdefault(name, PhaseCost())
        cost.calls += 1
        cost.tokens += int(tokens)
        cost.host_rss = _larger(cost.host_rss, resident())
        self._open.append(cost)
        try:
            yield cost
        finally:
            self._book()
            self._open.pop()

    def _book(self) -> None:
        """Give time and memory since the last border to the innermost open phase."""
        if self._cuda is not None:
            self._cuda.synchronize(self._device)
        now = self._clock()
        if self._open:
            cost = self._open[-1]
            cost.seconds += now - self._since
            cost.host_rss = _larger(cost.host_rss, resident())
            if self._cuda is not None:
                cost.peak_allocated = max(cost.peak_allocated or 0, self._cuda.max_memory_allocated(self._device))
                cost.peak_reserved = max(cost.peak_reserved or 0, self._cuda.max_memory_reserved(self._device))
        if self._cuda is not None:
            self._cuda.reset_peak_memory_stats(self._device)
        self._since = self._clock()

    @property
    def on_cuda(self) -> bool:
        """True if this timer records memory of a CUDA device."""
        return self._cuda is not None

    @property
    def seconds(self) -> float:
        """Seconds in all phases together, up to the last border."""
        return sum(cost.seconds for cost in self._costs.values())

    def to_json(self) -> dict[str, dict]:
        """{phase: {"seconds", "tokens", "calls", "peak_allocated", "peak_reserved", "flops", "host_rss"}}, phases that
        occurred, in order.

        Phases still open count up to the last border.
        """
        return {name: asdict(self._costs[name]) for name in PHASES if name in self._costs}

    def load_json(self, data: dict[str, dict]) -> None:
        """Add the totals of an earlier part of the same trial (`to_json` of its timer), so that a resumed trial adds
        up.

        Raises `ValueError` for unknown phases or fields.
        """
        if unknown := set(data) - set(PHASES):
            raise ValueError(f"{sorted(unknown)} are no phases: use {', '.join(PHASES)}")
        try:
            parts = {name: PhaseCost(**values) for name, values in data.items()}
        except TypeError as error:
            raise ValueError(f"not the totals of a phase timer: {error}") from error
        for name, part in parts.items():
            cost = self._costs.setdefault(name, PhaseCost())
            cost.seconds += part.seconds
            cost.tokens += part.tokens
            cost.calls += part.calls
            cost.flops += part.flops
            cost.host_rss = _larger(cost.host_rss, part.host_rss)
            cost.peak_allocated = _larger(cost.peak_allocated, part.peak_allocated)
            cost.peak_reserved = _larger(cost.peak_reserved, part.peak_reserved)


def resident() -> int | None:
    """Memory of this process that is resident now, in bytes; None where the system does not tell."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * _PAGE
    except (OSError, ValueError, IndexError):
        return None


def _larger(left: int | None, right: int | None) -> int | None:
    return max((value for value in (left, right) if value is not None), default=None)
