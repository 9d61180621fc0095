"""LoRA: only adapters train, the reference is the base with adapters disabled, and wrong targets name the nearest."""

from __future__ import annotations

import copy
import dataclasses
import json

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import AutoModelForCausalLM

from repro.cost import shapes
from repro.cost.flops import ForwardFlops, counted
from repro.errors import InputError, TrialError
from repro.store.config import EvaluationSet, LoraSettings
from repro.store.record import strip_measured
from repro.training import planned_step
from repro.training import trainer as trainer_module
from repro.training.kl import kl_to_base
from repro.training.lora import backward_costs, peft_config
from repro.training.setup import Setup
from repro.training.timing import run_timing
from repro.training.trial import run_trial

from .helpers import TRAIN, make_trainer, reward_by_text, trial_config

LORA = LoraSettings(rank=2, alpha=8.0, targets=("q_proj", "v_proj"))


@pytest.fixture
def trained(base, tmp_path, monkeypatch):
    """A TBRM trainer after three steps with adapters, and its generation batches."""
    batches, roll_out = [], trainer_module.roll_out

    def spy(*args):
        batches.append(roll_out(*args))
        return batches[-1]

    monkeypatch.setattr(trainer_module, "roll_out", spy)
    trainer = make_trainer(base, "tbrm", tmp_path, lora=LORA, steps=3, learning_rate=1e-2)
    reward_by_text(trainer)
    trainer.train()
    return trainer, [micros for micros, _ in batches]


def base_logps(base, micro) -> torch.Tensor:
    """Log-probs of a micro-batch's completions under the base model, from plain logits."""
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    ids = torch.cat([micro["prompt_ids"], micro["completion_ids"]], 1)
    attention = torch.cat([micro["prompt_mask"], micro["mask"].long()], 1)
    keep = micro["completion_ids"].shape[1]
    with torch.no_grad():
        log_probs = model(input_ids=ids, attention_mask=attention).logits[:, -keep - 1 : -1].log_softmax(-1)
    return log_probs.gather(2, micro["completion_ids"][..., None])[..., 0].masked_fill(~micro["mask"], 0)


def test_the_reference_is_the_base_with_adapters_disabled(base, trained):
    trainer, batches = trained
    assert trainer.ref_model is None
    for micros in batches:
        for micro in micros:
            assert torch.allclose(micro["ref_logps"], base_logps(base, micro), atol=1e-5)


def test_the_policy_has_left_the_reference(base, trained):
    """Otherwise the test above would pass with adapters left on."""
    trainer, batches = trained
    assert trainer.health.rows[0]["kl"] == pytest.approx(0, abs=1e-6)
    assert trainer.health.rows[2]["kl"] > 1e-4


def test_only_adapters_train(base, trained):
    trainer, _ = trained
    plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).state_dict()
    adapters, frozen = [], 0
    for name, parameter in trainer.model.named_parameters():
        if "lora_" in name:
            assert parameter.requires_grad and parameter.dtype == torch.float32
            adapters.append(name)
        else:
            original = name.replace("base_model.model.", "").replace(".base_layer", "")
            assert not parameter.requires_grad
            assert torch.equal(parameter, plain[original]), name
            frozen += 1
    assert frozen > 10
    # two layers, two targets, A and B
    assert len(adapters) == 8 and all("q_proj" in name or "v_proj" in name for name in adapters)
    matrices = {name: p for name, p in trainer.model.named_parameters() if "lora_B" in name}
    assert all(p.abs().max() > 0 for p in matrices.values())  # B starts at zero: every adapter has moved


def test_layers_restrict_the_adapters(base, tmp_path):
    trainer = make_trainer(base, "tbrm", tmp_path, lora=LoraSettings(rank=2, targets=("q_proj",), layers=(1,)))
    names = [name for name, p in trainer.model.named_parameters() if p.requires_grad]
    assert len(names) == 2 and all(".layers.1." in name for name in names)


def adapters(trainer) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in trainer.model.named_parameters() if "lora_" in name}


