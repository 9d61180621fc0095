"""Verification with a chat model: table2's paper scale, two steps on a CPU, solution and verdict as two turns.

Replaced: model, data files, engines, lengths, prompts per step, number of steps, questions and samples per set. All
else is what the experiment registers: losses, K = 9 fresh rollouts, temperatures, minibatches, precision, four sets.
"""

import dataclasses
import json
import zlib

import pytest
from e2e_models import made_up_data, tiny_qwen2
from transformers import AutoTokenizer

from repro.errors import InputError
from repro.experiments import registry
from repro.experiments.resolve import resolve
from repro.tasks import verdict
from repro.tasks.outcome import Outcome
from repro.tasks.real import RealTask
from repro.tasks.templates import TEMPLATES

TABLE2 = registry.get("table2")
LONGEST = 12


def write(folder, name, rows):
    path = folder / f"{name}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = made_up_data(tmp_path_factory.mktemp("data"))
    problems = [{"problem": f"Add {i} and {2 * i}.", "solution": f"It is \\boxed{{{3 * i}}}."} for i in range(40)]
    write(folder, "math/train", [{**row, "level": "Level 1"} for row in problems])
    write(folder, "math2/test", [{"Question": row["problem"] + " Twice.", "Answer": "7"} for row in problems[:3]])
    wrong = {f"Incorrect Answer {i}": str(i) for i in (1, 2, 3)}
    physics = {"Correct Answer": "4", "High-level domain": "Physics", **wrong}
    write(folder, "gpqa/test", [{"Question": f"What about {i}?", "Record ID": f"r{i}", **physics} for i in range(3)])
    return folder


@pytest.fixture
def coin(monkeypatch):
    """Training rewards by a coin that depends on the text: a model of random weights never answers a question."""
    checked = RealTask.check

    def check(task, texts, prompts):
        if task.name != "math":
            return checked(task, texts, prompts)
        return [Outcome.CORRECT if zlib.crc32(text.encode()) % 2 else Outcome.WRONG for text in texts]

    monkeypatch.setattr(RealTask, "check", check)


def small(arm: str, model):
    """The registered config of an arm with what the module's docstring names replaced."""
    config = resolve(TABLE2, "paper", arm, 0)
    train = dataclasses.replace(
        config.train, backend="transformers", max_completion=LONGEST, completions_per_step=32, steps=2
    )
    sets = tuple(dataclasses.replace(one, n=2, questions=2) for one in config.evaluation.sets)
    evaluation = dataclasses.replace(
        config.evaluation, backend="transformers", max_completion=LONGEST, sets=sets, budgets=(4, LONGEST)
    )
    base = {"kind": "folder", "path": str(model)}
    return dataclasses.replace(config, base=base, train=train, evaluation=evaluation)


def test_a_chat_models_verdict_is_the_second_turn(tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(tiny_qwen2(tmp_path / "model", words=("Yes", "No")))
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    tokens = verdict.tokens(verdict.get("qwen-math"), tokenizer, [end])
    prompt = TEMPLATES["qwen-math"].render("What is 1 + 1?")
    whole = tokenizer(prompt + "It is 2.", add_special_tokens=False)["input_ids"] + [end, *tokens.turn, tokens.yes]
    assert tokenizer.decode(whole) == (
        prompt + "It is 2.<|im_end|>\n<|im_start|>user\nIs this solution correct? Answer Yes or No<|im_end|>\n"
        "<|im_start|>assistant\nYes"
    )


@pytest.mark.parametrize("arm", ["grpo-n4-v", "vineppo-n4-v"])
def test_paper_scale_trains_and_judges_two_steps(arm, data, coin, tmp_path):
    from repro.training.trial import run_trial

    model = tiny_qwen2(tmp_path / "model", words=("Yes", "No"))
    record = run_trial(small(arm, model), tmp_path / "runs", data)
    assert record["status"] == "done"
    assert [row["step"] for row in record["health"]] == [1, 2]
    assert all(row["grad_norm"] > 0 and row["verdict_loss"] > 0 for row in record["health"])
    assert list(record["outcomes"]) and all("scaling" in entry for entry in record["outcomes"].values())
    assert {one.name for one in resolve(TABLE2, "paper", arm, 0).evaluation.sets} == set(record["outcomes"])
    extra = record["cost"]["phases"].get("extra_rollouts", {"tokens": 0})["tokens"]
    assert (extra > 0) == arm.startswith("vineppo")


def test_a_chat_model_without_the_words_is_refused_in_one_line(data, tmp_path):
    from repro.training.trial import run_trial

    with pytest.raises(InputError, match="one token for 'Yes'"):
        run_trial(small("grpo-n4-v", tiny_qwen2(tmp_path / "model")), tmp_path / "runs", data)
