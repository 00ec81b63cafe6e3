from __future__ import annotations

import threading
import time

import pytest
import torch

from moedsr_core.ahead import ahead


def nothing() -> None:
    pass


def test_items_come_in_order_each_computed_while_the_one_before_is_used():
    started = [threading.Event() for _ in range(4)]

    def items():
        for k, event in enumerate(started):
            event.set()
            yield k

    for k, item in enumerate(ahead(items(), nothing, nothing)):
        assert item == k
        if k < 3:
            assert started[k + 1].wait(5)
            assert k == 2 or not started[k + 2].wait(0.02)


def test_what_fails_is_raised_after_the_items_before_it():
    def items():
        yield 1
        raise ValueError("spoilt")

    came = ahead(items(), nothing, nothing)
    assert next(came) == 1
    with pytest.raises(ValueError, match="spoilt"):
        next(came)


def test_a_stop_while_waiting_cuts_the_item_in_progress_short():
    abandoned, ended = threading.Event(), []

    def items():
        if not abandoned.wait(20):
            ended.append("by itself")
        ended.append("cut short")
        yield 1

    def pause() -> None:
        raise InterruptedError

    begun = time.perf_counter()
    with pytest.raises(InterruptedError):
        next(ahead(items(), pause, abandoned.set))
    assert ended == ["cut short"]
    assert time.perf_counter() - begun < 10


def test_items_that_nobody_wants_any_more_are_abandoned_and_finished_ones_are_not():
    abandoned = []
    came = ahead(iter(range(3)), nothing, lambda: abandoned.append(None))
    next(came)
    came.close()
    assert len(abandoned) == 1
    assert list(ahead(iter(range(3)), nothing, lambda: abandoned.append(None))) == [0, 1, 2]
    assert len(abandoned) == 1


def test_what_items_raise_is_their_own_and_abandons_nothing():
    inner, outer = [], []

    def items():
        yield 1
        raise ValueError("spoilt")

    nested = ahead(items(), nothing, lambda: inner.append(None))
    with pytest.raises(ValueError, match="spoilt"):
        list(ahead(nested, nothing, lambda: outer.append(None)))
    assert inner == outer == []


def test_a_limit_on_pytorchs_threads_holds_for_the_items_alone():
    def threads():
        yield torch.get_num_threads()

    def elsewhere() -> int:
        return next(ahead(threads(), nothing, nothing))

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(5)
        assert list(ahead(threads(), nothing, nothing, threads=3)) == [3]
        assert (torch.get_num_threads(), elsewhere()) == (5, 5)
    finally:
        torch.set_num_threads(before)
