"""Counter-based uniforms. The golden values keep stored results reproducible: if one changes, every record is void."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from repro.sampling.uniforms import STREAMS, Draw, generator, uniforms

HERE = Draw(seed=7, stream="evaluate", step=3, prompt=(1 << 40) | 5, index=2)
GOLDEN = [
    (
        Draw(0, "rollout", 0, 0, 0),
        [0.8133540609793564, 0.7513314251083365, 0.6716490436969984, 0.48312397997727397],
    ),
    (HERE, [0.07532503313862171, 0.4323538031716132, 0.3739877956311256, 0.24803663522394825]),
    (Draw(2**32 - 1, "dev", 99, (3 << 40) | 255, 31), [0.3682772725988257, 0.42100110178104666]),
]


@pytest.mark.parametrize("draw,expected", GOLDEN, ids=["zeros", "middle", "largest"])
def test_golden_values(draw, expected):
    assert uniforms(draw, len(expected)).tolist() == expected


def test_golden_generator():
    assert generator(7, "order", 2).permutation(8).tolist() == [4, 6, 7, 5, 0, 3, 1, 2]
    assert generator(7, "base", 1, 2, 3).random(2).tolist() == [0.2041128441761082, 0.3249014128544546]


def test_stream_numbers_are_never_renumbered():
    """New streams may be added; these numbers are part of every stored result."""
    known = {
        "rollout": 1,
        "evaluate": 2,
        "greedy": 3,
        "dev": 4,
        "order": 5,
        "base": 6,
        "method": 7,
        "stage1": 8,
        "extra": 9,
    }
    assert STREAMS.items() >= known.items()
    assert len(set(STREAMS.values())) == len(STREAMS)


@pytest.mark.parametrize("field,value", [("seed", 8), ("stream", "dev"), ("step", 4), ("prompt", 5), ("index", 3)])
def test_every_part_of_the_key_gives_other_numbers(field, value):
    other = uniforms(dataclasses.replace(HERE, **{field: value}), 64)
    assert not np.isin(other, uniforms(HERE, 64)).any()


def test_neighbouring_completions_share_no_numbers():
    """Word 0 of the counter runs with the position: 300 positions of one completion must not reach the next."""
    rows = [
        uniforms(Draw(0, "rollout", step, prompt, index), 300)
        for step in (0, 1)
        for prompt in (0, 1)
        for index in (0, 1)
    ]
    assert len(np.unique(np.concatenate(rows))) == 8 * 300


def test_a_longer_completion_begins_like_the_shorter_one():
    assert uniforms(HERE, 100)[:7].tolist() == uniforms(HERE, 7).tolist()


def test_numbers_do_not_depend_on_what_was_drawn_before():
    first = uniforms(HERE, 5).tolist()
    np.random.default_rng(0).random(3)
    uniforms(Draw(0, "rollout", 0, 0, 0), 11)
    assert uniforms(HERE, 5).tolist() == first


def test_uniform_in_the_half_open_unit_interval():
    drawn = np.concatenate([uniforms(Draw(0, "rollout", 0, prompt, 0), 50) for prompt in range(400)])
    assert drawn.min() >= 0 and drawn.max() < 1
    counts, _ = np.histogram(drawn, bins=20, range=(0, 1))
    # chi-square with 19 degrees of freedom: 43.8 is its 99.9 % point
    assert ((counts - 1000) ** 2 / 1000).sum() < 43.8
    rows = drawn.reshape(400, 50)
    assert abs(np.corrcoef(rows[:-1].ravel(), rows[1:].ravel())[0, 1]) < 4 / np.sqrt(drawn.size)


def test_generator_words():
    assert generator(0, "order", 1).random() != generator(0, "order", 2).random()
    assert generator(0, "order", 1).random() != generator(0, "base", 1).random()
    with pytest.raises(ValueError, match="three words"):
        generator(0, "order", 1, 2, 3, 4)
