"""What identifies a trial beyond its config, asked before anything is trained. Imports torch only in a worker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from repro.launch.calls import Call, call_side_by_side
from repro.launch.execute import RUNNER
from repro.launch.local import preload_modules
from repro.store.config import TrialConfig


def trial_hashes(config: TrialConfig, data_dir: Path | None) -> dict[str, Any]:
    """The "hashes" that the trial's record will have: base model, template, prompts. A missing micro base is built.

    Raises InputError where the trial could not start.
    """
    call = Call(f"{__name__}:hashes_in_worker", {"config": config.to_json(), "data_dir": data_dir})
    (answer,) = call_side_by_side([call], 1, preload=preload_modules(RUNNER))
    if isinstance(answer, Exception):
        raise answer
    return answer


def hashes_in_worker(config: dict[str, Any], data_dir: Path | None) -> dict[str, Any]:
    from repro.training.setup import Setup

    return Setup(TrialConfig.from_json(config), data_dir, lambda event: None).hashes
