"""Scores of one frame's shown surfaces, on balls whose volume and pieces are known."""

from __future__ import annotations

import numpy as np
import pytest

from moedsr_core.evaluation.conventions import SHAPE_METRICS
from moedsr_core.evaluation.shape import shape_scores
from moedsr_core.metrics.occupancy import Grid

GRID = Grid.around(np.full(3, -12.0), np.full(3, 12.0), 0.5)
NODES = GRID.nodes(np.arange(np.prod(GRID.shape)))


def ball(radius, x=0.0):
    return (np.linalg.norm(NODES - [x, 0.0, 0.0], axis=1) - radius).reshape(GRID.shape)


@pytest.fixture(scope="module")
def scores():
    shown = {
        "static": ball(4.0),
        "twice": np.minimum(ball(4.0, -6.0), ball(4.0, 6.0)),
        "grown": ball(5.0),
        "nothing": np.full(GRID.shape, 3.0),
    }
    return shape_scores(shown, ball(4.0), GRID, 20.0, "surface", (0, 0))


def test_the_volume_is_told_over_that_of_the_first_surface(scores):
    assert scores["static"]["volume_ratio"] == 1.0
    assert scores["twice"]["volume_ratio"] == pytest.approx(2.0, rel=0.01)
    assert scores["grown"]["volume_ratio"] == pytest.approx((5 / 4) ** 3, rel=0.02)


def test_pieces_are_counted(scores):
    assert {name: one["parts"] for name, one in scores.items()} == {
        "static": 1, "twice": 2, "grown": 1, "nothing": 0,
    }  # fmt: skip


def test_a_surface_that_is_not_there_overlaps_nothing_and_has_no_distance(scores):
    assert scores["nothing"]["iou"] == scores["nothing"]["volume_ratio"] == 0.0
    assert np.isnan(scores["nothing"]["chamfer_A"])
    assert set(scores["nothing"]) == set(SHAPE_METRICS)


def test_the_true_surface_is_met_by_itself_and_a_larger_ball_lies_around_it(scores):
    assert scores["static"]["iou"] == 1.0
    assert scores["grown"]["chamfer_A"] == pytest.approx(1.0, abs=0.05)
