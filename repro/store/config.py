"""The resolved configuration of one trial: typed, validated, JSON in and out. No torch.

`from_json` is strict: an unknown field, a wrong type or a number that is not finite is an `InputError`.
What depends on a method's own class (for example the `unit` of rows that stay together) is checked by the trainer.
"""

from __future__ import annotations

import dataclasses
import re
import typing
from dataclasses import dataclass, field
from typing import Any, Literal

from repro.store.bandit import check_tabular
from repro.store.entries import check_base, check_method, check_task
from repro.store.typed import build, lists_to_tuples, not_negative, plain, positive, require

Scale = Literal["smoke", "micro", "small", "paper"]
SCALES: tuple[str, ...] = typing.get_args(Scale)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+=-]*")


@dataclass(frozen=True)
class LoraSettings:
    """Low-rank adapters through PEFT; the base weights stay frozen."""

    rank: int = 16
    """Rank of each adapter."""
    alpha: float = 32.0
    """Scale of the adapter's output is alpha / rank."""
    targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    """Name endings of the linear layers that get an adapter."""
    layers: tuple[int, ...] | None = None
    """Indices of the transformer layers that get adapters; null means all."""

    def __post_init__(self):
        lists_to_tuples(self)

    def validate(self, where: str = "train.lora") -> None:
        positive(self, where, "rank", "alpha")
        require(bool(self.targets), f"{where}.targets is empty: name at least one linear layer, e.g. q_proj")
        good = self.layers is None or min(self.layers, default=-1) >= 0
        require(good, f"{where}.layers must be indices from 0, at least one; null means all layers")


@dataclass(frozen=True)
class TrainSettings:
    """How a trial trains. Defaults are the micro scale's starting point."""

    steps: int = 80
    """Generation batches; each feeds the method's own number of optimizer updates."""
    completions_per_step: int = 128
    """Sampled completions in one generation batch, over all processes."""
    micro_batch: int = 32
    """Rows in one forward/backward pass on one process."""
    learning_rate: float = 1e-4
    """Adam's peak learning rate of the policy."""
    critic_learning_rate: float = 1e-4
    """Adam's peak learning rate of the critic; unused without one."""
    max_prompt: int = 64
    """Longest prompt in tokens; a longer one is an error, never cut."""
    max_completion: int = 64
    """Longest completion in tokens, the end token included."""
    temperature: float = 1.0
    """Sampling temperature in training; top-p and top-k stay off because they bias the ratios."""
    max_grad_norm: float = 1.0
    """Clip the gradient to this norm; 0 turns clipping off."""
    adam_beta1: float = 0.9
    """Adam's decay of the first moment."""
    adam_beta2: float = 0.999
    """Adam's decay of the second moment."""
    adam_epsilon: float = 1e-8
    """Adam's epsilon."""
    weight_decay: float = 0.0
    """AdamW's decoupled weight decay."""
    warmup_steps: int = 0
    """Optimizer updates of linear warm-up from 0."""
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    """Learning-rate schedule after the warm-up."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """bf16 means fp32 weights with bf16 autocast."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass to save memory."""
    lora: LoraSettings | None = None
    """Low-rank adapters, or null for full fine-tuning."""
    backend: Literal["transformers", "vllm"] = "transformers"
    """Engine that samples the completions."""
    vllm_memory: float = 0.4
    """Share of the GPU's memory given to vLLM's pool."""
    processes: int = 1
    """Training processes (one GPU each)."""
    sharding: Literal["fsdp"] | None = None
    """How weights are spread over processes; null replicates them."""
    checkpoint_every: int = 20
    """Generation batches between checkpoints; 0 means none."""
    keep_checkpoints: int = 1
    """Newest checkpoints kept while training; all are removed once the record is written."""
    eval_every: int = 10
    """Generation batches between points of the learning curve on the dev split; 0 means none."""
    trackers: tuple[str, ...] = ()
    """Outside trackers to report to: tensorboard, wandb, trackio."""

    def __post_init__(self):
        lists_to_tuples(self)

    def validate(self, where: str = "train", n: int = 1) -> None:
        """`n`: completions per prompt of the method."""
        positive(
            self, where, "completions_per_step", "micro_batch", "max_prompt", "max_completion", "temperature",
            "adam_epsilon", "processes", "keep_checkpoints",
        )  # fmt: skip
        not_negative(
            self, where, "steps", "learning_rate", "critic_learning_rate", "max_grad_norm", "weight_decay",
            "warmup_steps", "checkpoint_every", "eval_every",
        )  # fmt: skip
        for name in ("adam_beta1", "adam_beta2"):
            require(0 <= getattr(self, name) < 1, f"{where}.{name} must lie in [0, 1), not {getattr(self, name)}")
        require(0 < self.vllm_memory <= 1, f"{where}.vllm_memory must lie in (0, 1], not {self.vllm_memory}")
        total = self.completions_per_step
        require(
            total % n == 0,
            f"{where}.completions_per_step={total} is not a multiple of the method's n={n} completions per prompt",
        )
        rows = self.micro_batch * self.processes
        what = f"micro_batch={self.micro_batch}" + (f" x processes={self.processes}" if self.processes > 1 else "")
        require(total % rows == 0, f"{where}.completions_per_step={total} is not a multiple of {where}.{what}")
        if self.sharding is not None:
            require(self.processes > 1, f"{where}.sharding={self.sharding} needs {where}.processes of at least 2")
        if self.lora is not None:
            self.lora.validate(f"{where}.lora")


