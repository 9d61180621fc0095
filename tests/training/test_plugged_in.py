"""Trials of methods from outside: their faults end in a failed record, and reading values costs only the prediction."""

from __future__ import annotations

import dataclasses

import pytest
from plugin_files import method_file

from repro import plugins
from repro.errors import TrialError
from repro.methods import configs
from repro.store.records import load_records
from repro.store.workspace import Workspace
from repro.training.trial import run_trial

from .helpers import trial_config

pytestmark = pytest.mark.usefixtures("plugged")


def trial(base, tmp_path, edits: dict[str, str]):
    name = plugins.add("method", str(method_file(tmp_path, edits=edits)))
    entry = configs.to_json(name, configs.build(name))
    return dataclasses.replace(trial_config(base, steps=1, eval_every=0), method=entry)


@pytest.mark.parametrize(
    ("edits", "said"),
    [
        ({"return Credit(advantages,": "return Credit(advantages / 0 * 0,"}, "credit: there is NaN in advantages"),
        ({"return Credit(advantages,": "return Credit(advantages[1:],"}, r"advantages must have shape \(8,\) or"),
        ({"        groups = ": "        batch.mask[:, 0] = False\n        groups = "}, "credit: changed mask"),
        ({"        loss = ": "        micro.weights.zero_()\n        loss = "}, "loss: changed weights"),
        ({"        loss = ": "        raise ValueError("
         "'bad \\ud800')\n        loss = "}, r"ValueError: bad \\ud800 \(mine.py"),
        ({"        groups = ": "        raise SystemExit\n        groups = "}, r"credit: raised SystemExit \(mine.py"),
        ({"        groups = ": "        batch.rewards.data.add_(1)\n        groups = "}, "credit: changed rewards"),
        ({"return loss, {": "return loss, {'group': (loss.detach(), loss.detach()), "}, "a metric called 'group'"),
        ({"        loss = ": "        loss = micro.values + "}, r"TypeError: .*\(mine.py, line \d+\); a tensor"),
    ],
)  # fmt: skip
def test_a_fault_is_a_failed_record_with_one_line(base, tmp_path, edits, said):
    with pytest.raises(TrialError, match=f"method mine: .*{said}"):
        run_trial(trial(base, tmp_path, edits), tmp_path / "runs")
    ((record,), problems) = load_records(Workspace(tmp_path / "runs"))
    assert not problems and record["status"] == "failed"
    assert record["error"]["message"].startswith("method mine: ") and "\n" not in record["error"]["message"]
    assert record["config"]["method"]["source"] == record["provenance"]["plugins"][0]["sha256"]


def test_a_loss_that_reads_values_trains_without_a_predicted_peak(base, tmp_path):
    said: list[dict] = []
    edits = {"        return loss, {": "        assert loss > float('-inf')\n        return loss, {"}
    record = run_trial(trial(base, tmp_path, edits), tmp_path / "runs", emit=said.append)
    assert record["status"] == "done" and record["cost"]["predicted_peak"] is None
    assert any("memory cannot be predicted" in event.get("message", "") for event in said)


def test_a_sound_plug_in_trains(base, tmp_path):
    record = run_trial(trial(base, tmp_path, {}), tmp_path / "runs")
    assert record["status"] == "done" and record["cost"]["predicted_peak"]["total"] > 0
    assert record["health"][0]["logp"] < 0
