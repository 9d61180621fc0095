"""Generation with `transformers.generate`, sampling by inverse CDF from counter-based uniforms.

`generate` itself would draw from torch's global generator; here a logits processor chooses the token and `generate`
runs greedily on what it leaves. On CPU two runs agree bit for bit as long as the batches are composed alike.
Not covered: top-k, top-p, penalties (they would bias the importance ratio), beam search, encoder-decoder models.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import numpy as np
import torch
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList

from repro.sampling.uniforms import Draw, uniforms


class InverseCdf(LogitsProcessor):
    """Leaves exactly one token per row: the one whose cumulative probability first exceeds the row's uniform."""

    def __init__(self, table: np.ndarray, prompt_length: int, temperature: float):
        self.table = torch.from_numpy(table)  # (rows, positions) float64
        self.prompt_length = prompt_length
        self.temperature = temperature

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        uniform = self.table[:, input_ids.shape[1] - self.prompt_length].to(scores.device)
        # float64: a float32 cumulative sum over 150k tokens loses the tail of the distribution.
        cumulative = torch.softmax(scores.double() / self.temperature, dim=-1).cumsum(-1)
        target = uniform.unsqueeze(1) * cumulative[:, -1:]
        token = torch.searchsorted(cumulative, target, right=True).clamp_(max=scores.shape[1] - 1)
        return torch.full_like(scores, -torch.inf).scatter_(1, token, 0.0)


def _left_pad(prompts: Sequence[Sequence[int]], pad_id: int, device) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(len(p) for p in prompts)
    ids = torch.full((len(prompts), width), pad_id, dtype=torch.long)
    mask = torch.zeros((len(prompts), width), dtype=torch.long)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = torch.tensor(prompt, dtype=torch.long)
        mask[row, width - len(prompt) :] = 1
    return ids.to(device), mask.to(device)


@torch.no_grad()
def generate(
    model,
    prompts: Sequence[Sequence[int]],
    draws: Sequence[Draw] | None,
    *,
    max_new_tokens: int,
    temperature: float,
    end_ids: Sequence[int],
    pad_id: int,
) -> list[list[int]]:
    """Completion ids of each prompt, cut after the first end token (which is kept).

    `draws` None means greedy decoding. A completion that reaches `max_new_tokens` without an end token is truncated:
    its last id is not in `end_ids`.
    """
    ids, mask = _left_pad(prompts, pad_id, model.device)
    processors = LogitsProcessorList()
    if draws is not None:
        table = np.stack([uniforms(draw, max_new_tokens) for draw in draws])
        processors.append(InverseCdf(table, ids.shape[1], temperature))
    config = GenerationConfig(
        max_new_tokens=max_new_tokens,
        do_sample=False,
        eos_token_id=list(end_ids),
        pad_token_id=pad_id,
        use_cache=True,
        disable_compile=True,
    )
    with _without_own_settings(model):
        output = model.generate(
            input_ids=ids, attention_mask=mask, generation_config=config, logits_processor=processors
        )  # fmt: skip
    return [_cut(row, set(end_ids)) for row in output[:, ids.shape[1] :].tolist()]


@contextlib.contextmanager
def _without_own_settings(model):
    """Hide the model's generation config: `generate` takes from it whatever ours leaves open, penalties included."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    own = inner.generation_config
    inner.generation_config = GenerationConfig()
    try:
        yield
    finally:
        inner.generation_config = own


def _cut(ids: list[int], end_ids: set[int]) -> list[int]:
    for position, token in enumerate(ids):
        if token in end_ids:
            return ids[: position + 1]
    return ids
