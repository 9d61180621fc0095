"""What a trial will cost, known before it starts and without a GPU: memory per phase and component, operations, tokens.

Every phase is the trial's own code on fake tensors at its true shapes (`planned_step`, `planned_generation`), with rows
of full length. What is computed beside that code is only how often a phase runs (`planned_phases`). Memory found this
way is called *predicted*; `left_out` of a plan says what it does not contain.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from repro.cost import shapes
from repro.cost.head import TILE_COLUMNS, TILE_TOKENS
from repro.store.config import TrialConfig
from repro.training import planned_step
from repro.training.planned_phases import STEP_TOKENS, Phases

_SAMPLED = ("stage1", "generate", "extra_rollouts")
_GIB = 1 << 30


@dataclass(frozen=True)
class PlanOptions:
    """What is planned otherwise than the trainer does it."""

    states: Literal["fp32", "bf16"] = "fp32"
    """Precision of weights, gradients and optimizer state; the trainer's own is fp32."""
    logits: Literal["chunked", "full"] = "chunked"
    """Full keeps the logits of all completion tokens in memory, as trainers without a fused head do."""


def plan_trial(config: TrialConfig, options: PlanOptions = PlanOptions(), cache: Path | None = None) -> dict:  # noqa: B008
    """The plan of one trial as plain JSON, the same on every run, to the byte.

    `phases`: {phase: {"peak": {"total", "components"}, "flops", "tokens", "calls"}}. Peaks are bytes of one process;
    operations (recomputation included) and tokens are those of one generation batch over all processes, and of the
    whole run for stage 1. `step` adds up the phases of a batch. What phases cost is kept in `cache`. Raises InputError
    for a model without a known shape and for sizes that do not fit together.
    """
    parts = Phases(config, options.states, options.logits, cache)
    phases, train = parts.all(), config.train
    largest = max(phases, key=lambda name: phases[name]["peak"]["total"])
    step = _sums(phases, [name for name in phases if name != "stage1"], train.completions_per_step)
    stage1 = _sums(phases, ["stage1"], parts.stage1_completions) if "stage1" in phases else None
    once = stage1 or dict.fromkeys(step, 0)
    return {
        "arm": config.arm,
        "method": config.method["name"],
        "model": shapes.name(config.base),
        "parameters": parts.parameters,
        "phases": phases,
        "peak": {**phases[largest]["peak"], "phase": largest},
        "kv_cache": parts.kv_cache(),
        "logits": _logits(parts),
        "step": {**step, "prompts": train.completions_per_step // parts.method.rows_per_prompt},
        "stage1": stage1,
        "run": {"steps": train.steps} | {name: train.steps * step[name] + once[name] for name in step},
        "settings": _settings(parts, options),
        "left_out": _left_out(parts),
    }


def largest_micro_batch(
    config: TrialConfig,
    card_bytes: int,
    options: PlanOptions = PlanOptions(),  # noqa: B008
    cache: Path | None = None,
) -> int:
    """The largest micro-batch with which the trial's predicted peak fits `card_bytes`; 0 if not even one unit fits.

    Only sizes that divide an update of one process into whole units are possible. The whole update at once is tried
    first, because no gradients wait for it; of the others a larger one never needs less, so they are searched by
    doubling the step and then by halving it.
    """
    parts = Phases(config, options.states, options.logits, cache)
    rows = parts.per_update * parts.micro
    sizes = [size for size in range(parts.needs.unit, rows + 1, parts.needs.unit) if rows % size == 0]

    def fits(place: int) -> bool:
        train = dataclasses.replace(config.train, micro_batch=sizes[place])
        plan = plan_trial(dataclasses.replace(config, train=train), options, cache)
        return plan["peak"]["total"] <= card_bytes

    with tempfile.TemporaryDirectory() as scratch:  # what the sizes share is planned once, whoever asks
        cache = cache or Path(scratch)
        if fits(len(sizes) - 1):
            return sizes[-1]
        found = _last(fits, len(sizes) - 1)
        return sizes[found] if found >= 0 else 0


def _last(fits: Callable[[int], bool], count: int) -> int:
    """The last of `count` places that fits, where none fits behind one that does not; -1 if none does."""
    if not count or not fits(0):
        return -1
    good, bad, stride = 0, count, 1
    while good + stride < bad:
        if fits(good + stride):
            good, stride = good + stride, stride * 2
        else:
            bad = good + stride
    while bad - good > 1:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if fits(middle) else (good, middle)
    return good


def advice(row: dict, card_bytes: int) -> str:
    """One line on a plan against a card: whether it fits, and if not, what dominates its peak and what to change."""
    peak, settings = row["peak"], row["settings"]
    total, size = f"{peak['total'] / _GIB:.1f} GiB", f"{card_bytes / _GIB:.1f} GiB"
    if peak["total"] <= card_bytes:
        return f"{row['arm']} on {row['model']}: {total} predicted in phase {peak['phase']}, fits {size}"
    kinds: dict[str, int] = {}
    for name, part in peak["components"].items():
        kind = name.split("/")[0]
        kinds[kind] = kinds.get(kind, 0) + part
    worst = max(kinds, key=lambda kind: kinds[kind])
    share = kinds[worst] / peak["total"]
    return (
        f"{row['arm']} on {row['model']}: {total} predicted in phase {peak['phase']}, does not fit {size}; "
        f"{worst.replace('_', ' ')} take {share:.0%} of it: {_remedy(worst, row, settings)}"
    )


def _remedy(worst: str, row: dict, settings: dict) -> str:
    weights = [] if settings["lora"] else ["train LoRA adapters (train.lora)"]
    weights += [] if settings["states"] == "bf16" else ["keep states in bf16 (--states bf16, planned only)"]
    weights += [] if settings["sharding"] else ["shard over more processes (train.sharding=fsdp)"]
    passes = ["lower train.micro_batch"] if settings["micro_batch"] > settings["unit"] else []
    passes += [] if settings["gradient_checkpointing"] else ["set train.gradient_checkpointing=true"]
    passes += ["use chunked logits"] if settings["logits"] == "full" else []
    passes += ["lower train.max_completion"]
    sampling = ["lower train.completions_per_step", "lower train.max_completion", "use an engine (train.backend=vllm)"]
    if row["peak"]["phase"] in _SAMPLED:
        chosen = sampling if worst in ("kv_cache", "activations") else weights
    else:
        chosen = passes if worst in ("activations", "temporaries") else weights
    return ", or ".join(chosen or ["use a smaller model (--model)"])


def _sums(phases: dict, names: list[str], completions: int) -> dict[str, int]:
    return {
        "flops": sum(phases[name]["flops"] for name in names),
        "tokens": sum(phases[name]["tokens"] for name in names if name in _SAMPLED),
        "completions": completions,
    }


def _logits(parts: Phases) -> int:
    """Bytes of the largest logits tensor alive at once: of the loss, of the state values, or of a sampling step."""
    form, rows, vocabulary = parts.form, parts.micro, parts.shape.get_text_config().vocab_size
    keep = planned_step.scored_tokens(form, parts.method)
    half = form.states == "bf16" or form.train.precision == "bf16"
    scored = rows * (keep + (form.verdict if parts.needs.verdict in ("policy", "head") else 0))
    sizes = [scored * vocabulary * 4]
    if form.logits == "chunked":
        sizes = [min(scored, TILE_TOKENS) * min(vocabulary, TILE_COLUMNS) * (2 if half else 4)]
    sizes.append({"none": 0, "first": 1, "all": form.train.max_completion}[parts.needs.state_values] * vocabulary * 4)
    if not parts.engine:
        sizes.append(parts.rows * vocabulary * 8)  # the cumulative sum that a token is drawn from is float64
    return max(sizes)


def _settings(parts: Phases, options: PlanOptions) -> dict:
    train, needs = parts.train, parts.needs
    return {
        "prompt": parts.form.prompt,
        "max_completion": train.max_completion,
        "completions_per_step": train.completions_per_step,
        "n": parts.config.n,
        "micro_batch": train.micro_batch,
        "unit": needs.unit,
        "micro_steps": parts.per_update,
        "epochs": needs.epochs,
        "minibatches": needs.minibatches,
        "scored_tokens": planned_step.scored_tokens(parts.form, parts.method),
        "replay": needs.replay,
        "precision": train.precision,
        "states": options.states,
        "logits": options.logits,
        "gradient_checkpointing": train.gradient_checkpointing,
        "lora": dataclasses.asdict(train.lora) | {"targets": list(train.lora.targets)} if train.lora else None,
        "backend": train.backend,
        "processes": train.processes,
        "sharding": train.sharding,
        "stage1": {"samples": needs.prompt_samples, "prompts": parts.prompts} if needs.prompt_samples else None,
    }


def _left_out(parts: Phases) -> list[str]:
    train = parts.train
    sentences = [
        "The CUDA context, the allocator's rounding and fragmentation, and workspaces of kernels.",
        "The batch itself: token ids, masks and columns of the roll-out.",
        "Padding beyond full length, and what shorter rows save: every row has its full length.",
    ]
    if parts.engine:
        sentences.append("The engine's pool, with its own copy of the weights and its key-value cache.")
    if train.processes > 1 and train.sharding is None:
        sentences.append("The buckets in which gradients are averaged over processes.")
    if train.sharding is not None:
        sentences.append(
            "With sharding, weights, gradients and optimizer state of policy and reference are divided by the "
            "processes, and the largest layer with all that is no layer is gathered; layers fetched ahead are left out."
        )
    if parts.needs.extra_rollouts:
        sentences.append(
            f"The true number of reasoning steps: {parts.states_per_completion} per completion are assumed, one for "
            f"{STEP_TOKENS} tokens."
        )
    if parts.needs.selected:
        sentences.append(
            f"The true number of selected tokens: {planned_step.scored_tokens(parts.form, parts.method)} of a full "
            "completion are assumed, the method's mean or upper bound."
        )
    if parts.needs.replay:
        sentences.append(
            "Where replayed completions restart: the middle of a full one is assumed; and what reading their longer "
            "prompts takes."
        )
    if parts.form.verdict and parts.config.base["kind"] != "micro":
        sentences.append(f"The tokenizer: a verdict is taken to add {parts.form.verdict} tokens to a row.")
    return sentences
