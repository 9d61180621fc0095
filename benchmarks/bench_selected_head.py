"""What scoring selected tokens alone saves of an update's time, at the width and the vocabulary of Qwen2-1.5B.

The model has the real widths and the real head but few layers, with LoRA on all of them. On a CPU TRL's head scores
every position, selected or not; here it is made to compact to the labelled ones, as it does on CUDA. Each round times
all cases one after the other, in processor seconds, and the figures are medians of the rounds' ratios. With the
trunk's own time the ratios are carried over to the 28 layers of the real model; that figure is an extrapolation.

`pytest benchmarks/bench_selected_head.py`; minutes, and 3 GiB. REPRO_BENCH_ROUNDS sets the number of rounds.
"""

from __future__ import annotations

import os
import statistics
import time

import pytest
import torch
from trl.trainer import utils

from repro.cost import shapes
from repro.store.config import LoraSettings
from repro.training.forward import backbone, score
from repro.training.lora import peft_config

ROUNDS = int(os.environ.get("REPRO_BENCH_ROUNDS", "3"))
MODEL = "Qwen/Qwen2-1.5B"
LAYERS, REAL_LAYERS = 2, 28
ROWS, PROMPT, TOKENS = 1, 64, 192
# Tokens that are scored: all; S-GRPO's reported 30 to 50 %; T-SPMO's reported 5 %; at most two in a completion.
SHARES = {"full": 1.0, "half": 0.5, "third": 0.3, "twentieth": 0.05, "two": 2 / TOKENS}


@pytest.fixture(scope="module")
def model():
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(1)
    shape = shapes.shape({"kind": "hub", "id": MODEL})
    shape.num_hidden_layers, shape.layer_types = LAYERS, shape.layer_types[:LAYERS]
    network = AutoModelForCausalLM.from_config(shape, dtype=torch.float32)
    utils.add_fused_lm_head(network, outputs=("log_probs", "entropy"))
    return get_peft_model(network, peft_config(LoraSettings(rank=8), shape))


def update(model, ids: torch.Tensor, scored: torch.Tensor | None) -> float:
    """Processor seconds of a forward and a backward pass; `scored` None: of the trunk alone."""
    start = time.process_time()
    attention = torch.ones_like(ids)
    if scored is None:
        loss = backbone(model)(input_ids=ids, attention_mask=attention, use_cache=False).last_hidden_state.sum()
    else:
        loss = score(model, ids, attention, TOKENS, temperature=1.0, entropy=True, scored=scored).logps.sum()
    loss.backward()
    model.zero_grad()
    return time.process_time() - start


def rounds(model, patch) -> dict[str, list[float]]:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, shapes.HUB[MODEL].vocabulary, (ROWS, PROMPT + TOKENS), generator=generator)
    order = torch.rand((ROWS, TOKENS), generator=generator).argsort(1)
    found: dict[str, list[float]] = {"uncompacted": [], "trunk": [], **{name: [] for name in SHARES}}
    update(model, ids, order >= 0)
    for _ in range(ROUNDS):
        patch.setattr(utils, "_use_triton", lambda device: False)
        found["uncompacted"].append(update(model, ids, order < TOKENS // 20))
        patch.setattr(utils, "_use_triton", lambda device: True)
        found["trunk"].append(update(model, ids, None))
        for name, share in SHARES.items():
            found[name].append(update(model, ids, order < round(share * TOKENS)))
    return found


def test_time_of_an_update_by_share_of_tokens(benchmark, model, monkeypatch):
    found = benchmark.pedantic(rounds, (model, monkeypatch), rounds=1)

    def ratio(name: str, layers: int) -> float:
        pairs = zip(found[name], found["full"], found["trunk"], strict=True)
        more = layers / LAYERS - 1
        return statistics.median((some + more * trunk) / (whole + more * trunk) for some, whole, trunk in pairs)

    names = [name for name in SHARES if name != "full"]
    benchmark.extra_info.update(
        ratio={name: round(ratio(name, LAYERS), 3) for name in ("uncompacted", *names)},
        ratio_28_layers_extrapolated={name: round(ratio(name, REAL_LAYERS), 3) for name in names},
        head_share_of_full=round(1 - statistics.median(found["trunk"]) / statistics.median(found["full"]), 3),
        processor_seconds_full=round(statistics.median(found["full"]), 2),
    )
    print(f"\nupdate with selected / all tokens: {benchmark.extra_info}")
    assert ratio("two", LAYERS) < ratio("half", LAYERS) < 1 < ratio("uncompacted", LAYERS)
