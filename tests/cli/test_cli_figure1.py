"""Every verb on an experiment on bandits. The trials are real, few and short; only the workers are left out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from leaderboard_records import checkout

from repro.errors import TrialError
from repro.experiments import registry
from repro.store.published import bundle_path, read_bundle
from repro.training.bandit_trial import run_trial

FIGURE1 = registry.get("figure1")
ARMS = [arm.id for arm in FIGURE1.arms]
MICRO = FIGURE1.scales["micro"]


@pytest.fixture
def small(monkeypatch):
    """figure1 as registered, with 12 bandits and 30 steps, run in this process; returns the ids that ran."""
    scale = replace(MICRO, base={**MICRO.base, "instances": 12}, train={**MICRO.train, "steps": 30})
    scales = dict.fromkeys(FIGURE1.scales, scale)
    monkeypatch.setitem(registry.experiments(), "figure1", replace(FIGURE1, scales=scales))
    ran = []

    def run_trials(configs, root, jobs, data_dir, on_event, **_):
        for config in configs:

            def emit(event):
                if event["event"] == "started":
                    ran.append(event["id"])
                on_event(event)

            try:
                run_trial(config, Path(root), data_dir, emit)
            except TrialError as error:
                on_event({"event": "failed", "id": config.id, "kind": "trial", "message": str(error)})

    monkeypatch.setattr("repro.launch.local.run_trials", run_trials)
    return ran


def test_list_and_show(cli, cli_json):
    listed = {entry["id"]: entry for entry in cli_json("list")["experiments"]}
    assert listed["figure1"]["scales"] == ["smoke", "micro"] and "figure1-tuning" not in listed
    assert [arm["id"] for arm in listed["figure1"]["arms"]] == ARMS
    code, out, _ = cli("show", "figure1")
    assert code == 0 and "task bandit, base tabular, 1 seeds" in out and "claim F1-left-100-loo" in out
    config = cli_json("show", "figure1/pass-biased-k8")["config"]
    assert (config["method"]["variant"], config["train"]["completions_per_step"]) == ("biased", 8)


def test_diff_names_what_two_arms_differ_in(cli_json):
    rows = cli_json("diff", "figure1/mean-k4", "figure1/mean-matched-k4")["differences"]
    assert {row["field"] for row in rows} == {"arm", "method.scale"}


def test_plan_has_no_memory_to_plan(cli, cli_json):
    found = cli_json("plan", "figure1", "--cost")
    assert found["cost"] == [] and found["to_run"] == len(ARMS)
    assert "no language model is trained" in cli("plan", "figure1", "--cost")[1]


def test_run_again_runs_only_what_is_missing(cli, cli_json, small, tmp_path):
    found = cli_json("run", "figure1/mean-k4", "figure1/pass-k4")
    assert small == ["figure1/mean-k4/seed0", "figure1/pass-k4/seed0"]
    (report,) = found["reports"]
    assert {arm["arm"] for arm in report["bandits"]} == {"mean-k4", "pass-k4"}
    assert cli("run", "figure1/mean-k4", "--seeds", "2")[0] == 0
    assert small[2:] == ["figure1/mean-k4/seed1"], "another seed is another block of bandits"
    next((tmp_path / "runs" / "results" / "figure1").glob("pass-k4-*")).unlink()
    cli("run", "figure1/mean-k4", "figure1/pass-k4")
    assert small[3:] == ["figure1/pass-k4/seed0"]
    code, out, _ = cli("status")
    assert code == 0 and "figure1: 3 done, 0 failed" in out and "mean-k4  seed0 done  seed1 done" in out
    assert cli_json("plan", "figure1")["cached"] == 2
    assert cli("doctor")[0] in (0, 1)


def test_changed_runs_are_variants_and_failures_are_told(cli, cli_json, small):
    code, out, err = cli("run", "figure1/pass-k4", "--set", "*.learning_rate=0.5")
    assert code == 0, err
    assert small[0].startswith("figure1@") and small[0].endswith("/pass-k4/seed0")
    code, _, err = cli("run", "figure1/pass-k4", "--set", "*.learning_rate=1e308")
    assert code == 1 and "not finite" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--task", "chain"], "--task and --model do not apply"),
        (["--set", "*.temperature=0.5"], "train.temperature=0.5 does nothing on a bandit"),
        (["--set", "*.objective=majority"], "no answers"),
        (["--set", "*.n=3"], "completions_per_step"),
        (["--set", "*.beta=0.1"], "method.beta"),
        (["--scale", "paper"], "no scale 'paper'"),
    ],
)
def test_bad_input_is_one_line(cli, words, said):
    code, _, err = cli("run", "figure1/pass-k4", *words)
    assert code == 2 and said in err and err.count("\n") == 1


@pytest.mark.slow
def test_publish_and_report(cli, cli_json, small, tmp_path):
    repository = checkout(tmp_path / "checkout")
    cli_json("run", "figure1/mean-k4")
    code, _, err = cli("publish", "--to", repository)
    assert code == 2 and "no finished record of today's definition for seed 0" in err
    cli_json("run", "figure1")
    found = cli_json("publish", "--to", repository)
    assert found["published"] == ["figure1"]
    assert len(read_bundle(bundle_path(repository / "results", "figure1"))) == len(ARMS)
    first = {path: path.read_bytes() for path in repository.rglob("*") if path.is_file()}
    assert {"figure1.md", "figure1_bandit.png", "figure1_k.svg", "figure1_variance.csv"} <= {
        path.name for path in first
    }
    cli_json("publish", "--to", repository, "--only-regenerate")
    assert {path: path.read_bytes() for path in repository.rglob("*") if path.is_file()} == first
    code, out, _ = cli("report", "figure1")
    assert code == 0 and "C4-max-k3" in out and "contradicted" in out