def test_adapters_start_as_a_function_of_the_seed(base, tmp_path):
    """Whatever has been drawn before in the process; another seed starts elsewhere."""
    found = []
    for drawn, seed in ((0, 3), (17, 3), (0, 4)):
        torch.manual_seed(drawn)
        torch.rand(drawn)
        found.append(adapters(make_trainer(base, "tbrm", tmp_path, lora=LORA, seed=seed)))
    first, again, other = found
    assert all(torch.equal(first[name], again[name]) for name in first)
    ins = [name for name in first if "lora_A" in name]
    assert len(ins) == 4 and not any(torch.equal(first[name], other[name]) for name in ins)
    assert not any(first[name].any() for name in first.keys() - set(ins))  # so training starts at the base


@pytest.mark.parametrize("layer", [2, 7])
def test_a_layer_that_the_model_lacks_is_named(base, layer):
    with pytest.raises(InputError, match=rf"train\.lora\.layers: the model has no layer {layer}; .* 0 … 1$"):
        peft_config(LoraSettings(targets=("q_proj",), layers=(0, layer)), base)
    for bad in ((), (-1,)):
        with pytest.raises(InputError, match="layers must be indices from 0"):
            LoraSettings(layers=bad).validate()


def test_an_adapter_on_the_head_is_refused(base):
    """The fused head reads the frozen weights alone: such an adapter would sample and never train."""
    with pytest.raises(InputError, match="lm_head stays frozen"):
        peft_config(LoraSettings(targets=("q_proj", "lm_head")), base)


def test_wrong_target_names_the_nearest(base):
    with pytest.raises(InputError, match=r"train\.lora\.targets.*'q_prj'; did you mean q_proj\?"):
        peft_config(LoraSettings(targets=("v_proj", "q_prj")), base)
    with pytest.raises(InputError, match="the model has .*down_proj, gate_proj"):
        peft_config(LoraSettings(targets=("zzz",)), base)
    assert peft_config(None, base) is None


def test_a_wrong_target_stops_a_trial_as_bad_input(base, tmp_path):
    with pytest.raises(InputError, match="did you mean"):
        run_trial(trial_config(base, "tbrm", lora=LoraSettings(targets=("k_prj",))), tmp_path)
    assert not list((tmp_path / "results").rglob("*.json"))


def as_bytes(record) -> str:
    return json.dumps(strip_measured(record), sort_keys=True)


@pytest.mark.parametrize("name,layers", [("tbrm", None), ("ppo", (1,))])
def test_a_lora_trial_resumes_to_the_bit(base, tmp_path, coin_rewards, monkeypatch, name, layers):
    """Stopped in the third of four steps; evaluation, KL to the base and the learning curve included."""
    lora = dataclasses.replace(LORA, layers=layers)
    config = trial_config(base, name, lora=lora, learning_rate=1e-2)
    sets = (EvaluationSet(n=2, kl=True),)
    config = dataclasses.replace(config, evaluation=dataclasses.replace(config.evaluation, sets=sets))
    monkeypatch.setattr(Setup, "base_model", lambda setup: pytest.fail("a second copy of the base was loaded"))
    whole = run_trial(config, tmp_path / "whole")
    assert whole["metrics"]["chain/kl"] > 1e-4
    rolled, roll_out = [], trainer_module.roll_out

    def stopped(trainer, rows, step):
        if step == 2:
            raise RuntimeError("stopped")
        return roll_out(trainer, rows, step)

    with monkeypatch.context() as patch:
        patch.setattr(trainer_module, "roll_out", stopped)
        with pytest.raises(TrialError, match="stopped"):
            run_trial(config, tmp_path / "cut")
    (checkpoint,) = (tmp_path / "cut").rglob("checkpoint-*")
    assert (checkpoint / "adapter_model.safetensors").exists() and not (checkpoint / "model.safetensors").exists()
    monkeypatch.setattr(trainer_module, "roll_out", lambda *a: rolled.append(a[2]) or roll_out(*a))
    torch.rand(5)  # the state of the process's own generator plays no part
    again = run_trial(config, tmp_path / "cut")
    assert rolled == [2, 3] and again["cost"]["resumed"] == 1 and as_bytes(again) == as_bytes(whole)


