"""What a record says about time and memory, and about the offline stage: documented where it is typed."""

from __future__ import annotations

from typing import NotRequired, TypedDict


class PhaseCost(TypedDict):
    seconds: float
    tokens: int
    calls: int
    peak_allocated: int | None  # bytes, CUDA only
    peak_reserved: int | None  # bytes, CUDA only
    flops: NotRequired[float]  # of the model, without padding and recomputation
    host_rss: NotRequired[int | None]  # bytes, largest resident size at the phase's borders


class Stage1(TypedDict):
    """What the offline stage found (A*-PO)."""

    key: str  # content hash of all that decides its rewards
    prompts: int  # training prompts
    samples: int  # completions of the base per prompt
    kept: int  # prompts that are trained on
    mean_reward: float
    all_wrong: float  # share of prompts without a right sample
    mean_value: float  # of V*


class Stage1Cost(TypedDict):
    seconds: float
    tokens: int
    completions: int
    reused: bool  # sampled by other trials; this one is charged what they recorded


class PredictedPeak(TypedDict):
    total: int  # bytes
    components: dict[str, int]  # bytes


class Cost(TypedDict):
    phases: dict[str, PhaseCost]  # keys from PHASES
    train_seconds: float
    evaluate_seconds: float
    completions: int
    prompts: int
    updates: int
    predicted_peak: PredictedPeak | None
    host_rss: int  # bytes, highest resident size
    resumed: int  # times the trial was resumed
    stage1: NotRequired[Stage1Cost]


class Round(TypedDict):
    seconds: float  # of the online step alone
    phases: dict[str, float]  # seconds
    completions: int
    prompts: int
    stage1_seconds: NotRequired[float]  # the step's share of stage 1; absent means 0
    tokens: NotRequired[dict[str, int]]  # phase -> tokens; "stage1": the share's
    flops: NotRequired[dict[str, float]]  # phase -> FLOPs; "stage1": the share's


class TimedArm(TypedDict):
    rounds: list[Round]  # round i of every arm ran next to round i of the others


class TimingDevice(TypedDict):
    name: str
    flops: float | None  # peak FLOP/s
    how: str  # where the peak comes from


class Timing(TypedDict):
    prompts_equal: dict[str, TimedArm]  # arm -> rounds, same prompts per step for all arms
    completions_equal: dict[str, TimedArm]  # same completions per step
    device: NotRequired[TimingDevice]
