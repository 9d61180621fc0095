"""Sampled and greedy evaluation of a policy: per-question outcome letters, ready for the record."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from repro.errors import InputError
from repro.sampling.transformers_backend import generate
from repro.sampling.uniforms import Draw


@dataclass
class Graded:
    """Outcome letters of one evaluation set: c correct, w wrong, u unparsed; a capital letter means truncated."""

    questions: list[str]
    levels: list[str]
    samples: list[str]  # one string per question, one letter per sample
    greedy: str | None  # one letter per question
    texts: list[dict] = field(default_factory=list)  # a few completions, for the record

    def to_json(self) -> dict:
        return {
            "questions": self.questions, "levels": self.levels, "samples": self.samples, "greedy": self.greedy,
        }  # fmt: skip


@dataclass
class Policy:
    """What evaluation needs of a trained model."""

    model: torch.nn.Module
    tokenizer: object
    end_ids: list[int]
    max_prompt: int
    max_completion: int
    batch: int


def encode(tokenizer, task, prompts: list, max_prompt: int) -> list[list[int]]:
    """Token ids of the rendered prompts. Raises InputError for a prompt longer than `max_prompt`: none is cut."""
    rendered = [task.template.render(prompt.question) for prompt in prompts]
    ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in rendered]
    longest = max(range(len(ids)), key=lambda i: len(ids[i]))
    if len(ids[longest]) > max_prompt:
        raise InputError(
            f"prompt {prompts[longest].source_id or prompts[longest].id} of task {task.name} has {len(ids[longest])} "
            f"tokens, more than max_prompt {max_prompt}; raise train.max_prompt with --set"
        )
    return ids


def stop_ids(tokenizer, template) -> list[int]:
    """The template's stop strings that are one token of this tokenizer. Longer ones only cut the graded text."""
    encoded = [tokenizer(stop, add_special_tokens=False)["input_ids"] for stop in template.stop]
    return [ids[0] for ids in encoded if len(ids) == 1 and ids[0] != tokenizer.unk_token_id]


def end_ids(tokenizer, model, template) -> list[int]:
    """Every token that ends a completion: the tokenizer's, the model's own, and the template's one-token stops."""
    declared = model.generation_config.eos_token_id
    declared = [] if declared is None else [declared] if isinstance(declared, int) else list(declared)
    own = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    return list(dict.fromkeys([*own, *declared, *stop_ids(tokenizer, template)]))


def _letters(policy: Policy, task, prompts: list, completions: list[list[int]]) -> tuple[list[str], list[str]]:
    ends = set(policy.end_ids)
    texts = [policy.tokenizer.decode([t for t in ids if t not in ends]) for ids in completions]
    outcomes = task.check(texts, prompts)
    letters = []
    for outcome, ids in zip(outcomes, completions, strict=True):
        letters.append(outcome.value if ids and ids[-1] in ends else outcome.value.upper())
    return letters, texts


def grade(
    policy: Policy, task, prompts: list, *, seed: int, n: int, temperature: float, greedy: bool,
    stream: str = "evaluate", step: int = 0, keep_texts: int = 0, progress=None,
) -> Graded:  # fmt: skip
    """Sample `n` completions per prompt (and one greedily), and grade them. Rows are generated in a fixed order."""
    ids = encode(policy.tokenizer, task, prompts, policy.max_prompt)
    rows = [(question, index) for question in range(len(prompts)) for index in range(n)]
    letters: list[str] = []
    texts: list[dict] = []

    def run(chunk: list[tuple[int, int]], sampled: bool) -> tuple[list[str], list[str]]:
        draws = [Draw(seed, stream, step, prompts[q].id, index) for q, index in chunk] if sampled else None
        completions = generate(
            policy.model,
            [ids[q] for q, _ in chunk],
            draws,
            max_new_tokens=policy.max_completion,
            temperature=temperature,
            end_ids=policy.end_ids,
            pad_id=policy.tokenizer.pad_token_id,
        )
        return _letters(policy, task, [prompts[q] for q, _ in chunk], completions)

    for start in range(0, len(rows), policy.batch):
        chunk = rows[start : start + policy.batch]
        got, decoded = run(chunk, temperature > 0)
        letters.extend(got)
        for (question, index), letter, text in zip(chunk, got, decoded, strict=True):
            if index == 0 and len(texts) < keep_texts:
                prompt = prompts[question]
                texts.append(
                    {
                        "question": prompt.source_id or str(prompt.id),
                        "prompt": task.template.render(prompt.question) if task.generated else None,
                        "completion": text,
                        "gold": prompt.answer if task.generated else None,
                        "outcome": letter,
                    }
                )
        if progress is not None:
            progress(min(len(rows), start + len(chunk)), len(rows))
    greedy_letters = None
    if greedy:
        greedy_letters = ""
        singles = [(question, 0) for question in range(len(prompts))]
        for start in range(0, len(singles), policy.batch):
            greedy_letters += "".join(run(singles[start : start + policy.batch], False)[0])
    return Graded(
        questions=[prompt.source_id or str(prompt.id) for prompt in prompts],
        levels=[prompt.level for prompt in prompts],
        samples=["".join(letters[q * n : (q + 1) * n]) for q in range(len(prompts))],
        greedy=greedy_letters,
        texts=texts,
    )
