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
"""Share of the largest variance within which two are taken as equal."""
_NEGLIGIBLE = 1e-3
"""Share of its greatest possible size under which a moment is taken as zero: a thousand atoms
rounded to a PDB file's 0.001 Å make moments of up to 1e-5 where symmetry makes them vanish."""


@dataclass(frozen=True)
class CanonicalFrame:
    """Rigid pose and length scale: ``x_canonical = rotation @ (x - center)``.

    Attributes:
        rotation: Proper rotation from the input's pose to the canonical one.
        center: Centroid in the input's pose [Å].
        scale: Length of one unit of Ω [Å].
    """

    rotation: Float[np.ndarray, "3 3"]
    center: Float[np.ndarray, " 3"]
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

    Axis signs make the third moments positive; where symmetry makes one vanish, the moment of the
    atoms' order decides, and where that vanishes too, the first atom far along the axis. Where
    two variances agree within 0.1 %, the axes of that plane (or of all space) are turned towards
    the third-moment vector ``Σ |x|² x``, the moment of the atoms' order or the first atom far
    out, in the same way. So symmetric assemblies keep a pose that turns with them.

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
    if scale is not None and not extent < scale < np.inf:
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
        axes[k] *= _sign(axes[k], x)
    axes[2] = np.cross(axes[0], axes[1])
    return axes


def _sign(axis: Float[np.ndarray, " 3"], x: Float[np.ndarray, "atoms 3"]) -> float:
    """+1 or -1, by what the molecule itself tells about the two ends of an axis."""
    along = x @ axis
    for terms in (along**3, np.linspace(-1.0, 1.0, len(x)) * along):
        if abs(terms.sum()) > _NEGLIGIBLE * np.abs(terms).sum():
            return float(np.sign(terms.sum()))
    return 1.0 if along[_first_far(np.abs(along))] >= 0 else -1.0


def _first_far(distances: Float[np.ndarray, " atoms"]) -> int:
    """The first atom beyond 0.618 of the largest distance, a ratio that no lattice meets."""
    return int(np.argmax(distances > 0.618 * distances.max()))


def _degenerate_groups(values: Float[np.ndarray, " 3"]) -> list[list[int]]:
    tight = [abs(values[k] - values[k + 1]) <= _DEGENERATE * max(values[0], 1e-12) for k in (0, 1)]
    if all(tight):
        return [[0, 1, 2]]
    return [[k, k + 1] for k in (0, 1) if tight[k]]


def _settle(
    basis: Float[np.ndarray, "k 3"], x: Float[np.ndarray, "atoms 3"]
) -> Float[np.ndarray, "k 3"]:
    """Orthonormal basis of the same subspace, fixed by vectors that turn with the atoms."""
    flat = x @ basis.T
    size = max(float(np.abs(x).max()), 1e-12)
    squares = np.square(x).sum(axis=1)
    moments = [
        squares @ flat / max(float((squares**1.5).sum()), 1e-12),
        np.linspace(-1.0, 1.0, len(x)) @ flat / max(float(np.sqrt(squares).sum()), 1e-12),
    ]
    left = np.eye(len(basis))
    chosen: list[np.ndarray] = []
    while len(chosen) < len(basis):
        vector = next((m for m in moments if np.linalg.norm(left @ m) > _NEGLIGIBLE), None)
        if vector is None:
            distances = np.linalg.norm(flat @ left, axis=1)
            vector = flat[_first_far(distances)] if distances.max() > 1e-9 * size else None
        direction = left @ vector if vector is not None else left[np.argmax(np.diag(left))]
        direction = direction / np.linalg.norm(direction)
        chosen.append(direction)
        left = left - np.outer(direction, direction)
    return np.stack(chosen) @ basis


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
        if not (0 <= self.span_ps < np.inf and 0 < self.origin_ps < np.inf):
            raise InputError(
                "a time axis needs a finite span of 0 ps or more and an origin above 0 ps, got "
                f"{self.span_ps} and {self.origin_ps}"
            )

    def to_t(self, lag_ps: np.ndarray | float) -> np.ndarray:
        """Model time of a lag [ps]."""
        if self.span_ps == 0:
            raise InputError("this model's time axis has no physical unit; give t in [-1, 1]")
        lag = np.asarray(lag_ps, np.float64)
        if not (lag >= 0).all():
            raise InputError(f"a lag must be 0 ps or more, got {np.min(lag)} ps")
        return -1.0 + 2.0 * np.log1p(lag / self.origin_ps) / np.log1p(self.span_ps / self.origin_ps)

    def last_t(self, duration_ps: float) -> float:
        """Model time of a movie's end.

        Raises:
            InputError: If the axis has no physical unit, or ends before.
        """
        if self.span_ps == 0:
            raise InputError(
                "this model knows no physical time, so a duration means nothing to it; leave "
                "duration out"
            )
        if duration_ps > self.span_ps:
            raise InputError(
                f"the model reaches {self.span_ps:g} ps after the input, got a duration of "
                f"{duration_ps:g} ps; ask for less"
            )
        return float(self.to_t(np.array([duration_ps]))[0])

    def to_ps(self, t: np.ndarray | float) -> np.ndarray | None:
        """Lag [ps] of model times; None where the axis has no physical unit."""
        if self.span_ps == 0:
            return None
        share = (np.asarray(t, np.float64) + 1.0) / 2.0
        return self.origin_ps * np.expm1(share * np.log1p(self.span_ps / self.origin_ps))
