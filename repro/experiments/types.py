"""What an experiment is made of: frozen data, no behaviour beyond look-up.

One file of this package holds one experiment in a module constant `EXPERIMENT`; `repro.experiments.registry` finds it.
Numbers a paper reports live in `repro.papers`, never here; measured numbers live in records, never here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["direction", "threshold", "non-inferior", "exact"]


@dataclass(frozen=True)
class Arm:
    """A method with its config inside one experiment. The method name "none" means: evaluate the base model only."""

    id: str
    display: str
    method: str
    method_config: Mapping[str, Any] = field(default_factory=dict)  # overrides of the method's config dataclass
    train: Mapping[str, Any] = field(default_factory=dict)  # overrides of TrainSettings
    core: bool = True  # core arms carry the claims and fit the time budget; the others run with --arms all

    @property
    def trained(self) -> bool:
        return self.method != "none"


@dataclass(frozen=True)
class ScaleSettings:
    """How an experiment looks at one scale. Precedence: `train` < Arm.train < `arms[arm]["train"]` < --set.

    `arms[arm]` may hold "method", "train" and "evaluation", which go over the settings of the scale, and "task" and
    "base", which replace them: the arms of one experiment may be about several tasks. Sets of questions that belong
    together then share a `name`, because a report shows the same sets for all arms.
    """

    task: Mapping[str, Any]  # {"name", "options"}
    base: Mapping[
        str, Any
    ]  # {"kind": "micro", "recipe"} | {"kind": "hub", "id", "revision"} | {"kind": "folder", "path"} or "tabular"
    seeds: int
    train: Mapping[str, Any]  # TrainSettings fields
    evaluation: Mapping[str, Any]  # EvaluationSettings fields
    arms: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)
    first_seed: int = 0  # tuning uses seeds from 1000, so that no tuned seed is ever reported


@dataclass(frozen=True)
class Floor:
    """Where `arm` scores less than `accuracy` at one of `scales` there is no signal, and the claim is not tested."""

    arm: str
    accuracy: float  # mean over the evaluation sets, a fraction
    scales: tuple[str, ...] = ("smoke", "micro")


@dataclass(frozen=True)
class Claim:
    """A sentence of a paper as a contrast of two arms on one metric, or of two metrics (`against_metric`).

    The effect is always in favour of `arm` when large. With contrast "difference" it is `arm - against` when `better`
    is "higher" and `against - arm` when "lower"; with "ratio" it is `arm / against` when "higher" and `against / arm`
    ("times faster", "times less memory") when "lower". The null value is 0 for a difference and 1 for a ratio.

    `margin` by kind. direction: unused (0). threshold: the effect the paper states, in the effect's own unit (0.013 of
    accuracy; 1.3 times). non-inferior: the loss that still counts as a match, as a positive number: the effect
    must stay above `-margin` (difference) or above `1 - margin` (ratio). exact: as threshold, without an interval.
    """

    id: str
    paper: str  # key of repro.papers
    sentence: str
    evidence: str  # where the paper says it, with the evidence tag
    kind: Kind
    metric: str  # "accuracy" | "time_per_step" | "predicted_peak" | "last_reward" ...
    arm: str
    against: str
    contrast: Literal["difference", "ratio"]
    better: Literal["higher", "lower"]
    margin: float
    paper_supports: str  # what the paper's own numbers support, which may be less than the sentence
    against_metric: str | None = (
        None  # metric of `against` (which may then be `arm` itself); None: the same as `metric`
    )
    floor: Floor | None = None


@dataclass(frozen=True)
class Deviation:
    """One line of the ledger: where we differ from the paper, or what the paper does not state ("not stated")."""

    where: str
    paper: str
    ours: str
    why: str


@dataclass(frozen=True)
class TuningGrid:
    """The tuning budget of one arm: exactly 4 learning rates x 2 values of one field of its method config."""

    learning_rates: tuple[float, float, float, float]
    parameter: str
    values: tuple[Any, Any]
    short: str  # the parameter's name inside arm ids: "beta" in ppo-n1--lr0.0001-beta0.01
    metric: str = "accuracy"  # by which the best point is chosen, on dev questions: what the arm trains for


@dataclass(frozen=True)
class Planned:
    """Rows of the planner on which claims rest: some arms at one scale's settings on one model, run nowhere.

    Claims name them by `name` (`planned_peak:1.5B`). `train` and `arms_train` go over the scale's settings; precedence
    as in `ScaleSettings`.
    """

    name: str
    arms: tuple[str, ...]
    base: Mapping[str, Any]  # as in ScaleSettings
    train: Mapping[str, Any] = field(default_factory=dict)
    arms_train: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    scale: str = "paper"


@dataclass(frozen=True)
class Experiment:
    """One table or figure of a paper: arms, metrics, claims, ledger, and how all this looks at each scale."""

    id: str
    title: str
    paper: str
    summary: str
    arms: tuple[Arm, ...]
    metrics: tuple[str, ...]  # columns of the table, in order
    claims: tuple[Claim, ...]
    ledger: tuple[Deviation, ...]
    scales: Mapping[str, ScaleSettings]
    tuning: Mapping[str, TuningGrid] = field(default_factory=dict)  # arm id -> grid; every trained core arm has one
    tuned_in: str = ""  # the experiment whose tuning chose the values of this one's arms; "" where it has its own
    planned: tuple[Planned, ...] = ()

    def arm(self, arm_id: str) -> Arm:
        """The arm called `arm_id`; KeyError if there is none."""
        for arm in self.arms:
            if arm.id == arm_id:
                return arm
        raise KeyError(arm_id)

    @property
    def tabular(self) -> bool:
        """Whether the trials are bandits: no language model, no timing, no memory; reports have tables of their own."""
        return any(scale.base["kind"] == "tabular" for scale in self.scales.values())

    @property
    def core_arms(self) -> tuple[Arm, ...]:
        return tuple(arm for arm in self.arms if arm.core)
