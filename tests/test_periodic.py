"""Molecules torn by the periodic box, and chains that are broken."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from synthetic_chain import chain
from trajectory_files import bent, write

from moedsr_core.data.chain_links import chain_breaks
from moedsr_core.data.ensemble import load_ensemble
from moedsr_core.data.periodic import made_whole, nearest_image
from moedsr_core.errors import InputError
from moedsr_core.structure import Structure, from_arrays

CUBE = np.diag([30.0, 34.0, 38.0])
OCTAHEDRON = 36.0 * np.array(
    [[1.0, 0.0, 0.0], [1 / 3, 2 * np.sqrt(2) / 3, 0.0], [-1 / 3, np.sqrt(2) / 3, np.sqrt(6) / 3]]
)
BOXES = pytest.mark.parametrize("box", [CUBE, OCTAHEDRON], ids=["cube", "octahedron"])


def frames_through(box: np.ndarray, structure: Structure, n: int = 40) -> np.ndarray:
    """The molecule in many poses all over the box."""
    rng = np.random.default_rng(1)
    turns = Rotation.random(n, random_state=2)
    middle = structure.coords - structure.coords.mean(axis=0)
    return np.stack([r.apply(middle) + rng.uniform(0, 1, 3) @ box for r in turns])


def wrapped(coords: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Every atom by itself put into the box."""
    fractions = coords @ np.linalg.inv(box)
    return coords - np.floor(fractions) @ box


def inner(coords: np.ndarray) -> np.ndarray:
    """Coordinates free of where the molecule stands."""
    return coords - coords[:, :1]


def boxes(box: np.ndarray, frames: np.ndarray) -> np.ndarray:
    return np.repeat(box[None], len(frames), axis=0)


def two_chains(gap: float) -> Structure:
    """Two copies of the chain side by side."""
    one = chain(10)
    other = one.coords + np.array([np.ptp(one.coords[:, 0]) + gap, 0.0, 0.0])
    return from_arrays(
        np.concatenate([one.coords, other]),
        atom_names=np.tile(one.atom_names, 2),
        residue_names=np.tile(one.residue_names, 2),
        residue_ids=np.tile(one.residue_ids, 2),
        chain_ids=np.repeat(["A", "B"], len(one)),
    )


@BOXES
def test_no_image_is_nearer_than_the_nearest(box):
    rng = np.random.default_rng(0)
    vectors = rng.uniform(-80, 80, (300, 3))
    found = np.linalg.norm(
        vectors + nearest_image(vectors, np.broadcast_to(box, (300, 3, 3))), axis=1
    )
    steps = np.stack(np.meshgrid(*[np.arange(-5, 6)] * 3), axis=-1).reshape(-1, 3) @ box
    brute = np.linalg.norm(vectors[:, None] + steps, axis=-1).min(axis=1)
    assert found == pytest.approx(brute, abs=1e-9)


@BOXES
def test_a_molecule_torn_by_the_box_is_made_whole(box):
    structure = chain(10)
    frames = frames_through(box, structure)
    torn = wrapped(frames, box)
    assert (np.abs(inner(torn) - inner(frames)).max(axis=(1, 2)) > 10).sum() > 20
    whole, notes = made_whole(structure, torn, boxes(box, torn), "traj.xtc")
    assert np.abs(inner(whole) - inner(frames)).max() < 1e-6
    assert any(note.startswith("the periodic box had torn the molecule in") for note in notes)


def test_the_frames_that_were_torn_are_counted():
    structure = chain(10)
    frames = np.repeat((structure.coords - structure.coords.mean(axis=0) + 15.0)[None], 5, axis=0)
    frames[2:4, :, 0] += 15.0
    _, notes = made_whole(structure, wrapped(frames, CUBE), boxes(CUBE, frames), "traj.xtc")
    assert notes[0] == "the periodic box had torn the molecule in 2 of 5 frames; it was made whole"


def test_a_whole_molecule_is_left_as_it_is():
    structure = chain(10)
    frames = frames_through(np.eye(3) * 3.0, structure, 5)
    kept, notes = made_whole(structure, frames, boxes(CUBE, frames), "traj.xtc")
    assert np.array_equal(kept, frames)
    assert notes == []


