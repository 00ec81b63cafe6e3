"""Molecular-dynamics ensembles: one molecule, many frames, superposed.

Unaligned tumbling is not motion, so every frame is superposed on the first by its Cα atoms
before anything is compared. What is odd about a trajectory is said in :attr:`Ensemble.notes`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from moedsr_core.choices import check_number
from moedsr_core.data.chain_links import chain_breaks
from moedsr_core.data.frame_times import frame_times
from moedsr_core.data.periodic import made_whole
from moedsr_core.data.trajectory import read_frames
from moedsr_core.errors import InputError
from moedsr_core.structure import Structure

_MOST = 10**9
"""Above every count of frames."""
_ORDER_FRAMES = 500
"""Frames by which their order is judged."""
_SHUFFLES = 19
"""Random orders that the order of frames is compared with: a random one passes for an order in one
case of twenty."""


@dataclass(frozen=True)
class Ensemble:
    """Frames of one trajectory, or of replicates that were concatenated.

    Attributes:
        name: What to call it.
        structure: The first frame, heavy atoms of the polymer.
        coords: Every frame, superposed on the first by Cα [Å].
        lags_ps: Time of every frame after the first [ps].
        notes: What is odd about the trajectory, and what was done about it; one sentence each.
        seams: Frames at which another replicate begins; time does not pass across them.
    """

    name: str
    structure: Structure
    coords: Float[np.ndarray, "frames atoms 3"]
    lags_ps: Float[np.ndarray, " frames"]
    notes: tuple[str, ...] = ()
    seams: tuple[int, ...] = ()

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.coords)

    @property
    def spacing_ps(self) -> float:
        """Usual time between neighbouring frames of one replicate [ps]."""
        steps = np.delete(np.diff(self.lags_ps), np.array(self.seams, int) - 1)
        return float(np.median(steps)) if len(steps) else float("nan")

    def frame(self, k: int) -> Structure:
        """One frame as a structure."""
        return self.structure.with_coords(self.coords[k])

    def take(self, frames: Sequence[int] | Int[np.ndarray, " chosen"]) -> Ensemble:
        """Some of the frames, laid on the first of them, with times counted from it.

        Raises:
            InputError: If there are none, they do not rise, or a frame does not exist.
        """
        chosen = np.asarray(frames, int)
        if (
            not len(chosen)
            or (np.diff(chosen) <= 0).any()
            or not 0 <= chosen[0] <= chosen[-1] < len(self)
        ):
            raise InputError(
                f"frames must be chosen in rising order from 0 to {len(self) - 1}, "
                f"got {chosen.tolist()}"
            )
        seams = np.unique(np.searchsorted(chosen, self.seams))
        coords = self.coords[chosen]
        return replace(
            self,
            structure=self.structure.with_coords(coords[0]),
            coords=superpose(coords, coords[0], anchors_of(self.structure)),
            lags_ps=self.lags_ps[chosen] - self.lags_ps[chosen[0]],
            seams=tuple(int(k) for k in seams if 0 < k < len(chosen)),
        )


def load_ensemble(
    topology: str | Path,
    trajectory: str | Path,
    *,
    name: str | None = None,
    spacing_ps: float | None = None,
    stride: int = 1,
    max_frames: int | None = None,
) -> Ensemble:
    """Read one trajectory of one molecule.

    Frames are put in order of time and a molecule torn by the periodic box is made whole; that,
    gaps in time, broken chains and the like are said in the ensemble's notes.

    Args:
        topology: Structure file that names the atoms.
        trajectory: Frames, in any format mdtraj reads.
        name: Defaults to the name of the trajectory's folder.
        spacing_ps: Time between frames [ps]; by default the file's own time stamps.
        stride: Keep every how-many-th frame, from the first.
        max_frames: Of those, keep at most this many, evenly spaced.

    Raises:
        InputError: If the files cannot be read, do not belong together, hold fewer than two
            frames or coordinates that are not finite; if their time stamps do not increase and
            no spacing is given; or if the molecule is torn and cannot be made whole.
    """
    check_number("stride", stride, 1, _MOST, whole=True)
    raw = read_frames(topology, trajectory)
    times = frame_times(raw.stamps, raw.coords, spacing_ps, str(trajectory))
    kept = _evenly(np.arange(0, len(times.order), stride), max_frames)
    if len(kept) < 2:
        raise InputError(
            f"a stride of {stride} leaves one of the {len(times.order)} frames of {trajectory}; "
            "motion needs at least two"
        )
    chosen = times.order[kept]
    coords = raw.coords[chosen].astype(np.float64)
    if not np.isfinite(coords).all():
        raise InputError(f"coordinates must be finite numbers; {trajectory} holds NaN or infinity")
    box = None if raw.box is None else raw.box[chosen]
    coords, wrapping = made_whole(raw.structure, coords, box, str(trajectory))
    laid = superpose(coords, coords[0], anchors_of(raw.structure))
    breaks = chain_breaks(raw.structure, laid)
    return Ensemble(
        name=name or Path(trajectory).parent.name,
        structure=raw.structure.with_coords(coords[0]),
        coords=laid,
        lags_ps=times.lags_ps[kept] - times.lags_ps[kept[0]],
        notes=(*raw.notes, *times.notes, *wrapping, *breaks, *_disorder_notes(laid, raw.structure)),
    )


def anchors_of(structure: Structure) -> Int[np.ndarray, " anchors"]:
    """The atoms by which frames are superposed: every Cα."""
    return np.flatnonzero(structure.atom_names == "CA")


def _evenly(frames: Int[np.ndarray, " n"], most: int | None) -> Int[np.ndarray, " kept"]:
    if most is None or len(frames) <= most:
        return frames
    return frames[np.linspace(0, len(frames) - 1, most).round().astype(int)]


def _disorder_notes(coords: Float[np.ndarray, "frames atoms 3"], structure: Structure) -> list[str]:
    """Say where neighbouring frames are no more alike than frames drawn at random."""
    x = coords[:_ORDER_FRAMES, anchors_of(structure)]
    if len(x) < 10 or x.shape[1] < 3:
        return []
    rng = np.random.default_rng(0)
    shuffled = [_mean_step(x[rng.permutation(len(x))]) for _ in range(_SHUFFLES)]
    if _mean_step(x) < min(shuffled):
        return []
    return [
        f"neighbouring frames differ by {_mean_step(x):.1f} Å and frames drawn at random by "
        f"{np.mean(shuffled):.1f} Å: they are unordered, or further apart than motion remembers"
    ]


def _mean_step(x: Float[np.ndarray, "frames atoms 3"]) -> float:
    """Mean over neighbouring frames of their root-mean-square distance [Å]."""
    return float(np.sqrt(np.square(np.diff(x, axis=0)).sum(axis=-1).mean(axis=-1)).mean())


def superpose(
    coords: Float[np.ndarray, "frames atoms 3"],
    reference: Float[np.ndarray, "atoms 3"],
    anchors: np.ndarray,
) -> Float[np.ndarray, "frames atoms 3"]:
    """Least-squares rigid fit of every frame to a reference (Kabsch 1976, by SVD).

    Args:
        coords: Frames [Å].
        reference: Conformation to lie on [Å].
        anchors: Indices of the atoms that are fitted; all atoms where fewer than three.
    """
    if len(anchors) < 3:
        anchors = np.arange(coords.shape[1])
    target = reference[anchors] - reference[anchors].mean(axis=0)
    middle = coords[:, anchors].mean(axis=1, keepdims=True)
    u, _, vt = np.linalg.svd(np.einsum("fai,aj->fij", coords[:, anchors] - middle, target))
    flip = np.ones((len(coords), 3))
    flip[:, 2] = np.sign(np.linalg.det(u @ vt))
    rotation = np.einsum("fik,fk,fkj->fij", u, flip, vt)
    return np.einsum("fai,fij->faj", coords - middle, rotation) + reference[anchors].mean(axis=0)
