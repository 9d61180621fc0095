"""One micro-step: forward pass, loss and backward pass of critic, judge and policy.

The trainer and the memory planner both run this code, so that what is planned is what is trained. They differ in who
scores (`Parts.score`: TRL's fused head, or its shape-static equivalent), in what they do with a loss (`Parts.seen`) and
in whether the rows hold real tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from repro.methods.base import Method, MicroBatch, Needs
from repro.training.critic import Critic
from repro.training.forward import Scores
from repro.training.verdicts import Judge, JudgedRows, hidden_before, verdict_logps


@dataclass
class Parts:
    """What a micro-step is made of. `seen(loss, metrics, micro)` is told of every loss before its backward pass."""

    method: Method
    needs: Needs
    score: Callable[..., Scores]  # as `repro.training.forward.score`
    autocast: Callable
    temperature: float
    critic: Critic | None = None
    judge: Judge | None = None
    seen: Callable[[Tensor, dict, MicroBatch], None] = lambda loss, metrics, micro: None


@dataclass
class Rows:
    """b rows of S prompt and T completion positions, and the same rows with verdicts where a judge needs them."""

    ids: Tensor  # (b, S + T)
    attention: Tensor  # (b, S + T) long
    prompt: int  # S
    judged: JudgedRows | None = None
    longer: Tensor | None = None  # (b, S + T + W): ids with the verdict turn
    seen: Tensor | None = None  # (b, S + T + W) long: their attention

    @classmethod
    def of(
        cls, prompts: Tensor, prompt_mask: Tensor, completions: Tensor, mask: Tensor, judged: JudgedRows | None
    ) -> Rows:
        """From prompts and their mask (b, S), completions and their mask (b, T), and the verdicts, if any."""
        rows = cls(
            torch.cat([prompts, completions], dim=1),
            torch.cat([prompt_mask, mask.long()], dim=1),
            prompts.shape[1],
            judged,
        )
        if judged is not None:
            rows.longer = torch.cat([prompts, judged.completion_ids], dim=1)
            rows.seen = torch.cat([prompt_mask, judged.attention], dim=1)
        return rows

    @property
    def column(self) -> Tensor:
        """(b,): the verdict's column in `longer`."""
        return self.prompt + self.judged.at


def micro_step(parts: Parts, model: nn.Module, rows: Rows, given: dict[str, Tensor | None]) -> Tensor:
    """Train the companions on the rows (their backward is done here) and return the policy's loss, with gradient.

    `given` are the columns of `MicroBatch` that come from the roll-out.
    """
    # Functions of their own, so that nothing of a companion's graph is alive when the policy's is built.
    if parts.critic is not None:
        train_critic(parts, rows, given)
    if parts.needs.verdict == "separate":
        train_judge(parts, rows, given)
    return policy_loss(parts, model, rows, given)


def train_critic(parts: Parts, rows: Rows, given: dict[str, Tensor | None]) -> None:
    """Forward and backward of the critic, as with separate updates: its activations are gone before the policy's."""
    with parts.autocast():
        values = parts.critic(rows.ids, rows.attention, rows.ids.shape[1] - rows.prompt)
    micro = MicroBatch(logps=None, values=values, **given)
    loss, metrics = parts.method.critic_loss(micro)
    parts.seen(loss.detach(), metrics, micro)
    loss.backward()


def train_judge(parts: Parts, rows: Rows, given: dict[str, Tensor | None]) -> None:
    """Forward and backward of a verifier with weights of its own."""
    with parts.autocast():
        said = parts.judge.model_logps(rows.longer, rows.seen, rows.column, rows.judged.verdict)
    micro = MicroBatch(logps=None, verdict_logps=said, **given)
    loss, metrics = parts.method.verdict_loss(micro)
    parts.seen(loss.detach(), metrics, micro)
    loss.backward()


def policy_loss(parts: Parts, model: nn.Module, rows: Rows, given: dict[str, Tensor | None]) -> Tensor:
    """The policy's loss with gradient; with a verifier inside the policy its verdicts are part of the same pass."""
    keep = rows.ids.shape[1] - rows.prompt
    judged = None if parts.needs.verdict == "separate" else rows.judged  # then the policy itself sees no verdict
    ids, attention = (rows.ids, rows.attention) if judged is None else (rows.longer, rows.seen)
    cold = parts.temperature != 1.0
    mask, chosen = given["mask"], chosen_tokens(given) if parts.needs.selected else None
    scores = parts.score(
        model,
        ids,
        attention,
        ids.shape[1] - rows.prompt,
        temperature=parts.temperature,
        state_values=parts.needs.state_values,
        entropy=True,
        packed=parts.needs.replay,
        scored=chosen if judged is None else judged.scored(mask if chosen is None else chosen),
        hidden=judged is not None and (parts.judge is not None or cold),
        autocast=parts.autocast,
    )
    said = None
    if judged is not None and parts.judge is not None:
        said = parts.judge.head_logps(hidden_before(scores.hidden, rows.column), given["rewards"])
    elif judged is not None and cold:
        # The fused head divides by the sampling temperature; a verdict is read, and so trained, at temperature 1.
        said = verdict_logps(model, hidden_before(scores.hidden, rows.column), judged.verdict)
    elif judged is not None:
        said = scores.logps.gather(1, judged.at.unsqueeze(1)).squeeze(1)
    micro = MicroBatch(
        logps=scores.logps[:, :keep],
        state_values=None if scores.state_values is None else scores.state_values[:, :keep],
        entropy=None if scores.entropy is None else scores.entropy[:, :keep],
        scored=chosen,
        verdict_logps=said,
        **given,
    )
    loss, metrics = parts.method.loss(micro)
    parts.seen(loss, metrics, micro)
    return loss


def chosen_tokens(given: dict[str, Tensor | None]) -> Tensor:
    """(b, T) bool: the sampled tokens with a weight or a KL weight."""
    chosen = given["weights"] != 0
    if given.get("kl_weights") is not None:
        chosen = chosen | (given["kl_weights"] != 0)
    return chosen & given["mask"]
