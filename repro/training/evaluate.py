"""Sampled and greedy evaluation of a policy: per-question outcome letters, ready for the record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import torch

from repro.cost.flops import ForwardFlops
from repro.errors import InputError
from repro.evaluation.entry import answer_numbers, vote_entry
from repro.evaluation.metrics import correct_matrix
from repro.sampling.transformers_backend import generate
from repro.sampling.uniforms import Draw
from repro.tasks.outcome import Outcome

MISMATCH_PROMPTS = 64  # samples on which an engine's log-probabilities are compared with the model's


@dataclass
class Graded:
    """Outcome letters of one evaluation set: c correct, w wrong, u unparsed; a capital letter means truncated.

    `scaling` is the entry of test-time scaling (`repro.evaluation.scaling`), for sets with a pool of judged samples.
    """

    questions: list[str]
    levels: list[str]
    samples: list[str]  # one string per question, one letter per sample
    greedy: str | None  # one letter per question
    texts: list[dict] = field(default_factory=list)  # a few completions, for the record
    scaling: dict | None = None
    vote: dict | None = None  # entry of majority voting (`repro.evaluation.entry.vote_entry`), where asked for
    lenient: list[int] | None = None  # samples of each question whose last number is right, where asked for
    ids: list[tuple[list[int], list[int]]] | None = None  # prompt and completion of every sample, where asked for

    def to_json(self) -> dict:
        entry = {
            "questions": self.questions, "levels": self.levels, "samples": self.samples, "greedy": self.greedy,
        }  # fmt: skip
        more = {"scaling": self.scaling, "vote": self.vote, "lenient": self.lenient}
        return entry | {name: value for name, value in more.items() if value is not None}


@dataclass
class Policy:
    """What evaluation needs of a trained model. `engine` samples in its place, if there is one.

    `tokens` and `flops` count what has been sampled since `charge` was called last.
    """

    model: torch.nn.Module
    tokenizer: object
    end_ids: list[int]
    max_prompt: int
    max_completion: int
    batch: int
    engine: object | None = None  # with a `generate` as that of `repro.sampling.transformers_backend`, less the model
    forward_flops: ForwardFlops | None = None
    tokens: int = 0
    flops: float = 0.0

    def complete(self, prompts: list[list[int]], draws: list[Draw] | None, temperature: float) -> list[list[int]]:
        """Completion ids of prompts in ids, sampled at `draws` or greedily (None)."""
        sample = self.engine.generate if self.engine is not None else partial(generate, self.model)
        completions = sample(
            prompts,
            draws,
            max_new_tokens=self.max_completion,
            temperature=temperature,
            end_ids=self.end_ids,
            pad_id=self.tokenizer.pad_token_id or 0,  # not every checkpoint has one, and padding is masked anyway
        )
        self.count(prompts, completions)
        return completions

    def count(self, prompts: list[list[int]], completions: list[list[int]]) -> None:
        """Add what has been sampled to the totals."""
        self.tokens += sum(map(len, completions))
        self.flops += self.flops_of(prompts, completions)

    def charge(self, cost) -> None:
        """Give what has been sampled since the last call to the totals of a phase."""
        cost.tokens += self.tokens
        cost.flops += self.flops
        self.tokens, self.flops = 0, 0.0

    def flops_of(self, prompts: list[list[int]], completions: list[list[int]]) -> float:
        """FLOPs of sampling the completions with a key-value cache; 0 where nothing is counted."""
        return 0.0 if self.forward_flops is None else sampling_flops(self.forward_flops, prompts, completions)

    def text(self, completion: list[int]) -> str:
        """What is graded: the completion without its end token."""
        ends = set(self.end_ids)
        return self.tokenizer.decode([token for token in completion if token not in ends])

    def ended(self, completion: list[int]) -> bool:
        """Whether the completion has an end token, i.e. was not cut off."""
        return bool(completion) and completion[-1] in set(self.end_ids)


def sampling_flops(forward: ForwardFlops, prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]]):
    """FLOPs of sampling `completions` after `prompts`, both in ids, with a key-value cache."""
    return forward.generate([len(ids) for ids in prompts], [len(ids) for ids in completions])


@torch.no_grad()
def sampled_logps(model, prompts: list[list[int]], completions: list[list[int]], temperature: float) -> list[list]:
    """Log-probability of each token of the completions by `model` itself, in nats, at `temperature`; row by row."""
    found = []
    for prompt, completion in zip(prompts, completions, strict=True):
        ids = torch.tensor([[*prompt, *completion]], device=model.device)
        logits = model(input_ids=ids).logits[0, len(prompt) - 1 : -1].float() / temperature
        found.append(torch.log_softmax(logits, -1).gather(1, ids[0, len(prompt) :, None]).squeeze(1).tolist())
    return found


def engine_mismatch(policy: Policy, task, prompts: list, *, seed: int, temperature: float) -> float | None:
    """Mean absolute gap per token, in nats, between the log-probabilities of the engine and of the model it runs.

    On fresh samples of the first prompts; None when they are decoded greedily (engines report those at temperature 1).
    """
    if temperature == 0:
        return None
    from repro.sampling.vllm_backend import mismatch

    few = prompts[:MISMATCH_PROMPTS]
    ids = encode(policy.tokenizer, task, few, policy.max_prompt)
    draws = [Draw(seed, "evaluate", 0, prompt.id, 0) for prompt in few]
    completions, logps = policy.engine.generate_with_logps(
        ids, draws, max_new_tokens=policy.max_completion, temperature=temperature, end_ids=policy.end_ids
    )
    return mismatch(logps, sampled_logps(policy.model, ids, completions, temperature))["mean"]


def encode(tokenizer, task, prompts: list, max_prompt: int, shots: Sequence = ()) -> list[list[int]]:
    """Token ids of the prompts, each after the examples `shots`. InputError for one above `max_prompt`: none is cut."""
    rendered = [task.render(prompt.question, shots) for prompt in prompts]
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
    texts = [policy.text(ids) for ids in completions]
    outcomes = task.check(texts, prompts)
    letters = []
    for outcome, ids in zip(outcomes, completions, strict=True):
        letters.append(outcome.value if policy.ended(ids) else outcome.value.upper())
    return letters, texts


def _sampled(policy: Policy, kept, temperature: float, part: str, ids: list[list[int]], draws: list[Draw] | None):
    """The completions of one batch, from an earlier run if that has kept them."""
    found = None if kept is None else kept.load(part)
    if found is not None:
        policy.count(ids, found)
        return found
    completions = policy.complete(ids, draws, temperature)
    if kept is not None:
        kept.add(part, completions)
    return completions


def grade(
    policy: Policy, task, prompts: list, *, seed: int, n: int, temperature: float, greedy: bool,
    stream: str = "evaluate", step: int = 0, keep_texts: int | None = 0, pool=None, keep_ids: bool = False,
    vote: bool = False, lenient: bool = False, shots: Sequence = (), kept=None,
) -> Graded:  # fmt: skip
    """Sample `n` completions per prompt (and one greedily), and grade them. Rows are generated in a fixed order.

    A `repro.training.pool.Pool` judges every sample, and keeps the chunks so that a killed evaluation goes on. It
    keeps neither ids, votes nor texts, so `keep_ids`, `vote` and `lenient` do without one. `shots` are prompts that
    are shown, worked out, before each question. `keep_texts`: the first sample of so many questions, or every sample
    (None). A `repro.training.kept.Kept` takes the place of a pool where nobody judges.
    """
    draw = partial(_sampled, policy, kept, temperature)
    ids = encode(policy.tokenizer, task, prompts, policy.max_prompt, shots)
    rows = [(question, index) for question in range(len(prompts)) for index in range(n)]
    letters: list[str] = []
    texts: list[dict] = []
    pairs: list[tuple[list[int], list[int]]] = []
    answers: list[str | None] = []
    read: list[bool] = []
    for number, start in enumerate(range(0, len(rows), policy.batch)):
        chunk = rows[start : start + policy.batch]
        judged = pool.load(number) if pool is not None else None
        if judged is None:
            draws = [Draw(seed, stream, step, prompts[q].id, index) for q, index in chunk]
            asked = [ids[q] for q, _ in chunk]
            questions = [prompts[q] for q, _ in chunk]
            completions = draw(f"{number:05d}", asked, draws if temperature > 0 else None)
            got, decoded = _letters(policy, task, questions, completions)
            if vote:
                answers.extend(task.answers(decoded, questions))
            if lenient:
                read.extend(outcome is Outcome.CORRECT for outcome in task.check_lenient(decoded, questions))
            if keep_ids:
                pairs.extend(zip(asked, completions, strict=True))
            if pool is not None:
                pool.add(number, policy, task.answers(decoded, questions), asked, completions, got, decoded)
        else:
            got, decoded = judged
        letters.extend(got)
        for (question, index), letter, text in zip(chunk, got, decoded, strict=True):
            if keep_texts is None or (index == 0 and len(texts) < keep_texts):
                prompt = prompts[question]
                texts.append(
                    {
                        "question": prompt.source_id or str(prompt.id),
                        "prompt": task.render(prompt.question, shots) if task.generated else None,
                        "completion": text,
                        "gold": prompt.answer if task.generated else None,
                        "outcome": letter,
                    }
                )
    greedy_letters = None
    if greedy:
        greedy_letters = ""
        for start in range(0, len(prompts), policy.batch):
            completions = draw(f"greedy-{start:05d}", ids[start : start + policy.batch], None)
            greedy_letters += "".join(_letters(policy, task, prompts[start : start + policy.batch], completions)[0])
    samples = ["".join(letters[q * n : (q + 1) * n]) for q in range(len(prompts))]
    return Graded(
        questions=[prompt.source_id or str(prompt.id) for prompt in prompts],
        levels=[prompt.level for prompt in prompts],
        samples=samples,
        greedy=greedy_letters,
        texts=texts,
        scaling=None if pool is None else pool.scaling(len(prompts), n, "".join(letters)),
        vote=vote_entry(answer_numbers(answers, n), correct_matrix(samples)) if vote else None,
        lenient=[sum(read[q * n : (q + 1) * n]) for q in range(len(prompts))] if lenient else None,
        ids=pairs if keep_ids else None,
    )
