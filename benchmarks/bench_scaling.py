"""Scaling curves of a large pool: 500 questions, 512 samples each, 1,000 subsets, N = 1, 2, 4, ... 512.

`pytest benchmarks/bench_scaling.py`; REPRO_BENCH_QUESTIONS=50 for a tenth of it. Time goes with the questions, and with
the number of distinct answers of a question: `few` is a task of numbers, `many` has almost only answers of their own.
`extra_info` holds the processor seconds, the milliseconds per question (wall) and the peak memory that Python allocated
for one question.
"""

import os
import time
import tracemalloc

import numpy as np
import pytest

from repro.evaluation.scaling import curves, powers_of_two

QUESTIONS, POOL, SUBSETS = int(os.environ.get("REPRO_BENCH_QUESTIONS", "500")), 512, 1000


@pytest.mark.parametrize("distinct", [20, 400], ids=["few", "many"])
def test_curves(benchmark, distinct):
    rng = np.random.default_rng(0)
    # Answer 0 is correct with a chance of its own per question; the others share the rest, one in twenty is unparsed.
    answers = rng.integers(1, distinct, (QUESTIONS, POOL))
    answers[rng.random(answers.shape) < rng.random((QUESTIONS, 1))] = 0
    answers[rng.random(answers.shape) < 0.05] = -1
    correct = answers == 0
    scores = np.clip(0.4 + 0.2 * correct + 0.2 * rng.standard_normal(answers.shape), 0, 1)
    sizes = powers_of_two(POOL)

    processor = time.process_time()
    found = benchmark.pedantic(curves, (answers, correct, scores, sizes, SUBSETS), rounds=1)
    processor = time.process_time() - processor
    assert found.weighted.shape == (QUESTIONS, len(sizes))

    tracemalloc.start()
    curves(answers[:1], correct[:1], scores[:1], sizes, SUBSETS)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**30
    benchmark.extra_info["processor_seconds"] = round(processor, 2)
    benchmark.extra_info["milliseconds_per_question"] = round(1000 * benchmark.stats.stats.min / QUESTIONS, 1)
    benchmark.extra_info["peak_mib"] = round(peak / 2**20)
