"""Micro base models: small Qwen2 networks trained from scratch on noisy demonstrations of a generated task.

A share of the worked solutions is wrong, so that the model knows more than it samples, as a pretrained LLM does: RL
then has something to sharpen. Demonstrations are drawn online from the task's base split, which no RL, dev or
test prompt is part of. One thread, one seed: two builds on one machine agree bit for bit.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from repro.cost import shapes
from repro.errors import InputError
from repro.sampling.uniforms import generator
from repro.tasks import verdict
from repro.tasks.outcome import Outcome

# Part of the base's identity: raise it when the recipe's meaning changes.
SEMANTICS = 1

_NEUTRAL = {"unknown": 0.0, "clean": 0.0, "packed": 1}  # fields of a recipe that came after the first bases


@dataclass(frozen=True)
class Recipe:
    """How a micro base model is made."""

    hidden: int = 64
    """Width of the residual stream."""
    layers: int = 3
    """Transformer layers."""
    heads: int = 4
    """Attention heads (as many key-value heads)."""
    ffn: int = 192
    """Width of the gated feed-forward layer."""
    positions: int = 512
    """Longest sequence the positions allow."""
    noise: float = 0.5
    """Share of demonstrations with a slip in the working (of steps, for tasks that say so)."""
    clean: float = 0.0
    """Share of the training, from the start, without noise: what is hard is learnt from clean solutions first."""
    steps: int = 2400
    """Training steps."""
    batch: int = 64
    """Demonstrations per step."""
    learning_rate: float = 4e-3
    """Peak of a schedule with 5 % linear warm-up and cosine decay to a tenth."""
    seed: int = 0
    """Seed of the weights and the demonstrations."""
    verdicts: float = 0.0
    """Share of demonstrations followed by the verdict turn and a verdict."""
    verdict_noise: float = 1.0
    """Share of these verdicts that are drawn at random; at 1 the base learns the form of a verdict and no more."""
    unknown: float = 0.0
    """Share of the words of a question that the base reads as the unknown token, so that it can make do without."""
    packed: int = 1
    """Demonstrations one after the other in a row; a base with 2 or more can read examples before a question."""

    @classmethod
    def from_json(cls, data: dict) -> Recipe:
        unknown = sorted(set(data) - {field.name for field in fields(cls)})
        if unknown:
            raise InputError(f"base.recipe: unknown field {unknown[0]!r}; known: {[f.name for f in fields(cls)]}")
        recipe = cls(**data)
        for name in ("noise", "clean", "verdicts", "verdict_noise", "unknown"):
            if not 0 <= getattr(recipe, name) <= 1:
                raise InputError(f"base.recipe.{name} must lie in [0, 1], not {getattr(recipe, name)}")
        if recipe.packed < 1 or recipe.batch % recipe.packed:
            raise InputError(f"base.recipe.packed={recipe.packed} must divide base.recipe.batch={recipe.batch}")
        return recipe

    def to_json(self) -> dict:
        """Every field; later ones only where they are used, so that bases without keep their identity."""
        without = () if self.verdicts else ("verdicts", "verdict_noise")
        without += tuple(name for name, value in _NEUTRAL.items() if getattr(self, name) == value)
        return {name: value for name, value in asdict(self).items() if name not in without}


def build(recipe: Recipe, task, folder: Path, emit: Callable[[dict], None]) -> None:
    """Train a base for `task` and write model and tokenizer to `folder` (safetensors)."""
    tokenizer = task.tokenizer()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        model = Qwen2ForCausalLM(_architecture(recipe, tokenizer))
    _train(model, recipe, task, tokenizer, emit)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "recipe.json").write_text(json.dumps(recipe.to_json(), indent=1, sort_keys=True))


def _architecture(recipe: Recipe, tokenizer) -> Qwen2Config:
    return shapes.micro(
        asdict(recipe),
        len(tokenizer),
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
    )


def _batch(recipe: Recipe, task, tokenizer, step: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rng = generator(recipe.seed, "base", step)
    texts, verdicts = [], []
    if recipe.verdicts:
        turn = verdict.tokens(verdict.get(task.template.name), tokenizer, [tokenizer.eos_token_id])
    noise = recipe.noise if step >= recipe.clean * recipe.steps else 0.0
    for _ in range(recipe.batch):
        prompt = task.base_prompt(rng)
        texts.append((task.render(prompt.question), task.demonstration(prompt, rng, noise)))
        verdicts.append(_verdict(recipe, task, prompt, texts[-1][1], turn, rng) if recipe.verdicts else [])
    questions = tokenizer([question for question, _ in texts], add_special_tokens=False)["input_ids"]
    if recipe.unknown:
        questions = _without_words(questions, recipe.unknown, tokenizer, rng)
    solutions = tokenizer([solution for _, solution in texts], add_special_tokens=False)["input_ids"]
    read, learnt = [], []  # ids of each demonstration, and -100 or the id where it is learnt
    for question, solution, asked in zip(questions, solutions, verdicts, strict=True):
        solution = [*solution, tokenizer.eos_token_id]
        read.append(question + solution + asked)
        # The verdict is learnt, its turn is the asker's.
        learnt.append([-100] * len(question) + solution + [-100] * len(asked[:-1]) + asked[-1:])
    ids, labels = (
        _rows(values, recipe.packed, fill) for values, fill in ((read, tokenizer.pad_token_id), (learnt, -100))
    )
    lengths = (ids != tokenizer.pad_token_id).sum(1, keepdim=True)
    return ids, (torch.arange(ids.shape[1]) < lengths).long(), labels


def _rows(values: list[list[int]], packed: int, fill: int) -> torch.Tensor:
    """The lists, `packed` of them after one another in a row, as one tensor filled up on the right."""
    rows = [sum(values[start : start + packed], []) for start in range(0, len(values), packed)]
    width = max(map(len, rows))
    return torch.tensor([row + [fill] * (width - len(row)) for row in rows])


def _without_words(questions: list[list[int]], share: float, tokenizer, rng) -> list[list[int]]:
    """The questions with a random share of their words unknown; digits and signs stay."""
    words = {index for word, index in tokenizer.get_vocab().items() if word.isalpha()}
    return [[tokenizer.unk_token_id if i in words and rng.random() < share else i for i in ids] for ids in questions]


def _verdict(recipe: Recipe, task, prompt, solution: str, turn: verdict.VerdictTokens, rng) -> list[int]:
    """Ids of the verdict turn and a verdict, for the recipe's share of the demonstrations; else none."""
    if rng.random() >= recipe.verdicts:
        return []
    right = task.check([solution], [prompt])[0] is Outcome.CORRECT
    if rng.random() < recipe.verdict_noise:
        right = rng.random() < 0.5
    return [*turn.turn, turn.yes if right else turn.no]


def _train(model, recipe: Recipe, task, tokenizer, emit) -> None:
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True
    )
    warmup = max(1, recipe.steps // 20)

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        progress = (step - warmup) / max(1, recipe.steps - warmup)
        return 0.1 + 0.9 * 0.5 * (1 + float(torch.cos(torch.tensor(progress * torch.pi, dtype=torch.float64))))

    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    model.train()
    for step in range(recipe.steps):
        ids, attention, labels = _batch(recipe, task, tokenizer, step)
        loss = model(input_ids=ids, attention_mask=attention, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        if (step + 1) % 50 == 0:
            emit({"event": "base", "step": step + 1, "total": recipe.steps, "loss": float(loss.detach())})
    model.eval()
