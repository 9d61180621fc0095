"""Cost of choosing tokens, growing prefix trees and filtering rewards, as shares of one training step.

64 completions of 1,024 tokens each. The step is one optimizer update (forward, backward, AdamW) of the smallest micro
model on them, in micro-batches of 8, on one thread; sampling, which costs more, is left out, so shares are upper
bounds. Both are timed in one run.

`pytest benchmarks/bench_selection.py`; about half a minute.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import pytest
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from repro.methods.base import GenerationBatch, MicroBatch
from repro.methods.catalogue import create
from repro.methods.krpo import averaged_advantages, kalman_advantages
from repro.methods.sgrpo import READINGS, select_tokens
from repro.methods.terms import selected_loss
from repro.methods.tspmo import prefix_advantages
from repro.training.micro import Recipe

ROWS, LENGTH, GROUP, VOCABULARY, MICRO = 64, 1024, 8, 32, 8
LIMIT = 0.02
STEPS = 3


def completions() -> torch.Tensor:
    """Ids (ROWS, LENGTH): rows of a group leave its first one at random positions, as sampled answers do."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(1, VOCABULARY, (ROWS, LENGTH), generator=generator).view(-1, GROUP, LENGTH)
    shared = torch.randint(0, LENGTH, (ROWS // GROUP, GROUP, 1), generator=generator)
    return torch.where(torch.arange(LENGTH) < shared, ids[:, :1], ids).view(ROWS, LENGTH)


IDS = completions()
ROW_LISTS = IDS.tolist()
REWARDS = torch.arange(ROWS).remainder(3).eq(0).float()
MASK = torch.ones(ROWS, LENGTH, dtype=torch.bool)


@pytest.fixture(scope="module")
def step_seconds() -> float:
    """Median seconds of one update of the micro model on all rows, with S-GRPO's loss."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    recipe = Recipe()
    model = Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=VOCABULARY, hidden_size=recipe.hidden, num_hidden_layers=recipe.layers,
            num_attention_heads=recipe.heads, num_key_value_heads=recipe.heads, intermediate_size=recipe.ffn,
            max_position_embeddings=LENGTH,
        )
    )  # fmt: skip
    optimizer = torch.optim.AdamW(model.parameters())
    weights, advantages = MASK.float() / MASK.sum(), REWARDS[:, None].expand(MASK.shape)

    def step() -> None:
        optimizer.zero_grad()
        for rows in torch.arange(ROWS).split(MICRO):
            scores = model(input_ids=IDS[rows], use_cache=False).logits.log_softmax(-1)
            logps = scores.gather(-1, IDS[rows, :, None])[..., 0]
            micro = MicroBatch(logps, MASK[rows], weights[rows], advantages[rows], REWARDS[rows])
            selected_loss(micro, 0.0)[0].backward()
        optimizer.step()

    seconds = []
    for _ in range(STEPS + 1):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])  # the first one warms up


def method_credit(**options) -> Callable:
    method = create(options)
    nothing = torch.zeros(ROWS, dtype=torch.bool)
    batch = GenerationBatch(REWARDS, MASK, IDS, GROUP, nothing, nothing, generator=torch.Generator().manual_seed(0))
    return lambda: method.credit(batch)


def selection(reading: str) -> Callable:
    generator = torch.Generator().manual_seed(0)
    return lambda: select_tokens(MASK, 150, 341, 0.5, generator, reading)


WORK = {
    **{f"select_tokens, {reading}": selection(reading) for reading in READINGS},
    "credit of sgrpo": method_credit(name="sgrpo", n=GROUP, alpha=150, k=341, p=0.5),
    "prefix_advantages, one group of 64": lambda: prefix_advantages(ROW_LISTS, REWARDS),
    "credit of tspmo, groups of 8": method_credit(name="tspmo", n=GROUP),
    "kalman_advantages": lambda: kalman_advantages(REWARDS.view(-1, GROUP)),
    "averaged_advantages": lambda: averaged_advantages(REWARDS.view(-1, GROUP)),
    "credit of krpo": method_credit(name="krpo", n=GROUP),
}


@pytest.mark.parametrize("name", WORK)
def test_share_of_a_step(benchmark, step_seconds, name):
    benchmark.pedantic(WORK[name], rounds=20, warmup_rounds=2)
    share = benchmark.stats.stats.median / step_seconds
    benchmark.extra_info.update(share_of_a_step=round(share, 6), step_seconds=round(step_seconds, 3))
    print(f"\n{name}: {100 * share:.3f} % of a step of {step_seconds:.2f} s")
    assert share < LIMIT
