"""The sampling pool: judged, scored, and taken up again where a kill left it, to the bit."""

from __future__ import annotations

import dataclasses
import json

import pytest

from repro.errors import InputError
from repro.store.config import EvaluationSet
from repro.store.record import check_record, strip_measured
from repro.training import evaluate
from repro.training.trial import run_trial

from .helpers import TASK, trial_config
from .test_verdicts import LADDER, ladder_base  # noqa: F401

HARDER = {"levels": ["sum3"], "test": 6}


def config(base, name="grpo", verify=True, task=LADDER, **evaluation):
    plain = trial_config(base, name, steps=2)
    sets = (
        EvaluationSet(n=4, questions=6, name="in-distribution", verify=verify),
        EvaluationSet(task="ladder", options=HARDER, n=4, questions=6, name="harder", verify=verify, greedy=False),
    )
    settings = dataclasses.replace(plain.evaluation, sets=sets if task is LADDER else sets[:1], batch=5, **evaluation)
    return dataclasses.replace(plain, task=task, evaluation=settings)


def as_bytes(record) -> str:
    return json.dumps(strip_measured(record), sort_keys=True)


def test_a_record_has_curves_verifier_and_budgets(ladder_base, tmp_path):  # noqa: F811
    record = run_trial(config(ladder_base, budgets=(2, 4, 12)), tmp_path)
    check_record(record)
    assert set(record["outcomes"]) == {"in-distribution", "harder"} and "verdict" in record["hashes"]
    for name, entry in record["outcomes"].items():
        scaling, metrics = entry["scaling"], record["metrics"]
        assert scaling["sizes"] == [1, 2, 4] and scaling["budgets"]["tokens"] == [2, 4, 12]
        # With one sample every rule gives that sample's answer.
        for rule in ("majority", "best", "weighted"):
            assert metrics[f"{name}/{rule}@1"] == pytest.approx(metrics[f"{name}/accuracy"], abs=1e-3)
            assert metrics[f"{name}/{rule}@4"] <= metrics[f"{name}/pass@4"] + 1e-9
        right = sum(scaling["verifier"]["right"])
        assert metrics[f"{name}/verifier_accuracy"] == pytest.approx(right / 24, abs=1e-5)
    assert not (tmp_path / "checkpoints" / record["key"]).exists()


@pytest.mark.parametrize("name", ["none", "grpo"])
def test_a_kill_inside_the_pool_changes_nothing(ladder_base, tmp_path, monkeypatch, name):  # noqa: F811
    whole = run_trial(config(ladder_base, name), tmp_path / "whole")
    calls = []
    letters = evaluate._letters

    def killed_at_the_seventh_chunk(*arguments):
        calls.append(1)
        if len(calls) == 7:
            raise KeyboardInterrupt
        return letters(*arguments)

    monkeypatch.setattr(evaluate, "_letters", killed_at_the_seventh_chunk)
    monkeypatch.setattr(evaluate, "summarize", None, raising=False)
    changed = dataclasses.replace(config(ladder_base, name), train=dataclasses.replace(config(ladder_base, name).train))
    with pytest.raises(KeyboardInterrupt):
        run_trial(changed, tmp_path / "killed")
    kept = list((tmp_path / "killed").rglob("pool/*/*.json"))
    assert kept
    kept[-1].write_text('{"letters": [')  # torn by the kill: drawn again
    monkeypatch.setattr(evaluate, "_letters", letters)
    drawn = []
    monkeypatch.setattr(evaluate, "_letters", lambda *a: drawn.append(1) or letters(*a))
    again = run_trial(changed, tmp_path / "killed")
    assert as_bytes(again) == as_bytes(whole)
    assert len(drawn) < 2 * 5 + 2 + 3  # not everything was drawn a second time


def test_a_set_without_verify_is_recorded_as_before(ladder_base, tmp_path):  # noqa: F811
    record = run_trial(config(ladder_base, "none", verify=False), tmp_path)
    assert "scaling" not in record["outcomes"]["harder"] and "verdict" not in record["hashes"]
    assert not any("@4" in name and "pass" not in name for name in record["metrics"])


def test_a_tokenizer_without_verdict_tokens_is_refused_before_anything_is_trained(base, tmp_path):
    with pytest.raises(InputError, match="one token for 'Y'") as error:
        run_trial(config(base, task=TASK), tmp_path)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.rglob("checkpoint-*"))


@pytest.mark.parametrize(
    "change,message",
    [
        ({"n": 1, "verify": True}, "verify needs a pool"),
        ({"name": "not a name"}, "is not a name"),
    ],
)
def test_a_set_that_cannot_be_is_one_clear_line(change, message):
    with pytest.raises(InputError, match=message):
        EvaluationSet(**change).validate("evaluation.sets[0]")
