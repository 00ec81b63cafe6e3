"""How much each place moves, and how often each place is inside: predicted against true."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from moedsr_core.evaluation.truth import Moment, Truth
from moedsr_core.metrics.motion import correlation

MOTION_METRICS = (
    "surface_rmsf_r", "surface_rmsf_r_residue", "surface_rmsf_ratio", "mean_displacement_r",
    "occupancy_skill",
)  # fmt: skip
"""What is measured over all frames at once."""
_SAME = 1e-6
"""Motions that differ by less than this between any two places are the same everywhere [Å]."""


@dataclass(frozen=True)
class Motion:
    """Statistics over frames.

    Attributes:
        rmsf: Standard deviation of the signed distance at every vertex of the first surface [Å].
        displacement: Mean motion of the surface there, outward positive [Å].
        occupancy: Share of the frames in which each node of the band is inside.
        noise: Variance of the mean ``occupancy`` that comes from drawing, at each node; zero
            where nothing was drawn.
    """

    rmsf: Float[np.ndarray, " vertices"]
    displacement: Float[np.ndarray, " vertices"]
    occupancy: Float[np.ndarray, " band"]
    noise: Float[np.ndarray, " band"]


class Tally:
    """Sums over the surfaces that one contender shows."""

    def __init__(self, truth: Truth) -> None:
        self._band = truth.band
        self._vertices: list[Float[np.ndarray, " vertices"]] = []
        self._inside = np.zeros(int(truth.band.sum()))

    def add(self, moment: Moment) -> None:
        """Count one surface."""
        self._vertices.append(moment.vertices.astype(np.float64))
        self._inside += moment.volume[self._band] < 0

    def autocorrelation(self) -> Float[np.ndarray, " lags"]:
        """How much of a displacement is left some frames later (:func:`autocorrelation`)."""
        return autocorrelation(np.stack(self._vertices))

    def motion(self) -> Motion:
        """Statistics of all surfaces counted."""
        vertices = np.stack(self._vertices)
        return Motion(
            rmsf=_spread(vertices),
            displacement=-vertices.mean(axis=0),
            occupancy=self._inside / len(vertices),
            noise=np.zeros(len(self._inside)),
        )


def true_tally(truth: Truth) -> Tally:
    """The trajectory's own surfaces, counted."""
    tally = Tally(truth)
    for values in truth.frames:
        tally.add(truth.moment(values))
    return tally


def autocorrelation(
    distances: Float[np.ndarray, "frames vertices"],
) -> Float[np.ndarray, " lags"]:
    """Autocorrelation of the displacement around its mean over time, over all vertices at once.

    ``C(k) = ⟨δ(j) δ(j + k)⟩ / ⟨δ²⟩`` for lags of 0 to half of the frames; means are over vertices
    and pairs of frames. Of few frames, independent ones give about −1/(frames − 1) for k > 0, since
    the mean is their own. NaN where nothing moves.
    """
    apart = distances - distances.mean(axis=0)
    n, total = len(apart), float(np.square(apart).mean())
    lags = range(n // 2 + 1)
    return np.array([ratio(float((apart[: n - k] * apart[k:]).mean()), total) for k in lags])


def compare_motion(
    predicted: Motion,
    true: Motion,
    first: Bool[np.ndarray, " band"],
    residues: Int[np.ndarray, " vertices"],
) -> dict[str, float]:
    """How well a motion is predicted.

    ``occupancy_skill`` is 1 − MSE(predicted, true) / MSE(first frame, true) over the nodes of the
    band; what drawing finitely many shapes adds to the first of these is taken out of it.

    Args:
        predicted: The prediction.
        true: The trajectory.
        first: Which nodes of the band are inside the first surface.
        residues: Residue of each vertex.

    Returns:
        :data:`MOTION_METRICS`; NaN where nothing moves, so that there is nothing to compare.
    """
    error = float((np.square(predicted.occupancy - true.occupancy) - predicted.noise).mean())
    still = float(np.square(first - true.occupancy).mean())
    return {
        "surface_rmsf_r": r(predicted.rmsf, true.rmsf),
        "surface_rmsf_r_residue": r(
            by_residue(predicted.rmsf, residues), by_residue(true.rmsf, residues)
        ),
        "surface_rmsf_ratio": ratio(float(np.median(predicted.rmsf)), float(np.median(true.rmsf))),
        "mean_displacement_r": r(predicted.displacement, true.displacement),
        "occupancy_skill": 1.0 - ratio(error, still),
    }


def by_residue(
    values: Float[np.ndarray, " vertices"], residues: Int[np.ndarray, " vertices"]
) -> Float[np.ndarray, " exposed"]:
    """Mean over each residue's part of the surface, for the residues that have one."""
    counts = np.bincount(residues)
    return (np.bincount(residues, values) / np.maximum(counts, 1))[counts > 0]


def r(predicted: Float[np.ndarray, " n"], true: Float[np.ndarray, " n"]) -> float:
    """Pearson's correlation; NaN for fewer than two places, or where one is the same everywhere."""
    if len(true) < 2 or not min(np.ptp(predicted), np.ptp(true)) > _SAME:
        return float("nan")
    return correlation(predicted, true)


def ratio(part: float, whole: float) -> float:
    """Quotient; NaN where the whole is nothing."""
    return part / whole if abs(whole) > 1e-9 else float("nan")


def _spread(distances: Float[np.ndarray, "frames n"]) -> Float[np.ndarray, " n"]:
    """Standard deviation over frames as a sample's; NaN where there is but one frame."""
    if len(distances) < 2:
        return np.full(distances.shape[1], np.nan)
    return distances.std(axis=0, ddof=1)
