"""A base is read with the tokenizer it was trained with, whatever its architecture is called."""

from __future__ import annotations

import pytest
from transformers import Qwen2Config

from repro import tasks
from repro.training.tokenizer import load_tokenizer

GENERATED = [name for name, info in tasks.catalogue.TASKS.items() if info.generated]


@pytest.mark.parametrize("name", GENERATED)
def test_a_saved_tokenizer_reads_and_writes_as_the_tasks_own(name, tmp_path):
    task = tasks.load(name, {})
    own = task.tokenizer()
    own.save_pretrained(tmp_path)
    Qwen2Config(vocab_size=len(own)).save_pretrained(tmp_path)  # transformers would go by this
    loaded = load_tokenizer(tmp_path)
    assert loaded.padding_side == "left" and loaded.pad_token_id == own.pad_token_id
    for prompt in task.prompts("test", 50):
        for text in (prompt.question, prompt.solution):
            ids = own(text, add_special_tokens=False)["input_ids"]
            assert loaded(text, add_special_tokens=False)["input_ids"] == ids
            assert loaded.decode(ids) == own.decode(ids)
