"""The timing pass: what a round holds, and the share of stage 1 that a step is charged."""

from __future__ import annotations

import dataclasses
import time

import pytest

from repro.cost import device as device_module
from repro.cost.phases import PhaseTimer
from repro.methods.configs import build, to_json
from repro.store.record import check_record
from repro.store.records import load_records
from repro.store.workspace import Workspace
from repro.training import stage1
from repro.training.timing import run_timing

from .helpers import trial_config


def configs(base):
    """GRPO with 4 rollouts per prompt beside A*-PO with one, 4 samples in stage 1 and 2 of 8 completions."""
    found = {name: dataclasses.replace(trial_config(base, name), scale="smoke") for name in ("grpo", "astar-po")}
    other = to_json("astar-po", build("astar-po", {"samples": 2, "n": 2, "beta1": "mean"}))
    found["pairs"] = dataclasses.replace(found["astar-po"], arm="pairs", method=other)
    return found


def timed(base, root, events=None):
    return run_timing(configs(base), root, None, (events if events is not None else []).append)


def test_a_round_is_complete(base, tmp_path, coin_rewards):
    record = timed(base, tmp_path)
    check_record(record)
    assert load_records(Workspace(tmp_path))[0] == [record]
    device = record["timing"]["device"]
    assert device["flops"] > 1e8 and device["name"] and "matmul" in device["how"]
    for mode in ("prompts_equal", "completions_equal"):
        assert set(record["timing"][mode]) == {"grpo", "astar-po", "pairs"}
        for arm, entry in record["timing"][mode].items():
            assert len(entry["rounds"]) == 2
            for row in entry["rounds"]:
                assert set(row["phases"]) <= set(row["tokens"]) and set(row["phases"]) <= set(row["flops"])
                assert 0 < sum(row["phases"].values()) <= row["seconds"]
                assert row["tokens"]["generate"] == row["tokens"]["credit"] > 0
                for phase in ("generate", "update"):
                    assert 0 < row["flops"][phase] / row["phases"][phase] < 10 * device["flops"]
                assert ("stage1_seconds" in row) == ("stage1" in row["tokens"]) == (arm != "grpo")
                assert "stage1" not in row["phases"]
    prompts = {arm: entry["rounds"][0]["prompts"] for arm, entry in record["timing"]["prompts_equal"].items()}
    assert prompts == {"grpo": 8, "astar-po": 8, "pairs": 8}
    prompts = {arm: entry["rounds"][0]["prompts"] for arm, entry in record["timing"]["completions_equal"].items()}
    assert prompts == {"grpo": 2, "astar-po": 8, "pairs": 4}


def test_the_share_of_stage_1(base, tmp_path, coin_rewards, monkeypatch):
    """Every completion of a chunk costs 2 s, 3 tokens and 5 FLOPs: the share follows from the settings alone."""
    timed(base, tmp_path)  # stage 1 is stored now
    drawn = []

    def draw(sampler, rows):
        drawn.append((sampler.setup.config.arm, rows))
        time.sleep(0.3)
        timer = PhaseTimer()
        with timer.phase("stage1", tokens=3 * len(rows)) as cost:
            cost.flops = 5.0 * len(rows)
        return "0" * len(rows), {**timer.to_json()["stage1"], "seconds": 2.0 * len(rows)}

    monkeypatch.setattr(stage1.Sampler, "draw", draw)
    record = timed(base, tmp_path)
    # 24 prompts; 4 steps of 8 prompts (astar-po, N = 4) or of 4 prompts (pairs, N = 2).
    expected = {
        ("prompts_equal", "astar-po"): 8 * 4 * 24 / (4 * 8),
        ("completions_equal", "astar-po"): 8 * 4 * 24 / (4 * 8),
        ("prompts_equal", "pairs"): 8 * 2 * 24 / (4 * 4),
        ("completions_equal", "pairs"): 4 * 2 * 24 / (4 * 4),
    }
    for (mode, arm), completions in expected.items():
        for row in record["timing"][mode][arm]["rounds"]:
            assert row["stage1_seconds"] == pytest.approx(2 * completions)
            assert row["tokens"]["stage1"] == round(3 * completions)
            assert row["flops"]["stage1"] == pytest.approx(5 * completions)
            assert row["seconds"] < 0.3, "the chunk's own time is no part of the step"
    chunks = [rows for arm, rows in drawn if arm == "astar-po"]
    assert len(chunks) == 2 * 3 and all(len(rows) == 16 for rows in chunks)  # two settings, a warm-up and two rounds
    assert chunks[0] != chunks[1] != chunks[2]
    assert [arm for arm, _ in drawn][:4] == ["astar-po", "pairs", "astar-po", "pairs"], "interleaved as the steps are"


@pytest.mark.slow
def test_a_stored_stage_1_is_read(base, tmp_path, coin_rewards, monkeypatch):
    timed(base, tmp_path)
    fill = []
    monkeypatch.setattr(stage1, "_fill", lambda *arguments: fill.append(1))
    timed(base, tmp_path)
    assert not fill


def test_an_arm_that_fails_is_named(base, tmp_path, coin_rewards, monkeypatch):
    timed(base, tmp_path)
    monkeypatch.setattr(stage1.Sampler, "draw", lambda self, rows: 1 / 0)
    with pytest.raises(Exception, match=r"timing: (astar-po|pairs): ZeroDivisionError"):
        timed(base, tmp_path)


def test_known_cards_by_whole_words(monkeypatch):
    monkeypatch.setattr(device_module, "_measured", lambda *arguments: 7.0)
    peaks = {
        ("NVIDIA H100 80GB HBM3", "bf16"): 989.4e12,
        ("NVIDIA H100 PCIe", "bf16"): 756e12,
        ("NVIDIA A100-SXM4-80GB", "bf16"): 312e12,
        ("NVIDIA A100-SXM4-80GB", "fp32"): 19.5e12,
        ("NVIDIA A10G", "bf16"): 70e12,
        ("NVIDIA L40S", "bf16"): 362e12,
        ("NVIDIA L4", "bf16"): 121e12,
        ("NVIDIA L40", "bf16"): 7.0,
        ("Some Card", "fp32"): 7.0,
    }
    assert {key: device_module.card(*key)["flops"] for key in peaks} == peaks
    assert "measured" in device_module.card("Some Card", "fp32")["how"]
