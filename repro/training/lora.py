"""LoRA adapters through PEFT; the reference policy is then the base with adapters disabled, not a second copy."""

from __future__ import annotations

import difflib
from pathlib import Path

from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig

from repro.errors import InputError
from repro.store.config import LoraSettings, TrainSettings


def peft_config(settings: LoraSettings | None, base: Path | PretrainedConfig):
    """The PEFT config, or None; `base` is the model's folder or its config.

    Raises InputError for targets that match no linear layer, naming the nearest, for the head, and for layers that the
    model does not have.
    """
    if settings is None:
        return None
    from peft import LoraConfig

    _check(settings, base)
    return LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        target_modules=list(settings.targets),
        layers_to_transform=list(settings.layers) if settings.layers is not None else None,
        lora_dropout=0.0,
        bias="none",
        task_type="CAUSAL_LM",
    )


def backward_costs(train: TrainSettings, shape: PretrainedConfig) -> dict:
    """What `ForwardFlops.backward` must know of the policy: weights without a gradient, layers without a backward pass.

    Gradients go down to the first adapter; with gradient checkpointing to the embeddings, as TRL asks for.
    """
    if train.lora is None:
        return {}
    first = 0 if train.gradient_checkpointing else min(train.lora.layers or (0,))
    return {"frozen": True, "layers": 1 - first / shape.get_text_config().num_hidden_layers}


def _check(settings: LoraSettings, base: Path | PretrainedConfig) -> None:
    import torch
    from torch import nn

    shape = base if isinstance(base, PretrainedConfig) else AutoConfig.from_pretrained(base)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(shape)
    count = shape.get_text_config().num_hidden_layers
    for layer in settings.layers or ():
        if layer >= count:
            raise InputError(f"train.lora.layers: the model has no layer {layer}; its layers are 0 … {count - 1}")
    head = next(name for name, module in model.named_modules() if module is model.get_output_embeddings())
    if head in settings.targets:
        raise InputError(
            f"train.lora.targets: the head {head} stays frozen, its log-probs are computed without adapters"
        )
    linear = sorted({name.rsplit(".", 1)[-1] for name, m in model.named_modules() if isinstance(m, nn.Linear)} - {head})
    for target in settings.targets:
        if target not in linear:
            near = difflib.get_close_matches(target, linear, n=1)
            hint = f"; did you mean {near[0]}?" if near else f"; the model has {', '.join(linear)}"
            raise InputError(f"train.lora.targets: no linear layer is called {target!r}{hint}")
