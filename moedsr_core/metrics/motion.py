"""Whether a prediction moves where the molecule does, and the best that a still shape can do."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import rankdata

from moedsr_core.errors import InputError


def surface_rmsf(distances: Float[np.ndarray, "frames n"]) -> Float[np.ndarray, " n"]:
    """Standard deviation over frames of the signed distance at fixed points [Å].

    At points of the first surface this is how much the surface fluctuates there, the quantity
    that ``MeshTrajectory.fluctuation`` holds for a prediction.

    Raises:
        InputError: If there are fewer than two frames.
    """
    if len(distances) < 2:
        raise InputError(f"a fluctuation needs at least two frames, got {len(distances)}")
    return np.asarray(distances, np.float64).std(axis=0)


def correlation(
    predicted: Float[np.ndarray, " m"], true: Float[np.ndarray, " n"], *, ranks: bool = False
) -> float:
    """Pearson's correlation of two per-vertex quantities; Spearman's with ``ranks``.

    Returns:
        Number in [-1, 1]; NaN where one of them is the same everywhere, as a still surface's is.

    Raises:
        InputError: If the lengths differ or there are fewer than two points.
    """
    if len(predicted) != len(true) or len(true) < 2:
        raise InputError(
            "a correlation needs two equally long lists of at least two numbers, got "
            f"{len(predicted)} and {len(true)}"
        )
    a, b = (rankdata(v) if ranks else np.asarray(v, np.float64) for v in (predicted, true))
    a, b = a - a.mean(), b - b.mean()
    size = np.linalg.norm(a) * np.linalg.norm(b)
    return float(np.clip(a @ b / size, -1.0, 1.0)) if size > 0 else float("nan")


def majority_shape(
    solids: Bool[np.ndarray, "frames *shape"],  # noqa: UP037 a shape, not a type
) -> Bool[np.ndarray, "*shape"]:
    """Nodes that lie inside in more than half of the frames.

    The *mean shape* baseline: of all single shapes it has the fewest wrong nodes over the frames.

    Raises:
        InputError: If there is no frame.
    """
    if len(solids) == 0:
        raise InputError("a majority needs at least one frame, got none")
    return 2 * np.count_nonzero(solids, axis=0) > len(solids)
