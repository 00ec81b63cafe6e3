"""Which frames of which proteins a step sees."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from moedsr_core.errors import InputError
from moedsr_core.training.order import EpochOrder

FRAMES = [5, 3, 4, 1]


def seen(order: EpochOrder, epoch: int) -> Counter:
    steps = range(epoch * order.steps_per_epoch, (epoch + 1) * order.steps_per_epoch)
    return Counter(
        (example.protein, frame)
        for step in steps
        for example in order.batch(step)
        for frame in example.frames.tolist()
    )


@pytest.mark.parametrize(("per_example", "batch"), [(1, 1), (1, 3), (2, 2), (10, 2)])
def test_an_epoch_sees_every_frame_of_every_protein_once(per_example, batch):
    order = EpochOrder(FRAMES, per_example, batch, seed=0)
    everything = Counter((p, k) for p, n in enumerate(FRAMES) for k in range(n))
    assert seen(order, 0) == everything
    assert seen(order, 3) == everything


def test_proteins_of_a_batch_differ_while_there_are_enough_of_them():
    order = EpochOrder([6] * 8, 2, 4, seed=0)
    for step in range(3 * order.steps_per_epoch):
        proteins = [example.protein for example in order.batch(step)]
        assert len(set(proteins)) == len(proteins) == 4


def test_a_batch_follows_from_seed_and_number_alone():
    forwards = EpochOrder(FRAMES, 1, 2, seed=7)
    backwards = EpochOrder(FRAMES, 1, 2, seed=7)
    numbers = range(3 * forwards.steps_per_epoch)
    there = {n: forwards.batch(n) for n in numbers}
    back = {n: backwards.batch(n) for n in reversed(numbers)}
    for n in numbers:
        for a, b in zip(there[n], back[n], strict=True):
            assert a.protein == b.protein
            assert np.array_equal(a.frames, b.frames)


def test_two_epochs_and_two_seeds_come_in_different_orders():
    def proteins(seed, epoch):
        order = EpochOrder([9] * 9, 1, 81, seed)
        return [example.protein for example in order.batch(epoch)]

    assert proteins(0, 0) != proteins(0, 1)
    assert proteins(0, 0) != proteins(1, 0)


@pytest.mark.parametrize("frames", [[], [3, 0]])
def test_proteins_without_frames_are_refused(frames):
    with pytest.raises(InputError, match="at least one frame each"):
        EpochOrder(frames, 1, 1, 0)


@pytest.mark.parametrize(("per_example", "batch"), [(0, 1), (1, 0)])
def test_empty_batches_are_refused(per_example, batch):
    with pytest.raises(InputError, match="at least one"):
        EpochOrder([3], per_example, batch, 0)
