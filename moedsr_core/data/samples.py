"""Training samples: points near one conformation's surface, and where the surface goes from there.

For a reference frame of a trajectory, points are drawn in a band around its surface, and the
signed distance of each point to the surface of other frames is stored. Time runs both ways in an
equilibrium trajectory, so frames before the reference serve as well as frames after it.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from jaxtyping import Float

from moedsr_core.data.ensemble import Ensemble, anchors_of, load_ensemble, superpose
from moedsr_core.data.trajectory_files import TrajectoryFiles
from moedsr_core.errors import InputError
from moedsr_core.files import whole_file
from moedsr_core.frame import canonical_frame
from moedsr_core.models.inputs import SAMPLING_SPACING
from moedsr_core.structure import Structure
from moedsr_core.surface.mesh import Mesh
from moedsr_core.surface.sampling import sample_surface
from moedsr_core.surface.ses import SolventExcludedSurface
from moedsr_core.wording import reason

BAND = 4.0
"""Half-width of the band that points are drawn from [Å]."""
_DAMAGE = (OSError, EOFError, ValueError, KeyError, TypeError, BadZipFile, zlib.error)
"""What reading a damaged or foreign npz file may raise."""


@dataclass(frozen=True)
class MotionSample:
    """One reference conformation and what its surface does.

    Attributes:
        name: Trajectory and reference frame.
        structure: The reference conformation, in its canonical pose.
        surface_points: Points of the reference's surface, for the router [Å].
        surface_normals: Outward unit normals there.
        points: Where distances were measured, canonical pose [Å].
        start: Signed distance to the reference's own surface [Å].
        distances: Signed distance to the surface of each other frame [Å].
        lags_ps: Time between each other frame and the reference [ps], positive.
    """

    name: str
    structure: Structure
    surface_points: Float[np.ndarray, "surface 3"]
    surface_normals: Float[np.ndarray, "surface 3"]
    points: Float[np.ndarray, "points 3"]
    start: Float[np.ndarray, " points"]
    distances: Float[np.ndarray, "frames points"]
    lags_ps: Float[np.ndarray, " frames"]

    def save(self, path: Path) -> None:
        """Write one npz file, whole or not at all.

        Raises:
            InputError: If the disk is full, or the place cannot be written to.
        """
        atoms = {f"atom_{f.name}": getattr(self.structure, f.name) for f in fields(Structure)}
        with whole_file(path) as file:
            np.savez_compressed(
                file,
                allow_pickle=False,
                name=self.name,
                surface_points=self.surface_points.astype(np.float32),
                surface_normals=self.surface_normals.astype(np.float32),
                points=self.points.astype(np.float32),
                start=self.start.astype(np.float32),
                distances=self.distances.astype(np.float16),
                lags_ps=self.lags_ps,
                **atoms,
            )

    @classmethod
    def load(cls, path: Path) -> MotionSample:
        """Read what :meth:`save` wrote.

        Raises:
            InputError: If the file is not a motion sample.
        """
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as data:
                structure = Structure(**{f.name: data[f"atom_{f.name}"] for f in fields(Structure)})
                return cls(
                    name=str(data["name"]),
                    structure=structure,
                    surface_points=data["surface_points"],
                    surface_normals=data["surface_normals"],
                    points=data["points"],
                    start=data["start"],
                    distances=data["distances"].astype(np.float32),
                    lags_ps=data["lags_ps"],
                )
        except _DAMAGE as error:
            raise InputError(
                f"{path} is not a motion sample ({reason(error)}); prepare it anew"
            ) from error


@dataclass(frozen=True, kw_only=True)
class SampleConfig:
    """How an ensemble is turned into samples."""

    n_frames: int = 30
    """Frames of each protein whose surfaces are measured; its replicates share them."""
    n_references: int = 3
    """How many of those frames serve as the input structure."""
    n_points: int = 4000
    """Points around each reference surface."""
    n_surface_points: int = 512
    """Points of each reference surface that the router sees."""
    seed: int = 0
    """Seed of the points."""

    def shared(self, replicates: int) -> SampleConfig:
        """What each of a protein's replicates has of it."""
        return replace(
            self,
            n_frames=max(2, -(-self.n_frames // replicates)),
            n_references=-(-self.n_references // replicates),
        )


def motion_samples(ensemble: Ensemble, config: SampleConfig) -> list[MotionSample]:
    """Measure an ensemble.

    Args:
        ensemble: A superposed trajectory.
        config: How many frames, references and points.
    """
    chosen = np.unique(
        np.linspace(0, len(ensemble) - 1, min(config.n_frames, len(ensemble))).round().astype(int)
    )
    radii = ensemble.structure.radii
    coords = ensemble.coords[chosen]
    surfaces = [SolventExcludedSurface(frame, radii) for frame in coords]
    references = np.unique(
        np.linspace(0, len(chosen) - 1, min(config.n_references, len(chosen))).round().astype(int)
    )
    return [
        _sample(ensemble, chosen, coords, surfaces, int(k), config) for k in references.tolist()
    ]


def _sample(
    ensemble: Ensemble,
    chosen: np.ndarray,
    coords: Float[np.ndarray, "frames atoms 3"],
    surfaces: list[SolventExcludedSurface],
    reference: int,
    config: SampleConfig,
) -> MotionSample:
    rng = np.random.default_rng([config.seed, reference])
    mesh = surfaces[reference].mesh(SAMPLING_SPACING)
    surface_points, surface_normals = sample_surface(mesh, config.n_surface_points, rng)
    points = _band_points(mesh, config.n_points, rng)
    start = surfaces[reference].signed_distance(points)
    points, start = points[np.abs(start) < BAND], start[np.abs(start) < BAND]
    others = [k for k in range(len(chosen)) if k != reference]
    anchors = anchors_of(ensemble.structure)
    distances = []
    for k in others:
        carried = _carry(points, coords[reference], coords[k], anchors)
        distances.append(surfaces[k].signed_distance(carried))
    frame = canonical_frame(coords[reference])
    return MotionSample(
        name=f"{ensemble.name}-{chosen[reference]}",
        structure=ensemble.structure.with_coords(frame.to_canonical(coords[reference])),
        surface_points=frame.to_canonical(surface_points),
        surface_normals=surface_normals @ frame.rotation.T,
        points=frame.to_canonical(points),
        start=start,
        distances=np.stack(distances),
        lags_ps=np.abs(ensemble.lags_ps[chosen][others] - ensemble.lags_ps[chosen][reference]),
    )


def _band_points(mesh: Mesh, n: int, rng: np.random.Generator) -> Float[np.ndarray, "n 3"]:
    """Half close to the surface (σ = 0.8 Å along the normal), half all over the band."""
    on_surface, normals = sample_surface(mesh, n, rng)
    offset = np.where(
        np.arange(n)[rng.permutation(n)] < n // 2,
        rng.normal(0.0, 0.8, n),
        rng.uniform(-BAND, BAND, n),
    )
    return on_surface + offset[:, None] * normals


def _carry(
    points: Float[np.ndarray, "n 3"],
    source: Float[np.ndarray, "atoms 3"],
    target: Float[np.ndarray, "atoms 3"],
    anchors: np.ndarray,
) -> Float[np.ndarray, "n 3"]:
    """Move points with the rigid motion that best lays one conformation on another."""
    joined = np.concatenate([source, points])[None]
    if len(anchors) < 3:
        anchors = np.arange(len(source))
    padded = np.concatenate([target, np.zeros_like(points)])
    return superpose(joined, padded, anchors)[0, len(source) :]


def prepare_samples(
    source: TrajectoryFiles, folder: Path, config: SampleConfig, *, spacing_ps: float | None = None
) -> list[Path]:
    """Measure a trajectory, unless its samples are in ``folder`` already; returns their files.

    Raises:
        InputError: If the trajectory cannot be used, or the folder's samples were measured with
            another configuration.
    """
    folder.mkdir(parents=True, exist_ok=True)
    name = source.label
    record = folder / f"{name}.json"
    wanted = {**asdict(config), "spacing_ps": spacing_ps}
    if record.exists():
        known, files = _read_record(record)
        if known != wanted:
            raise InputError(
                f"{folder} holds samples of {name} measured with {known}, not {wanted}; "
                "give another folder or remove them"
            )
        if all((folder / file).exists() for file in files):
            return [folder / file for file in files]
    ensemble = load_ensemble(source.topology, source.trajectory, name=name, spacing_ps=spacing_ps)
    samples = motion_samples(ensemble, config)
    files = [f"{sample.name}.npz" for sample in samples]
    for sample, file in zip(samples, files, strict=True):
        sample.save(folder / file)
    with whole_file(record) as out:
        out.write(json.dumps({"config": wanted, "files": files}).encode())
    return [folder / file for file in files]


def _read_record(path: Path) -> tuple[dict, list[str]]:
    """Configuration and file names of samples that were measured before."""
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        return dict(known["config"]), [str(file) for file in known["files"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} does not tell how its samples were measured ({reason(error)}); remove it"
        ) from error
