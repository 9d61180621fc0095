"""The one scoring path against plain logits of unpadded rows, and the memory planner's stand-in against it."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM
from trl.trainer.utils import add_fused_lm_head

from repro.training.forward import score
from repro.training.planned_step import Form, scorer

from .helpers import TRAIN

PROMPTS = [[5, 6, 14, 7], [9, 3], [4, 15, 8, 13, 5, 6]]
COMPLETIONS = [[3, 17, 5, 6, 1], [17, 9, 1], [8, 16]]
KEEP = 5


def load(base, temperature=None):
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    if temperature is not None:
        add_fused_lm_head(model, temperature=temperature, outputs=("log_probs", "entropy"))
    return model


def padded():
    """Ids and attention of the rows: prompts padded on the left, completions on the right; and the mask (3, KEEP)."""
    width = max(map(len, PROMPTS))
    ids = torch.zeros(3, width + KEEP, dtype=torch.long)
    attention = torch.zeros_like(ids)
    for row, (prompt, completion) in enumerate(zip(PROMPTS, COMPLETIONS, strict=True)):
        ids[row, width - len(prompt) : width + len(completion)] = torch.tensor(prompt + completion)
        attention[row, width - len(prompt) : width + len(completion)] = 1
    return ids, attention, attention[:, width:].bool()


def plain(model, row, temperature=1.0):
    """Logits (T, V) before each completion token of one unpadded row, from transformers alone."""
    prompt, completion = PROMPTS[row], COMPLETIONS[row]
    logits = model(input_ids=torch.tensor([prompt + completion])).logits[0]
    return logits[len(prompt) - 1 : -1] / temperature


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_scores_are_those_of_the_plain_logits(base, temperature):
    ids, attention, mask = padded()
    model = load(base, temperature)
    first = score(model, ids, attention, KEEP, temperature=temperature, state_values="first", entropy=True)
    every = score(model, ids, attention, KEEP, temperature=temperature, state_values="all")
    assert first.state_values.shape == (3, 1) and every.state_values.shape == (3, KEEP)
    assert torch.equal(first.logps, every.logps)
    assert (first.logps[~mask] == 0).all()
    for row, completion in enumerate(COMPLETIONS):
        logits = plain(load(base), row, temperature)
        log_probs, count = logits.log_softmax(-1), len(completion)
        expected = log_probs.gather(1, torch.tensor(completion)[:, None])[:, 0]
        assert torch.allclose(first.logps[row, :count], expected, atol=1e-5)
        assert torch.allclose(first.entropy[row, :count], -(log_probs.exp() * log_probs).sum(-1), atol=1e-5)
        assert torch.allclose(every.state_values[row, :count], logits.logsumexp(-1), atol=1e-5)
        assert torch.allclose(first.state_values[row, 0], logits[0].logsumexp(-1), atol=1e-5)


@pytest.mark.parametrize("rows", [[0, 1, 2], [1, 2], [2]], ids=str)
def test_packed_rows_score_alike(base, rows):
    """Also where no row of the batch reaches the full width, and with labels narrowed to some tokens."""
    ids, attention, mask = (whole[rows] for whole in padded())
    model, scored = load(base, 1.0), torch.tensor([[True, False, True, True, False]]).expand(3, -1)[rows]
    widths, forward = [], model.model.forward
    model.model.forward = lambda **given: widths.append(given["input_ids"].shape[1]) or forward(**given)
    for chosen, seen in ((None, mask), (scored, mask & scored)):
        plain, packed = (
            score(model, ids, attention, KEEP, temperature=1.0, entropy=True, scored=chosen, packed=packed)
            for packed in (False, True)
        )
        assert widths[-2:] == [ids.shape[1], int(attention.sum(1).max())] and widths[-1] < widths[-2]
        for name in ("logps", "entropy"):
            assert torch.allclose(getattr(packed, name), getattr(plain, name), atol=1e-5)
            assert not getattr(packed, name)[~seen].any() and getattr(packed, name)[seen].all()


def test_packing_leaves_hidden_states_and_values_where_they_are(base):
    ids, attention, _ = padded()
    model = load(base, 1.0)
    for more in ({"hidden": True}, {"state_values": "all"}):
        plain, packed = (
            score(model, ids, attention, KEEP, temperature=1.0, packed=packed, **more) for packed in (False, True)
        )
        assert torch.equal(plain.logps, packed.logps)
        assert plain.hidden is None or torch.equal(plain.hidden, packed.hidden)
        assert plain.state_values is None or torch.equal(plain.state_values, packed.state_values)


def test_what_is_not_asked_for_is_not_computed(base):
    ids, attention, _ = padded()
    scores = score(load(base, 1.0), ids, attention, KEEP, temperature=1.0)
    assert scores.state_values is None and scores.entropy is None


@pytest.mark.parametrize("which", ["first", "all"])
def test_the_gradient_flows_through_state_values(base, which):
    ids, attention, mask = padded()
    model, reference = load(base, 1.0), load(base)
    values = score(model, ids, attention, KEEP, temperature=1.0, state_values=which).state_values
    (values[:, 0].sum() if which == "first" else values[mask].sum()).backward()
    expected = [plain(reference, row).logsumexp(-1) for row in range(3)]
    sum(value[0] if which == "first" else value.sum() for value in expected).backward()
    for (name, ours), theirs in zip(model.named_parameters(), reference.parameters(), strict=True):
        assert theirs.grad.abs().max() > 0
        assert torch.allclose(ours.grad, theirs.grad, atol=1e-4 * theirs.grad.abs().max()), name


def test_no_hook_stays_behind_even_after_an_error(base):
    model = load(base, 1.0)
    ids, attention, _ = padded()
    score(model, ids, attention, KEEP, temperature=1.0, state_values="all")
    with pytest.raises(IndexError):
        score(model, ids + 10_000, attention, KEEP, temperature=1.0, state_values="all")
    assert not model.model._forward_hooks


@pytest.mark.parametrize("logits", ["chunked", "full"])
@pytest.mark.parametrize("which", ["none", "first", "all"])
def test_the_planned_step_computes_what_the_trained_step_computes(base, which, logits):
    """Memory is planned on shape-static heads: same numbers and same gradients as the head that trains."""
    ids, attention, mask = padded()
    model = load(base, 1.0)
    trained = score(model, ids, attention, KEEP, temperature=1.0, state_values=which, entropy=True)
    form = Form(model.config, TRAIN, prompt=ids.shape[1] - KEEP, logits=logits)
    planned = scorer(form, entropy_gradient=True)(
        model, ids, attention, KEEP, temperature=1.0, state_values=which, autocast=form.autocast
    )
    assert torch.allclose(planned.logps[mask], trained.logps[mask], atol=1e-5)
    assert torch.allclose(planned.entropy[mask], trained.entropy[mask], atol=1e-5)
    if which == "none":
        assert planned.state_values is None
    else:
        assert torch.equal(planned.state_values, trained.state_values)
    gradients = []
    for scores in (trained, planned):
        model.zero_grad()
        scores.logps[mask].sum().backward()
        gradients.append(model.model.embed_tokens.weight.grad.clone())
    assert torch.allclose(*gradients, atol=1e-4 * float(gradients[0].abs().max()))
