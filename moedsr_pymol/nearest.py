"""Nearest points, with numpy alone."""

from __future__ import annotations

import numpy as np

CELL = 2.0
"""Edge of a cell [Å]; mesh points are about 1 Å apart and seldom move further."""
_CHUNK = 256


def nearest(points: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Index of the target nearest to each point.

    Targets are sorted into cells, and each point looks into the 27 around it. That settles the
    matter where a target lies within one cell's edge; the other points look at all targets.

    Args:
        points: Query positions [Å], (n, 3).
        targets: Positions to choose from [Å], (m, 3) with m > 0.

    Returns:
        Indices into ``targets``, (n,).
    """
    best = np.full(len(points), np.inf)
    index = np.zeros(len(points), np.int64)
    order, starts, ends = _cells(points, targets)
    for neighbour in range(27):
        at, end = starts[neighbour].copy(), ends[neighbour]
        left = np.flatnonzero(at < end)
        while len(left):
            candidate = order[at[left]]
            distance = ((points[left] - targets[candidate]) ** 2).sum(axis=1)
            closer = distance < best[left]
            best[left[closer]], index[left[closer]] = distance[closer], candidate[closer]
            at[left] += 1
            left = left[at[left] < end[left]]
    far = np.flatnonzero(best > CELL**2)
    for chunk in np.split(far, range(_CHUNK, len(far), _CHUNK)):
        distances = ((points[chunk, None] - targets[None]) ** 2).sum(axis=2)
        index[chunk] = distances.argmin(axis=1)
    return index


def _cells(points: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Targets in order of their cells, and where each point's 27 cells start and end in it."""
    low = np.minimum(points.min(axis=0), targets.min(axis=0)) - CELL
    shape = ((np.maximum(points.max(axis=0), targets.max(axis=0)) - low) // CELL + 2).astype(int)
    weights = np.array([shape[1] * shape[2], shape[2], 1])
    keys = ((targets - low) // CELL).astype(np.int64) @ weights
    order = np.argsort(keys, kind="stable")
    shifts = np.array(np.meshgrid(*[(-1, 0, 1)] * 3)).reshape(3, 27).T @ weights
    wanted = ((points - low) // CELL).astype(np.int64) @ weights + shifts[:, None]
    found = keys[order]
    return order, np.searchsorted(found, wanted), np.searchsorted(found, wanted, side="right")
