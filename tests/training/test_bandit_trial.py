"""One bandit trial from config to record: complete, cached, equal to the bit, and light."""

from __future__ import annotations

import subprocess
import sys

import pytest

from repro.errors import TrialError
from repro.experiments import registry
from repro.experiments.resolve import parse_changes, resolve
from repro.store.record import strip_measured
from repro.store.records import encode_record, load_records
from repro.store.workspace import Workspace
from repro.training.bandit_trial import run_trial

FIGURE1 = registry.get("figure1")


def config(arm="pass-k4", seed=0, *sets):
    return resolve(FIGURE1, "smoke", arm, seed, parse_changes(sets or ("*.steps=120",)))


def test_a_trial_leaves_a_whole_record_and_is_cached(tmp_path):
    events = []
    record = run_trial(config(), tmp_path, emit=events.append)
    (stored,), problems = load_records(Workspace(tmp_path))
    assert stored == record and not problems and encode_record(record)
    bandit = record["bandit"]
    assert (record["kind"], record["status"], record["outcomes"]) == ("trial", "done", {})
    assert (bandit["actions"], bandit["instances"], bandit["k"], bandit["steps"][-1]) == (100, 20, 4, 120)
    names = [f"{name}@{step}" for step in (10, 100, 120) for name in ("mean_reward", "max@4", "kl")]
    assert list(bandit["values"]) == [*names, *(f"reward_at_kl@{n}" for n in (1, 2, 3)), "variance"]
    assert record["metrics"]["bandit/mean_reward@120"] == pytest.approx(
        bandit["curves"]["mean_reward"]["mean"][-1], abs=1e-4
    )
    assert record["cost"]["completions"] == 120 * 4 * 20 and record["cost"]["predicted_peak"] is None
    assert [e["event"] for e in events][:1] == ["started"] and events[-1]["event"] == "done"
    assert all(e["id"] == record["id"] for e in events) and events[-2]["total"] == 120
    again = []
    assert run_trial(config(), tmp_path, emit=again.append) == record
    assert [e["event"] for e in again] == ["cached"]


def test_two_runs_agree_and_seeds_and_arms_do_not(tmp_path):
    one, two = (run_trial(config(), tmp_path / name) for name in "ab")
    assert strip_measured(one) == strip_measured(two)
    other, rival = run_trial(config(seed=1), tmp_path / "a"), run_trial(config("mean-k4"), tmp_path / "a")
    assert len({one["key"], other["key"], rival["key"]}) == 3
    assert one["bandit"]["values"] != other["bandit"]["values"]
    assert one["bandit"]["curves"]["mean_reward"]["mean"][0] == rival["bandit"]["curves"]["mean_reward"]["mean"][0], (
        "all arms meet the same bandits"
    )


def test_a_matched_scale_multiplies_the_variance_by_k_squared(tmp_path):
    plain, matched = (run_trial(config(arm), tmp_path)["bandit"] for arm in ("mean-k4", "mean-matched-k4"))
    assert matched["bounded_variance"] == pytest.approx(16 * plain["bounded_variance"])
    assert matched["values"]["variance"] == pytest.approx([16 * v for v in plain["values"]["variance"]], rel=1e-4)


def test_a_failed_trial_leaves_its_record(tmp_path):
    bad = config("pass-k4", 0, "*.learning_rate=1e308")
    with pytest.raises(TrialError, match="figure1.*not finite"):
        run_trial(bad, tmp_path)
    (stored,), _ = load_records(Workspace(tmp_path))
    assert stored["status"] == "failed" and stored["error"]["step"] and "bandit" not in stored


def test_a_bandit_loads_no_trainer():
    code = (
        "import sys, repro.training.bandit_trial\n"
        "print([m for m in ('transformers', 'trl', 'pandas', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
