"""Data-parallel training: two processes learn what one learns (gradients averaged, whole batches credited)."""

import json

import pytest
from e2e_command import run

WORDS = ["run", "table1", "--arms", "tbrm-n4,grpo-n4", "--scale", "smoke", "--jobs", "1", "--set", "*.micro_batch=2"]


def records(folder) -> dict[str, dict]:
    found = [json.loads(path.read_text()) for path in (folder / "runs" / "results").glob("*/*.json")]
    return {record["arm"]: record for record in found if record["kind"] == "trial"}


@pytest.mark.slow
def test_two_processes_learn_what_one_learns(tmp_path):
    # GRPO at one minibatch: with several, each process takes its own rows into the first minibatch.
    words = [*WORDS, "--set", "grpo-n4.minibatches=1", "--root", "runs"]
    run(words, tmp_path / "one")
    run([*words, "--set", "*.processes=2"], tmp_path / "two")
    one, two = records(tmp_path / "one"), records(tmp_path / "two")
    assert set(one) == set(two) == {"tbrm-n4", "grpo-n4"}
    for arm in one:
        assert len(one[arm]["health"]) == len(two[arm]["health"]) > 0
        for alone, shared in zip(one[arm]["health"], two[arm]["health"], strict=True):
            for name in ("reward", "length", "entropy", "kl", "grad_norm", "loss"):
                assert shared[name] == pytest.approx(alone[name], rel=1e-3, abs=1e-5), (arm, name)
