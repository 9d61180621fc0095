"""How far a trained policy is from its base: the KL divergence, estimated on the samples of an evaluation set.

Per question, the mean over its samples of sum_t (ln pi - ln pi_ref) ("sequence") and of its mean over the tokens
("token", the k1 estimate that A*-PO's released code logs), in nats. Both may be
negative on a few samples.
Not covered: sharded weights, and models that bend or scale their logits after the head.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from repro.training.forward import backbone, causal_lm

POSITIONS = 1024  # scored side by side: the float32 logits of 152k tokens then take 0.6 GiB


@torch.no_grad()
def kl_to_base(
    policy: nn.Module, base: nn.Module | None, samples: Sequence[tuple[list[int], list[int]]], n: int, *,
    temperature: float, rows: int, autocast=None,
) -> dict[str, list[float]]:  # fmt: skip
    """{"sequence": [Q floats], "token": [Q floats]} from Q x n pairs of prompt and completion ids, by question.

    Both models are scored by the same code, `rows` rows side by side, at the temperature of the samples; so a policy
    that equals its base is at exactly 0. `base` None: the policy with its adapters disabled, so no second model.
    `autocast` is the context of both forward passes. An empty sample counts as 0.
    """
    sums, means = [], []
    for start in range(0, len(samples), rows):
        ids, attention, keep, mask = _batch(samples[start : start + rows], policy.device)
        batch = (ids, attention, keep, mask, temperature, autocast)
        ours = _logps(policy, *batch)
        with policy.disable_adapter() if base is None else contextlib.nullcontext():
            theirs = _logps(base or policy, *batch)
        total = (ours.double() - theirs.double()).masked_fill(~mask, 0.0).sum(1)
        sums += total.tolist()
        means += (total / mask.sum(1).clamp(min=1)).tolist()
    return {"sequence": _per_question(sums, n), "token": _per_question(means, n)}


def nothing(questions: int) -> dict[str, list[float]]:
    """The divergence of the base from itself."""
    return {"sequence": [0.0] * questions, "token": [0.0] * questions}


def metrics(entry: dict[str, list[float]]) -> dict[str, float]:
    """Means over the questions: "kl" of the sequences, "kl_token" of the tokens."""
    return {
        name: math.fsum(entry[kind]) / len(entry[kind]) for name, kind in (("kl", "sequence"), ("kl_token", "token"))
    }


def _per_question(values: list[float], n: int) -> list[float]:
    return [sum(values[i : i + n]) / n for i in range(0, len(values), n)]


def _batch(samples: Sequence[tuple[list[int], list[int]]], device) -> tuple[Tensor, Tensor, int, Tensor]:
    """Ids and attention (b, S + T), prompts padded on the left and completions on the right; T; mask (b, T) bool."""
    before = max(len(prompt) for prompt, _ in samples)
    keep = max(1, max(len(completion) for _, completion in samples))
    ids = torch.zeros((len(samples), before + keep), dtype=torch.long)
    attention = torch.zeros_like(ids)
    for row, (prompt, completion) in enumerate(samples):
        first, last = before - len(prompt), before + len(completion)
        ids[row, first:last] = torch.tensor([*prompt, *completion])
        attention[row, first:last] = 1
    return ids.to(device), attention.to(device), keep, attention[:, before:].bool().to(device)


def _logps(model, ids, attention, keep: int, mask: Tensor, temperature: float, autocast) -> Tensor:
    """Log-probabilities (b, T) of the completion tokens; zero outside the mask."""
    model = causal_lm(model)
    with autocast() if autocast is not None else torch.autocast(ids.device.type, enabled=False):
        hidden = backbone(model)(input_ids=ids, attention_mask=attention, use_cache=False).last_hidden_state
        states, targets = hidden[:, -keep - 1 : -1][mask], ids[:, -keep:][mask]
        head, parts = model.get_output_embeddings(), []
        for states_, targets_ in zip(states.split(POSITIONS), targets.split(POSITIONS), strict=True):
            logits = head(states_).float() / temperature
            parts.append(torch.log_softmax(logits, -1).gather(1, targets_.unsqueeze(1)).squeeze(1))
    logps = torch.zeros(mask.shape, device=ids.device)
    logps[mask] = torch.cat(parts) if parts else logps[mask]
    return logps
