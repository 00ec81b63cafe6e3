"""Small pieces and voids of a level set."""

import numpy as np
import pytest
import torch

from moedsr_core.errors import InputError
from moedsr_core.levelset import LevelSetConfig, LevelSetExtractor
from moedsr_core.surface.parts import remove_small_parts


class Balls:
    """Solid balls with a hollow in the first, as a field that stands still."""

    evaluations = 0

    def __init__(self, radii, hollow):
        self.radii, self.hollow = radii, hollow

    def prepare(self, points):
        x = np.asarray(points, np.float64)
        solid = np.min(
            [np.linalg.norm(x - [10.0 * k, 0, 0], axis=1) - r for k, r in enumerate(self.radii)],
            axis=0,
        )
        value = np.maximum(solid, self.hollow - np.linalg.norm(x, axis=1))
        return {"f": torch.tensor(value, dtype=torch.float32)}

    def values(self, rows, t):
        return rows["f"].numpy()


BOX = (np.array([-7.0, -7, -7]), np.array([27.0, 7, 7]))


def volume(radii, hollow, smallest, mesh="tracked"):
    config = LevelSetConfig(smallest_part=smallest)
    extractor = LevelSetExtractor(Balls(radii, hollow), BOX, 0.5, config=config)
    return next(iter(extractor.frames([0.0], mesh))).volume


def ball(radius):
    return 4 / 3 * np.pi * radius**3


@pytest.mark.parametrize("mesh", ["tracked", "marching_cubes"])
def test_parts_below_the_volume_vanish_and_larger_ones_stay(mesh):
    radii, hollow = (5.0, 3.0, 2.0), 1.5
    everything = ball(5) + ball(3) + ball(2) - ball(1.5)
    assert volume(radii, hollow, 0.0, mesh) == pytest.approx(everything, rel=0.02)
    assert volume(radii, hollow, 60.0, mesh) == pytest.approx(ball(5) + ball(3), rel=0.02)


def test_a_void_above_the_volume_stays():
    assert volume((5.0,), 3.0, 60.0) == pytest.approx(ball(5) - ball(3), rel=0.03)


def test_the_largest_piece_stays_however_small():
    assert volume((2.0, 1.5), 0.0, 1e6) == pytest.approx(ball(2), rel=0.08)


def test_an_empty_field_is_left_alone():
    values = np.ones((4, 4, 4), np.float32)
    remove_small_parts(values, 0.5, 100.0)
    assert (values == 1).all()


def test_impossible_volumes_are_refused():
    with pytest.raises(InputError, match="smallest_part"):
        LevelSetConfig(smallest_part=-1.0)
