"""Show what `repro run` would do, at once and without doing it; and what it would cost, without a GPU.

At small and paper scale (elsewhere with --cost) every trained arm gets a row of predicted memory, FLOPs and tokens, on
each model that the experiment plans it for, or on that of --model. Nothing is downloaded, no data set is read.

JSON keys: trials [{id, arm, seed, status, key, estimated_seconds}] with status "cached", "to run" or "damaged"; cached
and to_run (counts), jobs, estimated_seconds (wall time; null if an arm never ran), problems [unreadable files], cost
(null, or rows). A row of cost: experiment (with scale), name (of the planned model; null: the scale's own), arm,
method, model, parameters (number), phases {phase: {peak {total, components}, flops, tokens, calls}}, peak {total,
phase, components}, kv_cache, logits, step {flops, tokens, completions, prompts}, stage1 (null, or {flops, tokens,
completions} of the whole run), run {steps, flops, tokens, completions}, settings, left_out [sentences]; with --fits
also fits, largest_micro_batch (0: none fits), advice (null if it fits). Memory is in bytes.
"""

from __future__ import annotations

from repro.cli.common import (
    GPU_SCALES,
    add_json,
    add_root,
    add_selection,
    changes,
    columns,
    duration,
    jobs,
    print_json,
    selected,
)
from repro.errors import InputError
from repro.experiments.plan import Plan, plan, published_bundle


def add_arguments(parser) -> None:
    add_selection(parser)
    cost = parser.add_mutually_exclusive_group()
    cost.add_argument(
        "--cost", action="store_true", help="predict memory, FLOPs and tokens (default at small and paper)"
    )
    cost.add_argument("--no-cost", action="store_true", help="leave that out")
    add = parser.add_argument
    add("--states", choices=("fp32", "bf16"), help="precision of weights, gradients, optimizer (default: fp32)")
    add("--logits", choices=("chunked", "full"), help="with a fused head, or all logits in memory (default: chunked)")
    add("--fits", metavar="SIZE", help="a card, such as 80GiB: does it fit, and with which micro-batch at most")
    add_root(parser)
    add_json(parser)


def main(args) -> int:
    from repro.store.records import load_records
    from repro.store.workspace import Workspace

    chosen, costs = selected(args), wants_cost(args)
    records, problems = load_records(Workspace(args.root))
    made = make(args, chosen, records, problems)
    rows = None
    if costs:
        from repro.cli.cost import cost_rows

        try:
            rows = cost_rows(args, chosen, changes(args), args.jobs)
        except KeyboardInterrupt:
            raise KeyboardInterrupt("interrupted; what was planned is kept: the same command goes on") from None
    if args.json:
        print_json(made.to_json() | {"cost": rows})
        return 0
    print(text(made))
    if rows is not None:
        from repro.cli.cost import cost_text

        print("\n" + cost_text(rows, args.fits))
    return 0


def wants_cost(args) -> bool:
    """Whether an option or the scale asks for rows of cost; InputError for --no-cost with such an option."""
    from repro.cli.cost import parse_size

    asked = [name for name in ("fits", "states", "logits") if getattr(args, name) is not None]
    if args.no_cost and asked:
        raise InputError(f"--{asked[0]} asks about the cost that --no-cost leaves out: give one of them")
    if args.fits is not None:
        parse_size(args.fits)  # refused at once
    scales = {args.scale, *(name.partition("@")[2].partition("/")[0] for name in args.ids)}
    return not args.no_cost and bool(args.cost or asked or scales.intersection(GPU_SCALES))


def make(args, chosen, records, problems) -> Plan:
    """The plan of a command line's selections; published records serve for the estimate of arms that never ran here."""
    from repro.store.config import experiment_id
    from repro.store.published import read_bundle

    configs = [config for _, own in chosen for config in own]
    known = {(record["experiment"], record["scale"], record["arm"]) for record in records}
    published = []
    for selection, own in chosen:
        bundle = published_bundle(experiment_id(selection.experiment.id, selection.scale))
        if bundle and any((config.experiment, config.scale, config.arm) not in known for config in own):
            published += read_bundle(bundle)
    return plan(configs, records, problems, published, jobs(args, configs))


def text(made: Plan) -> str:
    rows = [("trial", "status", "estimated")]
    for trial in made.trials:
        rows.append((trial.id, trial.status, "" if trial.status == "cached" else duration(trial.estimated_seconds)))
    total = duration(made.estimated_seconds)
    lines = [columns(rows, "")]
    lines += [f"problem: {problem}" for problem in made.problems]
    lines.append(f"{len(made.trials)} trials: {len(made.trials) - len(made.to_run)} cached, {len(made.to_run)} to run")
    lines.append(f"estimated wall time with {made.jobs} at a time: {total} (base model and timing pass not counted)")
    return "\n".join(lines)
