"""What k-sample methods need of the trainer: answers, signal by level; and majority votes of an evaluation set."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from repro import tasks
from repro.evaluation.entry import answer_numbers, vote_entry, vote_metrics
from repro.methods.catalogue import create
from repro.store.outcomes import question_scores
from repro.store.record import check_record
from repro.training.evaluate import Policy, end_ids, grade
from repro.training.rollout import roll_out
from repro.training.sampled import answer_id
from repro.training.trial import run_trial

from .helpers import TASK, make_trainer, trial_config


def test_answer_ids_are_equal_for_equal_answers_and_never_negative():
    assert answer_id(None) == -1
    ids = [answer_id(text) for text in ("1", "1", "01", "", "½", "\ud800")]
    assert ids[0] == ids[1] and len(set(ids)) == 5 and min(ids) >= 0
    assert max(ids) < 2**56, "fits a long tensor"


def test_credit_sees_the_answers_and_the_signal_is_counted_by_level(base, tmp_path):
    trainer = make_trainer(base, "ksample", tmp_path, steps=1)
    seen = []
    credit = trainer.method.credit
    trainer.method.credit = lambda batch: seen.append(batch) or credit(batch)
    _, health = roll_out(trainer, [0] * 4 + [1] * 4, 1)
    (batch,) = seen
    texts = [trainer.processing_class.decode(ids[mask]).replace("<eos>", "") for ids, mask in
             zip(batch.completion_ids, batch.mask, strict=True)]  # fmt: skip
    expected = trainer.task.answers(texts, [trainer.prompts[i // 4] for i in range(8)])
    assert batch.answers.tolist() == [answer_id(answer) for answer in expected]
    assert set(health["signal_by_level"]) == {trainer.prompts[0].level, trainer.prompts[1].level}
    rows = [sum(pair) for pair in zip(*health["signal_by_level"].values(), strict=True)]
    assert rows[1] == 8 and health["signal"] == rows[0] / 8
    assert rows[0] % 4 == 0, "whole groups"


def test_methods_without_votes_ask_for_no_answers(base, tmp_path, monkeypatch):
    trainer = make_trainer(base, "pkpo", tmp_path, steps=1)
    monkeypatch.setattr(trainer.task, "answers", lambda *given: pytest.fail("asked for answers"))
    _, health = roll_out(trainer, [0] * 4 + [1] * 4, 1)
    assert "signal" in health
    _, health = roll_out(make_trainer(base, "grpo", tmp_path / "grpo", steps=1), [0] * 4 + [1] * 4, 1)
    assert "signal" not in health, "records of other methods stay as they were"


def test_vote_entry_by_hand():
    numbers = answer_numbers(["a", "b", "a", None, None, None, "x", "y"], 4)
    assert numbers.tolist() == [[0, 1, 0, -1], [-1, -1, 0, 1]]
    correct = np.array([[True, False, True, False], [False, False, False, True]])
    entry = vote_entry(numbers, correct)
    assert entry["sizes"] == [1, 2, 4]
    assert [row[0] for row in entry["majority"]][::2] == [500, 1000]
    assert entry["majority"][2][1] == 0, "a tie goes to the answer that came first"
    metrics = vote_metrics(entry)
    assert metrics["majority@4"] == 0.5 and metrics["majority@1"] == 0.375
    scores = question_scores({"samples": ["cwcu", "uuwc"], "vote": entry}, "majority@4")
    assert scores.tolist() == [1.0, 0.0]


def test_a_set_records_votes_where_it_asks_for_them(base):
    task = tasks.load(TASK["name"], TASK["options"])
    tokenizer = AutoTokenizer.from_pretrained(base, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    policy = Policy(model, tokenizer, end_ids(tokenizer, model, task.template), 16, 12, 7)
    prompts = task.prompts("test", 5)
    settings = {"seed": 0, "n": 4, "temperature": 1.0, "greedy": False}
    plain, voted = grade(policy, task, prompts, **settings), grade(policy, task, prompts, vote=True, **settings)
    assert plain.samples == voted.samples and plain.vote is None and "vote" not in plain.to_json()
    single = np.array(voted.vote["majority"][0]) / 1000
    assert single == pytest.approx([row.count("c") / 4 + row.count("C") / 4 for row in voted.samples], abs=1e-3)


def test_a_trial_records_votes_pass_curves_and_signal(base, tmp_path):
    config = trial_config(base, "ksample")
    sets = tuple(dataclasses.replace(one, vote=True, n=4) for one in config.evaluation.sets)
    evaluation = dataclasses.replace(config.evaluation, sets=sets, dev_n=4, dev_pass=2)
    record = run_trial(dataclasses.replace(config, evaluation=evaluation), tmp_path)
    check_record(record)
    (name,) = record["outcomes"]
    assert record["outcomes"][name]["vote"]["sizes"] == [1, 2, 4]
    assert f"{name}/majority@4" in record["metrics"]
    for point in record["curve"]:
        assert point["dev_accuracy"] <= point["dev_pass"] <= 1
    assert all(row["signal_by_level"] for row in record["health"])


def test_the_verdict_form_of_a_k_sample_method_keeps_its_needs():
    assert create({"name": "ksample-v", "objective": "majority"}).needs().answers
