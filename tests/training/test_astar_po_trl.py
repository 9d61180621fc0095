"""A*-PO against TRL's own `A2POTrainer`, driven for real on one batch: V*, filter, log-probs, loss, gradients.

TRL materialises the logits and keys V* by the prompt's text; this suite reads the fused head and keys V* by row.
"""

from __future__ import annotations

import os
import zlib

import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM
from trl.trainer.utils import add_fused_lm_head

from repro.methods import catalogue
from repro.methods.astar_po import astar_po_loss, optimal_value
from repro.methods.base import GenerationBatch, MicroBatch
from repro.training.forward import score
from repro.training.tokenizer import load_tokenizer

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")

BETA1, BETA2, SAMPLES = 0.5, 0.05, 4
PROMPTS = ["1+2=", "3+4=", "5+6+1=", "7+8=", "9+9=", "2+2="]


@pytest.fixture(scope="module")
def trl(base, tmp_path_factory):
    """TRL's trainer after its stage 1, and the rewards (P, N) that stage 1 saw."""
    from trl.experimental.a2po import A2POConfig, A2POTrainer

    seen: list[list[float]] = []

    def reward(prompts, completions, **_):
        # Half of the texts are right, but none of the first prompt: it is the all-wrong one.
        pairs = zip(prompts, completions, strict=True)
        seen.append([float(zlib.crc32(text.encode()) % 2 and prompt != PROMPTS[0]) for prompt, text in pairs])
        return seen[-1]

    torch.manual_seed(0)
    tokenizer = load_tokenizer(base)
    trainer = A2POTrainer(
        model=AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32),
        reward_funcs=reward,
        args=A2POConfig(
            output_dir=str(tmp_path_factory.mktemp("a2po")), use_cpu=True, report_to="none", bf16=False,
            gradient_checkpointing=False, per_device_train_batch_size=len(PROMPTS), max_completion_length=8,
            num_value_samples=SAMPLES, beta1=BETA1, beta2=BETA2, filter_all_incorrect=True,
        ),
        train_dataset=Dataset.from_dict({"prompt": PROMPTS}),
        processing_class=tokenizer,
    )  # fmt: skip
    trainer._estimate_optimal_values()
    return trainer, torch.tensor(seen[0]).view(len(PROMPTS), SAMPLES)


@pytest.fixture(scope="module")
def batch(trl):
    """TRL's inputs of one loss, after its policy has been moved away from the reference."""
    trainer, _ = trl
    torch.manual_seed(1)
    inputs = trainer._prepare_inputs([{"prompt": prompt} for prompt in PROMPTS])
    with torch.no_grad():
        for parameter in trainer.model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return inputs


def ours(model, inputs):
    """Log-probs (B, T) through the suite's forward pass, and the mask, on TRL's rows."""
    keep = inputs["logits_to_keep"]
    out = score(model, inputs["input_ids"], inputs["attention_mask"].long(), keep, temperature=1.0)
    return out.logps, inputs["attention_mask"][:, -keep:].bool()


def fused(source):
    """A copy of `source` with the fused head of this suite's trainer, in evaluation mode as TRL's is here."""
    model = AutoModelForCausalLM.from_config(source.config)
    model.load_state_dict(source.state_dict())
    add_fused_lm_head(model, temperature=1.0, outputs=("log_probs", "entropy"))
    return model.eval()


def test_optimal_values_and_filter_are_trls(trl):
    trainer, rewards = trl
    assert 0 < rewards[1:].mean() < 1 and rewards[0].sum() == 0
    values = optimal_value(rewards, BETA1)
    assert len(set(values.tolist())) > 2
    for prompt, value in zip(PROMPTS, values.tolist(), strict=True):
        assert trainer._optimal_values[prompt] == pytest.approx(value, abs=1e-6)
    on, off = (catalogue.create({"name": "astar-po", "filter_wrong": flag}) for flag in (True, False))
    kept = [prompt for prompt, keep in zip(PROMPTS, on.kept_prompts(rewards).tolist(), strict=True) if keep]
    assert kept == trainer.train_dataset["prompt"][:] and PROMPTS[0] not in kept
    assert off.kept_prompts(rewards).all()  # the authors' default, not TRL's


def test_loss_and_gradients_are_trls(trl, batch):
    trainer, _ = trl
    model = trainer.model.eval()
    model.zero_grad()
    theirs = trainer.compute_loss(model, batch)
    theirs.backward()

    copy = fused(model)
    reference_logps, mask = ours(fused(trainer.ref_model), batch)
    logps, _ = ours(copy, batch)
    loss = astar_po_loss(logps, reference_logps.detach(), mask, batch["rewards"], batch["v_star"], BETA2)
    loss.backward()

    log_ratio = ((logps - reference_logps) * mask).sum(1).detach()
    assert log_ratio.abs().min() > 1e-3, "the policy has not moved: the log-ratio would not be tested"
    torch.testing.assert_close((reference_logps * mask).sum(1).detach(), batch["ref_logps"], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(loss.detach(), theirs.detach(), rtol=1e-4, atol=1e-6)
    compared = 0
    for (name, mine), parameter in zip(copy.named_parameters(), model.parameters(), strict=True):
        biggest = parameter.grad.abs().max()
        compared += float(biggest) > 0
        torch.testing.assert_close(mine.grad, parameter.grad, rtol=1e-3, atol=1e-4 * float(biggest), msg=name)
    assert compared == len(list(model.parameters()))


def test_the_method_itself_gives_trls_loss_in_micro_batches(trl, batch):
    """Credit on the whole batch, losses on its halves: their sum is TRL's mean."""
    trainer, _ = trl
    model = trainer.model.eval()
    with torch.no_grad():
        theirs = trainer.compute_loss(model, batch)
        logps, mask = ours(fused(model), batch)
        reference_logps, _ = ours(fused(trainer.ref_model), batch)
    method = catalogue.create({"name": "astar-po", "beta2": BETA2, "samples": SAMPLES})
    credit = method.credit(
        GenerationBatch(
            rewards=batch["rewards"], mask=mask, completion_ids=batch["input_ids"][:, -mask.shape[1] :], group_size=1,
            truncated=mask[:, -1], unparsed=~mask[:, 0], ref_logps=reference_logps, prompt_values=batch["v_star"],
        )
    )  # fmt: skip
    total = 0.0
    for rows in torch.arange(len(PROMPTS)).chunk(2):
        micro = MicroBatch(
            logps=logps[rows], mask=mask[rows], weights=credit.weights[rows], rewards=batch["rewards"][rows],
            advantages=credit.advantages[rows, None].expand(mask[rows].shape), ref_logps=reference_logps[rows],
        )  # fmt: skip
        loss, metrics = method.loss(micro)
        total += float(loss)
        assert float(metrics["advantage"][0]) == pytest.approx(float((batch["rewards"] - batch["v_star"])[rows].sum()))
    assert total == pytest.approx(float(theirs), rel=1e-4)


def test_the_completions_end_token_is_in_trls_sum(trl, batch):
    """Both count the end token: without it the log-probs of ended rows would differ."""
    _, mask = ours(fused(trl[0].model), batch)
    ids = batch["input_ids"][:, -mask.shape[1] :]
    ended = torch.isin(ids, torch.tensor(trl[0].eos_token_ids)) & mask
    assert ended.any(), "no completion of this batch ends: the test would say nothing"
    lengths = mask.sum(1)
    assert all(int(lengths[row]) - 1 == int(place) for row, place in ended.nonzero())