def test_a_torn_file_is_read_as_the_whole_one(tmp_path):
    frames = bent(6) - bent(6)[0].mean(axis=0) + 15.0 + 6.0 * np.arange(6)[:, None, None]
    torn = wrapped(frames, CUBE)
    stamps = np.arange(6.0)
    whole = load_ensemble(*write(tmp_path / "a", frames, stamps, box=CUBE))
    mended = load_ensemble(*write(tmp_path / "b", torn, stamps, box=CUBE))
    assert np.abs(mended.coords - mended.coords[0] - whole.coords + whole.coords[0]).max() < 0.02
    assert any("made whole" in note for note in mended.notes)
    assert not any("made whole" in note for note in whole.notes)


def test_a_torn_file_without_its_box_is_refused(tmp_path):
    frames = bent(6) - bent(6)[0].mean(axis=0) + 15.0 + 6.0 * np.arange(6)[:, None, None]
    files = write(tmp_path, wrapped(frames, CUBE), np.arange(6.0))
    with pytest.raises(InputError, match=r"torn by a periodic box .* no box .* trjconv") as caught:
        load_ensemble(*files)
    assert "\n" not in str(caught.value)


def test_a_side_chain_on_the_other_side_of_the_box_is_torn_too():
    structure = chain(10)
    frames = np.repeat(structure.coords[None], 3, axis=0)
    frames[1, 5] += CUBE[0]
    whole, _ = made_whole(structure, frames, boxes(CUBE, frames), "traj.xtc")
    assert np.abs(whole - structure.coords).max() < 1e-9
    with pytest.raises(InputError, match="torn by a periodic box"):
        made_whole(structure, frames, None, "traj.xtc")


def test_a_box_that_does_not_mend_is_not_blamed_for_being_absent():
    structure = chain(10)
    frames = np.repeat(structure.coords[None], 3, axis=0)
    frames[1, 30:] += [14.0, 0.0, 0.0]
    with pytest.raises(InputError, match="its box does not mend it"):
        made_whole(structure, frames, boxes(CUBE, frames), "traj.xtc")


def test_jumps_of_the_whole_molecule_are_said_and_harmless(tmp_path):
    frames = bent(6)
    jumped = frames + np.array([0, 0, 1, 1, 0, 0])[:, None, None] * CUBE[0]
    still = load_ensemble(*write(tmp_path / "a", frames, np.arange(6.0), box=CUBE))
    moved = load_ensemble(*write(tmp_path / "b", jumped, np.arange(6.0), box=CUBE))
    assert np.abs(still.coords - moved.coords).max() < 0.02
    assert still.notes == ()
    assert moved.notes == (
        "the molecule jumps across the periodic box between 2 of 5 neighbouring frames; "
        "superposition takes that away",
    )


