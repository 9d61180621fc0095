"""Sampling on fake tensors: the pass over the prompts and one decode step at full length, with a key-value cache.

What runs is the model's own forward pass with transformers' `DynamicCache`, and the suite's own choice of the token
(`InverseCdf`). What stands for something else: the loop of `generate` around them, whose last step is the largest.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from repro.cost.flops import ForwardFlops
from repro.cost.peak import StepParts, phase_peaks
from repro.sampling.transformers_backend import InverseCdf
from repro.training.forward import causal_lm
from repro.training.planned_step import Form, policy, reference


def sampling_cost(form: Form, rows: int, *, base: bool = False) -> dict:
    """Costs of sampling `rows` completions of full length by the policy, or with `base` by the base model alone.

    "peak": bytes beyond what was loaded before, in the larger one of the two passes; "kv_cache": its key-value cache,
    inside "peak"; "kv_token": bytes that one token of one row keeps there; "flops": the fields of `ForwardFlops`.
    """
    caches: dict[str, int] = {}
    found = phase_peaks(lambda: _build(form, rows, base, caches))
    beyond = {name: peak["total"] - _loaded(peak) for name, peak in found.items()}
    larger = max(("prompt", "decode"), key=lambda name: beyond[name])
    flops = (found[name]["flops"] for name in ("one-prompt", "one-short", "one-long"))
    return {
        "peak": beyond[larger],
        "kv_cache": min(caches[larger], beyond[larger]),
        "kv_token": caches["one"] // _widths(form)[2],
        "flops": dataclasses.astuple(_coefficients(_widths(form), *flops)),
    }


def _widths(form: Form) -> tuple[int, int, int]:
    """Tokens of the pass over a prompt, and tokens that the two single decode steps see, for counting operations."""
    prompt = max(2, form.prompt)
    return prompt, prompt + 1, prompt + 65


def _loaded(peak: dict) -> int:
    return sum(size for name, size in peak["components"].items() if name.startswith("parameters/") or name == "buffers")


def _coefficients(widths: tuple[int, int, int], whole: int, one: int, other: int) -> ForwardFlops:
    """From a pass over a prompt (head on its last token) and two decode steps, which see so many tokens:

    whole = token x prompt + attention x prompt² + head;  one, other = token + attention x seen + head.
    """
    prompt, seen, more = widths
    attention = (other - one) / (more - seen)
    both = one - attention * seen
    token = (whole - attention * prompt * prompt - both) / (prompt - 1)
    return ForwardFlops(token=token, attention=attention, head=both - token)


def _build(form: Form, rows: int, base: bool, caches: dict[str, int]) -> StepParts:
    """Phases "prompt" and "decode" of all rows; "one-…" are the same passes of a single row, for the operations."""
    from transformers import DynamicCache

    model = reference(form) if base else policy(form).eval()
    heads, size = _cache_shape(form.shape)
    layers = form.shape.get_text_config().num_hidden_layers
    last = form.prompt + form.train.max_completion - 1  # the last token sampled is never read
    dtypes: list[tuple[torch.dtype, torch.dtype]] = []

    def forward(count: int, new: int, cache: DynamicCache, name: str) -> None:
        ids = torch.zeros((count, new), dtype=torch.long)
        attention = torch.ones((count, cache.get_seq_length() + new), dtype=torch.long)
        with torch.no_grad(), form.autocast():
            out = model(
                input_ids=ids, attention_mask=attention, past_key_values=cache, use_cache=True, logits_to_keep=1
            )
        logits = out.logits.float()  # accelerate widens what leaves the model
        choose(logits[:, -1].to(copy=True, dtype=torch.float32))
        caches[name] = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)

    def filled(count: int, length: int) -> DynamicCache:
        if not dtypes:  # rotary embeddings may widen the keys and leave the values: ask the model
            probe = DynamicCache(config=form.shape)
            with torch.no_grad(), form.autocast():
                causal_lm(model)(input_ids=torch.zeros((1, 1), dtype=torch.long), past_key_values=probe, use_cache=True)
            dtypes.extend((layer.keys.dtype, layer.values.dtype) for layer in probe.layers)
        cache = DynamicCache(config=form.shape)
        for index in range(layers):
            keys, values = (torch.zeros((count, heads, length, size), dtype=dtype) for dtype in dtypes[index])
            _put(cache, index, keys, values)
        return cache

    filled(1, 1)
    prompt, seen, more = _widths(form)
    phases = {
        "prompt": lambda: forward(rows, form.prompt, DynamicCache(config=form.shape), "prompt"),
        "decode": lambda: forward(rows, 1, filled(rows, max(1, last - 1)), "decode"),
        "one-prompt": lambda: forward(1, prompt, DynamicCache(config=form.shape), "one"),
        "one-short": lambda: forward(1, 1, filled(1, seen - 1), "one"),
        "one-long": lambda: forward(1, 1, filled(1, more - 1), "one"),
    }
    return StepParts({"policy": model}, [], phases["decode"], phases)


def _put(cache, index: int, keys: torch.Tensor, values: torch.Tensor) -> None:
    layer = cache.layers[index]
    layer.keys, layer.values, layer.is_initialized = keys, values, True
    layer.dtype, layer.device = keys.dtype, keys.device


def _cache_shape(shape) -> tuple[int, int]:
    text = shape.get_text_config()
    size = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    return text.num_key_value_heads, size


def choose(logits: torch.Tensor) -> torch.Tensor:
    """The suite's sampling step on (rows, vocabulary) float32 logits."""
    processor = InverseCdf(np.zeros((1, 1)), 0, 1.0)
    processor.table = torch.zeros((logits.shape[0], 1), dtype=torch.float64)  # NumPy's memory cannot be faked
    ids = torch.zeros((logits.shape[0], 0), dtype=torch.long)
    return processor(ids, logits).argmax(-1)
