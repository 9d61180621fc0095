"""A tiny Qwen2 with a byte-level BPE tokenizer, saved as any checkpoint is; and made-up files of public data sets."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

MADE_UP = [
    "Anna has {} apples and gives {} of them to her friend. How many apples does she have left?",
    "A train carries {} people. At the next station {} more people get on. How many people are in the train?",
    "There are {} boxes with {} pencils in each box. How many pencils are there in all of the boxes together?",
    "Please reason step by step, and put your final answer within \\boxed{{{}}}. The sum is {}.",
    "Tom bought {} books for {} dollars each day, and the price of every book was the same. What did he pay?",
]


def tiny_qwen2(folder: Path, vocabulary: int = 400, seed: int = 0, words: tuple[str, ...] = ()) -> Path:
    """Random weights, about 50,000 of them, with the end-of-text and turn tokens of the Qwen2 family.

    `words` become tokens of their own, as common words are in a real vocabulary.
    """
    text = [line.format(a, b) for line in MADE_UP for a in range(3, 90, 7) for b in range(2, 60, 11)]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )  # fmt: skip
    tokenizer.train_from_iterator(text, trainer)
    tokenizer.add_tokens(list(words))
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    config = Qwen2Config(
        vocab_size=len(wrapped), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=4096, tie_word_embeddings=True,
        eos_token_id=wrapped.eos_token_id, pad_token_id=wrapped.pad_token_id, bos_token_id=None,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen2ForCausalLM(config)
    model.save_pretrained(folder)
    wrapped.save_pretrained(folder)
    return folder


def made_up_data(folder: Path) -> Path:
    """Files in the form of the public ones, for every set of the paper scale; not a row of a real one."""

    def rows(count: int, **fields) -> list[dict]:
        made = []
        for i in range(count):
            values = {"question": MADE_UP[i % 3].format(10 + i, 3 + i % 7), "answer": str(7 + i), "id": f"made-up-{i}"}
            made.append({name: values[source] for name, source in fields.items()})
        return made

    contest = rows(2, problem="question", answer="answer", id="id")
    files = {
        "dapo17k/train": rows(40, prompt="question", answer="answer", id="id"),
        "olympiadbench/test": rows(2, question="question", final_answer="answer", id="id"),
        "math500/math500": rows(2, problem="question", answer="answer", solution="answer", unique_id="id"),
        **{f"{name}/test": contest for name in ("aime24", "aime25", "amc23", "minerva")},
    }
    for name, content in files.items():
        path = folder / f"{name}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in content))
    return folder
