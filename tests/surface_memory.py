"""Surfaces of small molecules are sampled once for all tests of a process.

Half of the time of an evaluation of a short chain goes into sampling the same few conformations.
The samples depend on centres and radii alone and are made read-only: who changed them would fail.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

import numpy as np

from moedsr_core.surface import ses
from moedsr_core.surface.probe import ProbeBoundary

SMALL = 300
"""Atoms of the largest molecule that is remembered."""
MANY = 100
"""Conformations remembered at most, some 40 MB."""

Sampling = Callable[[np.ndarray, np.ndarray], ProbeBoundary]


def remember() -> None:
    """Let surfaces be remembered, for as long as this process lives."""
    ses.probe_boundary = remembering(ses.probe_boundary)


def remembering(sample: Sampling) -> Sampling:
    """The function, called once for each small molecule among the latest."""
    known: dict[tuple[bytes, bytes], ProbeBoundary] = {}

    @wraps(sample)
    def call(centers: np.ndarray, radii: np.ndarray) -> ProbeBoundary:
        if len(centers) > SMALL:
            return sample(centers, radii)
        key = centers.tobytes(), radii.tobytes()
        known[key] = found = known.pop(key, None) or read_only(sample(centers, radii))
        if len(known) > MANY:
            del known[next(iter(known))]
        return found

    return call


def read_only(boundary: ProbeBoundary) -> ProbeBoundary:
    """The same samples, whose arrays refuse to be changed."""
    for array in vars(boundary).values():
        array.setflags(write=False)
    return boundary
