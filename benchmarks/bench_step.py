"""Step time of our GRPO arm against stock `trl.GRPOTrainer`: same base, prompts, reward, batch and generation settings.

Both train in one process on one thread each and take turns step by step, so that every step has a neighbour of the
other kind and whatever else the machine does hits both. The figure is the geometric mean of the paired ratios.
Not equal by nature: the sampler's random numbers (ours are counter-based), so completions and later weights differ.

`pytest benchmarks/bench_step.py`; about a minute per hundred steps. REPRO_BENCH_ROUNDS sets the number of pairs.
"""

from __future__ import annotations

import dataclasses
import math
import os
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from transformers import AutoTokenizer
from transformers.trainer_callback import TrainerCallback
from trl import GRPOTrainer

from repro import tasks
from repro.cost.phases import PhaseTimer
from repro.experiments import registry
from repro.experiments.resolve import resolve
from repro.methods.catalogue import create
from repro.tasks.outcome import Outcome
from repro.training import arguments, micro
from repro.training.evaluate import encode
from repro.training.prompt_order import batch_rows
from repro.training.trainer import SuiteTrainer

LIMIT = 1.10
WARMUP = 3
ROUNDS = int(os.environ.get("REPRO_BENCH_ROUNDS", "60"))
# Enough base training for answers of the real length; how good they are does not matter here.
BASE_STEPS = 300
# ABBA: neither side always comes first, so a slow drift of the machine cancels within two pairs.
TURNS = ("ours", "stock", "stock", "ours")


class Turns:
    """Lets one thread run at a time, one step each, in the order of `TURNS`; keeps the seconds of every step."""

    def __init__(self):
        self.turn, self.stopped = 0, False
        self.condition = threading.Condition()
        self.seconds: dict[str, list[float]] = {name: [] for name in TURNS}
        self.lengths: dict[str, list[float]] = {name: [] for name in TURNS}  # mean completion length of every step
        self.errors: list[BaseException] = []
        self._since = 0.0

    def wait(self, name: str) -> None:
        with self.condition:
            self.condition.wait_for(lambda: self.stopped or TURNS[self.turn % len(TURNS)] == name)
            if self.stopped:
                raise InterruptedError("the other trainer failed")
        self._since = time.perf_counter()

    def step_done(self, name: str, last: bool) -> None:
        self.seconds[name].append(time.perf_counter() - self._since)
        with self.condition:
            self.turn += 1
            self.condition.notify_all()
        if not last:
            self.wait(name)

    def run(self, name: str, build: Callable) -> None:
        # OpenMP counts threads per calling thread.
        torch.set_num_threads(1)
        try:
            self.wait(name)
            build().train()
        except InterruptedError:
            pass
        except BaseException as error:
            self.errors.append(error)
            with self.condition:
                self.stopped = True
                self.condition.notify_all()


class Stepped(TrainerCallback):
    """Hands the turn on after each optimizer step of stock TRL."""

    def __init__(self, turns: Turns):
        self.turns = turns

    def on_step_end(self, args, state, control, **kwargs):
        self.turns.step_done("stock", state.global_step == state.max_steps)


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    """Config of table1/grpo-n4 at micro scale with one update per batch, its task, base and prompts."""
    config = resolve(registry.get("table1"), "micro", "grpo-n4", 0)
    # With several updates per batch TRL scores the batch once more; with one, both sides do the same work.
    method = {**config.method, "minibatches": 1, "epochs": 1}
    train = dataclasses.replace(config.train, steps=WARMUP + ROUNDS, eval_every=0, checkpoint_every=0, trackers=())
    task = tasks.load(config.task["name"], config.task["options"])
    base = tmp_path_factory.mktemp("base")
    recipe = micro.Recipe.from_json({**config.base["recipe"], "steps": BASE_STEPS})
    torch.set_num_threads(1)
    micro.build(recipe, task, base, lambda event: None)
    return method, train, task, base


