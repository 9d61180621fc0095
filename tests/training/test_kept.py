"""An evaluation that was killed goes on where it stopped, and ends as an uninterrupted one."""

import dataclasses
import json

import pytest

from repro.store.config import EvaluationSet
from repro.store.record import strip_measured
from repro.training.evaluate import Policy
from repro.training.kept import Kept
from repro.training.trial import run_trial

from .helpers import trial_config


def config(base, **changes):
    plain = trial_config(base, "none", steps=0, eval_every=0)
    sets = (EvaluationSet(n=4, vote=True, lenient=True),)
    return dataclasses.replace(plain, evaluation=dataclasses.replace(plain.evaluation, sets=sets, **changes))


def content(record) -> str:
    return json.dumps(strip_measured(record), sort_keys=True)


@pytest.mark.parametrize("calls", [1, 3, 4])  # of 16 x 4 samples in batches of 16; the last one is greedy
def test_a_killed_evaluation_goes_on(base, tmp_path, monkeypatch, calls):
    whole = run_trial(config(base), tmp_path / "whole")
    real, sampled = Policy.complete, []

    def dying(policy, prompts, *rest):
        if len(sampled) == calls:
            raise KeyboardInterrupt
        sampled.append(len(prompts))
        return real(policy, prompts, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(Policy, "complete", dying)
        with pytest.raises(KeyboardInterrupt):
            run_trial(config(base), tmp_path / "run")
    left = []
    monkeypatch.setattr(Policy, "complete", lambda *rest: left.append(1) or real(*rest))
    events = []
    again = run_trial(config(base), tmp_path / "run", emit=events.append)
    assert len(left) == 5 - calls, "nothing is sampled twice"
    assert content(again) == content(whole)
    assert (whole["cost"]["resumed"], again["cost"]["resumed"]) == (0, 1)
    assert again["cost"]["phases"]["evaluate"]["tokens"] == whole["cost"]["phases"]["evaluate"]["tokens"]
    assert any(event.get("message") == "evaluate chain, 80 of 80 completions" for event in events)
    assert not any((tmp_path / "run" / "checkpoints").iterdir()), "the record takes their place"


def test_a_torn_part_is_sampled_again(tmp_path):
    told = []
    kept = Kept(tmp_path, told.append)
    kept.add("00000", [[1, 2], [3]])
    (tmp_path / "00001.json").write_text("[[1,")
    again = Kept(tmp_path, told.append)
    assert again.load("00000") == [[1, 2], [3]] and again.load("00001") is None and again.load("00002") is None
    assert (again.rows, again.found, told) == (2, 2, [2, 2])


def test_every_completion_is_kept_where_asked_for(base, tmp_path):
    few, every = (run_trial(config(base, completions=which), tmp_path) for which in ("few", "all"))
    assert few["key"] != every["key"] and few["outcomes"] == every["outcomes"]
    assert len(few["samples"]) == 16 and len(every["samples"]) == 16 * 4
    letters = "".join(sample["outcome"] for sample in every["samples"])
    assert letters == "".join(every["outcomes"]["chain"]["samples"])
    assert [sample["question"] for sample in every["samples"]][::4] == every["outcomes"]["chain"]["questions"]
    assert every["samples"][::4] == few["samples"]


def test_a_trained_trial_keeps_nothing_of_its_evaluation(base, tmp_path, coin_rewards, monkeypatch):
    monkeypatch.setattr(Kept, "add", lambda *_: pytest.fail("kept"))
    run_trial(trial_config(base, "grpo", steps=1), tmp_path)
