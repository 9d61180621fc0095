"""Generation: what HF's own greedy decoding gives, what the model's probabilities say, and the same on every run."""

from __future__ import annotations

import pytest
import torch
from transformers import GenerationConfig, Qwen2Config, Qwen2ForCausalLM

from repro.sampling.transformers_backend import generate
from repro.sampling.uniforms import Draw

PAD, END = 0, 1
PROMPTS = [[5, 3, 7], [2, 9, 4, 6, 8, 3], [4], [7, 7, 2, 5]]


@pytest.fixture(scope="module")
def model():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = Qwen2Config(
            vocab_size=12, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=2,
            intermediate_size=32, max_position_embeddings=128, initializer_range=0.3, pad_token_id=PAD,
            bos_token_id=None, eos_token_id=END,
        )  # fmt: skip
        return Qwen2ForCausalLM(config).eval()


def run(model, prompts=PROMPTS, draws=None, length=16, temperature=1.0, end_ids=(END,)):
    return generate(
        model, prompts, draws, max_new_tokens=length, temperature=temperature, end_ids=list(end_ids), pad_id=PAD
    )


def draws_for(prompts, index=0, seed=0):
    return [Draw(seed, "evaluate", 0, number, index) for number in range(len(prompts))]


def many(model, count=64, **options):
    """`count` completions of the second prompt."""
    return run(model, [PROMPTS[1]] * count, [Draw(0, "rollout", 0, 1, i) for i in range(count)], **options)


def test_greedy_decoding_is_that_of_transformers(model):
    for prompt, ours in zip(PROMPTS, run(model), strict=True):
        config = GenerationConfig(max_new_tokens=16, do_sample=False, eos_token_id=END, pad_token_id=PAD)
        theirs = model.generate(torch.tensor([prompt]), generation_config=config)[0, len(prompt) :].tolist()
        assert ours == (theirs[: theirs.index(END) + 1] if END in theirs else theirs)


def test_sampled_tokens_follow_the_model(model):
    """First tokens against the softmax of the prompt's logits, within 4 standard errors, at two temperatures."""
    count = 4000
    with torch.no_grad():
        logits = model(torch.tensor([PROMPTS[1]])).logits[0, -1].double()
    for temperature in (1.0, 0.6):
        first = [row[0] for row in many(model, count, length=1, temperature=temperature)]
        p = torch.softmax(logits / temperature, 0)
        share = torch.bincount(torch.tensor(first), minlength=12) / count
        assert ((share - p).abs() <= 4 * (p * (1 - p) / count).sqrt() + 1e-9).all()


@pytest.mark.parametrize("sampled", [False, True])
def test_left_padding_and_the_other_rows_do_not_matter(model, sampled):
    draws = draws_for(PROMPTS) if sampled else None
    together = run(model, draws=draws)
    alone = [run(model, [p], [draws[i]] if sampled else None)[0] for i, p in enumerate(PROMPTS)]
    order = [2, 0, 3, 1]
    shuffled = run(model, [PROMPTS[i] for i in order], [draws[i] for i in order] if sampled else None)
    assert together == alone
    assert shuffled == [together[i] for i in order]
    assert len({len(row) for row in PROMPTS}) > 1


def test_completions_end_with_their_first_end_token(model):
    completions = many(model)
    ended = [row for row in completions if row[-1] == END]
    assert ended and len({len(row) for row in ended}) > 1  # rows of one batch end at different places
    assert all(END not in row[:-1] for row in completions)


def test_a_completion_without_end_token_has_the_full_length(model):
    truncated = [row for row in many(model, length=5) if row[-1] != END]
    assert truncated
    assert all(len(row) == 5 for row in truncated)


def test_every_end_token_ends_a_completion(model):
    ends = (END, 6)
    completions = many(model, end_ids=ends)
    assert {row[-1] for row in completions if len(row) < 16} == set(ends)
    assert all(not set(ends) & set(row[:-1]) for row in completions)


def test_two_runs_agree_whatever_torch_has_drawn_in_between(model):
    first = many(model)
    torch.rand(17)
    assert many(model) == first


def test_index_seed_and_stream_change_the_completions(model):
    base = run(model, draws=draws_for(PROMPTS))
    assert run(model, draws=draws_for(PROMPTS, index=1)) != base
    assert run(model, draws=draws_for(PROMPTS, seed=1)) != base
    assert run(model, draws=[Draw(0, "dev", 0, n, 0) for n in range(len(PROMPTS))]) != base


@pytest.mark.parametrize("setting", [{"repetition_penalty": 8.0}, {"suppress_tokens": [2, 3]}, {"min_new_tokens": 12}])
def test_the_models_own_generation_settings_do_not_bias_sampling(model, monkeypatch, setting):
    plain = many(model)
    monkeypatch.setattr(model, "generation_config", GenerationConfig(eos_token_id=END, pad_token_id=PAD, **setting))
    assert many(model) == plain
