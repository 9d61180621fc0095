"""One trial from start to record: training and evaluation. Re-issued after a kill, it goes on where it stopped."""

from __future__ import annotations

import contextlib
import copy
import os
import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from repro.errors import InputError, TrialError, explain, writable
from repro.evaluation.entry import scaling_metrics, vote_metrics
from repro.evaluation.metrics import correct_matrix, summarize
from repro.evaluation.pass_at_k import pass_at_k
from repro.store.config import TrialConfig
from repro.store.records import find, write_record
from repro.store.workspace import Workspace, user_cache
from repro.training import checkpoints, kl, stage1
from repro.training.describe import describe, mean_accuracy
from repro.training.evaluate import engine_mismatch, grade
from repro.training.kept import Kept
from repro.training.pool import Pool
from repro.training.setup import Setup
from repro.training.stage1 import Stage1
from repro.training.tokenizer import load_tokenizer

SAMPLES_KEPT = 16
Emit = Callable[[dict], None]


def run_trial(config: TrialConfig, root: Path, data_dir: Path | None = None, emit: Emit | None = None) -> dict:
    """Run `config` in workspace `root` and write its record; returns the record.

    A finished trial is returned as it is. A failure while running is recorded (status "failed") and raised as
    TrialError; bad input is raised as InputError and leaves no record. Of several processes the first one writes.
    """
    workspace = Workspace(root)
    first = int(os.environ.get("RANK", "0")) == 0

    def tell(event: dict) -> None:
        if emit is not None:
            emit({"id": config.id, **event})

    setup = Setup(config, data_dir, tell)
    known = find(workspace, setup.key)
    if known is not None and known["status"] == "done":
        tell({"event": "cached", "accuracy": mean_accuracy(known)})
        return known
    started = time.time()
    run = _Run(setup, workspace.checkpoints / setup.key, tell)
    try:
        tell({"event": "started"})
        record = run.finish(started)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(
            f"{config.id}: cannot write in {workspace.root} ({reason}); free space or use --root"
        ) from error
    except (TrialError, MemoryError, RuntimeError, ValueError, ArithmeticError) as error:
        message, step = _one_line(error), getattr(error, "step", None)
        if first:
            failure = {"message": message, "step": step}
            progress = {"curve": run.curve, "health": run.health, "resumed": run.resumed, "stage1": run.stage1}
            write_record(workspace, describe(setup, started, status="failed", error=failure, **progress))
        raise TrialError(f"{config.id}: {message}", step=step) from error
    if first:
        write_record(workspace, record)
        shutil.rmtree(run.folder, ignore_errors=True)
    tell({"event": "done", "accuracy": mean_accuracy(record), "seconds": time.time() - started})
    return record


def _one_line(error: BaseException) -> str:
    text = writable(" ".join(str(error).split())) or type(error).__name__
    return text if isinstance(error, TrialError) else f"{type(error).__name__}: {text}"[:500]


