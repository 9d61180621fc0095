"""Plans of trials, each made in a process of its own (`repro.launch.calls`). Imports torch only in there."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from repro.errors import InputError, ReproError
from repro.launch.calls import Call, call_side_by_side
from repro.launch.execute import RUNNER
from repro.launch.local import preload_modules
from repro.store.config import TrainSettings, TrialConfig

PLANNER = "repro.training.planner"


def preload(trials: bool) -> list[str]:
    """What the fork server imports if planning starts it; `trials`: it will run them as well."""
    return [*(preload_modules(RUNNER) if trials else []), PLANNER]


@dataclass(frozen=True)
class Card:
    """What a plan must fit: a GPU, this machine's memory, or a size that the user names."""

    bytes: int
    name: str
    host: bool = False  # all processes of a trial share it

    def room(self, train: TrainSettings) -> int:
        """Bytes for one process of the trainer. A colocated engine keeps its pool for itself."""
        if self.host:
            return self.bytes // train.processes
        return int(self.bytes * (1 - train.vllm_memory)) if train.backend == "vllm" else self.bytes


def plan_rows(
    configs: Sequence[TrialConfig],
    options: Mapping[str, str],
    cache: Path | None,
    jobs: int,
    on_row: Callable[[int, dict | ReproError], None],
    rooms: Sequence[int] | None = None,
    search: bool = True,
    trials: bool = False,
    planner: str = PLANNER,
) -> list[dict | ReproError]:
    """The plan of every config, `jobs` at a time; a config that cannot be planned is answered by its error.

    `rooms` (bytes, one per config) adds "fits" and "advice" (None for what fits) to each row, and with `search` the
    "largest_micro_batch" that fits. `trials`: as in `preload`.
    """
    # Arms of one model share phases: whoever comes second finds them in the cache, if models take turns.
    models = [repr(config.base) for config in configs]
    turn = [models[:place].count(model) for place, model in enumerate(models)]
    order = sorted(range(len(configs)), key=lambda place: turn[place])
    calls = [
        Call(
            f"{__name__}:plan_one",
            {
                "config": configs[place].to_json(),
                "options": dict(options),
                "cache": None if cache is None else str(cache),
                "room": None if rooms is None else rooms[place],
                "search": search,
                "planner": planner,
            },
        )
        for place in order
    ]
    answers = call_side_by_side(calls, jobs, lambda index, row: on_row(order[index], row), preload(trials))
    rows: list[dict | ReproError] = [InputError("not planned")] * len(configs)
    for place, answer in zip(order, answers, strict=True):
        rows[place] = answer
    return rows


def plan_one(config: dict, options: dict, cache: str | None, room: int | None, search: bool, planner: str) -> dict:
    """One row; runs in a worker."""
    module = importlib.import_module(planner)
    trial, chosen, folder = TrialConfig.from_json(config), module.PlanOptions(**options), Path(cache) if cache else None
    row = module.plan_trial(trial, chosen, folder)
    if room is None:
        return row
    fits = row["peak"]["total"] <= room
    row = {**row, "fits": fits, "advice": None if fits else module.advice(row, room)}
    return {**row, "largest_micro_batch": module.largest_micro_batch(trial, room, chosen, folder)} if search else row


def this_card(trials: bool = False) -> Card:
    """The smallest GPU of this machine, or its memory where there is none; asked in a worker, so that no CUDA context
    stays behind.
    """
    (answer,) = call_side_by_side([Call(f"{__name__}:gpu_memory", {})], 1, preload=preload(trials))
    if isinstance(answer, Exception):
        raise answer
    if answer:
        size, name = min(answer)
        return Card(size, name)
    from repro.cost.host import machine

    here = machine()
    limits = [size for size in (here["memory"], here["memory_limit"]) if size]
    return Card(min(limits), "this machine's memory", host=True)


def gpu_memory() -> list[tuple[int, str]]:
    """(bytes, name) of every GPU that torch sees; runs in a worker."""
    import torch

    if not torch.cuda.is_available():
        return []
    devices = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    return [(device.total_memory, device.name) for device in devices]
