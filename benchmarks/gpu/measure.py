"""Measure what the planner predicts: seconds and peak memory of every method on this machine's GPU, random weights.

    python benchmarks/gpu/measure.py                     # all methods at the shapes of Qwen2.5-1.5B
    python benchmarks/gpu/measure.py --methods ppo,astar-po --micro-batch 4 --checkpointing
    python benchmarks/gpu/measure.py --tiny              # a tiny model, also without a GPU: does the script work?
    python benchmarks/gpu/measure.py --table             # the calibration table of what has been measured

Each method trains for some steps in a process of its own with the suite's trainer; prompts are random tokens, and the
end token is ignored, so that every completion has the full length. One line per method is appended to `--out`, with
phases, plan and provenance. Nothing is fitted: the table shows the planner's error as it is.
Not covered: stage 1 of A*-PO (its completions cost what `generate` shows), the forms with verdicts, vLLM.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

HERE = Path(__file__).resolve().parent
TRAINING = ("generate", "extra_rollouts", "old", "ref", "value", "update", "optimizer")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--methods", help="names with commas (default: all without verdicts)")
    parser.add_argument("--shape", default="Qwen/Qwen2.5-1.5B", help="hub id of a pinned shape")
    parser.add_argument("--tiny", action="store_true", help="a tiny model and short rows")
    parser.add_argument("--steps", type=int, default=4, help="the first one warms up and is left out of the seconds")
    parser.add_argument("--completions", type=int, default=32, help="per step")
    parser.add_argument("--micro-batch", type=int, default=2)
    parser.add_argument("--prompt", type=int, default=256, help="tokens")
    parser.add_argument("--completion", type=int, default=1024, help="tokens")
    parser.add_argument("--checkpointing", action="store_true")
    parser.add_argument("--out", type=Path, default=HERE / "measured.jsonl")
    parser.add_argument("--table", action="store_true", help="only print the calibration table")
    parser.add_argument("--one", help=argparse.SUPPRESS)  # the method that this child process measures
    args = parser.parse_args()
    if args.tiny:
        args.completions, args.micro_batch, args.prompt, args.completion = 8, 2, 8, 8
    if args.steps < 2:
        parser.error("--steps must be at least 2: the first one warms up")
    return args


def main() -> int:
    args = arguments()
    if args.one:
        measure(args)
        return 0
    if not args.table:
        from repro.methods.catalogue import METHODS

        names = args.methods.split(",") if args.methods else [e.name for e in METHODS.values() if e.inner is None]
        for name in names:
            print(f"measuring {name}", file=sys.stderr)
            done = subprocess.run([sys.executable, __file__, *sys.argv[1:], "--one", name])
            if done.returncode:
                print(f"{name} failed with exit code {done.returncode}; the others go on", file=sys.stderr)
    rows = [json.loads(line) for line in args.out.read_text().splitlines()] if args.out.exists() else []
    print(table(rows))
    return 0


def measure(args: argparse.Namespace) -> None:
    """Train one method and append its line to `args.out`."""
    import torch

    from repro.store.provenance import collect
    from repro.training.planner import plan_trial

    with tempfile.TemporaryDirectory() as scratch:
        base = checkpoint(args, Path(scratch) / "base")
        config = trial(args, base)
        timer, steps = train(args, config, base, Path(scratch) / "run")
        # A generated task would be planned with its own short prompts; a real one with the longest that is allowed.
        plan = plan_trial(dataclasses.replace(config, task={"name": "math", "options": {}}))
    line = {
        "method": args.one,
        "shape": "tiny" if args.tiny else args.shape,
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "settings": config.to_json()["train"],
        "seconds_per_step": steps,
        "phases": timer.to_json(),
        "predicted": {name: phase["peak"]["total"] for name, phase in plan["phases"].items()},
        "plan_settings": plan["settings"],
        "provenance": collect(" ".join(sys.argv)),
    }
    with args.out.open("a") as file:
        file.write(json.dumps(line) + "\n")


def checkpoint(args: argparse.Namespace, folder: Path) -> Path:
    """A model of the wanted shape with random weights, and a tokenizer that gives every id a word."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast, Qwen2Config

    from repro.cost import shapes

    if args.tiny:
        shape = Qwen2Config(
            vocab_size=128, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=2,
            intermediate_size=64, max_position_embeddings=64,
        )  # fmt: skip
    else:
        shape = shapes.shape({"kind": "hub", "id": args.shape})
    shape.pad_token_id, shape.eos_token_id, shape.bos_token_id = 0, 1, None
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(shape, dtype=torch.float32).save_pretrained(folder)
    words = {f"t{i}": i for i in range(shape.vocab_size)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="t2"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="t0", eos_token="t1", unk_token="t2").save_pretrained(
        folder
    )
    return folder


