"""The engine's own contract: seeds, greedy decoding, end tokens, truncation, and what it leaves behind."""

from __future__ import annotations

import json
import os
import shutil

import pytest
import torch

from repro.errors import InputError
from repro.sampling import vllm_backend
from repro.sampling.transformers_backend import generate
from repro.sampling.uniforms import Draw

TIE = 1e-4  # logits closer than this may change places between two engines in float32


def options(checkpoint, **changes):
    return {
        "max_new_tokens": 12, "temperature": 1.0, "end_ids": checkpoint.end_ids,
        "pad_id": checkpoint.tokenizer.pad_token_id, **changes,
    }  # fmt: skip


def test_the_same_call_twice_gives_the_same_tokens(sample):
    first, second = sample(8), sample(8)
    assert first[2] == second[2]
    assert first[3] == second[3]  # to the last bit: the batches are composed alike


def test_other_calls_in_between_change_nothing(sample):
    first = sample(4)[2]
    torch.rand(5)
    sample(3, seed=9)
    assert sample(4)[2] == first


def test_samples_of_one_prompt_differ(sample):
    _, _, completions, _ = sample(16)
    groups = [completions[start : start + 16] for start in range(0, len(completions), 16)]
    different = [len({tuple(row) for row in group}) for group in groups]
    print(f"different completions among 16 of one prompt: {min(different)} to {max(different)}")
    assert min(different) > 1


def test_seed_and_stream_change_the_samples(sample):
    base = sample(4)[2]
    assert sample(4, seed=1)[2] != base
    assert sample(4, stream="dev")[2] != base


def test_the_other_requests_of_a_call_do_not_choose_a_requests_tokens(sample):
    """Alone or among others, up to sampling steps that rounding can tip: nearly all rows are the same."""
    together = sample(4, questions=slice(0, 16))[2]
    alone = [row for start in range(0, 16, 4) for row in sample(4, questions=slice(start, start + 4))[2]]
    same = sum(one == other for one, other in zip(together, alone, strict=True))
    print(f"rows unchanged in smaller calls: {same} of {len(together)}")
    assert same >= 0.95 * len(together)


@pytest.mark.parametrize("how", ["no draws", "temperature 0"])
def test_greedy_decoding_is_that_of_transformers_up_to_ties(checkpoint, engine, sample, how):
    draws = None if how == "no draws" else sample(1)[1]
    ours = engine.generate(
        checkpoint.ids, draws, **options(checkpoint, temperature=1.0 if how == "no draws" else 0.0)
    )  # fmt: skip
    theirs = generate(checkpoint.model, checkpoint.ids, None, **options(checkpoint))
    ties = 0
    for prompt, one, other in zip(checkpoint.ids, ours, theirs, strict=True):
        if one == other:
            continue
        place = next(i for i in range(min(len(one), len(other))) if one[i] != other[i])
        with torch.no_grad():
            logits = checkpoint.model(torch.tensor([prompt + one[:place]])).logits[0, -1]
        gap = float(logits[other[place]] - logits[one[place]])
        assert abs(gap) < TIE, f"the engine's choice is {gap} below the best logit"
        ties += 1
    print(f"greedy completions equal: {len(ours) - ties} of {len(ours)}, {ties} part at a tie")
    assert ties <= len(ours) // 10


def test_completions_end_with_their_first_end_token_or_have_full_length(checkpoint, sample):
    ends = set(checkpoint.end_ids)
    for length in (3, 12):
        _, _, completions, logps = sample(8, length=length)
        ended = [row for row in completions if row[-1] in ends]
        cut = [row for row in completions if row[-1] not in ends]
        assert ended and all(len(row) <= length and not ends & set(row[:-1]) for row in ended)
        assert all(len(row) == length and not ends & set(row) for row in cut)
        assert [len(row) for row in completions] == [len(row) for row in logps]
        if length == 3:
            assert cut and {len(row) for row in ended} == {3}


def test_every_end_token_ends_a_completion_and_no_other_does(checkpoint, sample):
    marker = checkpoint.tokenizer.convert_tokens_to_ids("#")
    eos = checkpoint.tokenizer.eos_token_id
    both = sample(4, ends=[eos, marker])[2]
    assert {row[-1] for row in both if len(row) < 12} >= {marker}
    assert all(marker not in row[:-1] for row in both)
    # The model's own end token does not end a completion unless it is among ours.
    marker_only = sample(4, ends=[checkpoint.tokenizer.convert_tokens_to_ids("-")])[2]
    assert any(eos in row[:-1] for row in marker_only)


def test_the_models_own_generation_settings_do_not_bias_sampling(checkpoint, engine, sample, tmp_path):
    engine.close()
    folder = tmp_path / "model"
    shutil.copytree(checkpoint.folder, folder)
    path = folder / "generation_config.json"
    own = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**own, "do_sample": True, "temperature": 0.1, "top_k": 1, "repetition_penalty": 5.0}))
    rows = [ids for ids in checkpoint.ids for _ in range(4)]
    draws = [Draw(0, "evaluate", 0, prompt.id, index) for prompt in checkpoint.prompts for index in range(4)]
    with vllm_backend.Engine(folder, max_length=64) as other:
        biased = other.generate(rows, draws, **options(checkpoint))
    engine.__init__(checkpoint.folder, max_length=64)
    assert sample(4)[2] == biased


def test_no_prompts_no_completions(checkpoint, engine):
    assert engine.generate([], [], **options(checkpoint)) == []


def test_a_request_that_does_not_fit_is_refused_before_anything_is_sampled(checkpoint, engine):
    with pytest.raises(InputError, match="do not fit the 64 tokens") as caught:
        engine.generate(checkpoint.ids, None, **options(checkpoint, max_new_tokens=64))
    assert "evaluation.max_completion" in str(caught.value)


def test_the_engine_leaves_the_process_as_it_was(checkpoint, engine):
    assert "LD_PRELOAD" not in os.environ or "tcmalloc" not in os.environ["LD_PRELOAD"]
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before)


def test_a_closed_engine_says_so(checkpoint, engine):
    engine.close()
    engine.close()
    with pytest.raises(RuntimeError, match="closed"):
        engine.generate(checkpoint.ids, None, **options(checkpoint))
    engine.__init__(checkpoint.folder, max_length=64)
    assert engine.generate(checkpoint.ids[:1], None, **options(checkpoint))


def test_a_head_size_that_the_cpu_lacks_is_one_line(checkpoint, tmp_path, engine):
    from vllm.platforms import current_platform

    if not current_platform.is_cpu():
        pytest.skip("NOT TESTED: this vLLM runs on a GPU, whose attention takes other head sizes")
    shutil.copytree(checkpoint.folder, tmp_path / "model")
    path = tmp_path / "model" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "num_attention_heads": 4, "head_dim": 16}))
    with pytest.raises(InputError, match="no attention of head size 16") as caught:
        vllm_backend.Engine(tmp_path / "model", max_length=64)
    assert "\n" not in str(caught.value)


def test_a_folder_without_a_model_is_one_line(tmp_path, engine, checkpoint):
    engine.close()
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InputError, match="vLLM cannot load") as caught:
        vllm_backend.Engine(tmp_path, max_length=64)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600
    engine.__init__(checkpoint.folder, max_length=64)
