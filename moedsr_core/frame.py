"""Canonical pose and scale of a protein, and the time axis.

A protein is brought into a pose that turns with it, so that whatever is predicted there turns
with the molecule when it is carried back. Ω = [-1, 1]³ is that pose divided by one length.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from moedsr_core.errors import InputError

OMEGA_MARGIN = 6.0
"""Free space kept between a protein's outermost atom centre and the faces of Ω [Å]: atom radius,
probe, and room to move."""
_DEGENERATE = 1e-3


@dataclass(frozen=True)
class CanonicalFrame:
    """Rigid pose and length scale: ``x_canonical = rotation @ (x - center)``.

    Attributes:
        rotation: Proper rotation from the input's pose to the canonical one.
        center: Centroid in the input's pose [Å].
        scale: Length of one unit of Ω [Å].
    """

    rotation: Float[np.ndarray, "3 3"]
    center: Float[np.ndarray, "3"]
    scale: float

    def to_canonical(self, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
        """Carry points of the input's pose into the canonical pose [Å]."""
        return (np.asarray(points, np.float64) - self.center) @ self.rotation.T

    def to_input(self, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
        """Carry points of the canonical pose back onto the molecule [Å]."""
        return np.asarray(points, np.float64) @ self.rotation + self.center

    def vectors_to_input(self, vectors: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
        """Turn directions of the canonical pose back onto the molecule."""
        return np.asarray(vectors, np.float64) @ self.rotation


def canonical_frame(
    coords: Float[np.ndarray, "atoms 3"], scale: float | None = None
) -> CanonicalFrame:
    """Principal-axes frame of a set of atoms, largest extent along x.

    Axis signs make the third moments positive. Where two extents agree within 0.1 %, the axes
    of that plane (or of all space) are turned towards the third-moment vector
    ``Σ |x|² x`` and, failing that, towards the first atoms, so that symmetric assemblies
    keep a pose that turns with them.

    Args:
        coords: Atom positions [Å].
        scale: Length of one unit of Ω [Å]; by default the largest canonical coordinate plus
            :data:`OMEGA_MARGIN`.

    Raises:
        InputError: If no atom is given, a coordinate is not finite, or the molecule does not
            fit into Ω at the given scale.
    """
    coords = np.asarray(coords, np.float64)
    if len(coords) == 0:
        raise InputError("a canonical pose needs at least one atom, got none")
    if not np.isfinite(coords).all():
        raise InputError("coordinates must be finite numbers; the structure holds NaN or infinity")
    center = coords.mean(axis=0)
    x = coords - center
    axes = _principal_axes(x)
    extent = float(np.abs(x @ axes.T).max())
    needed = extent + OMEGA_MARGIN
    if scale is not None and extent >= scale:
        raise InputError(
            f"the protein reaches {extent:.0f} Å from its centre, beyond the {scale:.0f} Å this "
            "model was made for; use a smaller selection or another model"
        )
    return CanonicalFrame(rotation=axes, center=center, scale=scale or needed)


def _principal_axes(x: Float[np.ndarray, "atoms 3"]) -> Float[np.ndarray, "3 3"]:
    values, vectors = np.linalg.eigh(x.T @ x / len(x))
    values, axes = values[::-1], vectors.T[::-1].copy()
    for group in _degenerate_groups(values):
        axes[group] = _settle(axes[group], x)
    for k in range(2):
        moment = ((x @ axes[k]) ** 3).sum()
        spread = (np.abs(x @ axes[k]) ** 3).sum()
        if abs(moment) < 1e-6 * max(spread, 1e-12):
            moment = _index_moment(x) @ axes[k]
        if moment < 0:
            axes[k] = -axes[k]
    axes[2] = np.cross(axes[0], axes[1])
    return axes


def _degenerate_groups(values: Float[np.ndarray, "3"]) -> list[list[int]]:
    tight = [abs(values[k] - values[k + 1]) <= _DEGENERATE * max(values[0], 1e-12) for k in (0, 1)]
    if all(tight):
        return [[0, 1, 2]]
    return [[k, k + 1] for k in (0, 1) if tight[k]]


def _settle(
    basis: Float[np.ndarray, "k 3"], x: Float[np.ndarray, "atoms 3"]
) -> Float[np.ndarray, "k 3"]:
    """Orthonormal basis of the same subspace, fixed by vectors that turn with the atoms."""
    candidates = [(np.square(x).sum(axis=1, keepdims=True) * x).sum(axis=0), _index_moment(x)]
    candidates += [x[i] for i in (0, len(x) // 3, len(x) // 2, len(x) - 1)]
    chosen: list[np.ndarray] = []
    for vector in [*candidates, *basis]:
        v = basis.T @ (basis @ vector)
        length = np.linalg.norm(v)
        for c in chosen:
            v = v - (v @ c) * c
        if np.linalg.norm(v) > 1e-2 * max(length, 1e-12) and np.linalg.norm(v) > 1e-6:
            chosen.append(v / np.linalg.norm(v))
        if len(chosen) == len(basis):
            break
    return np.stack(chosen)


def _index_moment(x: Float[np.ndarray, "atoms 3"]) -> Float[np.ndarray, "3"]:
    """First moment of the atoms weighted by their place in the chain."""
    return np.linspace(-1.0, 1.0, len(x)) @ x


@dataclass(frozen=True, kw_only=True)
class TimeMap:
    """The model's time t in [-1, 1] against lag after the input structure [ps].

    Logarithmic: ``t = -1 + 2 ln(1 + lag/origin) / ln(1 + span/origin)``; t = -1 is lag 0.
    """

    span_ps: float = 1.0e5
    """Lag at t = 1 [ps]; 0 where the training frames carry no physical time."""
    origin_ps: float = 1.0
    """Lag below which the axis is nearly linear [ps]."""

    def __post_init__(self) -> None:
        """Refuse axes that cannot be inverted."""
        if self.span_ps < 0 or self.origin_ps <= 0:
            raise InputError(
                f"a time axis needs span >= 0 and origin > 0, got {self.span_ps}, {self.origin_ps}"
            )

    def to_t(self, lag_ps: np.ndarray | float) -> np.ndarray:
        """Model time of a lag [ps]."""
        if self.span_ps == 0:
            raise InputError("this model's time axis has no physical unit; give t in [-1, 1]")
        lag = np.asarray(lag_ps, np.float64)
        return -1.0 + 2.0 * np.log1p(lag / self.origin_ps) / np.log1p(self.span_ps / self.origin_ps)

    def to_ps(self, t: np.ndarray | float) -> np.ndarray | None:
        """Lag [ps] of model times; None where the axis has no physical unit."""
        if self.span_ps == 0:
            return None
        share = (np.asarray(t, np.float64) + 1.0) / 2.0
        return self.origin_ps * np.expm1(share * np.log1p(self.span_ps / self.origin_ps))
