"""Tasks: prompts, splits and answer checks. `load` is the one way to get a task; nothing heavy is imported before
it."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repro.errors import InputError
from repro.tasks.catalogue import TASKS

if TYPE_CHECKING:
    from repro.tasks.task import Task


def load(name: str, options: Mapping[str, Any] | None = None, data_dir: Path | None = None) -> Task:
    """The task of that name with its options. Files of real tasks are read when prompts are first asked for.

    `data_dir` (else the environment's REPRO_DATA_DIR) is a folder with the public files; without it real tasks come
    from the hub. InputError for an unknown task or option.
    """
    if name not in TASKS:
        near = difflib.get_close_matches(name, TASKS, n=3) or sorted(TASKS)
        raise InputError(f"unknown task {name!r}: did you mean {', '.join(near)}?")
    info = TASKS[name]
    cls = getattr(import_module(info.module), info.cls)
    parameters = inspect.signature(cls).parameters
    fixed = {key: value for key, value in {"name": name, "data_dir": data_dir}.items() if key in parameters}
    known = [parameter for parameter in parameters if parameter not in ("name", "data_dir")]
    unknown = [option for option in options or {} if option not in known]
    if unknown:
        raise InputError(f"task {name} has no option {unknown[0]!r}: it has {', '.join(known)}")
    return cls(**fixed, **(options or {}))
