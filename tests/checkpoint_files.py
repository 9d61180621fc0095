"""Checkpoints as anybody might bring them: a tiny Qwen2 with random weights and the tokenizer of a generated task."""

from __future__ import annotations

import json
from pathlib import Path

from repro import tasks


def checkpoint(folder: Path, task: str = "chain", positions: int = 128, seed: int = 0) -> Path:
    """About 5,000 weights, saved with its tokenizer; `positions`: tokens that it has room for."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.set_num_threads(1)
    tokenizer = tasks.load(task).tokenizer()
    config = Qwen2Config(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=positions, tie_word_embeddings=True, bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen2ForCausalLM(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def edit_config(folder: Path, **changes) -> Path:
    """Change fields of its config.json, whatever the weights say."""
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return folder