def ours(setting, folder: Path, turns: Turns) -> SuiteTrainer:
    method, train, task, base = setting
    prompts = task.prompts("rl")
    tokenizer = AutoTokenizer.from_pretrained(base, padding_side="left")

    def on_batch(trainer, step):
        turns.lengths["ours"].append(trainer.health.rows[-1]["length"])
        turns.step_done("ours", step == train.steps)

    return SuiteTrainer(
        base=base,
        method=create(method),
        task=task,
        prompts=prompts,
        prompt_ids=encode(tokenizer, task, prompts, train.max_prompt),
        tokenizer=tokenizer,
        settings=train,
        seed=0,
        folder=folder,
        timer=PhaseTimer("cuda" if torch.cuda.is_available() else "cpu"),
        on_batch=on_batch,
    )


def stock(setting, folder: Path, turns: Turns) -> GRPOTrainer:
    """TRL's own trainer, untouched, with the arguments our arm uses; only the KL coefficient is TRL's to apply."""
    method, train, task, base = setting
    prompts = task.prompts("rl")
    count = train.completions_per_step // method["n"]
    rows = [int(row) for step in range(train.steps) for row in batch_rows(0, step, len(prompts), count)]
    args = arguments.build(train, create(method).needs(), method["n"], 0, folder)
    args.beta = method["beta"]
    args.loss_type, args.scale_rewards = "dapo", "group"  # what token-mean and scale="std" are called there

    def reward(completions, completion_ids, row, **columns):
        turns.lengths["stock"].append(statistics.fmean(map(len, completion_ids)))
        outcomes = task.check(list(completions), [prompts[index] for index in row])
        return [float(outcome is Outcome.CORRECT) for outcome in outcomes]

    questions = [task.template.render(prompts[row].question) for row in rows]
    return GRPOTrainer(
        model=str(base),
        reward_funcs=[reward],
        args=args,
        train_dataset=Dataset.from_dict({"prompt": questions, "row": rows}),
        processing_class=AutoTokenizer.from_pretrained(base, padding_side="left"),
        callbacks=[Stepped(turns)],
    )


def interleaved(setting, folder: Path) -> Turns:
    turns = Turns()
    builds = {"ours": ours, "stock": stock}
    threads = [
        threading.Thread(
            target=turns.run,
            args=(name, lambda build=build, name=name: build(setting, folder / name, turns)),
            daemon=True,
        )
        for name, build in builds.items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if turns.errors:
        raise turns.errors[0]
    return turns


def test_step_time_against_stock_trl(benchmark, setting, tmp_path):
    method, train, _, _ = setting
    assert (method["aggregate"], method["scale"]) == ("token-mean", "std")
    turns = benchmark.pedantic(interleaved, args=(setting, tmp_path), rounds=1)
    seconds = {name: values[WARMUP:] for name, values in turns.seconds.items()}
    assert {name: len(values) for name, values in seconds.items()} == {"ours": ROUNDS, "stock": ROUNDS}
    lengths = {name: round(statistics.fmean(values[WARMUP:]), 3) for name, values in turns.lengths.items()}
    # The work per step is comparable only if the completions are.
    assert lengths["ours"] == pytest.approx(lengths["stock"], rel=0.1)
    logs = [math.log(a / b) for a, b in zip(seconds["ours"], seconds["stock"], strict=True)]
    ratio = math.exp(statistics.fmean(logs))
    error = statistics.stdev(logs) / math.sqrt(len(logs))
    quartiles = statistics.quantiles(logs, n=4)
    benchmark.extra_info.update(
        ratio=round(ratio, 4),
        ratio_interval_95=[round(ratio * math.exp(sign * 1.96 * error), 4) for sign in (-1, 1)],
        ratio_quartiles=[round(math.exp(value), 4) for value in quartiles],
        ours_seconds=round(statistics.median(seconds["ours"]), 4),
        stock_seconds=round(statistics.median(seconds["stock"]), 4),
        ours_length=lengths["ours"],
        stock_length=lengths["stock"],
        pairs=ROUNDS,
        completions=train.completions_per_step,
        beta=method["beta"],
    )
    print(f"\nstep time, ours / stock TRL: {benchmark.extra_info}")
    assert ratio <= LIMIT
