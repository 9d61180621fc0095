"""Predicted memory, FLOPs and tokens on the command line: the rows of `repro plan`, and what `repro run` refuses."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from repro.cli.common import GPU_SCALES, columns
from repro.errors import InputError, ReproError
from repro.experiments.planned import Shape, selected_shapes
from repro.launch.planning import Card, plan_rows, this_card
from repro.store.config import TrialConfig

PLANNING_JOBS = 2  # a plan of a large model holds some GiB
_UNITS = {"K": 1, "M": 2, "G": 3, "T": 4}
_SIZE = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([KMGT])(i?)(B?)\s*", re.IGNORECASE)
_GIB = 1 << 30


def parse_size(text: str) -> int:
    """Bytes of `80GiB`, `80GB`, `24g`: units are binary (as cards are named), except for KB, MB, GB and TB."""
    match = _SIZE.fullmatch(text)
    if not match:
        raise InputError(f"--fits {text}: not a memory size; write a number with its unit, such as 80GiB or 24g")
    number, unit, binary, byte = match.groups()
    size = int(float(number) * (1000 if byte and not binary else 1024) ** _UNITS[unit.upper()])
    if size < 1:
        raise InputError(f"--fits {text}: a card has more than no memory; write a size such as 80GiB")
    return size


def cost_rows(args, chosen, altered, jobs: int | None) -> list[dict[str, Any]]:
    """The rows of `repro plan`'s "cost", in the order of arms and models; progress goes to stderr."""
    shapes: list[tuple[str, Shape]] = []
    for selection, configs in chosen:
        name = configs[0].experiment_id
        shapes += [(name, shape) for shape in selected_shapes(selection, altered, configs)]
    card = Card(parse_size(args.fits), args.fits) if args.fits else None
    options = {"states": args.states or "fp32", "logits": args.logits or "chunked"}
    rows = planned([shape for _, shape in shapes], options, jobs, card)
    return [{"experiment": name, "name": shape.name, **row} for (name, shape), row in zip(shapes, rows, strict=True)]


def planned(
    shapes: Sequence[Shape],
    options: Mapping[str, str],
    jobs: int | None,
    card: Card | None = None,
    before_trials: bool = False,
) -> list[dict[str, Any]]:
    """One plan per shape; raises the first error. With a card also whether it fits, and with which micro-batch."""
    from repro.store.provenance import usable_cores
    from repro.store.workspace import user_cache

    started, done = time.monotonic(), []
    configs = [shape.config for shape in shapes]
    if not configs:
        return []

    def on_row(index: int, row) -> None:
        if isinstance(row, ReproError):
            raise row
        done.append(index)
        seconds = time.monotonic() - started
        which = f"{row['arm']} on {row['model']}"
        print(f"planned {len(done)} of {len(configs)}: {which}, {seconds:.0f} s so far", file=sys.stderr)

    search = not before_trials
    workers = jobs or min(PLANNING_JOBS, usable_cores())
    rooms = None if card is None else [card.room(config.train) for config in configs]
    return plan_rows(configs, options, user_cache() / "plans", workers, on_row, rooms, search, before_trials)


def refuse_what_cannot_fit(configs: Sequence[TrialConfig], jobs: int | None = None) -> None:
    """InputError if a trial of a GPU scale has a planned peak beyond this card. A model of unknown shape is only named.

    Counts one trial at a time, one card per process; a machine without a GPU holds all processes in its memory.
    """
    first: dict[tuple[str, str], TrialConfig] = {}
    for config in configs:
        if config.trains and config.scale in GPU_SCALES:
            first.setdefault((config.experiment_id, config.arm), config)
    shapes = []
    for config in first.values():
        try:
            known_shape(config)
        except InputError as error:
            print(f"repro: {config.experiment_id}/{config.arm}: memory is not checked: {error}", file=sys.stderr)
        else:
            shapes.append(Shape(None, config))
    if not shapes:
        return
    card = this_card(trials=True)
    rows = planned(shapes, {}, jobs, card, before_trials=True)
    small = [(shape.config, row) for shape, row in zip(shapes, rows, strict=True) if not row["fits"]]
    if small:
        raise InputError(_refusal(small, card))


