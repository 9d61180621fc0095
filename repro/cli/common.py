"""Arguments and small helpers that several verbs share."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repro.errors import InputError
from repro.experiments import registry
from repro.experiments.registry import SCALES, Selection

if TYPE_CHECKING:
    from repro.experiments.resolve import Changes
    from repro.store.config import TrialConfig

GPU_SCALES = ("small", "paper")
MOST_JOBS = 4


def add_root(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--root", type=Path, default=Path("runs"), metavar="DIR", help="workspace (default: runs)")


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON with stable keys instead of text")


def add_scale(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--scale", choices=SCALES, help="smoke, micro (default), small or paper")


def add_method(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--method", action="append", default=[], metavar="NAME_OR_FILE", dest="methods",
        help="add a method as an arm: a Python file with a plug-in, or the name of an installed or built-in one",
    )  # fmt: skip


def add_changes(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--set", action="append", default=[], metavar="ARM.FIELD=VALUE", dest="sets",
        help="change a field of an arm (a glob names several, * all): '*.steps=10', tbrm-n4.beta=0.01")  # fmt: skip
    add_method(parser)
    add("--task", metavar="NAME", help="another task than the experiment's: a name, or a Python file with a plug-in")
    add("--model", metavar="PATH_OR_ID", help="another base model: a checkpoint folder or a hub id")


def add_selection(parser: argparse.ArgumentParser) -> None:
    """The arguments that decide which trials: ids, scale, arms, seeds and changes."""
    parser.add_argument("ids", nargs="+", metavar="ID", help="table1, table1/tbrm-n4, table1/tbrm-n4/seed0, or a glob")
    add_scale(parser)
    parser.add_argument("--arms", metavar="A,B", help="core (default), all, or arm ids and globs with commas")
    parser.add_argument("--seeds", type=int, metavar="N", help="number of seeds (default: the experiment's)")
    parser.add_argument("--jobs", type=int, metavar="N", help="trials side by side (default: by cores)")
    add_changes(parser)


def changes(args: argparse.Namespace) -> Changes:
    from repro.experiments.resolve import parse_changes

    ready_for_plugins(args)
    return parse_changes(args.sets, args.task, args.model, args.methods)


def ready_for_plugins(args: argparse.Namespace) -> None:
    """Set this process up for plug-ins, which may import torch: one thread, no telemetry."""
    if args.methods or getattr(args, "task", None):
        from repro.launch.process import environment

        os.environ.update(environment())


def selected(args: argparse.Namespace) -> list[tuple[Selection, list[TrialConfig]]]:
    """Every selection of the command line with the resolved configs of its trials."""
    from repro.experiments.resolve import resolve_selection

    altered = changes(args)
    selections = registry.select(args.ids, args.scale, args.arms, args.seeds, altered.methods)
    return [(selection, resolve_selection(selection, altered)) for selection in selections]


def jobs(args: argparse.Namespace, configs: list[TrialConfig]) -> int:
    """How many trials run side by side: --jobs, else one per usable core up to 4, and one on GPU scales."""
    from repro.store.provenance import usable_cores

    if args.jobs is not None:
        if args.jobs < 1:
            raise InputError(f"--jobs must be at least 1, not {args.jobs}")
        return args.jobs
    if any(config.scale in GPU_SCALES for config in configs):
        return 1
    return max(1, min(usable_cores(), MOST_JOBS, len(configs)))


def data_dir(args: argparse.Namespace) -> Path | None:
    """--data-dir, else REPRO_DATA_DIR, else None (the hub); InputError if it is not a folder."""
    source = "--data-dir" if args.data_dir else "REPRO_DATA_DIR"
    text = args.data_dir or os.environ.get("REPRO_DATA_DIR")
    if not text:
        return None
    path = Path(text).expanduser()
    if not path.is_dir():
        raise InputError(f"{source}: {path} is not a folder")
    return path.resolve()


def print_json(value: Any) -> None:
    """Everything but plain ASCII is escaped; the one control character that JSON leaves alone, too."""
    print(json.dumps(value, indent=1, default=str).replace("\x7f", "\\u007f"))


def printable(text: str) -> str:
    """Text from outside on one line, with whatever could steer a terminal (control, bidirectional …) escaped."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def columns(rows: list[tuple[str, ...]], indent: str = "  ") -> str:
    """Rows as left-aligned columns of plain text."""
    if not rows:
        return ""
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(indent + line for line in lines)


def duration(seconds: float | None) -> str:
    """`48 s`, `3 min`, `1 h 05 min`, or `unknown`."""
    if seconds is None:
        return "unknown"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
