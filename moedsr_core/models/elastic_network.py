"""How much each residue fluctuates in a Gaussian network model of the input structure."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.sparse import coo_matrix
from scipy.sparse.linalg import eigsh
from scipy.spatial import cKDTree

CUTOFF = 10.0
"""Residues with Cα atoms this close are joined by a spring [Å]; the usual range is 7 to 12 Å
(Bahar, Atilgan & Erman 1997, doi:10.1016/S1359-0278(97)00024-2)."""
_LAB_SPRING = 1e-2
"""Weak spring between every residue and the lab, in units of a contact's; it keeps detached
pieces at finite amplitude."""
_MODES = 100
_DENSE_LIMIT = 1200


def network_fluctuation(positions: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
    """Logarithm of the mean-square fluctuation of each residue, standardised per protein.

    The spring constant and the temperature drop out in the standardisation.

    Args:
        positions: Cα positions [Å].

    Returns:
        Zero mean and unit variance over the protein; zeros where there are fewer than three
        residues.
    """
    if len(positions) < 3:
        return np.zeros(len(positions))
    fluctuation = 2.0 * np.log(residue_fluctuation(positions))
    return (fluctuation - fluctuation.mean()) / max(float(fluctuation.std()), 1e-6)


def residue_fluctuation(positions: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
    """Root-mean-square fluctuation of each residue, in arbitrary units.

    ``<ΔR_i²> ∝ Σ_k u_ik² / λ_k`` over the 100 slowest modes of the Kirchhoff matrix (Bahar et al.
    1997, Eq. 4). The common motion of all residues is taken out of every mode rather than as the
    first one, since detached pieces have as many modes of that frequency, in any mixture.

    Args:
        positions: Cα positions [Å]; zeros are given for fewer than three.
    """
    n = len(positions)
    if n < 3:
        return np.zeros(n)
    pairs = cKDTree(positions).query_pairs(CUTOFF, output_type="ndarray")
    rows = np.concatenate([pairs[:, 0], pairs[:, 1]])
    columns = np.concatenate([pairs[:, 1], pairs[:, 0]])
    contacts = coo_matrix((np.ones(len(rows)), (rows, columns)), shape=(n, n)).tocsr()
    degree = np.asarray(contacts.sum(axis=1)).ravel()
    kirchhoff = coo_matrix((degree + _LAB_SPRING, (np.arange(n), np.arange(n)))).tocsc() - contacts
    if n <= _DENSE_LIMIT:
        values, vectors = np.linalg.eigh(kirchhoff.toarray())
    else:
        start = np.ones(n) / np.sqrt(n)
        values, vectors = eigsh(kirchhoff.tocsc(), k=_MODES + 1, sigma=-1e-3, v0=start)
    slow = vectors[:, : _MODES + 1]
    slow = slow - slow.mean(axis=0)
    return np.sqrt((slow**2 / values[: _MODES + 1]).sum(axis=1))
