"""Counted operations against closed forms, and the trap they avoid: torch's own counter sees no attention on a CPU."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from repro.cost import shapes
from repro.cost.flops import ForwardFlops, counted

transformers = pytest.importorskip("transformers")

SMALL = {"hidden": 32, "layers": 3, "heads": 4, "ffn": 96, "positions": 512}


def model(shape):
    return transformers.AutoModelForCausalLM.from_config(shape, dtype=torch.float32)


def test_what_torch_misses_on_a_cpu_is_counted():
    query = torch.zeros(2, 4, 16, 8, requires_grad=True)

    def attend():
        torch.nn.functional.scaled_dot_product_attention(query, query, query).sum().backward()

    forward = 2 * 2 * (2 * 4 * 16 * 16 * 8)
    assert counted(attend) == forward + 5 * forward // 2  # backward: scores again, and four more products
    with FlopCounterMode(display=False) as theirs:
        attend()
    assert theirs.get_total_flops() == 0, "torch counts it by itself now: drop the formula"
    total = torch.zeros(3, 5)
    assert counted(lambda: total.addmm_(torch.zeros(3, 7), torch.zeros(7, 5))) == 2 * 3 * 7 * 5


@pytest.mark.parametrize("model_id", ["Qwen/Qwen2.5-0.5B", "Qwen/Qwen2.5-1.5B", "Qwen/Qwen2.5-7B"])
def test_forward_is_two_operations_per_weight_and_token_plus_attention(model_id):
    numbers = shapes.HUB[model_id]
    found = ForwardFlops.of(shapes.shape({"kind": "hub", "id": model_id}))
    head = numbers.vocabulary * numbers.hidden
    body = numbers.parameters - head * (1 if numbers.tied else 2)
    assert found.token == pytest.approx(2 * body, rel=0.02)
    assert found.attention == 4 * numbers.layers * numbers.hidden
    assert found.head == 2 * head


def test_forward_of_rows_is_what_a_pass_counts():
    shape = shapes.micro(SMALL, 40)
    found = ForwardFlops.of(shape)
    with FakeTensorMode(), torch.no_grad():
        network = model(shape)
        ids = torch.zeros((3, 50), dtype=torch.long)
        run = counted(lambda: network(input_ids=ids, use_cache=False))
    # All rows share one table of rotary angles, which counting row by row pays three times.
    rotary = 2 * 50 * SMALL["hidden"] // SMALL["heads"] // 2
    assert found.forward([50] * 3, [50] * 3) == run + 2 * rotary
    assert found.forward(torch.tensor([50] * 3), torch.tensor([50] * 3)) == run + 2 * rotary
    assert found.forward([10, 20], [0, 0]) == found.forward([10], [0]) + found.forward([20], [0])


def test_sampling_is_what_a_loop_with_a_cache_counts():
    shape = shapes.micro(SMALL, 40)
    prompt, new = 9, 7
    with FakeTensorMode(), torch.no_grad():
        network = model(shape).eval()

        def loop():
            cache, width = transformers.DynamicCache(config=shape), prompt
            for _ in range(new):
                ids = torch.zeros((1, width), dtype=torch.long)
                network(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
                width = 1

        assert ForwardFlops.of(shape).generate([prompt], [new]) == counted(loop)
    assert ForwardFlops.of(shape).generate([prompt], [0]) == 0
