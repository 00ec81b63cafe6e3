"""Molecules that the periodic box has torn or moved, made whole again."""

from __future__ import annotations

from itertools import product

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree

from moedsr_core.data.chain_links import anchor_atoms, backbone_links, residue_label, same_chain
from moedsr_core.errors import InputError
from moedsr_core.structure import Structure

_FAR = 6.0
"""Links between residues' anchors, and atoms within residues, up to this are never questioned [Å].

Cα of neighbours are 3.8 Å apart and lie within 7 Å of every atom of their own residue."""
_TORN = 8.0
"""No bond of a whole molecule is this long [Å]."""
_STRETCH = 12.0
"""No atom of a whole molecule moves this much further from its residue's anchor [Å]."""
_REACH = 30.0
"""No residue is this long [Å]; lysine with retinal is 17 Å."""
_TOUCHING = 8.0
"""Chains with Cα this near are in contact [Å]."""
_APART = 25.0
"""Chains that touch in one frame and are this far apart in another are worth a word [Å]."""
_NEIGHBOURS = np.array(list(product((0, -1, 1), repeat=3)), float)
"""The 27 images around one, itself first."""
_REMEDY = "write it anew with whole molecules (gmx trjconv -pbc mol, cpptraj autoimage)"


def made_whole(
    structure: Structure,
    coords: Float[np.ndarray, "frames atoms 3"],
    box: Float[np.ndarray, "frames 3 3"] | None,
    source: str,
) -> tuple[Float[np.ndarray, "frames atoms 3"], list[str]]:
    """Undo what periodic boundaries did, and say it.

    Every residue is put beside the one before it in its chain, every atom beside its residue's
    Cα, and every chain beside the chains before it, each by whole edges of the box.

    Args:
        structure: Names the atoms.
        coords: Frames as written [Å].
        box: Edge vectors of the box in every frame [Å]; None where the file has none.
        source: Name of the file, for messages.

    Returns:
        Frames of whole molecules [Å], and a sentence for each thing done or noticed.

    Raises:
        InputError: If the molecule stays torn, or the topology is plainly another molecule's.
    """
    notes = []
    if box is not None:
        notes += _crossing_notes(coords, box)
        shifts = _unwrapping(structure, coords, box)
        torn = np.abs(shifts).max(axis=(1, 2)) > 1e-6
        if torn.any():
            coords = coords + shifts
            notes.append(
                f"the periodic box had torn the molecule in {torn.sum()} of {len(torn)} frames; "
                "it was made whole"
            )
        coords, moved = _chains_together(structure, coords, box)
        if moved:
            notes.append(
                f"chains lay in different images of the periodic box in {moved} of {len(torn)} "
                "frames; they were brought together"
            )
    _refuse_another_molecule(structure, coords, source)
    _refuse_torn(structure, coords, box is not None, source)
    return coords, [*notes, *_strayed_chains(structure, coords)]


def nearest_image(
    vectors: Float[np.ndarray, "*n 3"], box: Float[np.ndarray, "*n 3 3"]
) -> Float[np.ndarray, "*n 3"]:
    """Whole box edges to add to each vector so that it becomes as short as it can [Å].

    Rounding in fractions of the edges, then the 27 images around that, which is exact for the
    reduced boxes that simulation programs write.
    """
    fractions = np.einsum("...i,...ij->...j", vectors, np.linalg.inv(box))
    images = _NEIGHBOURS - np.round(fractions)[..., None, :]
    shifts = np.einsum("...mi,...ij->...mj", images, box)
    best = np.linalg.norm(vectors[..., None, :] + shifts, axis=-1).argmin(axis=-1)
    return np.take_along_axis(shifts, best[..., None, None], axis=-2)[..., 0, :]


def _unwrapping(
    structure: Structure,
    coords: Float[np.ndarray, "frames atoms 3"],
    box: Float[np.ndarray, "frames 3 3"],
) -> Float[np.ndarray, "frames atoms 3"]:
    """Whole box edges to add to every atom so that every chain is in one piece."""
    anchors, joined = anchor_atoms(structure), same_chain(structure)
    steps = _tear(coords[:, anchors[1:]] - coords[:, anchors[:-1]], box)
    along = np.concatenate([np.zeros((len(coords), 1, 3)), np.cumsum(steps, axis=1)], axis=1)
    starts = np.concatenate([[True], ~joined])
    chain = np.cumsum(starts) - 1
    along -= along[:, np.flatnonzero(starts)][:, chain]
    within = _tear(coords - coords[:, anchors[structure.residue_index]], box)
    return within + along[:, structure.residue_index]


def _tear(
    vectors: Float[np.ndarray, "frames n 3"], box: Float[np.ndarray, "frames 3 3"]
) -> Float[np.ndarray, "frames n 3"]:
    """Box edges that mend each vector; zero where it is not torn.

    A long vector counts as torn if an image of it is short, or at most half as long: a true gap
    in a chain stays.
    """
    shifts = np.zeros_like(vectors)
    lengths = np.linalg.norm(vectors, axis=-1)
    frame, k = np.nonzero(lengths > _FAR)
    if not len(k):
        return shifts
    long = vectors[frame, k]
    shift = nearest_image(long, box[frame])
    mended = np.linalg.norm(long + shift, axis=-1)
    shift[mended > np.maximum(_FAR, 0.5 * lengths[frame, k])] = 0.0
    shifts[frame, k] = shift
    return shifts


