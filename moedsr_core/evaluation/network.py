"""What an elastic network of the first frame alone says about the fluctuation of its surface."""

from __future__ import annotations

from moedsr_core.evaluation.motion import Motion, by_residue, r
from moedsr_core.evaluation.truth import Truth
from moedsr_core.models.elastic_network import residue_fluctuation
from moedsr_core.structure import Structure


def network_scores(structure: Structure, truth: Truth, true: Motion) -> dict[str, float]:
    """Correlation of a Gaussian network's residue fluctuation with that of the true surface.

    Every vertex fluctuates as the residue below it does. The spring constant is free, so there is
    no amplitude to compare, and no shape.
    """
    fluctuation = residue_fluctuation(structure.residue_positions)
    vertices = fluctuation[truth.residues]
    return {
        "surface_rmsf_r": r(vertices, true.rmsf),
        "surface_rmsf_r_residue": r(
            by_residue(vertices, truth.residues), by_residue(true.rmsf, truth.residues)
        ),
    }