@dataclass(frozen=True)
class EvaluationSet:
    """One set of questions on which the trained model is measured."""

    task: str | None = None
    """Task name; null means the trial's own task."""
    options: dict[str, Any] = field(default_factory=dict)
    """The task's keyword arguments; ignored when `task` is null (the trial's own options apply)."""
    split: str = "test"
    """Split of the task."""
    questions: int | None = None
    """First so many questions of the split; null means all."""
    n: int = 8
    """Sampled completions per question."""
    temperature: float = 1.0
    """Sampling temperature; 0 means greedy decoding, with n = 1 (Avg@1 as papers report it)."""
    greedy: bool = True
    """Also decode every question once greedily."""
    name: str | None = None
    """Label of the set in records and tables; null means the task's name (and the split, if it is not test)."""
    verify: bool = False
    """Score every sample with the trained model as verifier, and record accuracy against the number of samples."""
    kl: bool = False
    """Also estimate the KL divergence to the base from the samples, per sequence and per token."""
    vote: bool = False
    """Also record the accuracy of majority votes of 1, 2, 4, … n samples, from the answers that the task reads."""
    lenient: bool = False
    """Also record the accuracy where the last number of a completion is its answer, whatever the form it stands in."""
    shots: int = 0
    """Worked examples of the task's rl split before each question (few-shot prompting)."""

    def validate(self, where: str) -> None:
        positive(self, where, "n")
        not_negative(self, where, "temperature", "shots")
        require(self.temperature > 0 or self.n == 1, f"{where}.temperature=0 draws one completion: set n to 1")
        require(self.questions is None or self.questions > 0, f"{where}.questions must be positive or null")
        require(bool(self.split), f"{where}.split is empty")
        require(self.name is None or bool(_NAME.fullmatch(self.name)), f"{where}.name={self.name!r} is not a name")
        require(self.name != "dev", f"{where}.name=dev stands for the learning curve's questions: choose another name")
        require(not self.verify or self.n > 1, f"{where}.verify needs a pool of samples: set n to at least 2")
        require(not (self.vote and self.verify), f"{where}.vote: verify records majority votes already, keep one")
        require(not self.vote or self.n > 1, f"{where}.vote needs several samples: set n to at least 2")
        require(not (self.verify and (self.lenient or self.shots)), f"{where}.verify excludes lenient and shots")
        require(not self.shots or self.split != "rl", f"{where}.shots come from the rl split: evaluate another one")
        require(not (self.kl and self.verify), f"{where}.kl and verify exclude each other: use two sets")
        require(
            not self.kl or self.temperature > 0,
            f"{where}.kl is a mean over samples and temperature=0 draws none: raise it, or use a set of its own",
        )


@dataclass(frozen=True)
class EvaluationSettings:
    """How the trained model is measured."""

    sets: tuple[EvaluationSet, ...] = (EvaluationSet(),)
    """Sets measured once, after training."""
    max_completion: int = 64
    """Longest completion in tokens, the end token included."""
    batch: int = 256
    """Rows generated side by side."""
    dev_questions: int = 128
    """Questions of the dev split behind each point of the learning curve."""
    dev_n: int = 4
    """Sampled completions per dev question."""
    dev_pass: int | None = None
    """Also record pass@k, at this k, in every point of the learning curve."""
    backend: Literal["transformers", "vllm"] = "transformers"
    """Engine that samples the completions of the sets; points of the learning curve use the trainer's own."""
    budgets: tuple[int, ...] = ()
    """Token limits up to max_completion at which sets with verify are measured as well (sequential scaling)."""

    def __post_init__(self):
        lists_to_tuples(self)

    def validate(self, where: str = "evaluation") -> None:
        positive(self, where, "max_completion", "batch", "dev_questions", "dev_n")
        if self.dev_pass is not None:
            good = 0 < self.dev_pass <= self.dev_n
            require(good, f"{where}.dev_pass={self.dev_pass} must lie in 1 … dev_n={self.dev_n}: raise dev_n")
        require(bool(self.sets), f"{where}.sets is empty: name at least one set")
        wrong = [budget for budget in self.budgets if not 0 < budget <= self.max_completion]
        require(not wrong, f"{where}.budgets must lie in 1 … max_completion={self.max_completion}, not {wrong[:1]}")
        require(list(self.budgets) == sorted(set(self.budgets)), f"{where}.budgets must rise from one to the next")
        for index, item in enumerate(self.sets):
            item.validate(f"{where}.sets[{index}]")


