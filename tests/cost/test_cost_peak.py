"""The predicted peak against an independent count of live storages and against closed forms."""

import time
import weakref

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from repro.cost import StepParts, static_logprob_head, training_peak

transformers = pytest.importorskip("transformers")

MICRO = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "intermediate_size": 256,
    "num_attention_heads": 4,
    "vocab_size": 64,
}
QWEN_1_5B = {
    "hidden_size": 1536,
    "num_hidden_layers": 28,
    "intermediate_size": 8960,
    "num_attention_heads": 12,
    "num_key_value_heads": 2,
    "vocab_size": 151_936,
}


def builder(
    shape: dict,
    rows: int,
    prompt: int,
    keep: int,
    micro_batches: int = 1,
    reference: bool = False,
    critic: bool = False,
    checkpointing: bool = False,
    autocast: bool = False,
    optimizer: dict | None = None,
):
    """A training step as the suite does it: Qwen2, chunked head, Adam."""

    def model(**more):
        config = transformers.Qwen2Config(**{"num_key_value_heads": 4, "tie_word_embeddings": True, **shape, **more})
        return transformers.Qwen2ForCausalLM._from_config(config)

    def build() -> StepParts:
        policy = model()
        if checkpointing:
            policy.gradient_checkpointing_enable({"use_reentrant": False})
        modules = {"policy": policy}
        if reference:
            modules["reference"] = model().requires_grad_(False)
        if critic:
            modules["critic"] = model(num_hidden_layers=1)
        trained = [p for name in ("policy", "critic") if name in modules for p in modules[name].parameters()]
        adam = torch.optim.AdamW(trained, lr=1e-4, **(optimizer or {"fused": True}))
        ids = torch.zeros(rows, prompt + keep, dtype=torch.long)

        def logps(module):
            with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                hidden = module.model(input_ids=ids, use_cache=False).last_hidden_state
                return static_logprob_head(hidden, module.lm_head, ids, keep, 1.0)[0]

        def step():
            for _ in range(micro_batches):
                offset = 0.0
                if reference:
                    with torch.no_grad():
                        offset = logps(modules["reference"])
                loss = ((logps(policy) - offset) ** 2).sum()
                if critic:
                    loss = loss + modules["critic"].model(input_ids=ids, use_cache=False).last_hidden_state.sum()
                loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            adam.step()
            adam.zero_grad()

        return StepParts(modules, adam, step)

    return build


class LiveBytes(TorchDispatchMode):
    """Independent of MemTracker: sizes of all storages that exist, by weak references alone."""

    def __init__(self, start):
        super().__init__()
        self.now = self.peak = 0
        self.known = set()
        for tensor in start:
            self.add(tensor)

    def add(self, tensor):
        storage = tensor.untyped_storage()
        if id(storage) in self.known:
            return
        size, key = storage.nbytes(), id(storage)
        self.known.add(key)
        self.now += size
        weakref.finalize(storage, self.drop, key, size)
        self.peak = max(self.peak, self.now)

    def drop(self, key, size):
        self.known.discard(key)
        self.now -= size

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self.add(leaf)
        return result


def counted_peak(build) -> int:
    with FakeTensorMode():
        parts = build()
        parts.step()
        start = [t for m in parts.modules.values() for t in [*m.parameters(), *m.buffers()]]
        start += [t for state in parts.optimizer.state.values() for t in state.values()]
        with LiveBytes(start) as counter:
            parts.step()
        return counter.peak


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"micro_batches": 3},
        {"reference": True},
        {"reference": True, "critic": True, "micro_batches": 2},
        {"checkpointing": True},
        {"autocast": True},
        {"shape": {**MICRO, "vocab_size": 40_000}},
    ],
    ids=["plain", "micro-batches", "reference", "critic", "checkpointing", "autocast", "vocabulary"],
)
def test_agrees_with_an_independent_count_and_adds_up(options):
    build = builder(**{"shape": MICRO, "rows": 8, "prompt": 16, "keep": 32, **options})
    peak = training_peak(build)
    assert peak["total"] == pytest.approx(counted_peak(build), rel=0.02)
    assert sum(peak["components"].values()) == peak["total"]
    assert min(peak["components"].values()) >= 0


def test_fixed_parts_have_closed_forms():
    build = builder(MICRO, 8, 16, 32, reference=True, critic=True)
    components = training_peak(build)["components"]
    with FakeTensorMode():
        modules = build().modules
    sizes = {name: sum(p.numel() for p in module.parameters()) for name, module in modules.items()}
    tensors = {name: len(list(module.parameters())) for name, module in modules.items()}
    for name, count in sizes.items():
        assert components[f"parameters/{name}"] == 4 * count
    for name in ("policy", "critic"):  # two moments and a step counter for each tensor with a gradient
        assert components[f"optimizer/{name}"] == pytest.approx(8 * sizes[name] + 4 * tensors[name], rel=0.05)
    assert components["optimizer/reference"] == components["gradients/reference"] == 0


def test_large_model_small_batch_is_parameters_gradients_and_two_moments():
    shape = {**MICRO, "hidden_size": 512, "intermediate_size": 2048}
    build = builder(shape, 1, 2, 2)
    total = training_peak(build)["total"]
    with FakeTensorMode():
        parameters = sum(p.numel() for p in build().modules["policy"].parameters())
    assert total == pytest.approx(16 * parameters, rel=0.02)


def test_peak_is_that_of_the_real_step():
    """Real tensors in place of fake ones: the same storages at the same time."""
    build = builder(MICRO, 8, 16, 32, critic=True)
    parts = build()
    parts.step()
    start = [t for m in parts.modules.values() for t in [*m.parameters(), *m.buffers()]]
    start += [t for state in parts.optimizer.state.values() for t in state.values()]
    with LiveBytes(start) as counter:
        parts.step()
    assert training_peak(build)["total"] == pytest.approx(counter.peak, rel=0.02)


def test_what_costs_more_is_predicted_to_cost_more():
    plain = training_peak(builder(MICRO, 8, 16, 32))["total"]
    assert training_peak(builder(MICRO, 16, 16, 32))["total"] > plain
    assert training_peak(builder(MICRO, 8, 16, 32, reference=True))["total"] > plain
    small = {form: training_peak(builder(MICRO, 1, 2, 2, optimizer={form: True})) for form in ("fused", "foreach")}
    assert small["foreach"]["total"] > small["fused"]["total"]
    assert (
        training_peak(builder({**MICRO, "num_hidden_layers": 8}, 8, 16, 32, checkpointing=True))["total"]
        < (training_peak(builder({**MICRO, "num_hidden_layers": 8}, 8, 16, 32))["total"])
    )


def test_leaves_no_hooks_and_repeats():
    build = builder(MICRO, 4, 8, 8)
    assert training_peak(build) == training_peak(build)
    resize = torch.UntypedStorage.resize_
    training_peak(build)
    assert torch.UntypedStorage.resize_ is resize


@pytest.mark.slow
def test_a_1_5b_step_takes_less_than_a_minute():
    started = time.process_time()  # not wall time: the machine may be busy
    peak = training_peak(builder(QWEN_1_5B, 8, 256, 768, reference=True, checkpointing=True, autocast=True))
    assert time.process_time() - started < 60
    assert peak["total"] > 4 * 4 * 1.54e9  # parameters, gradients and two moments in float32, and the reference
