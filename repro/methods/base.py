"""The interface between a method and the one trainer: what it needs, its credit assignment, its loss.

A method is pure: tensors in, tensors out. The trainer generates, scores, splits and steps; it calls

1. `needs()` once, before anything is loaded: what is not needed is neither loaded nor computed; with `prompt_samples`
   also `prompt_values` and `kept_prompts` once, on the rewards of the completions that the frozen base drew;
2. `credit(batch)` once per generation batch, on ALL its rows (prompt-major: the `group_size` rows of one prompt are
   contiguous), without gradient;
3. `loss(micro)`, and before it `critic_loss(micro)` if there is a critic, on slices of whole units, with gradient. The
   result is a weighted SUM: `weights` already holds every normaliser, so that the gradients of any partition of the
   rows add up to the gradient of the whole batch.

When one generation batch feeds M > 1 minibatch updates, the trainer multiplies all weights (`weights`, `kl_weights`,
`verdict_weights`) by M, so each update has the expected scale of the whole batch.

Shape legend: B rows (completions) of the generation batch, b rows of a micro-batch, T completion positions (padded on
the right), P prompts, G = group_size = B / P.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal, get_args, get_origin, get_type_hints

import torch
from torch import Tensor

from repro.errors import InputError

_hints = functools.cache(get_type_hints)


@dataclass(frozen=True)
class Needs:
    """What the trainer must provide. `unit` rows always stay together in one micro-batch.

    InputError for a value that the trainer could not provide, whatever the task.
    """

    reference: bool = False  # ref_logps: log-probs of the frozen base model
    critic: bool = False  # values: a second network with a scalar head, trained beside the policy
    old: bool = False  # old_logps: log-probs of the sampling policy, needed as soon as there are several updates
    state_values: Literal["none", "first", "all"] = "none"  # logsumexp of the policy's logits, with gradient
    entropy: bool = False  # token entropies inside the loss (with gradient)
    prompt_samples: int = 0  # completions per training prompt that the frozen base draws before training (A*-PO's
    # stage 1); `Method.prompt_values` makes V* of their rewards, and `Method.kept_prompts` may drop prompts
    extra_rollouts: int = 0  # fresh rollouts per reasoning step's prefix (VinePPO's K); they only feed `step_values`
    extra_states: int | None = None  # prefixes per completion that are estimated (the first ones); None: all
    answers: bool = False  # canonical answers of the completions, as whole numbers (voting)
    entropies: bool = False  # token entropies of the sampling policy, without gradient, for `credit`
    selected: bool = False  # most weights are 0: the update scores only positions with a weight (or a KL weight)
    example: bool = False  # the record keeps one group of the first and of the last batch, for figures
    replay: bool = False  # half of the groups restart inside a completion of the other half (`Method.replay_from`)
    verdict: Literal["none", "policy", "head", "separate"] = "none"  # who is trained to judge the rollouts (RL^V)
    unit: int = 1
    epochs: int = 1  # passes over one generation batch
    minibatches: int = 1  # optimizer updates per pass

    def __post_init__(self):
        hints = _hints(type(self))
        for spec in fields(self):
            value, hint = getattr(self, spec.name), hints[spec.name]
            if get_origin(hint) is Literal:
                words = get_args(hint)
                good, wanted = value in words, f"one of {', '.join(words)}"
            elif hint is bool:
                good, wanted = type(value) is bool, "True or False"
            else:
                least = 0 if spec.default == 0 else 1
                good = type(value) is int and value >= least or (value is None and spec.default is None)
                wanted = f"a whole number of at least {least}" + (" or None" if spec.default is None else "")
            if not good:
                raise InputError(f"Needs: {spec.name} must be {wanted}, not {value!r:.60}")
        if self.replay and self.extra_rollouts:
            raise InputError("Needs: replay and extra_rollouts exclude each other: a replayed row begins inside a step")


@dataclass
class GenerationBatch:
    """All rows of one generation batch, as `credit` sees them; no gradients anywhere."""

    rewards: Tensor  # (B,) float, 0/1 for the tasks of this suite
    mask: Tensor  # (B, T) bool: True on sampled tokens, the end token included
    completion_ids: Tensor  # (B, T) long
    group_size: int
    truncated: Tensor  # (B,) bool: no end token within the length limit
    unparsed: Tensor  # (B,) bool: no answer found
    old_logps: Tensor | None = None  # (B, T)
    ref_logps: Tensor | None = None  # (B, T)
    values: Tensor | None = None  # (B, T): values[:, t] is V before token t
    state_values: Tensor | None = None  # (B, T) or (B, 1)
    prompt_values: Tensor | None = None  # (B,): V* of each row's prompt
    steps: Tensor | None = None  # (B, T) long: index of the reasoning step of each token, -1 outside the mask
    step_values: Tensor | None = None  # (B, S + 1): value of the state BEFORE step s; 0 from the row's end on
    answers: Tensor | None = None  # (B,) long: equal for equal answers to one prompt, -1 where there is none
    entropies: Tensor | None = None  # (B, T) in nats
    replayed: Tensor | None = None  # (B,) bool: the row continues a prefix of a completion, which is part of its prompt
    generator: torch.Generator | None = None  # for methods that draw; a function of (seed, step) alone
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass
class Credit:
    """What `credit` returns. `advantages` (B,) or (B, T); `weights` (B, T), zero outside the mask.

    Row-level methods put the weight of the row into `weights[:, 0]` and leave the rest zero. `returns` (B, T) are the
    critic's targets. `kl_weights` (B, T) weigh a token term (KL, entropy) whose normaliser is not that of
    `weights`; `verdict_weights` (B,) weigh the rows' verdicts and hold their normaliser. What multiplies `weights`
    multiplies both of them as well. `metrics` are plain floats for the health panel. `signal` (B,) bool marks the rows
    whose group has an advantage other than 0, for methods whose groups may well have none.
    """

    advantages: Tensor
    weights: Tensor
    returns: Tensor | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    kl_weights: Tensor | None = None
    verdict_weights: Tensor | None = None
    signal: Tensor | None = None


@dataclass
class MicroBatch:
    """Rows of one micro-batch, as the losses see them; what a loss does not use is None.

    `logps`, `state_values`, `entropy` and `verdict_logps` carry gradient in `loss`, `values` in `critic_loss`;
    with a separate verifier `verdict_logps` carries gradient in `verdict_loss` instead, and is None in `loss`.
    """

    logps: Tensor | None  # (b, T)
    mask: Tensor  # (b, T) bool
    weights: Tensor  # (b, T)
    advantages: Tensor  # (b, T): row advantages are expanded
    rewards: Tensor  # (b,)
    old_logps: Tensor | None = None  # (b, T)
    ref_logps: Tensor | None = None  # (b, T)
    old_values: Tensor | None = None  # (b, T): critic's values at sampling time
    values: Tensor | None = None  # (b, T)
    returns: Tensor | None = None  # (b, T)
    state_values: Tensor | None = None  # (b, T) if needs.state_values == "all", (b, 1) if "first"
    entropy: Tensor | None = None  # (b, T)
    scored: Tensor | None = None  # (b, T) bool, with needs.selected: elsewhere logps and entropy hold nothing of use
    prompt_values: Tensor | None = None  # (b,)
    kl_weights: Tensor | None = None  # (b, T)
    verdict_logps: Tensor | None = None  # (b,): log-probability of the RIGHT verdict, Yes for reward 1, No for 0
    verdict_weights: Tensor | None = None  # (b,)


# Each metric is (numerator, denominator): both are summed over the micro-batches of an update, then divided.
Metrics = dict[str, tuple[Tensor, Tensor]]


class Method(ABC):
    """One algorithm. Subclasses set `name`, `Config` (a `repro.methods.options.MethodConfig`) and the three methods.

    `semantics` is for plug-ins, whose trials are also told apart by the hash of their code: raise it where the same
    code gives other results. The suite's own methods are counted in `repro.methods.configs.SEMANTICS`.
    """

    name: ClassVar[str]
    Config: ClassVar[type]
    semantics: ClassVar[int] = 1

    def __init__(self, config):
        self.config = config

    @abstractmethod
    def needs(self) -> Needs: ...

    @abstractmethod
    def credit(self, batch: GenerationBatch) -> Credit: ...

    @abstractmethod
    def loss(self, micro: MicroBatch) -> tuple[Tensor, Metrics]: ...

    def prompt_values(self, rewards: Tensor) -> Tensor:
        """V* (P,) of the training prompts from `rewards` (P, N) of the frozen base; only with `needs().prompt_samples`.

        Row p belongs to training prompt p: two prompts with one text keep a value each.
        """
        raise TypeError(f"{type(self).__name__} has no offline stage")

    def kept_prompts(self, rewards: Tensor) -> Tensor:
        """(P,) bool: which prompts are trained on, given `rewards` (P, N) of the frozen base; all unless overridden."""
        return torch.ones(rewards.shape[0], dtype=torch.bool, device=rewards.device)

    def replay_from(self, batch: GenerationBatch) -> Tensor:
        """Where each group's replay restarts, (P, 2) long: a row of the group and how many of its tokens are kept.

        Rows count from 0 within the group; at least 0 tokens are kept, and fewer than the row has. `batch` holds the
        fresh rows alone, graded, with a generator of their own; only with `needs().replay`. In `credit` each prompt
        then has two groups of `group_size` rows: the fresh one, and after it the replayed one.
        """
        raise TypeError(f"{type(self).__name__} replays nothing")

    @property
    def rows_per_prompt(self) -> int:
        """Rows of one prompt in a generation batch: its group, and with `needs().replay` the replayed one after it."""
        return self.config.n * (2 if self.needs().replay else 1)

    def selected_tokens(self, length: int) -> float:
        """Tokens with a weight (or a KL weight) in a completion of `length` tokens, as the planner counts them.

        The expected number per row, or an upper bound where it depends on data; only with `needs().selected`.
        """
        return length

    def critic_loss(self, micro: MicroBatch) -> tuple[Tensor, Metrics]:
        """Loss of the critic from `values`, `old_values`, `returns` and `weights` alone; only with `needs().critic`.

        It is a loss of its own, so that the critic's graph is freed before the policy's is built.
        """
        raise TypeError(f"{type(self).__name__} trains no critic")

    def verdict_loss(self, micro: MicroBatch) -> tuple[Tensor, Metrics]:
        """Loss of the verdicts from `verdict_logps`, `verdict_weights` and `rewards`; only with `needs().verdict`.

        With a separate verifier the trainer calls it by itself, as it does `critic_loss`; otherwise `loss` holds it.
        """
        raise TypeError(f"{type(self).__name__} trains no verifier")
