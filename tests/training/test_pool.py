"""The sampling pool: judged, scored, and taken up again where a kill left it, to the bit."""

from __future__ import annotations

import dataclasses
import json

import pytest

from repro.errors import InputError
from repro.methods.configs import build, to_json
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


JUDGES = {
    "none": None,
    "grpo": {"name": "grpo", "n": 4},
    "policy": {"name": "grpo-v", "n": 4},
    "head": {"name": "grpo-v", "n": 4, "verifier": "head"},
    "separate": {"name": "grpo-v", "n": 4, "verifier": "separate"},
}
CHUNKS = 5 + 2 + 5  # two sets of 6 questions x 4 samples in fives, and the first one's greedy answers
DEV = 2 * 2  # two curve points of 8 questions in fives


@pytest.mark.parametrize("name", JUDGES)
def test_a_kill_inside_the_pool_changes_nothing_and_costs_nothing_twice(ladder_base, tmp_path, monkeypatch, name):  # noqa: F811
    chosen = JUDGES[name]
    trial = config(ladder_base, "none" if chosen is None else "grpo")
    if chosen is not None:
        options = {key: value for key, value in chosen.items() if key != "name"}
        trial = dataclasses.replace(trial, method=to_json(chosen["name"], build(chosen["name"], options)))
    whole = run_trial(trial, tmp_path / "whole")
    before = 0 if chosen is None else DEV  # calls of a trained trial before its sets
    calls, letters = [], evaluate._letters

    def killed_in_the_second_set(*arguments):
        calls.append(1)
        if len(calls) == before + 10:
            raise KeyboardInterrupt
        return letters(*arguments)

    monkeypatch.setattr(evaluate, "_letters", killed_in_the_second_set)
    with pytest.raises(KeyboardInterrupt):
        run_trial(trial, tmp_path / "killed")
    kept = sorted((tmp_path / "killed").rglob("pool/*/*.json"))
    assert len(kept) == 5 + 2
    kept[-1].write_text('{"letters": [')  # torn by the kill: drawn again
    drawn = []
    monkeypatch.setattr(evaluate, "_letters", lambda *a: drawn.append(1) or letters(*a))
    again = run_trial(trial, tmp_path / "killed")
    assert as_bytes(again) == as_bytes(whole)
    assert len(drawn) == CHUNKS - (len(kept) - 1)


def test_chunks_of_a_training_that_starts_afresh_are_not_used(ladder_base, tmp_path):  # noqa: F811
    """Without a checkpoint the weights are trained anew, and samples of other weights must not be mixed in."""
    trial = config(ladder_base)
    key = run_trial(trial, tmp_path / "first")["key"]
    stale = tmp_path / "second" / "checkpoints" / key / "pool" / "harder"
    stale.mkdir(parents=True)
    (stale / "00000.json").write_text("{}")
    assert run_trial(trial, tmp_path / "second")["status"] == "done"


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
        ({"name": "dev"}, "choose another name"),
    ],
)
def test_a_set_that_cannot_be_is_one_clear_line(change, message):
    with pytest.raises(InputError, match=message):
        EvaluationSet(**change).validate("evaluation.sets[0]")