def known_shape(config: TrialConfig) -> None:
    """InputError where the model is one of the hub whose shape is not pinned. Loads nothing."""
    from repro.cost import shapes

    if config.base["kind"] == "hub" and config.base["id"] not in shapes.HUB:
        raise InputError(f"the shape of {config.base['id']} is not pinned")


def _refusal(small: list[tuple[TrialConfig, dict]], card: Card) -> str:
    config, row = max(small, key=lambda one: one[1]["peak"]["total"])
    room = card.room(config.train)
    others = f" ({len(small) - 1} more arms do not fit either)" if len(small) > 1 else ""
    share = "" if room == card.bytes else f", of which one process of the trainer may have {room / _GIB:.1f}"
    return (
        f"{config.experiment_id}/{row['advice']}{others}; the card: {card.name}, {card.bytes / _GIB:.1f} GiB{share}; "
        "--force runs it all the same"
    )


def grouped(row: Mapping[str, Any]) -> dict[str, int]:
    """Bytes of a row's peak by the columns of the table; they add up to the total."""
    kinds = dict.fromkeys(
        ("parameters", "gradients", "optimizer", "activations", "temporaries", "reference", "critic", "kv_cache"), 0
    )
    for name, size in row["peak"]["components"].items():
        kind, _, owner = name.partition("/")
        column = {"reference": "reference", "critic": "critic", "judge": "critic"}.get(owner, kind)
        kinds[column] = kinds.get(column, 0) + size
    known = ("parameters", "gradients", "optimizer", "activations", "reference", "critic", "kv_cache")
    rest = sum(size for name, size in kinds.items() if name not in known)
    return {**{name: kinds[name] for name in known}, "other": rest}


def cost_text(rows: Sequence[Mapping[str, Any]], fits: str | None) -> str:
    """The table of `repro plan`, and what its numbers leave out."""
    if not rows:
        return "no language model is trained, so there is no memory to plan"
    unit, of = ("GiB", 1 << 30) if any(row["peak"]["total"] >= 1 << 30 for row in rows) else ("MiB", 1 << 20)
    head = ["arm", "model", "peak", "in phase", "params", "grads", "optim", "activ", "refer", "critic", "KV", "other"]
    head += ["logits", "KV full", "FLOP/step", "tokens/step", "FLOP/run"]
    table = [tuple(head + (["micro-batch", f"fits {fits}"] if fits else []))]
    for row in rows:
        sizes = [*grouped(row).values(), row["logits"], row["kv_cache"]]
        cells = [row["arm"], _short(row["model"]), _in(row["peak"]["total"], of), row["peak"]["phase"]]
        cells += [_in(size, of) for size in sizes]
        cells += [f"{row['step']['flops']:.3g}", f"{row['step']['tokens']:,}", f"{row['run']['flops']:.3g}"]
        table.append(tuple(cells + ([str(row["settings"]["micro_batch"]), verdict(row)] if fits else [])))
    lines = [
        f"predicted memory in {unit} at the worst moment of one process; FLOP and tokens of all processes",
        columns(table, ""),
        "peak = params + grads + optim + activ + refer + critic + KV + other; logits: the largest tensor of them, in "
        "activ or other; KV full: the key-value cache of all rows at full length",
    ]
    lines += [
        f"{row['arm']} on {_short(row['model'])}: stage 1 samples {row['stage1']['completions']:,} completions once, "
        f"{row['stage1']['flops']:.3g} FLOP, inside FLOP/run"
        for row in rows
        if row.get("stage1")
    ]
    lines += [row["advice"] for row in rows if row.get("advice")]
    sentences = dict.fromkeys(sentence for row in rows for sentence in row["left_out"])
    return "\n".join([*lines, "left out: " + " ".join(sentences)])


def verdict(row: Mapping[str, Any]) -> str:
    largest = row["largest_micro_batch"]
    return f"{'yes' if row['fits'] else 'no'}, {f'up to {largest}' if largest else 'at no micro-batch'}"


def _short(model: str) -> str:
    return model.rpartition("/")[2]


def _in(size: int, unit: int) -> str:
    return "0" if size == 0 else f"{size / unit:.2f}" if size < 100 * unit else f"{size / unit:.1f}"