@BOXES
def test_chains_in_different_images_are_brought_together(box):
    both = two_chains(gap=3.0)
    frames = np.repeat(both.coords[None], 4, axis=0)
    apart = frames.copy()
    apart[1, len(both) // 2 :] += box[0]
    apart[3, len(both) // 2 :] -= box[1] + box[2]
    joined, notes = made_whole(both, apart, boxes(box, apart), "traj.xtc")
    assert np.abs(joined - frames).max() < 1e-9
    assert notes == [
        "chains lay in different images of the periodic box in 2 of 4 frames; "
        "they were brought together"
    ]


def test_chains_that_part_without_a_box_are_said():
    both = two_chains(gap=0.0)
    apart = np.repeat(both.coords[None], 4, axis=0)
    apart[1, len(both) // 2 :] += CUBE[0] + CUBE[1]
    kept, notes = made_whole(both, apart, None, "traj.xtc")
    assert np.array_equal(kept, apart)
    assert any("chain B touches the others in some frames" in note for note in notes)


def test_chains_that_are_apart_in_truth_stay_apart():
    both = two_chains(gap=12.0)
    frames = np.repeat(both.coords[None], 2, axis=0)
    box = np.diag([41.0, 70.0, 70.0])
    kept, notes = made_whole(both, frames, boxes(box, frames), "traj.xtc")
    assert np.array_equal(kept, frames)
    assert notes == []


def test_a_missing_loop_is_a_break_and_no_tear():
    whole = chain(20)
    gone = whole.select((whole.residue_index < 6) | (whole.residue_index > 11))
    frames = np.repeat(gone.coords[None], 3, axis=0)
    kept, notes = made_whole(gone, frames, boxes(CUBE, frames), "traj.xtc")
    assert np.array_equal(kept, frames)
    assert notes == []
    (said,) = chain_breaks(gone, frames)
    gap = np.linalg.norm(gone.coords[36] - gone.coords[32])
    names = [f"A {gone.residue_names[i]} {gone.residue_ids[i]}" for i in (30, 36)]
    assert said == f"the chain is broken between {names[0]} and {names[1]} (C-N {gap:.1f} Å)"


def test_a_wide_gap_is_not_closed_by_an_image_that_is_little_nearer():
    whole = chain(20)
    ends = whole.select((whole.residue_index < 5) | (whole.residue_index > 14))
    frames = np.repeat(ends.coords[None], 3, axis=0)
    anchors = np.flatnonzero(ends.atom_names == "CA")
    gap = ends.coords[anchors[5]] - ends.coords[anchors[4]]
    box = np.diag([60.0, 60.0, 1.6 * abs(gap[2])])
    assert np.linalg.norm(gap - box[2]) < np.linalg.norm(gap)
    assert np.array_equal(made_whole(ends, frames, boxes(box, frames), "traj.xtc")[0], frames)


def test_a_chain_is_not_drawn_to_the_end_of_the_one_before():
    both = two_chains(gap=-12.0)
    frames = np.repeat(both.coords[None], 2, axis=0)
    anchors = np.flatnonzero(both.atom_names == "CA")
    step = both.coords[anchors[10]] - both.coords[anchors[9]]
    box = np.diag([60.0, 60.0, abs(step[2])])
    assert np.linalg.norm(step[:2]) < 0.5 * np.linalg.norm(step)
    kept, notes = made_whole(both, frames, boxes(box, frames), "traj.xtc")
    assert np.array_equal(kept, frames)
    assert notes == []


def test_breaks_are_looked_for_within_chains_only():
    assert chain_breaks(two_chains(gap=20.0), two_chains(gap=20.0).coords[None]) == []


def test_a_chain_that_comes_apart_is_said_with_its_frames():
    structure = chain(10)
    frames = np.repeat(structure.coords[None], 4, axis=0)
    frames[2:, 30:] += [3.0, 3.0, 3.0]
    (said,) = chain_breaks(structure, frames)
    assert said.startswith("the chain comes apart between")
    assert "in 2 of 4 frames" in said


def test_chains_of_alpha_carbons_alone_are_measured_too():
    whole = chain(12)
    trace = whole.select(whole.atom_names == "CA")
    assert chain_breaks(trace, trace.coords[None]) == []
    gone = trace.select((trace.residue_index < 4) | (trace.residue_index > 8))
    (said,) = chain_breaks(gone, gone.coords[None])
    assert "(CA-CA" in said


def test_many_breaks_are_summed_up():
    structure = chain(20)
    spread = structure.coords + 3.0 * structure.residue_index[:, None]
    notes = chain_breaks(structure, spread[None])
    assert len(notes) == 5
    assert notes[-1] == "15 more links between residues are broken"


def test_a_topology_with_the_atoms_in_another_order_is_refused(tmp_path):
    files = write(tmp_path, bent(4), np.arange(4.0))
    mixed = bent(4)[:, np.random.default_rng(0).permutation(60)]
    _, trajectory = write(tmp_path / "mixed", mixed, np.arange(4.0))
    assert load_ensemble(*files).notes == ()
    with pytest.raises(InputError, match="topology does not fit"):
        load_ensemble(files[0], trajectory)


@pytest.mark.data
def test_villin_crosses_its_box_and_the_trimer_stays_whole(data_dir):
    def read(name):
        folder = data_dir / "protein_md" / name
        return load_ensemble(folder / "top.pdb", folder / "traj.xtc")

    assert any("between 1 of 19 neighbouring frames" in note for note in read("villin_hp35").notes)
    assert read("gmx_glyc120").notes == ()
