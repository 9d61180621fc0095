"""LoRA: only adapters train, the reference is the base with adapters disabled, and wrong targets name the nearest."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM

from repro.errors import InputError
from repro.store.config import LoraSettings
from repro.store.record import strip_measured
from repro.training import trainer as trainer_module
from repro.training.lora import peft_config
from repro.training.trial import run_trial

from .helpers import make_trainer, reward_by_text, trial_config

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


def test_a_lora_trial_runs_and_repeats(base, tmp_path, coin_rewards):
    config = trial_config(base, "tbrm", lora=LORA, steps=2)
    first, second = (run_trial(config, tmp_path / name) for name in "ab")
    assert first["status"] == "done" and strip_measured(first) == strip_measured(second)
    full = run_trial(trial_config(base, "tbrm", steps=2), tmp_path)
    assert first["key"] != full["key"]
    assert first["cost"]["predicted_peak"]["total"] != full["cost"]["predicted_peak"]["total"]
