"""Which prompts a generation batch holds is a pure function of the seed and the batch's number."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repro.training.prompt_order import PromptOrder, batch_rows, epoch_order

sizes = st.integers(1, 30)


def batches(order: PromptOrder) -> np.ndarray:
    """(batches, repeats, prompts per batch, group size)"""
    return np.array(list(order)).reshape(order.batches, order.repeats, order.prompts_per_batch, order.group_size)


def test_golden_order():
    """Stored records depend on it."""
    assert epoch_order(7, 2, 8).tolist() == [4, 6, 7, 5, 0, 3, 1, 2]


def test_epochs_and_seeds_differ():
    orders = [tuple(epoch_order(seed, epoch, 20)) for seed in (0, 1) for epoch in (0, 1, 2)]
    assert len(set(orders)) == 6
    assert tuple(epoch_order(1, 2, 20)) == orders[-1]


@given(seed=st.integers(0, 2**32 - 1), prompts=sizes, per_batch=sizes)
def test_every_prompt_once_per_epoch(seed, prompts, per_batch):
    count = 3 * prompts // per_batch + 2
    stream = np.concatenate([batch_rows(seed, batch, prompts, per_batch) for batch in range(count)])
    for epoch in range(3):
        assert stream[epoch * prompts : (epoch + 1) * prompts].tolist() == epoch_order(seed, epoch, prompts).tolist()
        assert sorted(epoch_order(seed, epoch, prompts)) == list(range(prompts))


def test_a_batch_that_straddles_two_epochs():
    """10 prompts, 4 a batch: batch 2 takes the last two of epoch 0 and the first two of epoch 1."""
    rows = batch_rows(5, 2, 10, 4).tolist()
    assert rows == [*epoch_order(5, 0, 10)[8:], *epoch_order(5, 1, 10)[:2]]


def test_a_batch_larger_than_the_prompts():
    assert sorted(batch_rows(5, 0, 3, 6).tolist()) == [0, 0, 1, 1, 2, 2]


@given(
    prompts=sizes,
    per_batch=st.integers(1, 6),
    group=st.integers(1, 4),
    count=st.integers(0, 5),
    repeats=st.integers(1, 3),
)
def test_the_sampler_yields_groups_in_a_row_and_each_batch_repeated(prompts, per_batch, group, count, repeats):
    order = PromptOrder(3, prompts, per_batch, group, count, repeats)
    assert len(order) == len(list(order)) == count * repeats * per_batch * group
    for number, copies in enumerate(batches(order)):
        assert (copies == batch_rows(3, number, prompts, per_batch)[None, :, None]).all()


@pytest.mark.parametrize("start", [1, 4, 7])  # 7: in the third epoch
def test_a_resumed_training_sees_the_rest_of_the_same_order(start):
    """transformers skips what was trained on: the tail must not depend on whether the head was read."""
    order = PromptOrder(3, 8, 3, 2, 9, 2)
    rest = batches(order)[start:, 0, :, 0]
    list(order)  # a first reading leaves nothing behind
    assert batches(order)[start:, 0, :, 0].tolist() == rest.tolist()
    assert rest.tolist() == [batch_rows(3, batch, 8, 3).tolist() for batch in range(start, 9)]