@dataclass(frozen=True)
class TrialConfig:
    """Everything that decides one trial, fully resolved. `validate()` is called by `from_json`."""

    experiment: str
    """Name of the experiment, e.g. "table1"."""
    scale: Scale
    """smoke, micro, small or paper."""
    arm: str
    """Name of the arm, e.g. "tbrm-n4"."""
    seed: int
    """The one seed from which all randomness of the trial is derived."""
    method: dict[str, Any]
    """{"name", "semantics", and every field of the method's config}; {"name": "none"} evaluates the base model. That of
    a plug-in also has a "source": sha256 of its code."""
    task: dict[str, Any]
    """{"name", "options": the task's keyword arguments}; of a plug-in also "source", as in `method`."""
    base: dict[str, Any]
    """{"kind": "micro", "recipe"}, {"kind": "hub", "id", "revision"}, {"kind": "folder", "path"}, or of a bandit
    {"kind": "tabular", "instances"}: policies, each uniform over the actions. A "task": what a micro model learns."""
    train: TrainSettings = field(default_factory=TrainSettings)
    """How the trial trains."""
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
    """How the trained model is measured."""
    variant: str | None = None
    """Short hash of what --set, --task or --model changed; null for the experiment as registered."""

    @property
    def experiment_id(self) -> str:
        """The experiment with its scale and variant: table1, table1@smoke, table1@1a2b3c4d, table1@smoke-1a2b3c4d."""
        return experiment_id(self.experiment, self.scale, self.variant)

    @property
    def id(self) -> str:
        """Name for people, e.g. table1/tbrm-n4/seed0. The cache uses `repro.store.key.trial_key`, never this."""
        return f"{self.experiment_id}/{self.arm}/seed{self.seed}"

    @property
    def n(self) -> int:
        """Completions per prompt of the method (1 if it does not say)."""
        return int(self.method.get("n", 1))

    @property
    def trains(self) -> bool:
        """False for the arm that only evaluates the base model."""
        return self.method.get("name") != "none"

    @property
    def tabular(self) -> bool:
        """True for a bandit: no language model, no prompts; the evaluation's settings have no effect."""
        return self.base.get("kind") == "tabular"

    def validate(self) -> None:
        """Raise `InputError` with one line for the first field that cannot be used."""
        for name in ("experiment", "arm"):
            value = getattr(self, name)
            require(bool(_NAME.fullmatch(value)), f"{name}={value!r} is not a name of letters, digits and . _ + = -")
        require(self.scale in SCALES, f"scale={self.scale!r} is unknown: use one of {', '.join(SCALES)}")
        if self.variant is not None:
            require(bool(re.fullmatch(r"[0-9a-f]{8}", self.variant)), f"variant={self.variant!r} is not 8 hex digits")
        require(0 <= self.seed < 2**32, f"seed={self.seed} must lie in [0, 2**32)")
        check_method(self.method)
        check_task(self.task)
        check_base(self.base)
        self.train.validate(n=self.n if self.trains else 1)
        self.evaluation.validate()
        if self.tabular:
            check_tabular(self)
        require(
            self.evaluation.backend != "vllm" or self.train.processes == 1,
            f"evaluation.backend=vllm needs train.processes=1, not {self.train.processes}: one process, one engine",
        )

    def to_json(self) -> dict[str, Any]:
        """Plain dicts, lists, strings, numbers, booleans and nulls; fields in the order of their declaration."""
        return plain(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> TrialConfig:
        config = build(cls, data)
        config.validate()
        return config


def experiment_id(experiment: str, scale: str, variant: str | None = None) -> str:
    """Folder and table name of an experiment at a scale, as in `TrialConfig.experiment_id`."""
    parts = ([] if scale == "micro" else [scale]) + ([variant] if variant else [])
    return experiment + ("@" + "-".join(parts) if parts else "")
