"""Who stands in the DSR tables: what each says the surface of a frame is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from moedsr_core.data.ensemble import anchors_of, superpose
from moedsr_core.reports.trained_path import TrainedPath
from moedsr_core.surface.mesh import Mesh


@dataclass(frozen=True, kw_only=True)
class Fineness:
    """How finely surfaces are meshed."""

    nodes: int
    """Grid nodes along each edge of Ω for the model's surfaces."""
    spacing: float
    """Grid spacing of the surfaces of atoms, the true one among them [Å]."""


Contender = Callable[[TrainedPath, int, Fineness], Mesh | None]
"""Takes the path, a frame and how finely to mesh; gives a closed mesh [units of Ω]."""


def _dsr(path: TrainedPath, k: int, how: Fineness) -> Mesh | None:
    return path.predicted_mesh(k, how.nodes)


def _linear(path: TrainedPath, k: int, how: Fineness) -> Mesh:
    return path.true_mesh(between(path, k), how.spacing)


def _nearest(path: TrainedPath, k: int, how: Fineness) -> Mesh:
    lags, train = path.ensemble.lags_ps, np.array(path.train)
    frame = train[np.argmin(np.abs(lags[train] - lags[k]))]
    return path.true_mesh(path.ensemble.coords[frame], how.spacing)


def _first(path: TrainedPath, k: int, how: Fineness) -> Mesh:
    return path.true_mesh(path.ensemble.coords[0], how.spacing)


def _last(path: TrainedPath, k: int, how: Fineness) -> Mesh:
    return path.true_mesh(path.ensemble.coords[path.train[-1]], how.spacing)


def _exact(path: TrainedPath, k: int, how: Fineness) -> Mesh | None:
    return path.gridded_mesh(path.ensemble.coords[k], how.nodes)


CONTENDERS: dict[str, Contender] = {
    "dsr": _dsr,
    "linear": _linear,
    "nearest": _nearest,
    "first": _first,
    "last": _last,
    "exact": _exact,
}
"""``dsr``: the trained model. ``linear``: the surface of atoms that go straight between the two
training frames around the tested one (the paper interpolates linearly, and does not say what).
``nearest``: the training frame nearest in time, the earlier of two, held still. ``first`` and
``last``: the first and last training frame, held still. ``exact``: the true signed distance on the
grid that the model is meshed on; what it lacks of full marks is the grid's doing."""
PER_PROTOCOL = {
    "reconstruction": ("dsr", "first", "exact"),
    "interpolation": ("dsr", "linear", "nearest"),
    "interpolation_middle": ("dsr", "linear", "nearest"),
    "future_10": ("dsr", "last"),
    "future_11_20": ("dsr", "last"),
}
"""Who is measured in which experiment."""


def between(path: TrainedPath, k: int) -> Float[np.ndarray, "atoms 3"]:
    """Atoms on the straight line between the training frames before and after a frame [Å].

    Args:
        path: The trajectory.
        k: A frame from the first training frame to the last.
    """
    train, lags, coords = np.array(path.train), path.ensemble.lags_ps, path.ensemble.coords
    after = min(int(np.searchsorted(train, k, side="right")), len(train) - 1)
    a, b = train[after - 1], train[after]
    share = (lags[k] - lags[a]) / (lags[b] - lags[a])
    return coords[a] + share * (coords[b] - coords[a])


def rmsd_to_training(path: TrainedPath, k: int) -> float:
    """Cα RMSD of a frame to the most similar training frame, superposed [Å]."""
    anchors = anchors_of(path.ensemble.structure)
    x = path.ensemble.coords[:, anchors]
    return float(_rmsd(x[list(path.train)], x[k]).min())


def rmsd_to_previous(path: TrainedPath, k: int) -> float:
    """Cα RMSD of a frame to the frame before it, superposed [Å]; NaN for the first.

    The paper's measure of how noisy a trajectory is (footnote 2).
    """
    anchors = anchors_of(path.ensemble.structure)
    x = path.ensemble.coords[:, anchors]
    return float(_rmsd(x[k - 1 : k], x[k])[0]) if k else float("nan")


def _rmsd(
    frames: Float[np.ndarray, "frames anchors 3"], reference: Float[np.ndarray, "anchors 3"]
) -> Float[np.ndarray, " frames"]:
    laid = superpose(frames, reference, np.arange(len(reference)))
    return np.sqrt(np.square(laid - reference).sum(axis=-1).mean(axis=-1))
