"""The shape-static head against TRL's fused head and against plain log-softmax: values and gradients."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from repro.cost import head, static_logprob_head


def plain(hidden, lm_head, labels, keep, temperature):
    logits = (hidden[:, -keep - 1 : -1].double() @ lm_head.weight.double().t()) / temperature
    if lm_head.bias is not None:
        logits = logits + lm_head.bias.double() / temperature
    log_p = logits.log_softmax(-1)
    targets = labels[:, -keep:]
    logps = log_p.gather(2, targets.clamp(min=0).unsqueeze(2)).squeeze(2)
    entropy = -(log_p.exp() * log_p).sum(-1)
    return logps * (targets != -100), entropy * (targets != -100)


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(1, 4),
    prompt=st.integers(1, 5),
    keep=st.integers(1, 6),
    vocabulary=st.integers(2, 40),
    temperature=st.floats(0.3, 2.0),
    bias=st.booleans(),
    use=st.sampled_from(["logps", "entropy", "both"]),
    tile=st.tuples(st.integers(1, 8), st.integers(1, 16), st.integers(1, 60)),
    seed=st.integers(0, 2**31),
)
def test_equals_log_softmax_for_any_tiling(rows, prompt, keep, vocabulary, temperature, bias, use, tile, seed):
    torch.manual_seed(seed)
    lm_head = torch.nn.Linear(5, vocabulary, bias=bias)
    hidden = torch.randn(rows, prompt + keep, 5, requires_grad=True)
    labels = torch.randint(0, vocabulary, (rows, prompt + keep))
    labels[torch.rand(labels.shape) < 0.3] = -100
    weights = torch.randn(2, rows, keep) * torch.tensor([use != "entropy", use != "logps"]).view(2, 1, 1)
    inputs = [hidden, *lm_head.parameters()]
    with pytest.MonkeyPatch.context() as patch:
        for name, value in zip(("TILE_TOKENS", "TILE_COLUMNS", "_BLOCK_ELEMENTS"), tile, strict=True):
            patch.setattr(head, name, value)
        ours = static_logprob_head(hidden, lm_head, labels, keep, temperature)
        chosen = [
            (w, o) for w, o, name in zip(weights, ours, ("logps", "entropy"), strict=True) if use in (name, "both")
        ]
        ours_grads = torch.autograd.grad(sum((w * o).sum() for w, o in chosen), inputs)
    theirs = plain(hidden, lm_head, labels, keep, temperature)
    theirs_grads = torch.autograd.grad(sum((w * o).sum() for w, o in zip(weights, theirs, strict=True)), inputs)
    for left, right in zip((*ours, *ours_grads), (*theirs, *theirs_grads), strict=True):
        torch.testing.assert_close(left.double(), right.double(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("which", [head.static_logprob_head, head.full_logprob_head])
@pytest.mark.parametrize("count", [1, 3, 4])
def test_a_narrowed_head_is_the_whole_one_without_the_other_tokens(which, count):
    torch.manual_seed(0)
    lm_head, hidden = torch.nn.Linear(5, 11), torch.randn(2, 7, 5, requires_grad=True)
    labels = torch.randint(0, 11, (2, 7))
    weights = torch.randn(2, 2, 4)
    others = labels.clone()
    others[:, 3 + count :] = -100
    found = []
    for labelled, options in ((others, {}), (labels, {"count": count})):
        logps, entropy = which(hidden, lm_head, labelled, 4, 0.7, **options)
        assert logps.shape == entropy.shape == (2, 4) and not logps[:, count:].any() and not entropy[:, count:].any()
        loss = (weights[0] * logps).sum() + (weights[1] * entropy).sum()
        found.append((logps, *torch.autograd.grad(loss, [hidden, *lm_head.parameters()], allow_unused=True)))
    for expected, narrowed in zip(*found, strict=True):
        torch.testing.assert_close(narrowed, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_equals_trls_fused_head(precision):
    utils = pytest.importorskip("trl.trainer.utils")
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.Qwen2Config(
        vocab_size=97, hidden_size=32, num_hidden_layers=2, intermediate_size=64, num_attention_heads=4,
        num_key_value_heads=2, tie_word_embeddings=True,
    )  # fmt: skip
    model = transformers.Qwen2ForCausalLM(config)
    keep, temperature = 6, 0.7
    ids = torch.randint(0, 97, (3, 10))
    labels = ids.clone()
    labels[:, :-keep] = -100
    labels[1, -2:] = -100
    weights = torch.randn(2, 3, keep)

    def gradients(logps, entropy):
        model.zero_grad()
        (weights[0] * logps + weights[1] * entropy).sum().backward()
        return {name: p.grad.clone() for name, p in model.named_parameters()}

    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state
        ours = static_logprob_head(hidden, model.lm_head, labels, keep, temperature)
    ours_grads = gradients(*ours)
    utils.add_fused_lm_head(model, temperature=temperature, outputs=("log_probs", "entropy"))
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        out = model(input_ids=ids, labels=labels, fused_lm_head=True)
    theirs = out.log_probs[:, -keep:], out.entropy[:, -keep:]
    theirs_grads = gradients(*theirs)
    tolerance = {"fp32": {"rtol": 1e-4, "atol": 1e-5}, "bf16": {"rtol": 2e-2, "atol": 2e-2}}[precision]
    torch.testing.assert_close(ours, theirs, **tolerance)
    assert ours[0][1, -1] == ours[1][1, -1] == 0
    for name, gradient in theirs_grads.items():
        torch.testing.assert_close(ours_grads[name], gradient, **tolerance)


def test_refuses_a_keep_without_predecessors():
    with pytest.raises(ValueError, match="keep=4"):
        static_logprob_head(torch.zeros(1, 4, 2), torch.nn.Linear(2, 3), torch.zeros(1, 4, dtype=torch.long), 4)
