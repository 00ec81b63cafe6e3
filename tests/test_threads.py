from __future__ import annotations

import os

import numpy as np
import pytest

from moedsr_core.errors import InputError
from moedsr_core.threads import SEARCH_THREADS, in_threads, search_threads


def test_few_points_are_searched_by_one_thread_and_many_by_all_that_are_allowed(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.delenv(SEARCH_THREADS, raising=False)
    assert [search_threads(n) for n in (0, 100, 9000, 10**6)] == [1, 1, 2, 8]
    monkeypatch.setenv(SEARCH_THREADS, "3")
    assert [search_threads(n) for n in (100, 10**6)] == [1, 3]


def test_a_number_of_threads_that_is_none_is_refused(monkeypatch):
    monkeypatch.setenv(SEARCH_THREADS, "many")
    with pytest.raises(InputError, match="whole number"):
        search_threads(10)


@pytest.mark.parametrize("threads", ["1", "2"])
@pytest.mark.parametrize("n", [0, 5, 8192, 20_000])
def test_blocks_give_what_all_points_at_once_give(threads, n, monkeypatch):
    monkeypatch.setenv(SEARCH_THREADS, threads)
    x = np.random.default_rng(0).normal(size=(n, 3))
    sizes = []

    def measure(block: np.ndarray) -> np.ndarray:
        sizes.append(len(block))
        return block.sum(axis=1)

    np.testing.assert_array_equal(in_threads(measure, x), x.sum(axis=1))
    assert sum(sizes) == n and max(sizes, default=0) <= 8192
