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
from repro.store.evaluation import NAME, EvaluationSettings
from repro.store.evaluation import EvaluationSet as EvaluationSet  # so that a config's classes have one address
from repro.store.typed import build, lists_to_tuples, not_negative, plain, positive, require

Scale = Literal["smoke", "micro", "small", "paper"]
SCALES: tuple[str, ...] = typing.get_args(Scale)


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
            require(bool(NAME.fullmatch(value)), f"{name}={value!r} is not a name of letters, digits and . _ + = -")
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
