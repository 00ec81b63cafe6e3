"""Small solid pieces and small voids of a sampled field, and how they are taken away."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

SMALLEST_PART = 60.0
"""Smallest piece or closed void that is shown [Å³]: about the volume of a glycine, or of two
waters. A side chain that thins out leaves smaller crumbs, which no molecule does."""
_AWAY = 3.0
"""Distance from the surface that the nodes of a removed part are given, in spacings: enough that
a mesh that had vertices there notices."""


def remove_small_parts(values: Float[np.ndarray, "x y z"], spacing: float, smallest: float) -> None:
    """Turn solid pieces and closed voids below a volume into their surroundings, in place.

    The largest solid piece stays however small it is, and so does the void around everything.

    Args:
        values: Field at the nodes [Å], negative inside.
        spacing: Distance between nodes [Å].
        smallest: Least volume of a part that stays [Å³].
    """
    least = smallest / spacing**3
    for inside, beyond in ((values < 0, _AWAY * spacing), (values >= 0, -_AWAY * spacing)):
        small = _small(inside, least)
        if small is not None:
            values[small] = beyond


def _small(inside: Bool[np.ndarray, "x y z"], least: float) -> Bool[np.ndarray, "x y z"] | None:
    """Nodes of all parts but the largest that have fewer than ``least`` nodes; None if no part."""
    labels, count = ndimage.label(inside)
    if count < 2:
        return None
    sizes = np.bincount(labels.ravel())
    small = sizes < least
    small[0] = False
    small[1 + int(sizes[1:].argmax())] = False
    return small[labels] if small.any() else None
