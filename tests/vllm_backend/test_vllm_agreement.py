"""Both backends sample one distribution: accuracies, first tokens, and the engine's log-probs against the trainer's.

Bounds hold without assumptions on the questions: N answers of each backend are independent 0/1 values, so by Hoeffding
their mean accuracies differ by more than sqrt(ln(2 / alarm) / N) with probability below `alarm`.
"""

from __future__ import annotations

import math

import pytest
import torch
from transformers import AutoModelForCausalLM
from trl.trainer.utils import add_fused_lm_head

from repro.sampling.transformers_backend import generate
from repro.sampling.vllm_backend import mismatch
from repro.tasks.outcome import Outcome
from repro.training.forward import score

FALSE_ALARM = 1e-4
SAMPLES = 64
# In nats, float32 on both sides.
MEAN_GAP, MAX_GAP = 1e-5, 1e-3


def accuracy(checkpoint, completions, count=SAMPLES) -> float:
    ends = set(checkpoint.end_ids)
    texts = [checkpoint.tokenizer.decode([token for token in row if token not in ends]) for row in completions]
    prompts = [prompt for prompt in checkpoint.prompts for _ in range(count)]
    return sum(outcome is Outcome.CORRECT for outcome in checkpoint.task.check(texts, prompts)) / len(texts)


@pytest.fixture(scope="module")
def by_engine(sample):
    return sample(SAMPLES)


def test_accuracies_agree_within_sampling_error(checkpoint, by_engine, sample):
    rows, draws, completions, _ = by_engine
    other = generate(
        checkpoint.model, rows, draws, max_new_tokens=12, temperature=1.0, end_ids=checkpoint.end_ids,
        pad_id=checkpoint.tokenizer.pad_token_id,
    )  # fmt: skip
    ours, theirs = accuracy(checkpoint, completions), accuracy(checkpoint, other)
    bound = math.sqrt(math.log(2 / FALSE_ALARM) / len(rows))
    flat = accuracy(checkpoint, sample(SAMPLES, temperature=2.0)[2])
    print(
        f"accuracy of {len(rows)} samples: vLLM {ours:.4f}, transformers {theirs:.4f}, difference "
        f"{ours - theirs:+.4f}, bound {bound:.4f} at a false-alarm rate of {FALSE_ALARM}; "
        f"vLLM at temperature 2: {flat:.4f}"
    )
    assert 0.1 < theirs < 0.9  # a model that is always right or wrong would prove nothing
    assert abs(ours - theirs) <= bound
    assert abs(flat - theirs) > bound, "the bound would not notice a wrong temperature"


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_first_tokens_follow_the_model(checkpoint, sample, temperature):
    """Frequencies against the softmax of transformers' logits, by Hoeffding with Bonferroni over the vocabulary."""
    count = 4000
    rows, _, completions, _ = sample(count, questions=slice(1, 2), length=1, temperature=temperature)
    with torch.no_grad():
        logits = checkpoint.model(torch.tensor([rows[0]])).logits[0, -1].double()
    expected = torch.softmax(logits / temperature, 0)
    share = torch.bincount(torch.tensor([row[0] for row in completions]), minlength=len(expected)) / count
    worst = float((share - expected).abs().max())
    bound = math.sqrt(math.log(2 * len(expected) / FALSE_ALARM) / (2 * count))
    print(f"temperature {temperature}: first tokens differ by at most {worst:.4f}, bound {bound:.4f}")
    assert worst <= bound


def recomputed(checkpoint, rows, completions, temperature) -> list[list[float]]:
    """Log-probabilities of the completions by the trainer's own forward pass, 256 rows at a time."""
    model = AutoModelForCausalLM.from_pretrained(checkpoint.folder, dtype=torch.float32).eval()
    add_fused_lm_head(model, temperature=temperature, outputs=("log_probs", "entropy"))
    before, after = max(map(len, rows)), max(map(len, completions))
    result = []
    for start in range(0, len(rows), 256):
        part = list(zip(rows[start : start + 256], completions[start : start + 256], strict=True))
        ids = torch.full((len(part), before + after), checkpoint.tokenizer.pad_token_id)
        attention = torch.zeros_like(ids)
        for row, (prompt, completion) in enumerate(part):
            place = slice(before - len(prompt), before + len(completion))
            ids[row, place] = torch.tensor([*prompt, *completion])
            attention[row, place] = 1
        with torch.no_grad():
            logps = score(model, ids, attention, after, temperature=temperature).logps
        result += [logps[row, : len(completion)].tolist() for row, (_, completion) in enumerate(part)]
    return result


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_the_engines_log_probs_are_the_trainers(checkpoint, sample, temperature):
    rows, _, completions, logps = sample(8, temperature=temperature)
    found = mismatch(logps, recomputed(checkpoint, rows, completions, temperature))
    wrong = mismatch(logps, recomputed(checkpoint, rows, completions, temperature + 0.05))
    print(
        f"temperature {temperature}: log-prob mismatch over {found['tokens']} tokens: mean {found['mean']:.2e}, "
        f"maximum {found['max']:.2e} nats; "
        f"at a temperature off by 0.05: mean {wrong['mean']:.2e}, maximum {wrong['max']:.2e}"
    )
    assert found["tokens"] == sum(map(len, completions))
    assert found["mean"] <= MEAN_GAP and found["max"] <= MAX_GAP
    assert wrong["mean"] > MEAN_GAP and wrong["max"] > MAX_GAP
