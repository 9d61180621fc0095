"""What makes a class a task that can be plugged in, and how it enters the catalogue."""

from __future__ import annotations

import inspect

from repro.errors import InputError, explain
from repro.tasks import catalogue

WORD, GROUP = "task", "repro.tasks"


def known() -> list[str]:
    """Names of all tasks in the catalogue."""
    return list(catalogue.TASKS)


def base() -> type:
    from repro.tasks.task import Task

    return Task


def check(cls: type, where: str) -> None:
    """InputError unless `cls` is a complete task that can be made without options."""
    from repro.tasks.generated import GeneratedTask
    from repro.tasks.task import SPLITS
    from repro.tasks.templates import Template

    if cls.generated and not issubclass(cls, GeneratedTask):
        raise InputError(f"{where}: {cls.__name__} is generated, so it must derive from GeneratedTask")
    if not isinstance(getattr(cls, "summary", None), str) or "\n" in cls.summary:
        raise InputError(f"{where}: {cls.__name__}.summary must be one line of text")
    needed = [name for name, one in inspect.signature(cls).parameters.items() if one.default is one.empty]
    if set(needed) - {"name", "data_dir"}:
        raise InputError(f"{where}: {cls.__name__} needs a default for its option {needed[0]}")
    try:
        task = cls(**{name: {"name": cls.name, "data_dir": None}[name] for name in needed})
    except Exception as error:
        raise InputError(f"{where}: {cls.__name__} without options raised {explain(error)}") from error
    if not task.splits or not set(task.splits) <= set(SPLITS):
        raise InputError(f"{where}: {cls.__name__}.splits must be some of {', '.join(SPLITS)}")
    if not isinstance(task.template, Template):
        raise InputError(f"{where}: {cls.__name__}.template must be a Template")


def enter(cls: type, sha256: str, where: str) -> None:
    """Put the class into the catalogue."""
    catalogue.TASKS[cls.name] = catalogue.TaskInfo(
        cls.name, cls.__module__, cls.__name__, cls.summary, licence=f"plug-in {where}", generated=cls.generated
    )
    catalogue.SOURCES[cls.name] = sha256


def remove(name: str) -> None:
    for table in (catalogue.TASKS, catalogue.SOURCES):
        table.pop(name, None)
