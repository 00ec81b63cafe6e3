"""The surface of one frame, as points and normals in units of Ω."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from moedsr_core.choices import SPACINGS, check_choice, check_number
from moedsr_core.data.ensemble import Ensemble
from moedsr_core.errors import InputError
from moedsr_core.frame import OMEGA_MARGIN, canonical_frame
from moedsr_core.structure import Structure
from moedsr_core.surface.choice import surface_mesh
from moedsr_core.surface.sampling import sample_surface
from moedsr_core.surface.ses import SolventExcludedSurface

_STEPS = 2
"""Newton steps onto the surface. Measured on lysozyme from a 1 Å mesh: the mean distance falls
from 0.038 Å to 0.0002 Å, the 99th percentile to 0.0014 Å."""
_DIFFERENCE = 1e-3
"""Half the step of the differences that give normals [Å]."""
_CREASE = 0.9
"""Length of the distance's gradient under which a point lies on a crease, where two normals meet
and the mesh's own, which is a mean of both, is kept."""


@dataclass(frozen=True, kw_only=True)
class SurfaceConfig:
    """How a frame's surface is made, and how it fits into Ω."""

    points: int = 4000
    """Points of each frame, uniform by area."""
    surface: str = "ses"
    """Maker of the surface: ses, pymol or msms. MoE-DSR takes those of PyMOL or MSMS; ses is the
    same surface computed exactly, and points and normals are exact too."""
    spacing: float = 1.0
    """Grid or edge length of the mesh that points are drawn from [Å]."""
    seed: int = 0
    """Seed of the points; every frame draws from its own stream."""
    extent: str = "first"
    """Which atoms set the scale: those of the ``first`` frame, as in prediction, where no other is
    known; or of ``all`` frames, as DSR's released code does (lib/dataset.py)."""
    margin: float = OMEGA_MARGIN
    """Space between the outermost atom centre of ``extent`` and the faces of Ω [Å]."""
    scale: float | None = None
    """Length of one unit of Ω [Å], the same for all proteins, in place of extent and margin."""

    def __post_init__(self) -> None:
        """Refuse what cannot be computed."""
        check_number("points", self.points, 1, 1_000_000, whole=True)
        check_choice("surface", self.surface, _SAMPLERS)
        check_number("spacing", self.spacing, *SPACINGS)
        check_number("seed", self.seed, 0, 2**63 - 1, whole=True)
        check_choice("extent", self.extent, EXTENTS)
        check_number("margin", self.margin, 0.0, 1000.0)
        if self.scale is not None:
            check_number("scale", self.scale, 1.0, 100_000.0)


@dataclass(frozen=True)
class PosedEnsemble:
    """A trajectory in the canonical pose of its first frame.

    Attributes:
        structure: Frame 0 [Å].
        coords: All frames [Å].
        lags_ps: Time of every frame after the first [ps].
        scale: Length of one unit of Ω [Å].
    """

    structure: Structure
    coords: Float[np.ndarray, "frames atoms 3"]
    lags_ps: Float[np.ndarray, " frames"]
    scale: float


def pose(ensemble: Ensemble, config: SurfaceConfig) -> PosedEnsemble:
    """Bring an ensemble into the canonical pose of its first frame.

    Raises:
        InputError: If a frame's surface leaves Ω.
    """
    frame = canonical_frame(ensemble.coords[0])
    flat = frame.to_canonical(ensemble.coords.reshape(-1, 3))
    coords = flat.reshape(ensemble.coords.shape)
    scale = config.scale or EXTENTS[config.extent](coords) + config.margin
    _refuse_outside(ensemble, coords, scale)
    structure = ensemble.structure.with_coords(coords[0])
    return PosedEnsemble(structure, coords, ensemble.lags_ps, scale)


def _refuse_outside(
    ensemble: Ensemble, coords: Float[np.ndarray, "frames atoms 3"], scale: float
) -> None:
    """Refuse frames that reach out of Ω; a surface reaches as far as the outermost atom's ball."""
    reach = (np.abs(coords) + ensemble.structure.radii[:, None]).max(axis=(1, 2))
    worst = int(reach.argmax())
    if reach[worst] > scale:
        raise InputError(
            f"{ensemble.name} leaves Ω: frame {worst} reaches {reach[worst]:.1f} Å from the "
            f"centre, Ω {scale:.1f} Å; prepare it with a margin at least "
            f"{reach[worst] - scale:.1f} Å larger, or with the extent of all frames"
        )


def frame_surface(
    structure: Structure,
    coords: Float[np.ndarray, "atoms 3"],
    scale: float,
    k: int,
    config: SurfaceConfig,
) -> tuple[Float[np.ndarray, "points 3"], Float[np.ndarray, "points 3"]]:
    """Points and outward unit normals of one frame, in units of Ω, in random order.

    Args:
        structure: The molecule.
        coords: This frame's atoms [Å], canonical pose.
        scale: Length of one unit of Ω [Å].
        k: Frame; together with the seed it fixes the points.
        config: How.

    Raises:
        MoedsrError: If the surface cannot be made.
    """
    rng = np.random.default_rng([config.seed, k])
    points, normals = _SAMPLERS[config.surface](structure.with_coords(coords), config, rng)
    order = rng.permutation(len(points))
    return (points[order] / scale).astype(np.float32), normals[order].astype(np.float32)


def _exact(
    structure: Structure, config: SurfaceConfig, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Points of our own surface, laid onto it, with the gradient of its distance."""
    surface = SolventExcludedSurface(structure.coords, structure.radii)
    points, drawn = sample_surface(surface.mesh(config.spacing), config.points, rng)
    for _ in range(_STEPS):
        points = points - surface.signed_distance(points)[:, None] * drawn
    gradient = np.stack(
        [
            surface.signed_distance(points + step) - surface.signed_distance(points - step)
            for step in _DIFFERENCE * np.eye(3)
        ],
        axis=1,
    ) / (2 * _DIFFERENCE)
    length = np.linalg.norm(gradient, axis=1, keepdims=True)
    crease = (length < _CREASE) | ((gradient * drawn).sum(axis=1, keepdims=True) <= 0)
    return points, np.where(crease, drawn, gradient / np.maximum(length, _CREASE / 2))


def _as_drawn(
    structure: Structure, config: SurfaceConfig, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Points of another program's mesh, as they are."""
    return sample_surface(
        surface_mesh(structure, config.surface, config.spacing), config.points, rng
    )


_SAMPLERS: dict[str, Callable[..., tuple[np.ndarray, np.ndarray]]] = {
    "ses": _exact,
    "pymol": _as_drawn,
    "msms": _as_drawn,
}
EXTENTS: dict[str, Callable[[np.ndarray], float]] = {
    "first": lambda coords: float(np.abs(coords[0]).max()),
    "all": lambda coords: float(np.abs(coords).max()),
}
"""Distance of the outermost atom centre from the centre along an axis [Å]."""
