"""The one forward pass behind every log-probability of the suite: policy, reference, old policy, critic.

The trainer and the memory planner both call `score`, so that what is planned is what is trained.
Not covered: first-state values under FSDP (they read the LM head outside the wrapped forward).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn


@dataclass
class Scores:
    """Per-token quantities of b rows and T completion positions; position t is scored given everything before it."""

    logps: Tensor  # (b, T) log-probability of the sampled token, zero outside the mask
    entropy: Tensor | None  # (b, T) in nats
    state_values: Tensor | None  # (b, 1) or (b, T): logsumexp of the logits before the token
    hidden: Tensor | None = None  # (b, S, D): last hidden states, on request


def causal_lm(model: nn.Module) -> nn.Module:
    """The causal language model inside data-parallel and PEFT wrappers."""
    model = getattr(model, "module", model)
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def backbone(model: nn.Module) -> nn.Module:
    """The transformer below the LM head."""
    inner = causal_lm(model)
    return getattr(inner, inner.base_model_prefix)


def project_state_values(
    model: nn.Module, hidden: Tensor, keep: int, temperature: float, which: Literal["none", "first", "all"]
) -> Tensor | None:
    """V(s) = logsumexp of the logits from last hidden states (b, S, D): (b, 1) for "first", (b, keep) for "all".

    The hidden state at position s predicts token s + 1, so V before the first completion token sits at -keep - 1.
    """
    if which == "none":
        return None
    first = hidden.shape[1] - keep - 1
    last = first + 1 if which == "first" else hidden.shape[1] - 1
    head = causal_lm(model).get_output_embeddings()
    # One row at a time keeps the peak at keep x vocabulary; only the brm ablation asks for more than one position.
    rows = [torch.logsumexp(head(row).float() / temperature, dim=-1) for row in hidden[:, first:last]]
    return torch.stack(rows)


def _aligned_right(
    ids: Tensor, attention: Tensor, labels: Tensor, keep: int
) -> tuple[Tensor, Tensor, Tensor, Callable[[Tensor], Tensor]]:
    """Rows (b, S) without what follows their last token and without the columns that are then padding in all of them.

    And the way back: from (b, W - 1), one value per token but the first, to the (b, keep) of the last `keep` columns,
    zero where they have no label.
    """
    whole, width = ids.shape[1], int(attention.sum(1).max())
    columns = torch.arange(whole, device=ids.device)
    after = whole - 1 - (attention * columns).amax(1, keepdim=True)  # (b, 1): padding on the right
    source = (columns[whole - width :] - after) % whole
    at, kept = columns[whole - keep :] + after - (whole - width) - 1, labels[:, -keep:] != -100

    def back(values: Tensor) -> Tensor:
        return values.gather(1, at.clamp(0, width - 2)).masked_fill(~kept, 0.0)

    return *(rows.gather(1, source) for rows in (ids, attention, labels)), back


def score(
    model: nn.Module,
    input_ids: Tensor,
    attention_mask: Tensor,
    keep: int,
    *,
    temperature: float,
    state_values: Literal["none", "first", "all"] = "none",
    entropy: bool = False,
    scored: Tensor | None = None,
    hidden: bool = False,
    packed: bool = False,
    autocast=None,
) -> Scores:
    """Score the last `keep` positions of `input_ids` (b, S) with a model patched by TRL's fused LM head.

    Only labelled positions go through the head where the device allows it, so (b, S, vocabulary) logits never exist.
    `temperature` is the one the head was patched with; it is needed again for the state values. `scored` (b, keep)
    narrows the labelled positions; the others hold nothing of use. `hidden` also returns the last hidden states.
    `packed` leaves out what is padding in every row once the rows are aligned on the right: for prompts of very
    different length. It has no effect where hidden states or state values are wanted.
    """
    labels = input_ids.masked_fill(attention_mask == 0, -100)
    labels[:, :-keep] = -100
    if scored is not None:
        labels[:, -keep:] = labels[:, -keep:].masked_fill(~scored, -100)
    back = None
    if packed and not hidden and state_values == "none":
        input_ids, attention_mask, labels, back = _aligned_right(input_ids, attention_mask, labels, keep)
    captured: list[Tensor] = []
    hook = None
    if hidden or state_values != "none":
        hook = backbone(model).register_forward_hook(lambda _m, _i, out: captured.append(out.last_hidden_state))
    try:
        with autocast() if autocast is not None else torch.autocast("cpu", enabled=False):
            out = model(
                input_ids=input_ids, attention_mask=attention_mask, labels=labels, fused_lm_head=True, use_cache=False
            )
            states = captured[-1] if captured else None
            values = project_state_values(model, states, keep, temperature, state_values)
    finally:
        if hook is not None:
            hook.remove()
    logps, spread = (
        per_token if per_token is None or back is None else back(per_token)
        for per_token in (out.log_probs, out.entropy if entropy else None)
    )
    return Scores(
        logps=logps[:, -keep:],
        entropy=None if spread is None else spread[:, -keep:],
        state_values=values,
        hidden=states if hidden else None,
    )
