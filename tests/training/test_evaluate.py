"""Evaluation: outcome letters, draws, temperature 0, and prompts that are too long."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from transformers import AutoModelForCausalLM, GenerationConfig

from repro import tasks
from repro.errors import InputError
from repro.evaluation.metrics import summarize
from repro.tasks.task import Prompt
from repro.tasks.templates import TEMPLATES
from repro.training import evaluate
from repro.training.evaluate import Policy, encode, end_ids, grade
from repro.training.tokenizer import load_tokenizer

from .helpers import TASK

QUESTIONS = [Prompt(i, f"{i}+2=", str(i + 2), level="2", source_id=f"q{i}") for i in range(1, 4)]


@pytest.fixture
def task():
    return tasks.load(TASK["name"], TASK["options"])


@pytest.fixture
def policy(base, task):
    tokenizer = load_tokenizer(base)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    return Policy(model, tokenizer, end_ids(tokenizer, model, task.template), max_prompt=16, max_completion=10, batch=5)


@pytest.fixture
def script(policy, monkeypatch):
    """Replaces generation by given texts, in order ("$" is the end token); returns what generation was asked for."""
    calls = []

    def install(texts):
        rest = iter(texts)

        def generate(model, prompts, draws, **options):
            calls.append({"prompts": prompts, "draws": draws, **options})
            out = []
            for _ in prompts:
                text = next(rest)
                ids = policy.tokenizer(text.rstrip("$"), add_special_tokens=False)["input_ids"]
                out.append(ids + [policy.tokenizer.eos_token_id] * text.endswith("$"))
            return out

        monkeypatch.setattr(evaluate, "generate", generate)
        return calls

    return install


def sampled(policy, task, prompts=QUESTIONS, n=2, **options):
    return grade(policy, task, prompts, **{"seed": 5, "n": n, "temperature": 1.0, "greedy": False, **options})


def test_letters(policy, task, script):
    """Correct, wrong and unparsed; a capital letter for a completion without its end token, and for an empty one."""
    script(["#3$", "#4$", "3;$", "#4", "#9", "4+"] + ["#5$", ""])
    prompts = [*QUESTIONS, QUESTIONS[2]]
    graded = sampled(policy, task, prompts)
    assert graded.samples == ["cw", "uC", "WU", "cU"]
    assert graded.questions == ["q1", "q2", "q3", "q3"] and graded.levels == ["2"] * 4 and graded.greedy is None
    summary = summarize(graded.samples)
    assert summary["accuracy"] == 3 / 8 and summary["truncated"] == 4 / 8 and summary["unparsed"] == 3 / 8


def test_lenient_reading_is_counted_beside_the_letters(policy, task, script):
    script(["#3$", "3$", "3;$", "#4", "#9", "4+"])
    graded = sampled(policy, task, lenient=True)
    assert graded.samples == ["cu", "uC", "WU"] and graded.lenient == [2, 1, 0]
    assert graded.to_json()["lenient"] == [2, 1, 0]
    script(["#3$"] * 6)
    assert "lenient" not in sampled(policy, task).to_json()


def test_examples_are_shown_before_every_question(policy, task, script):
    calls = script(["#3$"] * 6 + ["#3$"] * 3)
    policy.max_prompt = 40
    shots = task.prompts("rl", 2)
    graded = sampled(policy, task, shots=shots, greedy=True, keep_texts=1)
    shown = [policy.tokenizer.decode(ids) for call in calls for ids in call["prompts"]]
    before = "".join(f"{one.question}{one.solution}<eos>" for one in shots)
    assert {text.removeprefix(before) for text in shown} == {"1+2=", "2+2=", "3+2="}
    assert graded.texts[0]["prompt"] == f"{before}1+2="
    with pytest.raises(InputError, match="more than max_prompt 16"):
        policy.max_prompt = 16
        sampled(policy, task, shots=shots)


def test_greedy_letters_come_beside_the_samples(policy, task, script):
    calls = script(["#3$", "#3$", "#4$", "#4$", "#5$", "#5$"] + ["#3$", "#9$", "5"])
    graded = sampled(policy, task, greedy=True)
    assert graded.samples == ["cc", "cc", "cc"] and graded.greedy == "cwU"
    assert [call["draws"] is None for call in calls] == [False, False, True]  # 6 rows in batches of 5, then 3 greedy


def test_temperature_zero_is_greedy(policy, task, script):
    calls = script(["#3$", "#9$", "#5$"])
    assert sampled(policy, task, n=1, temperature=0.0).samples == ["c", "w", "c"]
    assert [call["draws"] for call in calls] == [None]


def test_draws_are_keyed_by_seed_stream_prompt_and_index(policy, task, script):
    calls = script(["#3$"] * 6)
    sampled(policy, task, seed=9, stream="dev", step=4)
    draws = [draw for call in calls for draw in call["draws"]]
    assert [(d.prompt, d.index) for d in draws] == [(1, 0), (1, 1), (2, 0), (2, 1), (3, 0), (3, 1)]
    assert {(d.seed, d.stream, d.step) for d in draws} == {(9, "dev", 4)}
    assert all(call["max_new_tokens"] == 10 and call["end_ids"] == policy.end_ids for call in calls)


def test_seed_stream_and_batch_size(policy, task):
    """Real generation: the letters follow the seed and the stream, and not how the rows are batched."""
    prompts = task.prompts("test")
    plain = sampled(policy, task, prompts, n=4)
    assert sampled(policy, task, prompts, n=4).samples == plain.samples
    assert sampled(policy, task, prompts, n=4, seed=6).samples != plain.samples
    assert sampled(policy, task, prompts, n=4, stream="dev").samples != plain.samples
    wide = dataclasses.replace(policy, batch=64)
    assert sampled(wide, task, prompts, n=4).samples == plain.samples
    assert sampled(policy, task, prompts[3:7], n=4).samples == plain.samples[3:7]  # the other questions do not matter


def test_greedy_does_not_depend_on_the_seed(policy, task):
    prompts = task.prompts("test")
    letters = {sampled(policy, task, prompts, n=1, greedy=True, seed=seed).greedy for seed in (0, 1)}
    assert len(letters) == 1
    zero = sampled(policy, task, prompts, n=1, temperature=0.0)
    assert "".join(zero.samples) in letters


def test_a_few_texts_are_kept(policy, task, script):
    script(["#3$", "#1$", "#4", "#1$", "#5$", "#1$"])
    texts = sampled(policy, task, keep_texts=2).texts
    assert texts == [
        {"question": "q1", "prompt": "1+2=", "completion": "#3", "gold": "3", "outcome": "c"},
        {"question": "q2", "prompt": "2+2=", "completion": "#4", "gold": "4", "outcome": "C"},
    ]


def test_encode_refuses_a_prompt_that_is_too_long(policy, task):
    long = Prompt(9, "1+2+3+4+5+6=", "21", source_id="the long one")
    with pytest.raises(InputError, match=r"the long one of task chain has 12 tokens, more than max_prompt 11; raise"):
        encode(policy.tokenizer, task, [*QUESTIONS, long], 11)
    ids = encode(policy.tokenizer, task, [*QUESTIONS, long], 12)
    assert [policy.tokenizer.decode(row) for row in ids] == ["1+2=", "2+2=", "3+2=", "1+2+3+4+5+6="]
    with pytest.raises(InputError, match="more than max_prompt 3"):
        grade(dataclasses.replace(policy, max_prompt=3), task, QUESTIONS, seed=0, n=1, temperature=1.0, greedy=False)


def test_encode_adds_no_special_tokens(policy, task):
    assert not set(policy.tokenizer.all_special_ids) & {
        t for row in encode(policy.tokenizer, task, QUESTIONS, 16) for t in row
    }


def test_end_ids_join_tokenizer_and_model(policy):
    template = TEMPLATES["micro"]
    eos = policy.tokenizer.eos_token_id
    for declared, expected in [(None, [eos]), (eos, [eos]), (7, [eos, 7]), ([7, eos, 8], [eos, 7, 8])]:
        policy.model.generation_config = GenerationConfig(eos_token_id=declared)
        assert end_ids(policy.tokenizer, policy.model, template) == expected


def test_one_token_stops_of_the_template_end_a_completion(policy):
    """A stop that this tokenizer cuts into several tokens cannot end one."""
    semicolon = policy.tokenizer.convert_tokens_to_ids(";")
    template = dataclasses.replace(TEMPLATES["micro"], stop=(";", "=="))
    assert end_ids(policy.tokenizer, policy.model, template) == [policy.tokenizer.eos_token_id, semicolon]
