"""LoRA adapters through PEFT; the reference policy is then the base with adapters disabled, not a second copy."""

from __future__ import annotations

import difflib
from pathlib import Path

from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig

from repro.errors import InputError
from repro.store.config import LoraSettings


def peft_config(settings: LoraSettings | None, base: Path | PretrainedConfig):
    """The PEFT config, or None; `base` is the model's folder or its config. Raises InputError for targets that match no
    layer, naming the nearest."""
    if settings is None:
        return None
    from peft import LoraConfig

    _check_targets(settings, base)
    return LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        target_modules=list(settings.targets),
        layers_to_transform=list(settings.layers) if settings.layers is not None else None,
        lora_dropout=0.0,
        bias="none",
        task_type="CAUSAL_LM",
    )


def _check_targets(settings: LoraSettings, base: Path | PretrainedConfig) -> None:
    import torch
    from torch import nn

    shape = base if isinstance(base, PretrainedConfig) else AutoConfig.from_pretrained(base)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(shape)
    linear = sorted({name.rsplit(".", 1)[-1] for name, m in model.named_modules() if isinstance(m, nn.Linear)})
    for target in settings.targets:
        if target not in linear:
            near = difflib.get_close_matches(target, linear, n=1)
            hint = f"; did you mean {near[0]}?" if near else f"; the model has {', '.join(linear)}"
            raise InputError(f"train.lora.targets: no linear layer is called {target!r}{hint}")
