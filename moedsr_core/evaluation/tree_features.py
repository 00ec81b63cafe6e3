"""What a boosted tree is told of a point of space: the few atoms next to it, and nothing else."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.spatial import cKDTree

from moedsr_core.models.elastic_network import network_fluctuation
from moedsr_core.structure import Structure
from moedsr_core.threads import search_threads

ATOMS = 8
"""Nearest heavy atoms that are looked at."""
KINDS = 3
"""Nearest of them whose residues' kinds are told."""
_CROWD = 8.0
"""Atoms this near are counted as an atom's local density [Å]."""
FEATURES = (
    "signed_distance",
    *(f"{what}_{k}" for what in ("distance", "depth", "density", "network") for k in range(ATOMS)),
    *(f"residue_{k}" for k in range(KINDS)),
)
"""Names of the columns, in order."""
CATEGORIES = tuple(name for name in FEATURES if name.startswith("residue_"))
"""Those whose numbers are names."""


def point_features(
    structure: Structure,
    points: Float[np.ndarray, "n 3"],
    start: Float[np.ndarray, " n"],
) -> Float[np.ndarray, "n features"]:
    """Local features of points near a surface.

    Signed distance to the input surface [Å]; of the eight nearest heavy atoms the distance [Å], the
    bonds to the backbone, the atoms within 8 Å and the fluctuation of its residue in a Gaussian
    network; kinds of the residues of the nearest three atoms. NaN where a molecule has fewer.

    Args:
        structure: The input's heavy atoms [Å].
        points: In the same pose [Å].
        start: Signed distance of the points to the input's surface [Å].
    """
    tree = cKDTree(structure.coords)
    known = min(ATOMS, len(structure))
    ranks = [*range(1, known + 1)]
    apart, atoms = tree.query(points, k=ranks, workers=search_threads(len(points)))
    density = tree.query_ball_point(structure.coords, _CROWD, return_length=True)
    network = network_fluctuation(structure.residue_positions)[structure.residue_index]
    kinds = structure.residue_kinds[structure.residue_index]
    blocks = [apart, structure.depths[atoms], density[atoms], network[atoms]]
    table = [start[:, None], *(_filled(block, ATOMS) for block in blocks)]
    table.append(_filled(kinds[atoms[:, :KINDS]], KINDS))
    return np.concatenate(table, axis=1, dtype=np.float32)


def _filled(block: np.ndarray, columns: int) -> Float[np.ndarray, "n columns"]:
    """The block, with columns of NaN for neighbours that do not exist."""
    missing = np.full((len(block), columns - block.shape[1]), np.nan)
    return np.concatenate([block, missing], axis=1)
