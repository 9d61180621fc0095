"""VinePPO: PPO whose state values are means of fresh rollouts (Kazemnejad et al., arXiv 2410.01679), no critic.

A completion is cut into reasoning steps. Before each step the trainer draws K fresh completions from the current
policy; their mean reward is the value of that state. They are never trained on.
    V(s) = mean reward of K fresh completions from s,   rho_t = pi(y_t) / pi_old(y_t),
    A_t = V(s_{j+1}) - V(s_j) for the tokens of step j; in the last step A_t = r - V(s_j),
    loss = - mean over tokens of min( rho_t × A_t, clip(rho_t, 1 - eps, 1 + eps) × A_t ),
with A whitened over the batch; the KL term is beta times the mean over rows of the sum of k3.

What differs from the paper or its released code:
1. K is 3 by default (paper: 9), with 4 completions per prompt (8) and one pass of two updates per batch (two of eight).
2. Advantages are whitened over the whole generation batch; the authors whiten each minibatch.
3. The authors' code drops a minibatch whose mean ratio is above 10. Left out: it would depend on the partition.
4. Values of states beyond `cap` are the row's own reward, so that later steps have advantage 0 (authors' code: 25
   states on GSM8K, no cap on MATH, which is the default here). Whitening comes after: it moves those 0s as well, so
   a cap that cuts most rows trains badly with it.
5. No discount. V = 0 after the last token, for truncated rows too; truncated rows keep the reward they were given.
6. `split_steps` follows what is known of the authors' splitter. How its two length thresholds are used is not known
   here; one rule takes their place. Tasks with a form of their own bring their own splitter.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from torch import Tensor

from repro.errors import InputError
from repro.methods.base import Credit, GenerationBatch, Method, Metrics, MicroBatch, Needs
from repro.methods.configs import VinePpoConfig
from repro.methods.ppo import whiten
from repro.methods.terms import clamped_k3, clipped_surrogate, masked, token_metric, token_weights

KL_LIMIT = 10.0  # authors' code: largest KL estimate of one token

TINY, LONG = 20, 100  # characters: shorter pieces are merged, longer ones are broken (authors' thresholds)

_MATHS = re.compile(
    r"\[asy\].*?\[/asy\]"
    r"|\\begin\{([^{}\n]*)\}.*?\\end\{\1\}"
    r"|\\\[.*?\\\]"
    r"|\\\(.*?\\\)"
    r"|(?<!\\)\$\$.*?\$\$"
    r"|(?<!\\)\$(?:\\.|[^$\\\n])+\$",
    re.DOTALL,
)
_SENTENCE_END = re.compile(r"\n\s*|\.(?=[ \t]+[A-Z])")


def split_steps(text: str) -> list[str]:
    """The reasoning steps of a worked solution in prose and LaTeX; joined they are `text`, character for character.

    A step ends after a full stop that a space and a capital follow, and after line breaks, but never inside a formula
    or figure. Pieces of fewer than 20 characters join the next one (the last joins the one before). What is longer than
    100 characters is broken at white space outside formulas, into parts of at least 20; a formula or word is never
    broken, so a part can stay longer. The empty text has no steps.
    """
    spans = [match.span() for match in _MATHS.finditer(text)]
    cuts = [match.end() for match in _SENTENCE_END.finditer(text)]
    pieces = _merge_tiny(_cut(text, [cut for cut in cuts if not _inside(cut, spans)]))
    blanks = [match.start() for match in re.finditer(r"(?<=\S)\s", text)]
    return _cut(text, _long_cuts(pieces, [cut for cut in blanks if not _inside(cut, spans)]))


def _inside(cut: int, spans: list[tuple[int, int]]) -> bool:
    return any(start < cut < end for start, end in spans)


def _cut(text: str, cuts: list[int]) -> list[str]:
    edges = [0, *cuts, len(text)]
    return [text[start:end] for start, end in zip(edges, edges[1:], strict=False) if start < end]


def _merge_tiny(pieces: list[str]) -> list[str]:
    merged: list[str] = []
    for piece in pieces:
        if merged and len(merged[-1].strip()) < TINY:
            merged[-1] += piece
        else:
            merged.append(piece)
    if len(merged) > 1 and len(merged[-1].strip()) < TINY:
        merged[-2:] = [merged[-2] + merged[-1]]
    return merged


def _long_cuts(pieces: list[str], blanks: list[int]) -> list[int]:
    """The ends of all pieces, and cuts at `blanks` (ascending positions in the text) inside those that are too long."""
    cuts, start = [], 0
    for piece in pieces:
        end = start + len(piece)
        while end - start > LONG:
            allowed = [blank for blank in blanks if start + TINY <= blank <= end - TINY]
            near = [blank for blank in allowed if blank <= start + LONG]
            if not allowed:
                break
            start = near[-1] if near else allowed[0]
            cuts.append(start)
        cuts.append(end)
        start = end
    return cuts


def step_advantages(state_values: Tensor | Sequence[float], reward: float | Tensor) -> Tensor:
    """Advantages (S,) of the S steps of one completion: A_i = r_i + V_{i+1} - V_i, where only the last r_i is not 0.

    `state_values` (S + 1,): the value before each step, then the terminal state's, which must be 0 (it is not the
    reward). The advantages add up to `reward` - V_0. Raises InputError for another shape or terminal value.
    """
    values = state_values if isinstance(state_values, Tensor) else torch.tensor(state_values, dtype=torch.float64)
    if values.dim() != 1 or values.shape[0] < 2:
        raise InputError(f"state values must be one row of at least 2 numbers, not of shape {tuple(values.shape)}")
    if not values.is_floating_point():
        values = values.to(torch.float64)
    reward = torch.as_tensor(reward, dtype=values.dtype, device=values.device).reshape(1)
    count = torch.tensor([values.shape[0] - 1], device=values.device)
    return _batch_advantages(values[None], count, reward)[0]


def _batch_advantages(values: Tensor, counts: Tensor, rewards: Tensor) -> Tensor:
    """`step_advantages` of many rows: `values` (B, S + 1), `counts` (B,) steps per row, `rewards` (B,) -> (B, S).

    0 from a row's end on. Raises InputError when a value there is not 0.
    """
    index = torch.arange(values.shape[1], device=values.device)
    if not (values == 0)[index >= counts[:, None]].all():
        raise InputError("the value of a terminal state must be 0: the reward comes with the last step")
    advantages = values[:, 1:] - values[:, :-1]
    return advantages + torch.where(index[:-1] == counts[:, None] - 1, rewards[:, None], 0.0)


def capped_values(values: Tensor, counts: Tensor, rewards: Tensor, cap: int | None) -> Tensor:
    """`values` (B, S + 1) with the row's reward (B,) as the value of its states from number `cap` on, the end excepted.

    Whatever stands there, NaN included, is replaced: those states need no estimate. Later steps have advantage 0, and
    a row's advantages still add up to the reward minus V_0.
    """
    if cap is None:
        return values
    index = torch.arange(values.shape[1], device=values.device)
    return torch.where((index >= cap) & (index < counts[:, None]), rewards[:, None], values)


class VinePpo(Method):
    name = "vineppo"
    Config = VinePpoConfig

    def needs(self) -> Needs:
        c = self.config
        return Needs(
            reference=c.beta > 0, old=True, extra_rollouts=c.k, extra_states=c.cap, epochs=c.epochs,
            minibatches=c.minibatches,
        )  # fmt: skip

    def credit(self, batch: GenerationBatch) -> Credit:
        c, mask, rewards = self.config, batch.mask.bool(), batch.rewards
        steps = batch.steps.masked_fill(~mask, -1)
        counts = steps.max(dim=1).values + 1
        values = batch.step_values.to(rewards.dtype)
        if int(counts.max()) >= values.shape[1]:
            raise InputError(f"{int(counts.max())} steps need {int(counts.max()) + 1} values, not {values.shape[1]}")
        by_step = _batch_advantages(capped_values(values, counts, rewards, c.cap), counts, rewards)
        advantages = masked(by_step.gather(1, steps.clamp(min=0)), mask)
        if c.whiten:
            advantages = whiten(advantages, mask)
        known = counts if c.cap is None else counts.clamp(max=c.cap)
        estimated = torch.arange(values.shape[1], device=values.device) < known[:, None]
        metrics = {
            "state_value": float(values[estimated].mean()),
            "prompt_value": float(values[:, 0].mean()),
            "steps_per_row": float(counts.to(rewards.dtype).mean()),
        }
        weights = token_weights(mask, "token-mean", rewards.dtype)
        kl_weights = mask.to(rewards.dtype) / mask.shape[0] if c.beta > 0 else None
        return Credit(advantages, weights, kl_weights=kl_weights, metrics=metrics)

    def loss(self, micro: MicroBatch) -> tuple[Tensor, Metrics]:
        c = self.config
        logps, old_logps = masked(micro.logps, micro.mask), masked(micro.old_logps, micro.mask)
        objective, clipped = clipped_surrogate(logps - old_logps, micro.advantages, c.epsilon, c.epsilon)
        loss = -(micro.weights * objective).sum()
        metrics = {"clip_fraction": token_metric(clipped.to(logps.dtype), micro.mask)}
        if micro.ref_logps is not None:
            kl = clamped_k3(logps, masked(micro.ref_logps, micro.mask), KL_LIMIT)
            loss = loss + c.beta * (micro.kl_weights * kl).sum()
            metrics["kl"] = token_metric(kl, micro.mask)
        return loss, metrics