def test_the_kl_of_an_evaluation_is_that_to_the_base(base, trained):
    """Measured with adapters disabled, against a second copy of the base; and the adapters are on again afterwards."""
    trainer, batches = trained
    policy = trainer.accelerator.unwrap_model(trainer.model).eval()
    second = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    samples = [
        (prompt[here.bool()].tolist(), ids[mask].tolist())
        for micro in batches[-1]
        for prompt, here, ids, mask in zip(
            micro["prompt_ids"], micro["prompt_mask"], micro["completion_ids"], micro["mask"], strict=True
        )
    ]
    own, other = (kl_to_base(policy, reference, samples, 1, temperature=1.0, rows=4) for reference in (None, second))
    assert own == other and any(abs(value) > 1e-3 for value in own["sequence"])
    assert kl_to_base(policy, None, samples, 1, temperature=1.0, rows=4) == own


def test_what_is_sampled_and_evaluated_is_the_trained_policy(base, trained):
    """Adapters stay apart from the weights when completions are drawn; merging them in gives the same logits."""
    trainer, _ = trained
    ids = torch.tensor([[3, 4, 5, 6, 7]])
    with torch.no_grad(), trainer.generation_model() as model:
        logits = model(input_ids=ids).logits
    plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()(input_ids=ids).logits
    merged = copy.deepcopy(trainer.model).merge_and_unload().eval()(input_ids=ids).logits
    assert torch.allclose(logits, merged, atol=1e-5) and not torch.allclose(logits, plain, atol=1e-3)


def test_timing_takes_arms_with_and_without_adapters(base, tmp_path, coin_rewards):
    settings = {"full": None, "lora": LORA, "last": dataclasses.replace(LORA, layers=(1,))}
    arms = {
        arm: dataclasses.replace(trial_config(base, "tbrm", lora=lora), arm=arm, scale="smoke")
        for arm, lora in settings.items()
    }
    record = run_timing(arms, tmp_path, None, lambda event: None)
    flops = {arm: rows["rounds"][0]["flops"] for arm, rows in record["timing"]["completions_equal"].items()}
    # At the first step all arms are at the base and see the same batch, but for what their updates have changed.
    assert flops["full"]["update"] > flops["lora"]["update"] > flops["last"]["update"] > flops["full"]["ref"]


@pytest.mark.parametrize("layers,checkpointing", [(None, False), ((2, 3), False), ((2, 3), True)])
def test_backward_flops_leave_out_frozen_weights_and_the_layers_below_the_adapters(layers, checkpointing):
    """Against torch's counter, with adapters of rank 1 on a network so wide that they hardly count."""
    shape = shapes.micro({"hidden": 512, "layers": 4, "heads": 4, "ffn": 1024, "positions": 128}, 64)
    lora = LoraSettings(rank=1, targets=("q_proj", "v_proj", "down_proj"), layers=layers)
    train = dataclasses.replace(TRAIN, lora=lora, gradient_checkpointing=checkpointing)
    rows, length = 2, 96
    with FakeTensorMode():
        model = planned_step.policy(planned_step.Form(shape, train, length))
        ids = torch.zeros((rows, length), dtype=torch.long)
        scores = model(input_ids=ids, use_cache=False).logits.sum()
        found = counted(scores.backward)
    flops = ForwardFlops.of(shape)
    lengths = [length] * rows
    expected = flops.backward(lengths, lengths, **backward_costs(train, shape))
    if checkpointing:  # the layers run once more, the last product of the two without adapters left out
        expected += flops.forward(lengths, [0] * rows) - 2 * 2 * 512 * 1024 * rows * length
    else:  # below the lowest adapters nobody wants a gradient, so queries, keys and values pass none on
        expected -= 3 * 2 * 512 * 512 * rows * length
    # torch's formula for attention holds the scores once more
    expected += flops.attention / 2 * length**2 * rows * (1 if layers is None or checkpointing else 0.5)
    assert found == pytest.approx(expected, rel=0.02)


def test_a_lora_trial_runs_and_repeats(base, tmp_path, coin_rewards):
    config = trial_config(base, "tbrm", lora=LORA, steps=2)
    first, second = (run_trial(config, tmp_path / name) for name in "ab")
    assert first["status"] == "done" and strip_measured(first) == strip_measured(second)
    full = run_trial(trial_config(base, "tbrm", steps=2), tmp_path)
    assert first["key"] != full["key"]
    assert first["cost"]["predicted_peak"]["total"] != full["cost"]["predicted_peak"]["total"]
