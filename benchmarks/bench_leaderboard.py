"""`repro leaderboard show` against the number of lines: in a fresh interpreter at 10,000, and its growth to 100,000.

`pytest benchmarks/bench_leaderboard.py`; REPRO_BENCH_LINES=10000 leaves the largest out. A leaderboard has 4 groups of
arms with 5 seeds each; those at the top of a group, which are all that is shown, have whole records of 256 questions.
Times are processor seconds, so that a busy machine says much the same as an idle one. `extra_info` holds the seconds
for each number of lines and their ratios: ten times the lines take at most ten times as long, or it fails.
"""

import dataclasses
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import repro
from repro.experiments import registry
from repro.experiments.resolve import resolve
from repro.report.boards import open_board, trials
from repro.report.entries import entries_of
from repro.report.standings import MOST_ROWS, standings
from repro.store import leaderboard
from repro.store.details import Details
from repro.store.entry import GENESIS, encode_line, entry_id
from repro.store.files import write_whole
from repro.store.key import trial_key
from repro.store.records import encode_record

EXPERIMENTS, SEEDS, QUESTIONS = ("table1", "table2", "table3", "table4"), 5, 256
MOST = int(os.environ.get("REPRO_BENCH_LINES", "100000"))
SIZES = [size for size in (100, 1_000, 10_000, 100_000) if size <= MOST]
HASHES = {"base": "b", "template": "t", "prompts": {"chain": "c"}}


def record_of(experiment: str, arm: str, seed: int, share: float) -> dict:
    known = registry.get(experiment)
    config = dataclasses.replace(resolve(known, "micro", known.core_arms[1].id, seed), arm=arm)
    right = np.random.default_rng(seed).random((QUESTIONS, 8)) < share
    outcomes = {
        "questions": [f"chain:{place}" for place in range(QUESTIONS)],
        "levels": ["2"] * QUESTIONS,
        "samples": ["".join("cw"[not one] for one in row) for row in right],
        "greedy": None,
    }
    health = [dict.fromkeys(("reward", "entropy", "kl", "grad_norm", "loss", "length"), 0.123456789)] * 60
    return {
        "schema": 1, "kind": "trial", "key": trial_key(config, HASHES), "id": config.id, "experiment": experiment,
        "scale": "micro", "variant": None, "arm": arm, "seed": seed, "status": "done", "error": None,
        "config": config.to_json(), "hashes": HASHES, "data": [], "metrics": {}, "outcomes": {"chain": outcomes},
        "curve": [], "health": health, "samples": [], "base": {},
        "cost": {"phases": {}, "train_seconds": 20.0, "completions": 6400},
        "provenance": {"finished": "2030-01-01T00:00:00Z", "measured_on": "2 cores", "packages": {}},
    }  # fmt: skip


def made(folder: Path, lines: int) -> Path:
    """A leaderboard of so many lines. Only arms at the top have records; the others share the name of their pack."""
    arms = lines // (len(EXPERIMENTS) * SEEDS)
    entries = []
    for experiment in EXPERIMENTS:
        top = [
            record_of(experiment, f"arm{place:06d}", seed, 0.9 - 0.01 * place)
            for place in range(min(arms, MOST_ROWS))
            for seed in range(SEEDS)
        ]
        own = entries_of(top, Details(folder).keep(encode_record(record) for record in top))
        last = own[-1]
        low = dataclasses.replace(last.scores, sets={"chain": [0.01] * len(last.scores.metrics)})
        for place in range(len(top) // SEEDS, arms):
            own += [
                dataclasses.replace(
                    last, arm=f"arm{place:06d}", seed=seed, scores=low, record=f"{place * SEEDS + seed:064x}"
                )
                for seed in range(SEEDS)
            ]
        entries += own
    path, prev, text = folder / leaderboard.NAME, GENESIS, []
    for entry in entries:
        text.append(encode_line(entry, prev))
        prev = entry_id(entry)
    write_whole(path, b"".join(text))
    return path


@pytest.fixture(scope="module")
def boards(tmp_path_factory) -> dict[int, Path]:
    return {size: made(tmp_path_factory.mktemp(f"lines{size}"), size) for size in SIZES}


def processor_seconds(call, rounds: int) -> float:
    times = []
    for _ in range(rounds):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return min(times)


def test_growth(benchmark, boards):
    """Everything that `show` does but start Python: read and check all lines, rank, read records, bootstrap."""
    seconds = {}
    for size, path in boards.items():

        def show(path=path):
            found, _ = trials([open_board(path)])
            groups = standings(found)
            assert len(groups) == len(EXPERIMENTS) and all(group.rows and not group.problems for group in groups)

        seconds[size] = processor_seconds(show, 3 if size <= 10_000 else 1)
    benchmark.pedantic(show, rounds=1)
    benchmark.extra_info["processor_seconds"] = {size: round(value, 2) for size, value in seconds.items()}
    ratios = {b: round(seconds[b] / seconds[a], 1) for a, b in zip(SIZES, SIZES[1:], strict=False)}
    benchmark.extra_info["ratios"] = ratios
    benchmark.extra_info["peak_rss_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    assert all(ratio < 10 for ratio in ratios.values()), "more than linear"


@pytest.mark.parametrize("size", [size for size in SIZES if size <= 10_000])
def test_show(benchmark, boards, size, tmp_path):
    """The whole command in a fresh interpreter; `processor_seconds` are the child's."""
    environment = {**os.environ, "PYTHONPATH": str(Path(repro.__file__).parents[1])}
    command = [sys.executable, "-m", "repro.cli", "leaderboard", "show", "--file", str(boards[size])]
    spent = []

    def show():
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment, cwd=tmp_path)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)

    benchmark.pedantic(show, rounds=3, warmup_rounds=1)
    benchmark.extra_info["processor_seconds"] = round(min(spent), 2)
