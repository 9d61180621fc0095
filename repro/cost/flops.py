"""Floating-point operations, counted by torch's own counter; a multiplication and an addition are two.

Only matrix products and attention count, as in the usual closed forms. Attention counts the whole square of a
sequence, causal or not, as torch's formulas do.
Not covered: element-wise work, optimizer arithmetic, sampling.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode, mm_flop, sdpa_backward_flop_count, sdpa_flop_count

_LENGTHS = (128, 256)


def _attention_on_cpu(query, key, value, *args, out_shape=None, **kwargs) -> int:
    return sdpa_flop_count(query, key, value)


def _attention_on_cpu_backward(grad_out, query, key, value, *args, out_shape=None, **kwargs) -> int:
    return sdpa_backward_flop_count(grad_out, query, key, value)


def _product_in_place(total, left, right, *args, out_shape=None, **kwargs) -> int:
    return mm_flop(left, right)


# Torch counts 0 for these, which are what a forward and a backward pass on a CPU run.
_MISSING = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_on_cpu,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_on_cpu_backward,
    torch.ops.aten.addmm_: _product_in_place,
}


class Counter(FlopCounterMode):
    """`with Counter() as counter:` … `counter.get_total_flops()`; the formulas missing on a CPU are there."""

    def __init__(self):
        super().__init__(display=False, custom_mapping=_MISSING)


def counted(function: Callable[[], object]) -> int:
    """Operations of one call of `function`, recomputation included. Fake tensors count like real ones."""
    with Counter() as counter:
        function()
    return int(counter.get_total_flops())


@dataclass(frozen=True)
class ForwardFlops:
    """Operations of a forward pass over one row of T tokens: token x T + attention x T², + head per scored position."""

    token: float
    attention: float
    head: float

    @classmethod
    def of(cls, shape) -> ForwardFlops:
        """The coefficients of a causal language model, from its transformers config; counted on fake tensors."""
        from transformers import AutoModelForCausalLM

        with FakeTensorMode(), torch.no_grad():
            model = AutoModelForCausalLM.from_config(shape, dtype=torch.float32).eval()
            backbone, head = getattr(model, model.base_model_prefix), model.get_output_embeddings()

            def run(length: int) -> int:
                ids = torch.zeros((1, length), dtype=torch.long)
                return counted(lambda: backbone(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False))

            short, long = _LENGTHS
            small, large = run(short), run(long)
            attention = (large / long - small / short) / (long - short)
            state = torch.zeros((1, head.in_features))
            scored = counted(lambda: head(state))
        return cls(token=small / short - attention * short, attention=attention, head=float(scored))

    def forward(self, lengths: Sequence[int] | torch.Tensor, scored: Sequence[int] | torch.Tensor) -> float:
        """Operations of a forward pass: `lengths` are tokens per row, `scored` positions per row that meet the head."""
        lengths, scored = _numbers(lengths), _numbers(scored)
        linear = sum(lengths) * self.token + sum(scored) * self.head
        return float(linear + sum(length * length for length in lengths) * self.attention)

    def backward(
        self,
        lengths: Sequence[int] | torch.Tensor,
        scored: Sequence[int] | torch.Tensor,
        *,
        frozen: bool = False,
        layers: float = 1.0,
    ) -> float:
        """Operations of the backward pass: twice the forward pass, without what is computed again.

        `frozen`: the weights need no gradient (what adapters add is left out), so their products count once; those of
        attention have two factors from the data. `layers`: share of the layers that the gradient passes.
        """
        lengths, scored = _numbers(lengths), _numbers(scored)
        products = sum(lengths) * self.token * layers + sum(scored) * self.head
        attention = sum(length * length for length in lengths) * self.attention * layers
        return float((1 if frozen else 2) * products + 2 * attention)

    def generate(self, prompts: Sequence[int] | torch.Tensor, completions: Sequence[int] | torch.Tensor) -> float:
        """Operations of sampling with a key-value cache: a pass over each prompt, then one token after the other.

        The last token of a completion is never read again, so the cache holds all the others.
        """
        total = 0.0
        for prompt, new in zip(_numbers(prompts), _numbers(completions), strict=True):
            if new < 1:
                continue
            total += self.forward([prompt], [1]) + (new - 1) * (self.token + self.head)
            # Token k after the first looks at the prompt and the k tokens before and at itself.
            total += self.attention * ((new - 1) * prompt + new * (new - 1) / 2)
        return total


def _numbers(values: Sequence[int] | torch.Tensor) -> list[int]:
    return values.tolist() if isinstance(values, torch.Tensor) else list(values)
