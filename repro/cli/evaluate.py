"""Measure a checkpoint as it is: prompts, sampling, checker and record are those of a trial that trains nothing.

A model is a folder (config.json, *.safetensors, a tokenizer) or a hub id. The defaults follow --scale: 8 samples per
question at micro, 2 for 8 questions at smoke; --set reaches every other setting of an evaluation, such as
evaluation.backend=vllm or evaluation.batch=64. Issued again, it shows the stored record; interrupted, it goes on where
it stopped. What is asked in one way (task, split, samples, lengths …) is one experiment id, evaluate@1a2b3c4d, with a
row per model: `repro report`, `repro leaderboard add` and `repro rescore` take it like any other.

Examples:
  repro evaluate --model ./checkpoint --task gsm8k --data-dir data --questions 200
  repro evaluate --model Qwen/Qwen2.5-0.5B --task svamp --task math500 --seeds 3 --option template=plain
  repro evaluate --model ./micro --task chain --option terms=[2,3,4] --completions all

JSON keys: root, statuses {trial id: "done" | "cached" | "failed"}, failures {trial id: message}, evaluations [{id,
model, digest, task, template, scale, seeds, records [{seed, file, key}], sets {set: {questions, samples, metrics {name:
{estimate, lo, hi}}}}}]. Estimates are fractions; lo and hi bound the 95 % interval.
"""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repro.cli.common import add_json, add_root, add_scale, columns, data_dir, jobs, print_json
from repro.store.lock import machine

if TYPE_CHECKING:
    from repro.report.evaluated import Evaluated
    from repro.store.config import TrialConfig
    from repro.training.base import Base


def add_arguments(parser) -> None:
    add = parser.add_argument
    add("--model", required=True, metavar="PATH_OR_ID", help="a checkpoint folder, or a hub id owner/name[@revision]")
    add("--task", required=True, action="append", metavar="NAME", dest="tasks",
        help="a task of the catalogue, or a Python file with a plug-in; several are evaluated one by one")  # fmt: skip
    add_scale(parser)
    add("--seeds", type=int, default=1, metavar="N", help="how often everything is sampled (default: once)")
    add("--samples", type=int, metavar="N", dest="n", help="completions per question")
    add("--questions", type=int, metavar="N", help="the first so many questions (default: all; at smoke 8)")
    add("--split", help="rl, dev or test (default: test)")
    add("--temperature", type=float, metavar="T", help="of sampling; 0 decodes greedily, once (default: 1)")
    add("--shots", type=int, metavar="N", help="worked examples before each question (default: none)")
    add("--max-completion", type=int, metavar="N", help="longest completion in tokens")
    add("--completions", choices=("few", "all"), help="which completions the record keeps (default: 16 of them)")
    add("--option", action="append", default=[], metavar="NAME=VALUE", dest="options",
        help="an option of the task, such as template=plain")  # fmt: skip
    add("--set", action="append", default=[], metavar="SECTION.FIELD=VALUE", dest="sets",
        help="another setting: evaluation.batch=64, train.max_prompt=4096")  # fmt: skip
    add("--data-dir", metavar="DIR", help="folder of public data files (else REPRO_DATA_DIR, else the hub)")
    add("--jobs", type=int, metavar="N", help="trials side by side (default: by cores)")
    add("--unsafe-code", action="store_true", help="run model-written code without a sandbox, and record it so")
    add_root(parser)
    add_json(parser)


def main(args) -> int:
    from repro.cli.run import exit_code
    from repro.report.evaluated import evaluated
    from repro.store.workspace import Workspace

    data, base, configs = prepare(args)
    workers = jobs(args, configs)
    workspace = Workspace(args.root).prepare()
    os.environ["REPRO_COMMAND"] = args.command_line
    progress, keys = run(configs, base, workspace, workers, data)
    found = evaluated(configs, records_of(configs, keys, workspace), workspace)
    if args.json:
        print_json(
            {
                "root": str(args.root),
                "statuses": progress.ended,
                "failures": progress.messages,
                "evaluations": [one.to_json() for one in found],
            }
        )
    else:
        for one in found:
            print(text(one))
    return exit_code(progress, [])