def _crossing_notes(
    coords: Float[np.ndarray, "frames atoms 3"], box: Float[np.ndarray, "frames 3 3"]
) -> list[str]:
    """Say how often the whole molecule leaves on one side and comes back on the other."""
    moves = np.diff(coords.mean(axis=1), axis=0)
    shifts = nearest_image(moves, box[1:])
    crossed = np.linalg.norm(moves + shifts, axis=-1) < 0.5 * np.linalg.norm(moves, axis=-1)
    jumps = int((crossed & (np.linalg.norm(moves, axis=-1) > 0.5 * _width(box).min())).sum())
    if not jumps:
        return []
    return [
        f"the molecule jumps across the periodic box between {jumps} of {len(moves)} neighbouring "
        "frames; superposition takes that away"
    ]


def _width(box: Float[np.ndarray, "frames 3 3"]) -> Float[np.ndarray, " frames"]:
    """Smallest distance between opposite faces of the box [Å]."""
    return 1.0 / np.linalg.norm(np.linalg.inv(box), axis=-2).max(axis=-1)


def _chains(structure: Structure) -> list[Int[np.ndarray, " atoms"]]:
    """Atoms of each run of residues in one chain."""
    chain = np.concatenate([[0], np.cumsum(~same_chain(structure))])[structure.residue_index]
    return [np.flatnonzero(chain == k) for k in range(chain.max() + 1)]


def _chains_together(
    structure: Structure,
    coords: Float[np.ndarray, "frames atoms 3"],
    box: Float[np.ndarray, "frames 3 3"],
) -> tuple[Float[np.ndarray, "frames atoms 3"], int]:
    """Put each chain beside those before it; also how many frames that changed."""
    chains = _chains(structure)
    if len(chains) == 1:
        return coords, 0
    anchors, coords = anchor_atoms(structure), coords.copy()
    moved = np.zeros(len(coords), bool)
    for k in range(1, len(chains)):
        before = np.intersect1d(anchors, np.concatenate(chains[:k]))
        own = np.intersect1d(anchors, chains[k])
        for frame, x in enumerate(coords):
            shift = _beside(x[before], x[own], box[frame])
            coords[frame, chains[k]] += shift
            moved[frame] |= bool(np.abs(shift).max() > 1e-6)
    return coords, int(moved.sum())


def _beside(
    before: Float[np.ndarray, "n 3"], own: Float[np.ndarray, "m 3"], box: Float[np.ndarray, "3 3"]
) -> Float[np.ndarray, " 3"]:
    """Box edges that bring one chain nearest to others; zero where they touch already."""
    tree = cKDTree(before)
    here = tree.query(own)[0].min()
    if here <= _TOUCHING:
        return np.zeros(3)
    start = nearest_image(own.mean(axis=0) - before.mean(axis=0), box)
    shifts = start + _NEIGHBOURS @ box
    distances = [tree.query(own + shift)[0].min() for shift in shifts]
    best = int(np.argmin(distances))
    return shifts[best] if distances[best] < 0.5 * here else np.zeros(3)


def _strayed_chains(structure: Structure, coords: Float[np.ndarray, "frames atoms 3"]) -> list[str]:
    """Say which chains touch the others in some frames and are far away in others."""
    chains, anchors, notes = _chains(structure), anchor_atoms(structure), []
    for k, chain in enumerate(chains if len(chains) > 1 else []):
        own = np.isin(anchors, chain)
        gaps = [cKDTree(x[anchors[~own]]).query(x[anchors[own]])[0].min() for x in coords]
        if min(gaps) <= _TOUCHING and max(gaps) >= _APART:
            notes.append(
                f"chain {structure.chain_ids[chain[0]] or k + 1} touches the others in some frames "
                f"and is {max(gaps):.0f} Å away in others; if that is the periodic box, {_REMEDY}"
            )
    return notes


def _refuse_another_molecule(
    structure: Structure, coords: Float[np.ndarray, "frames atoms 3"], source: str
) -> None:
    links = backbone_links(structure)
    lengths = links.lengths(coords[:1])[0]
    if len(lengths) >= 5 and np.median(lengths / links.limit) > 2:
        raise InputError(
            f"the topology does not fit {source}: neighbours in its chains lie "
            f"{np.median(lengths):.0f} Å apart; give the topology that it was written with"
        )


def _refuse_torn(
    structure: Structure, coords: Float[np.ndarray, "frames atoms 3"], has_box: bool, source: str
) -> None:
    links = backbone_links(structure)
    lengths = links.lengths(coords)
    torn = (lengths.min(axis=0) < links.limit) & (lengths.max(axis=0) > _TORN)
    bad = links.second[torn]
    worst = lengths[:, torn].max(axis=0)
    anchors = anchor_atoms(structure)[structure.residue_index]
    away = np.linalg.norm(coords - coords[:, anchors], axis=-1)
    strayed = _strayed_atoms(away)
    bad, worst = (
        np.concatenate([bad, np.flatnonzero(strayed)]),
        np.concatenate([worst, away[:, strayed].max(axis=0)]),
    )
    if len(bad):
        why = "and its box does not mend it" if has_box else "and holds no box to mend it with"
        where = residue_label(structure, int(bad[0]))
        raise InputError(
            f"{source} shows a molecule torn by a periodic box (neighbouring atoms at {where} are "
            f"up to {worst[0]:.0f} Å apart) {why}; {_REMEDY}"
        )


def _strayed_atoms(away: Float[np.ndarray, "frames atoms"]) -> Bool[np.ndarray, " atoms"]:
    """Atoms that in some frame cannot belong where they are."""
    return (away.max(axis=0) > _REACH) | (np.ptp(away, axis=0) > _STRETCH)
