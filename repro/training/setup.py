"""What one trial needs before it starts: task, prompts, base model, method and the hashes that identify it."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoConfig

from repro import tasks
from repro.cost.flops import ForwardFlops
from repro.cost.phases import PhaseTimer
from repro.errors import InputError
from repro.methods.catalogue import create
from repro.methods.guard import Guarded
from repro.plugins import ensure
from repro.sampling.vllm_backend import require
from repro.store.config import TrialConfig
from repro.store.key import trial_key
from repro.tasks import sandbox, verdict
from repro.tasks.overlap import overlap
from repro.training.arguments import split_plan
from repro.training.base import ensure_base
from repro.training.evaluate import Policy, encode, end_ids
from repro.training.fit import check_fit, load_model, model_config, own_tokenizer
from repro.training.hashes import content_hashes, set_name
from repro.training.tokenizer import load_tokenizer


class Setup:
    """Everything about one trial that is loaded once. Raises InputError for what cannot be had or does not fit."""

    def __init__(self, config: TrialConfig, data_dir: Path | None, emit):
        self.config, self.data_dir = config, data_dir
        ensure(config)
        if "vllm" in (config.evaluation.backend, config.train.backend):
            require()  # before anything is trained
        self.task = tasks.load(config.task["name"], config.task.get("options", {}), data_dir)
        self.trained = config.method["name"] != "none"
        if self.trained:
            self.method = create(config.method)
            split_plan(config.train, self.guarded.needs(), config.n)  # sizes that do not fit are refused now
        splits = self.task.splits
        if self.trained and "rl" not in splits:
            raise InputError(f"task {self.task.name} has no training prompts; it can only be evaluated")
        self.rl = self.task.prompts("rl") if self.trained else []
        curve = config.evaluation.curve
        if curve is not None and curve not in splits:
            raise InputError(f"evaluation.curve={curve}: task {self.task.name} has {', '.join(splits)}")
        wants_curve = self.trained and config.train.eval_every > 0 and (curve or "dev") in splits
        self.dev = self.task.prompts(curve or "dev", config.evaluation.dev_questions) if wants_curve else []
        self.sets = self._distinct([self._evaluation_set(item) for item in config.evaluation.sets])
        self.executes = self.task.executes or any(task.executes for _, task, _, _ in self.sets)
        if self.executes:
            sandbox.require()
        self.base = ensure_base(config, data_dir, emit)
        prompts = {
            **({"rl": self.rl} if self.trained else {}),
            **({"dev": self.dev} if self.dev else {}),
            **{name: own for name, _, own, _ in self.sets},
        }
        self.hashes = content_hashes(self.base.digest, self.task, prompts)
        if any(item.verify for *_, item in self.sets) or (self.trained and self.method.needs().verdict != "none"):
            self._one_template()
            self.hashes["verdict"] = verdict.get(self.task.template.name).sha256
            self.verdict_tokens(load_tokenizer(self.base.folder), [0])  # refused now, not after training
        if config.base["kind"] != "micro":  # the suite's own models are made for their tasks
            self._check_fit()
        self.key = trial_key(config, self.hashes)
        self.timer = PhaseTimer("cuda" if torch.cuda.is_available() else "cpu")

    @cached_property
    def guarded(self):
        """The method as it is trained with: the answers of a plug-in are checked, those of the suite are tested."""
        return Guarded(self.method) if "source" in self.config.method else self.method

    def _evaluation_set(self, item):
        task = self.task if item.task is None else tasks.load(item.task, dict(item.options), self.data_dir)
        if item.split not in task.splits:
            raise InputError(f"task {task.name} has no split {item.split!r}; it has {', '.join(task.splits)}")
        name = set_name(item, task)
        prompts = task.prompts(item.split, item.questions)
        if not prompts:
            raise InputError(f"task {task.name} has no {item.split} prompts with these options; raise its {item.split}")
        if item.lenient:
            task.check_lenient([], [])  # refused now, not after training
        self.shots(task, item)
        return name, task, prompts, item

    def _check_fit(self) -> None:
        folder, evaluation = self.base.folder, self.config.evaluation
        model_config(folder)
        tokenizer = own_tokenizer(folder)
        for _, task, prompts, item in self.sets:
            ids = encode(tokenizer, task, prompts, self.config.train.max_prompt, self.shots(task, item))
            check_fit(tokenizer, folder, task, ids, evaluation.max_completion)

    @staticmethod
    def shots(task, item) -> list:
        """The examples that an evaluation set shows before each question."""
        found = task.prompts("rl", item.shots) if item.shots else []
        if len(found) < item.shots:
            raise InputError(f"shots={item.shots} asked for, but task {task.name} has {len(found)} training prompts")
        task.render("", found)  # needs their solutions
        return found

    @staticmethod
    def _distinct(sets: list) -> list:
        names = [name for name, *_ in sets]
        for name in names:
            if names.count(name) > 1:
                raise InputError(f"evaluation.sets names {name} twice; keep one of them, or give one another name")
        return sets

    def _one_template(self) -> None:
        # The verdict turn continues the conversation that the template began, so judged sets must share it.
        for name, task, _, item in self.sets:
            if item.verify and task.template.name != self.task.template.name:
                raise InputError(
                    f"set {name} uses template {task.template.name}, training uses {self.task.template.name}: a "
                    "verifier needs one template; set the task's option template alike"
                )

    def data(self) -> list[dict]:
        """Where the prompts come from; questions of other tasks are checked against the training prompts too."""
        entries = self.task.provenance()
        trained_on = [prompt.question for prompt in self.rl]
        for name, task, prompts, _ in self.sets:
            if task is not self.task:
                seen = {"overlap": overlap(trained_on, [p.question for p in prompts])} if trained_on else {}
                label = {"set": name} if name != task.name else {}
                entries.extend({**entry, **label, **seen} for entry in task.provenance())
        return entries

    def base_model(self):
        """The base in evaluation mode, on the device."""
        model = load_model(self.base.folder, dtype=torch.float32)
        return model.to("cuda" if torch.cuda.is_available() else "cpu").eval()

    @cached_property
    def forward_flops(self) -> ForwardFlops:
        """FLOPs of a forward pass of the base, and so of every policy trained from it."""
        return ForwardFlops.of(AutoConfig.from_pretrained(self.base.folder))

    def trainer(
        self,
        tokenizer,
        folder: Path,
        on_batch=None,
        settings=None,
        prompt_values: Tensor | None = None,
        kept: list[int] | None = None,
    ):
        """A trainer of this trial; `settings` replaces the train settings (used for timing).

        `prompt_values` (P,) and `kept`, the rows of the prompts to train on, come from stage 1.
        """
        from repro.training.trainer import SuiteTrainer

        settings = settings or self.config.train
        return SuiteTrainer(
            base=self.base.folder,
            method=self.guarded,
            task=self.task,
            prompts=self.rl,
            prompt_ids=encode(tokenizer, self.task, self.rl, settings.max_prompt),
            tokenizer=tokenizer,
            settings=settings,
            seed=self.config.seed,
            folder=folder,
            timer=self.timer,
            on_batch=on_batch,
            prompt_values=prompt_values,
            kept=kept,
            forward_flops=self.forward_flops,
        )

    def policy(self, model, tokenizer, engine=None, max_completion: int | None = None) -> Policy:
        """`model` as evaluation wants it; `engine` samples in its place. `max_completion`: not the evaluation's own."""
        evaluation = self.config.evaluation
        return Policy(
            model, tokenizer, end_ids(tokenizer, model, self.task.template), self.config.train.max_prompt,
            max_completion or evaluation.max_completion, evaluation.batch, engine, self.forward_flops,
        )  # fmt: skip

    def verdict_tokens(self, tokenizer, ends: list[int]) -> verdict.VerdictTokens:
        """The verdict turn in ids of this tokenizer. Raises InputError when it has no single tokens for Yes and No."""
        return verdict.tokens(verdict.get(self.task.template.name), tokenizer, ends)
