"""Frames and the head of a small store, made from a formula; quick to import in child processes."""

from __future__ import annotations

import numpy as np

from moedsr_core.data.store_format import StoreInfo
from moedsr_core.structure import Structure, from_arrays

SCALE = 32.0
"""Å per unit of Ω."""
POINTS = 300
ATOMS = ("N", "CA", "C", "O", "CB")


def molecule() -> Structure:
    """Atoms of four residues at random places."""
    n = 4 * len(ATOMS)
    return from_arrays(
        np.random.default_rng(0).normal(0, 10, (n, 3)),
        atom_names=ATOMS * 4,
        residue_names=["LYS"] * n,
        residue_ids=[f"{k // 5 + 51}{'A' if k // 5 == 2 else ''}" for k in range(n)],
        chain_ids=["é"] * n,
    )


def info(frames: int = 4, replicate: str | None = "R2", **recipe: object) -> StoreInfo:
    """Head of a store of ``frames`` frames."""
    return StoreInfo(
        name="chain",
        replicate=replicate,
        structure=molecule(),
        scale=SCALE,
        lags_ps=100.0 * np.arange(frames),
        recipe={"name": "chain", "surfaces": {"points": POINTS, "seed": 0}, **recipe},
    )


def content(k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points, normals and atoms of a frame, in full precision."""
    rng = np.random.default_rng(k)
    normals = rng.normal(size=(POINTS, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return rng.uniform(-1, 1, (POINTS, 3)), normals, rng.normal(0, 10, (20, 3))
