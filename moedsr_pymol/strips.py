"""Triangle strips: the same mesh in less than half the numbers.

A CGO has no index list: a triangle takes three corners of twelve numbers. Along a strip each
triangle after the first adds one corner, so building, loading and scanning a state get cheaper
by about the length of what is saved.
"""

from __future__ import annotations

import numpy as np


def triangle_strips(faces: np.ndarray) -> list[list[int]]:
    """Cover a mesh with strips, each face once.

    Triangle k of a strip is its corners k, k+1, k+2; odd ones wind the other way round, as
    OpenGL's ``GL_TRIANGLE_STRIP`` expects.

    Args:
        faces: Vertex indices of each triangle, int (faces, 3).

    Returns:
        Vertex indices of each strip.
    """
    triangles = faces.tolist()
    across = {}
    for index, (a, b, c) in enumerate(triangles):
        across[a, b] = (c, index)
        across[b, c] = (a, index)
        across[c, a] = (b, index)
    used = bytearray(len(triangles))
    strips = []
    for index, (a, b, c) in enumerate(triangles):
        if used[index]:
            continue
        used[index] = 1
        trials = [_follow(start, across, used) for start in ((a, b, c), (b, c, a), (c, a, b))]
        strip, members = max(trials, key=lambda trial: len(trial[1]))
        for member in members:
            used[member] = 1
        strips.append(strip)
    return strips


def _follow(start: tuple[int, ...], across: dict, used: bytearray) -> tuple[list[int], set[int]]:
    """Extend a strip from one triangle until the way is blocked, then from its other end."""
    strip, members = list(start), set()  # type: tuple[list[int], set[int]]
    _extend(strip, members, across, used)
    if len(strip) % 2 == 0:  # an even number of triangles winds the same way when reversed
        strip.reverse()
        _extend(strip, members, across, used)
    return strip, members


def _extend(strip: list[int], members: set[int], across: dict, used: bytearray) -> None:
    while True:
        # The next triangle is number len(strip) - 2: an odd one runs along the last edge reversed.
        edge = (strip[-1], strip[-2]) if len(strip) % 2 else (strip[-2], strip[-1])
        found = across.get(edge)
        if found is None or used[found[1]] or found[1] in members:
            return
        members.add(found[1])
        strip.append(found[0])