def prepare(args: Namespace) -> tuple[Path | None, Base, list[TrialConfig]]:
    """The data folder, the checkpoint and the trials of a command line; all that can be refused at once is."""
    from repro import plugins, tasks
    from repro.cli.pipeline import check_inputs
    from repro.experiments.evaluation import configs, parse_options
    from repro.experiments.resolve import parse_model
    from repro.launch.process import environment

    os.environ.update(environment())  # before torch is imported: one thread, no telemetry
    if args.unsafe_code:
        os.environ["REPRO_UNSAFE_CODE"] = "1"
    names = [plugins.add("task", name) for name in dict.fromkeys(args.tasks)]
    options, data, kind = parse_options(args.options), data_dir(args), parse_model(args.model)
    fields = ("n", "questions", "split", "temperature", "shots")
    asked = {name: getattr(args, name) for name in fields if getattr(args, name) is not None}
    sets = [*args.sets]
    for name in ("max_completion", "completions"):
        if getattr(args, name) is not None:
            sets.append(f"evaluation.{name}={getattr(args, name)}")

    def trials(digest: str) -> list[TrialConfig]:
        scale = args.scale or "micro"
        made = [configs(one, kind, digest, scale, args.seeds, options, asked, sets, data) for one in names]
        return [config for own in made for config in own]

    # What is quick to find out comes before the weights are read.
    check_inputs(trials(""), data)
    for one in (tasks.load(name, options, data) for name in names):
        if not one.generated:
            one.provenance()  # the record names its sources, a training set that nothing is asked from among them
    from repro.training.base import checkpoint

    base = checkpoint(kind)
    return data, base, trials(base.digest)


def run(
    configs: list[TrialConfig], base: Base, workspace, workers: int, data: Path | None
) -> tuple[Any, dict[str, str]]:
    """Run the trials that have no record yet; returns how they ended, and trial id -> key of each."""
    from repro.launch.local import run_trials
    from repro.store.records import find_all

    keys = keys_of(configs, base, data)
    known = find_all(workspace, keys.values())
    cached = [config for config in configs if known.get(keys[config.id], {}).get("status") == "done"]
    with watched(configs, workers) as progress:
        for config in cached:
            progress.event({"event": "cached", "id": config.id})
        left = [config for config in configs if config not in cached]
        try:
            if left:
                with machine(alone=False):
                    run_trials(left, workspace.root, workers, data, progress.event)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"interrupted; what was sampled is kept in {workspace.root}: the same command goes on"
            ) from None
    return progress, keys


def watched(configs: list[TrialConfig], workers: int):
    """One line per trial; on a terminal also how far each one is."""
    from repro.cli.progress import LiveProgress, Progress
    from repro.experiments.plan import Plan

    plan = Plan((), workers, None, ())
    if not sys.stderr.isatty():
        return Progress(configs, plan)
    from rich.text import Text

    return LiveProgress(configs, plan, lambda running: Text("\n".join(f"{id}: {at}" for id, at in running.items())))


def keys_of(configs: list[TrialConfig], base: Base, data: Path | None) -> dict[str, str]:
    """Trial id -> key, known before anything runs: all that an evaluation depends on is at hand."""
    from repro import tasks
    from repro.store.key import trial_key
    from repro.tasks import verdict
    from repro.training.hashes import content_hashes, set_name

    found, hashes = {}, {}
    for config in configs:
        if config.variant not in hashes:
            task = tasks.load(config.task["name"], config.task["options"], data)
            (item,) = config.evaluation.sets
            prompts = {set_name(item, task): task.prompts(item.split, item.questions)}
            judged = {"verdict": verdict.get(task.template.name).sha256} if item.verify else {}
            hashes[config.variant] = content_hashes(base.digest, task, prompts) | judged
        found[config.id] = trial_key(config, hashes[config.variant])
    return found


def records_of(configs: list[TrialConfig], keys: dict[str, str], workspace) -> dict[str, dict[str, Any]]:
    """Trial id -> its finished record. One that an experiment's arm has left is entered under this id as well."""
    from repro.experiments._evaluate import NAME
    from repro.store.records import adopt, find_all, write_record

    known, found = find_all(workspace, keys.values()), {}
    for config in configs:
        record = known.get(keys[config.id])
        if record is None or record["status"] != "done":
            continue
        if record["experiment"] != NAME:
            record = adopt(record, config)
            write_record(workspace, record)
        found[config.id] = record
    return found


def text(found: Evaluated) -> str:
    """The numbers of one model on one task, in percent, and where their records lie."""
    from repro.report.format import MISSING, percent

    seeds = f"{len(found.seeds)} seeds" if len(found.seeds) > 1 else f"seed {found.seeds[0]}"
    lines = [f"{found.model} on {found.task}, scale {found.scale}, {seeds} ({found.id})"]
    for name, one in found.sets.items():
        rows = [(f"{name}: {one.questions} questions x {one.samples} samples", "%", "95 % interval")]
        for metric, value in one.metrics.items():
            if metric in ("pass@1", "majority@1"):  # the accuracy once more
                continue
            span = MISSING if value.lo is None else f"{percent(value.lo)} to {percent(value.hi)}"
            rows.append((f"  {metric}", percent(value.estimate), span))
        lines.append(columns(rows))
    lines += [f"  record: {record['file']}" for record in found.records]
    return "\n".join(lines)