def trial(args: argparse.Namespace, base: Path):
    """The trial's config; the planner reads the same one."""
    import torch

    from repro.methods.configs import build, to_json
    from repro.store.config import TrainSettings, TrialConfig

    settings = TrainSettings(
        steps=args.steps, completions_per_step=args.completions, micro_batch=args.micro_batch, learning_rate=1e-6,
        max_prompt=args.prompt, max_completion=args.completion, checkpoint_every=0, eval_every=0,
        precision="bf16" if torch.cuda.is_available() else "fp32", gradient_checkpointing=args.checkpointing,
    )  # fmt: skip
    return TrialConfig(
        experiment="gpu", scale="small", arm=args.one, seed=0, method=to_json(args.one, build(args.one)),
        task={"name": "chain", "options": {}}, base={"kind": "folder", "path": str(base)}, train=settings,
    )  # fmt: skip


def train(args: argparse.Namespace, config, base: Path, folder: Path):
    """(phase timer of all steps, seconds of every step but the first)."""
    import time

    import torch
    from transformers import AutoTokenizer

    from repro import tasks
    from repro.cost.phases import PhaseTimer
    from repro.methods.catalogue import create
    from repro.tasks.outcome import Outcome
    from repro.training.trainer import SuiteTrainer

    tokenizer = AutoTokenizer.from_pretrained(base, padding_side="left")
    task, method = tasks.load("chain", {}), create(config.method)
    # Random text has no right answer, and equal rewards would leave some losses without gradient: a coin decides.
    task.check = lambda texts, prompts: [
        Outcome.CORRECT if zlib.crc32(text.encode()) % 2 else Outcome.WRONG for text in texts
    ]
    prompts = task.prompts("rl", max(args.completions, 8))
    ids = torch.randint(3, len(tokenizer), (len(prompts), args.prompt), generator=torch.Generator().manual_seed(0))
    seconds, last = [], [time.perf_counter()]

    def on_batch(trainer, step: int) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        now = time.perf_counter()
        seconds.append(now - last[0])
        last[0] = now

    trainer = SuiteTrainer(
        base=base, method=method, task=task, prompts=prompts, prompt_ids=ids.tolist(), tokenizer=tokenizer,
        settings=config.train, seed=0, folder=folder,
        timer=PhaseTimer("cuda" if torch.cuda.is_available() else "cpu"), on_batch=on_batch,
        prompt_values=torch.full((len(prompts),), 0.5) if method.needs().prompt_samples else None,
    )  # fmt: skip
    trainer.eos_token_ids = []  # no token ends a completion: all have the full length
    trainer.train()
    return trainer.timer, seconds[1:]


def table(rows: list[dict]) -> str:
    """The calibration table: per method and phase, predicted against allocated bytes; the last measurement counts."""
    lines = [
        "| Method | Shape | Device | Phase | Predicted, GiB | Allocated, GiB | Planner error | Seconds per step |",
        "| --- | --- | --- | --- | ---: | ---: | ---: | ---: |",
    ]
    last = {(row["method"], row["shape"], row["device"]): row for row in rows if row["device"]}
    for (method, shape, device), row in sorted(last.items()):
        step = sum(row["seconds_per_step"]) / len(row["seconds_per_step"])
        for phase in TRAINING:
            measured = row["phases"].get(phase, {}).get("peak_allocated")
            predicted = row["predicted"].get(phase)
            if measured and predicted:
                cells = f"{predicted / 2**30:.2f} | {measured / 2**30:.2f} | {predicted / measured - 1:+.1%}"
                lines.append(f"| {method} | {shape} | {device} | {phase} | {cells} | {step:.2f} |")
    if len(lines) == 2:
        lines.append("| not run | – | – | – | – | – | – | – |")
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
