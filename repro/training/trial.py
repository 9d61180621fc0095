"""One trial from start to record: base, training, evaluation. Re-issued after a kill, it goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from repro.errors import InputError, TrialError
from repro.store.config import TrialConfig

SAMPLES_KEPT = 16


def run_trial(config: TrialConfig, root: Path, data_dir: Path | None = None, emit: Callable[[dict], None] | None = None):
    """Run `config` in workspace `root` and write its record; returns the record.

    A finished trial is returned as it is. A failure while running is recorded (status "failed") and raised as
    TrialError; bad input is raised as InputError and leaves no record.
    """
    from repro.store.records import find, write_record
    from repro.store.workspace import Workspace

    workspace = Workspace(root)
    send = emit or (lambda event: None)

    def tell(event: dict) -> None:
        send({"id": config.id, **event})

    setup = Setup(config, data_dir, tell)
    known = find(workspace, setup.key)
    if known is not None and known["status"] == "done":
        tell({"event": "cached", "accuracy": mean_accuracy(known)})
        return known
    folder = workspace.checkpoints / setup.key
    started = time.time()
    try:
        record = setup.run(folder, tell)
    except (TrialError, MemoryError, RuntimeError, ValueError, ArithmeticError) as error:
        step = getattr(error, "step", None)
        record = setup.record(started, status="failed", error={"message": _one_line(error), "step": step})
        write_record(workspace, record)
        raise TrialError(f"{config.id}: {_one_line(error)}", step=step) from error
    except OSError as error:
        raise InputError(f"{config.id}: cannot write {folder} ({error.strerror or error}); free space or use --root") from error
    record["provenance"]["started"] = utc(started)
    write_record(workspace, record)
    shutil.rmtree(folder, ignore_errors=True)
    tell({"event": "done", "accuracy": mean_accuracy(record), "seconds": time.time() - started})
    return record


def mean_accuracy(record: dict) -> float:
    """Mean over evaluation sets of Avg@n accuracy."""
    values = [value for name, value in record["metrics"].items() if name.endswith("/accuracy")]
    return sum(values) / len(values)


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if isinstance(error, (TrialError, InputError)) else f"{type(error).__name__}: {text}"[:500]


def utc(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def prompts_digest(task, prompts: list) -> str:
    """sha256 over ids, questions and answers: what a split really held."""
    rows = [[prompt.id, prompt.question, prompt.answer] for prompt in prompts]
    return hashlib.sha256(json.dumps([task.name, rows], ensure_ascii=False).encode()).hexdigest()


class Setup:
    """Task, base and prompts of one trial, loaded once; knows how to train, evaluate and describe it."""

    def __init__(self, config: TrialConfig, data_dir: Path | None, emit):
        import torch

        from repro import tasks
        from repro.cost.phases import PhaseTimer
        from repro.methods.catalogue import create
        from repro.store.key import trial_key
        from repro.training.base import ensure_base

        self.config, self.data_dir = config, data_dir
        self.task = tasks.load(config.task["name"], config.task.get("options", {}), data_dir)
        self.trained = config.method["name"] != "none"
        if self.trained:
            self.method = create(config.method)
        splits = self.task.splits
        if self.trained and "rl" not in splits:
            raise InputError(f"task {self.task.name} has no training prompts; it can only be evaluated")
        self.rl = self.task.prompts("rl") if self.trained else []
        wants_dev = self.trained and config.train.eval_every > 0 and "dev" in splits
        self.dev = self.task.prompts("dev", config.evaluation.dev_questions) if wants_dev else []
        self.sets = self._distinct([self._evaluation_set(item) for item in config.evaluation.sets])
        self.base = ensure_base(config, data_dir, emit)
        self.hashes = {
            "base": self.base.digest,
            "template": self.task.template.sha256,
            "prompts": {
                **({"rl": prompts_digest(self.task, self.rl)} if self.trained else {}),
                **({"dev": prompts_digest(self.task, self.dev)} if self.dev else {}),
                **{name: prompts_digest(task, prompts) for name, task, prompts, _ in self.sets},
            },
        }
        self.key = trial_key(config, self.hashes)
        self.curve: list[dict] = []
        self.health: list[dict] = []
        self.resumed = 0
        self.timer = PhaseTimer("cuda" if torch.cuda.is_available() else "cpu")

    def _evaluation_set(self, item):
        from repro import tasks

        task = self.task if item.task is None else tasks.load(item.task, dict(item.options), self.data_dir)
        if item.split not in task.splits:
            raise InputError(f"task {task.name} has no split {item.split!r}; it has {', '.join(task.splits)}")
        name = task.name if item.split == "test" else f"{task.name}-{item.split}"
        return name, task, task.prompts(item.split, item.questions), item

    @staticmethod
    def _distinct(sets: list) -> list:
        names = [name for name, *_ in sets]
        for name in names:
            if names.count(name) > 1:
                raise InputError(f"evaluation.sets names {name} twice; keep one of them")
        return sets

    # -- running ---------------------------------------------------------------------------------------------------

    def run(self, folder: Path, emit) -> dict:
        """Train (or resume) and evaluate; returns the finished record."""
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(self.base.folder, padding_side="left")
        started = time.time()
        emit({"event": "started"})
        model = self._train(tokenizer, folder, emit) if self.trained else self._load()
        outcomes, metrics, texts = self._evaluate(model, tokenizer, emit)
        emit({"event": "phase", "message": "memory"})
        return self.record(
            started, status="done", outcomes=outcomes, metrics=metrics, samples=texts, peak=self._peak()
        )

    def _load(self):
        import torch
        from transformers import AutoModelForCausalLM

        model = AutoModelForCausalLM.from_pretrained(self.base.folder, dtype=torch.float32, use_safetensors=True)
        return model.to("cuda" if torch.cuda.is_available() else "cpu").eval()

    def trainer(self, tokenizer, folder: Path, on_batch=None, settings=None):
        """A trainer of this trial; `settings` replaces the train settings (used for timing)."""
        from repro.training.evaluate import encode
        from repro.training.trainer import SuiteTrainer

        settings = settings or self.config.train
        return SuiteTrainer(
            base=self.base.folder,
            method=self.method,
            task=self.task,
            prompts=self.rl,
            prompt_ids=encode(tokenizer, self.task, self.rl, settings.max_prompt),
            tokenizer=tokenizer,
            settings=settings,
            seed=self.config.seed,
            folder=folder,
            timer=self.timer,
            on_batch=on_batch,
        )

    def _train(self, tokenizer, folder: Path, emit):
        from repro.training import checkpoints

        train = self.config.train
        folder.mkdir(parents=True, exist_ok=True)
        start = checkpoints.latest(folder)
        done_before = 0

        def on_batch(trainer, step):
            self.health = trainer.health.rows
            if self.dev and (step % train.eval_every == 0 or step == train.steps):
                self._point(trainer, tokenizer, step)
            emit(
                {
                    "event": "step",
                    "step": step,
                    "total": train.steps,
                    "reward": self.health[-1]["reward"],
                    "accuracy": self.curve[-1]["dev_accuracy"] if self.curve else None,
                }
            )
            every = train.checkpoint_every
            if every and (step % every == 0 or step == train.steps):
                with self.timer.phase("checkpoint"):
                    self._checkpoint(trainer, folder)

        trainer = self.trainer(tokenizer, folder, on_batch)
        if start is not None:
            state = checkpoints.state(start)
            self.curve, self.resumed = state["curve"], state["resumed"] + 1
            trainer.health.rows = state["health"]
            self.health = trainer.health.rows
            self.timer.load_json(state["timer"])
            done_before = len(self.health)
            if trainer.critic is not None:
                trainer.critic.load(start)
        elif self.dev:
            self._point(trainer, tokenizer, 0)
        emit({"event": "phase", "message": "train", "step": done_before, "total": train.steps})
        trainer.train(resume_from_checkpoint=str(start) if start else None)
        return trainer.accelerator.unwrap_model(trainer.model).eval()

    def _checkpoint(self, trainer, folder: Path) -> None:
        from repro.training import checkpoints

        trainer._save_checkpoint(trainer.model, None)
        target = folder / f"checkpoint-{trainer.state.global_step}"
        if not trainer.args.should_save:
            return
        if trainer.critic is not None:
            trainer.critic.save(target)
        state = {
            "curve": self.curve, "health": self.health, "timer": self.timer.to_json(), "resumed": self.resumed,
        }  # fmt: skip
        checkpoints.seal(target, state)
        checkpoints.prune(folder, self.config.train.keep_checkpoints)

    def _policy(self, model, tokenizer):
        from repro.training.evaluate import Policy, end_ids

        evaluation = self.config.evaluation
        return Policy(
            model, tokenizer, end_ids(tokenizer, model), self.config.train.max_prompt, evaluation.max_completion,
            evaluation.batch,
        )  # fmt: skip

    def _point(self, trainer, tokenizer, step: int) -> None:
        """One point of the learning curve on the dev split; its draws do not depend on the step, so points are paired."""
        from repro.evaluation.metrics import summarize
        from repro.training.evaluate import grade

        evaluation, train = self.config.evaluation, self.config.train
        with self.timer.phase("evaluate"), trainer.generation_model() as model:
            graded = grade(
                self._policy(model, tokenizer), self.task, self.dev, seed=self.config.seed, n=evaluation.dev_n,
                temperature=train.temperature, greedy=False, stream="dev",
            )  # fmt: skip
        self.curve.append(
            {
                "step": step,
                "completions": step * train.completions_per_step,
                "prompts": step * train.completions_per_step // self.method.config.n,
                "updates": trainer.state.global_step,
                "dev_accuracy": summarize(graded.samples)["accuracy"],
            }
        )

    def _evaluate(self, model, tokenizer, emit):
        from repro.evaluation.metrics import summarize
        from repro.training.evaluate import grade

        outcomes, metrics, texts = {}, {}, []
        policy = self._policy(model, tokenizer)
        share = max(1, SAMPLES_KEPT // len(self.sets))
        for name, task, prompts, item in self.sets:
            emit({"event": "phase", "message": f"evaluate {name}"})
            with self.timer.phase("evaluate"):
                graded = grade(
                    policy, task, prompts, seed=self.config.seed, n=item.n, temperature=item.temperature,
                    greedy=item.greedy, keep_texts=share,
                )  # fmt: skip
            outcomes[name] = graded.to_json()
            summary = summarize(graded.samples, graded.greedy)
            metrics.update({f"{name}/{metric}": value for metric, value in summary.items()})
            texts.extend({"set": name, **row} for row in graded.texts)
        return outcomes, metrics, texts

    def _peak(self) -> dict | None:
        """Predicted training-phase peak: one step of this trial's own code under fake tensors (CPU only)."""
        import torch

        if not self.trained or torch.cuda.is_available():
            return None
        from repro.store.workspace import user_cache
        from repro.training.predict import predicted_peak

        return predicted_peak(self, user_cache() / "peaks")

    # -- describing ------------------------------------------------------------------------------------------------

    def record(self, started: float, *, status: str, error=None, outcomes=None, metrics=None, samples=None, peak=None) -> dict:
        from repro.store.provenance import collect

        config, phases = self.config, self.timer.to_json()
        steps, train = len(self.health), config.train
        training = sum(v["seconds"] for k, v in phases.items() if k not in ("evaluate", "checkpoint", "base"))
        n = getattr(getattr(self, "method", None), "config", None)
        completions = steps * train.completions_per_step if self.trained else 0
        updates = self.trained and steps * self.method.needs().epochs * self.method.needs().minibatches
        return {
            "schema": 1,
            "kind": "trial",
            "key": self.key,
            "id": config.id,
            "experiment": config.experiment,
            "scale": config.scale,
            "variant": config.variant,
            "arm": config.arm,
            "seed": config.seed,
            "status": status,
            "error": error,
            "config": config.to_json(),
            "hashes": self.hashes,
            "data": self.task.provenance(),
            "metrics": metrics or {},
            "outcomes": outcomes or {},
            "curve": self.curve,
            "health": self.health,
            "samples": samples or [],
            "cost": {
                "phases": phases,
                "train_seconds": training,
                "evaluate_seconds": phases.get("evaluate", {}).get("seconds", 0.0),
                "completions": completions,
                "prompts": completions // n.n if self.trained else 0,
                "updates": int(updates),
                "predicted_peak": peak,
                "host_rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
                "resumed": self.resumed,
            },
            "provenance": {
                **collect(os.environ.get("REPRO_COMMAND", "")),
                "started": utc(started),
                "finished": utc(time.time()),
            },
            "base": self.base.facts,
        }