class _Run:
    """The state of one running trial: learning curve, health rows, number of resumes."""

    def __init__(self, setup: Setup, folder: Path, emit: Emit):
        self.setup, self.config, self.folder, self.emit = setup, setup.config, folder, emit
        self.tokenizer = load_tokenizer(setup.base.folder)
        self.curve: list[dict] = []
        self.health: list[dict] = []
        self.resumed = 0
        self.judge = None  # the verifier, where it is not the policy itself
        self.stage1: Stage1 | None = None

    def finish(self, started: float) -> dict:
        """Train (or resume) and evaluate; returns the finished record."""
        model = self._train() if self.setup.trained else self.setup.base_model()
        outcomes, metrics, samples = self._evaluate(model)
        self.emit({"event": "phase", "message": "memory"})
        return describe(
            self.setup, started, status="done", curve=self.curve, health=self.health, resumed=self.resumed,
            outcomes=outcomes, metrics=metrics, samples=samples, peak=self._peak(), stage1=self.stage1,
        )  # fmt: skip

    def _offline(self) -> dict:
        """Stage 1, where the method has one, charged to the trial; arguments for its trainer."""
        if not self.setup.method.needs().prompt_samples:
            return {}
        self.stage1 = stage1.sample(self.setup, self.tokenizer, self.folder.parents[1], self.emit)
        self.setup.timer.load_json({"stage1": self.stage1.phase})
        return {"prompt_values": self.stage1.prompt_values, "kept": self.stage1.kept}

    def _train(self):
        train = self.config.train
        self.folder.mkdir(parents=True, exist_ok=True)
        # Beside the checkpoints, which are removed at the end; wandb and trackio have folders of their own.
        os.environ.setdefault("TENSORBOARD_LOGGING_DIR", str(self.folder.parents[1] / "trackers" / self.config.id))
        start = checkpoints.latest(self.folder)
        trainer = self.setup.trainer(self.tokenizer, self.folder, self._on_batch, **self._offline())
        if start is not None:
            state = checkpoints.state(start)
            self.curve, self.resumed = state["curve"], state["resumed"] + 1
            self.health = trainer.health.rows = state["health"]
            # Stage 1 has been charged above, by what is stored of it.
            self.setup.timer.load_json({name: cost for name, cost in state["timer"].items() if name != "stage1"})
            for network in trainer.companions.values():
                network.load(start)
        else:
            shutil.rmtree(self.folder / "pool", ignore_errors=True)  # of other weights, if any
            if self.setup.dev:
                self._point(trainer, 0)
        self.emit({"event": "phase", "message": "train", "step": len(self.health), "total": train.steps})
        trainer.train(resume_from_checkpoint=str(start) if start else None)
        self.judge = trainer.judge.eval() if trainer.judge is not None else None
        model = trainer.accelerator.unwrap_model(trainer.model).eval()
        if not all(bool(torch.isfinite(parameter).all()) for parameter in model.parameters()):
            raise TrialError("the last update left weights that are not finite; lower the learning rate", train.steps)
        return model

    def _on_batch(self, trainer, step: int) -> None:
        train = self.config.train
        self.health = trainer.health.rows
        if self.setup.dev and (step % train.eval_every == 0 or step == train.steps):
            self._point(trainer, step)
        accuracy = self.curve[-1]["dev_accuracy"] if self.curve else None
        reward = self.health[-1]["reward"]
        self.emit({"event": "step", "step": step, "total": train.steps, "reward": reward, "accuracy": accuracy})
        # The last step is always kept, so that a kill during the evaluation costs no training.
        if train.checkpoint_every and (step % train.checkpoint_every == 0 or step == train.steps):
            with self.setup.timer.phase("checkpoint"), checkpoints.writing(self.folder):
                self._checkpoint(trainer)

    def _checkpoint(self, trainer) -> None:
        trainer._save_checkpoint(trainer.model, None)
        if not trainer.args.should_save:
            return
        target = self.folder / f"checkpoint-{trainer.state.global_step}"
        for network in trainer.companions.values():
            network.save(target)
        timer = self.setup.timer.to_json()
        state = {"curve": self.curve, "health": self.health, "timer": timer, "resumed": self.resumed}
        checkpoints.seal(target, state)
        checkpoints.prune(self.folder, self.config.train.keep_checkpoints)

    def _point(self, trainer, step: int) -> None:
        """One point of the learning curve. Its draws do not depend on the step, so the points of a curve are paired."""
        evaluation, train = self.config.evaluation, self.config.train
        with self.setup.timer.phase("evaluate") as cost, trainer.generation_model() as model:
            policy = self.setup.policy(model, self.tokenizer)
            graded = grade(
                policy, self.setup.task, self.setup.dev, seed=self.config.seed, n=evaluation.dev_n,
                temperature=train.temperature, greedy=False, stream="dev",
            )  # fmt: skip
            policy.charge(cost)
        completions = step * train.completions_per_step
        point = {
            "step": step,
            "completions": completions,
            "prompts": completions // self.setup.method.rows_per_prompt,
            "updates": trainer.state.global_step,
            "dev_accuracy": summarize(graded.samples)["accuracy"],
        }
        if evaluation.dev_pass is not None:
            correct = correct_matrix(graded.samples).sum(axis=1)
            point["dev_pass"] = float(pass_at_k(evaluation.dev_n, correct, evaluation.dev_pass).mean())
        self.curve.append(point)

    def _evaluate(self, model) -> tuple[dict, dict, list]:
        outcomes, metrics, texts = {}, {}, []
        few = self.config.evaluation.completions == "few"
        share = max(1, SAMPLES_KEPT // len(self.setup.sets)) if few else None
        with self._engine(model) as engine:
            policy = self.setup.policy(model, self.tokenizer, engine)
            for name, task, prompts, item in self.setup.sets:
                self.emit({"event": "phase", "message": f"evaluate {name}"})
                kept = self._kept(name, len(prompts) * (item.n + item.greedy)) if not item.verify else None
                with self.setup.timer.phase("evaluate") as cost:
                    graded = grade(
                        policy, task, prompts, seed=self.config.seed, n=item.n, temperature=item.temperature,
                        greedy=item.greedy, keep_texts=share, pool=self._pool(name, policy) if item.verify else None,
                        keep_ids=item.kl, vote=item.vote, lenient=item.lenient, shots=self.setup.shots(task, item),
                        kept=kept,
                    )  # fmt: skip
                    policy.charge(cost)
                self.resumed = max(self.resumed, int(kept is not None and kept.found > 0))
                outcomes[name] = graded.to_json()
                summary = summarize(graded.samples, graded.greedy)
                if item.kl:
                    outcomes[name]["kl"] = self._kl(policy, graded.ids, item)
                    summary |= kl.metrics(outcomes[name]["kl"])
                if engine is not None:
                    gap = engine_mismatch(policy, task, prompts, seed=self.config.seed, temperature=item.temperature)
                    summary |= {} if gap is None else {"sampler_mismatch": gap}
                if graded.lenient is not None:
                    summary["accuracy_lenient"] = sum(graded.lenient) / (len(prompts) * item.n)
                if graded.vote is not None:
                    summary |= vote_metrics(graded.vote)
                if graded.scaling is not None:
                    summary |= scaling_metrics(graded.scaling, item.n)
                metrics.update({f"{name}/{metric}": value for metric, value in summary.items()})
                texts.extend({"set": name, **row} for row in graded.texts)
        return outcomes, metrics, texts

    def _kept(self, name: str, rows: int) -> Kept | None:
        """What an earlier run has sampled of a set. Of a trained policy nothing is kept but its last checkpoint."""
        if self.setup.trained:
            return None
        message = f"evaluate {name}, {{}} of {rows} completions"
        return Kept(
            self.folder / "kept" / name, lambda done: self.emit({"event": "phase", "message": message.format(done)})
        )

    def _pool(self, name: str, policy) -> Pool:
        tokens = self.setup.verdict_tokens(self.tokenizer, policy.end_ids)
        return Pool(self.folder / "pool" / name, tokens, self.judge, self.config.evaluation.budgets)

    def _kl(self, policy, samples: list, item) -> dict:
        """The "kl" entry of a set's outcomes. The base itself needs no forward pass for it."""
        if not self.setup.trained:
            return kl.nothing(len(samples) // item.n)
        train = self.config.train
        with self.setup.timer.phase("evaluate") as cost:
            base = self.setup.base_model() if train.lora is None else None
            autocast = partial(
                torch.autocast, policy.model.device.type, dtype=torch.bfloat16, enabled=train.precision == "bf16"
            )
            found = kl.kl_to_base(
                policy.model, base, samples, item.n, temperature=item.temperature, rows=train.micro_batch,
                autocast=autocast,
            )  # fmt: skip
            lengths, scored = [len(prompt) + len(ids) for prompt, ids in samples], [len(ids) for _, ids in samples]
            cost.flops += 2 * self.setup.forward_flops.forward(lengths, scored)
        return found

    @contextlib.contextmanager
    def _engine(self, model):
        """The engine that samples the evaluation, or None for the model itself."""
        if self.config.evaluation.backend == "transformers":
            yield None
            return
        from repro.sampling.vllm_backend import Engine

        folder = self.folder / "engine"
        folder.mkdir(parents=True, exist_ok=True)
        whole = copy.deepcopy(model).merge_and_unload() if hasattr(model, "merge_and_unload") else model
        whole.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        longest = self.config.train.max_prompt + self.config.evaluation.max_completion
        with Engine(folder, max_length=longest, memory=self.config.train.vllm_memory) as engine:
            yield engine

    def _peak(self) -> dict | None:
        """Predicted training-phase peak; on a GPU the phases hold the measured one instead."""
        from repro.training.predict import predicted_peak

        if not self.setup.trained or self.setup.timer.on_cuda:
            return None
        try:
            return predicted_peak(self.setup, user_cache() / "peaks")
        except Exception as error:
            if "source" not in self.config.method:
                raise
            # A plug-in may read values, which fake tensors do not have: what it has trained counts all the same.
            self.emit({"event": "phase", "message": f"memory cannot be predicted: {explain(error)}"})
            return None
