"""Counter-based random numbers: a draw is a pure function of where it is used, never of what was drawn before.

uniform = Philox(seed, stream, step, prompt id, index, position). The arm is not in the key, so that all arms see the
same noise for the same prompt, and the batch composition, the number of workers and a resume cannot change it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Streams keep the uses of one seed apart. The numbers are part of every stored result: never renumber.
STREAMS = {
    "rollout": 1,
    "evaluate": 2,
    "greedy": 3,
    "dev": 4,
    "order": 5,
    "base": 6,
    "method": 7,
    "stage1": 8,
    "extra": 9,
    "replay": 10,
}

_WORD = (1 << 64) - 1


@dataclass(frozen=True)
class Draw:
    """Where the uniforms of one completion come from (everything but the position)."""

    seed: int
    stream: str
    step: int
    prompt: int
    index: int


def uniforms(draw: Draw, count: int) -> np.ndarray:
    """The uniforms of positions 0 .. count-1 of one completion: (count,) float64 in [0, 1)."""
    bits = np.random.Philox(
        key=np.array([draw.seed & _WORD, STREAMS[draw.stream]], dtype=np.uint64),
        # Word 0 is the running position of the generator itself; it starts at zero.
        counter=np.array([0, draw.index, draw.prompt, draw.step], dtype=np.uint64),
    )
    return np.random.Generator(bits).random(count)


def generator(seed: int, stream: str, *words: int) -> np.random.Generator:
    """A numpy generator that is a function of the seed, the stream and up to three words (epoch, step ...)."""
    if len(words) > 3:
        raise ValueError("at most three words fit the counter")
    counter = [0, *words] + [0] * (3 - len(words))
    key = np.array([seed & _WORD, STREAMS[stream]], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=np.array(counter, dtype=np.uint64)))
