"""Trajectories read and laid on their first frame."""

from __future__ import annotations

import warnings

import mdtraj
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from synthetic_chain import chain
from trajectory_files import WATER, bent, tumbling, write

from moedsr_core.data.ensemble import load_ensemble, superpose
from moedsr_core.errors import InputError


def test_superposition_undoes_known_rigid_motions():
    x = chain().coords
    frames = tumbling(np.repeat(x[None], 30, axis=0))
    anchors = np.arange(1, len(x), 6)
    assert np.abs(frames[1:] - x).max() > 10
    assert np.abs(superpose(frames, x, anchors) - x).max() < 1e-9


@pytest.mark.parametrize("anchors", [[], [4], [2, 9], [0, 6, 12], [0, 1, 2, 3, 40]])
def test_few_anchors_suffice_for_a_rigid_motion(anchors):
    x = chain().coords
    frames = tumbling(np.repeat(x[None], 10, axis=0), seed=3)
    assert np.abs(superpose(frames, x, np.array(anchors, int)) - x).max() < 1e-8


def handedness(x: np.ndarray) -> np.ndarray:
    a, b, c = x[..., 7, :], x[..., 20, :], x[..., 31, :]
    return np.linalg.det(np.stack([a, b, c], axis=-2) - x[..., :1, :])


def test_a_mirror_image_is_not_mirrored_back():
    x = chain().coords
    mirrored = (x * [1.0, 1.0, -1.0])[None]
    fitted = superpose(mirrored, x, np.arange(len(x)))
    assert handedness(fitted) == pytest.approx(handedness(mirrored))
    assert np.sqrt(np.square(fitted - x).sum(axis=-1).mean()) > 1.0


def test_no_other_rigid_motion_fits_better():
    x, rng = chain().coords, np.random.default_rng(0)
    frame = tumbling(np.stack([x, x + rng.normal(0, 1.0, x.shape)]))[1:]
    fitted = superpose(frame, x, np.arange(len(x)))[0]
    best = np.square(fitted - x).sum()
    middle = fitted.mean(axis=0)
    for _ in range(50):
        turn = Rotation.from_rotvec(rng.normal(0, 0.02, 3))
        other = turn.apply(fitted - middle) + middle + rng.normal(0, 0.02, 3)
        assert np.square(other - x).sum() > best


def test_only_the_anchors_are_fitted():
    x = chain().coords
    anchors = np.arange(60)
    opened = x.copy()
    opened[60:] = Rotation.from_euler("x", 1.0).apply(x[60:])
    fitted = superpose(tumbling(np.stack([x, opened]), seed=1), x, anchors)[1]
    assert np.abs(fitted[anchors] - x[anchors]).max() < 1e-9
    assert np.abs(fitted[60:] - x[60:]).max() > 5


def test_flat_and_straight_anchors_are_not_mirrored():
    x = chain().coords
    for squash in ([1.0, 1.0, 0.0], [0.0, 0.0, 1.0]):
        flat = x * squash
        flat[40:] = x[40:]
        frames = tumbling(np.repeat(flat[None], 5, axis=0), seed=5)
        fitted = superpose(frames, flat, np.arange(40))
        assert np.abs(fitted[:, :40] - flat[:40]).max() < 1e-8
        assert handedness(fitted) == pytest.approx(np.repeat(handedness(flat), 5))


def test_a_tumbling_molecule_is_read_as_its_internal_motion(tmp_path):
    still = write(tmp_path / "a", bent(6), 10.0 * np.arange(6))
    tumbled = write(tmp_path / "b", tumbling(bent(6)), 10.0 * np.arange(6))
    a, b = load_ensemble(*still), load_ensemble(*tumbled)
    assert np.abs(a.coords - b.coords).max() < 0.02
    assert (a.name, b.name) == ("a", "b")
    assert len(a) == 6
    assert np.array_equal(a.lags_ps, 10.0 * np.arange(6))


def test_frames_keep_their_order_and_their_own_atoms(tmp_path):
    frames = bent(5)
    ensemble = load_ensemble(*write(tmp_path, frames, np.arange(5.0)), name="mine")
    anchors = np.flatnonzero(chain(10).atom_names == "CA")
    expected = superpose(frames, frames[0], anchors)
    assert ensemble.name == "mine"
    assert np.abs(ensemble.coords - expected).max() < 0.01
    assert np.abs(ensemble.frame(3).coords - expected[3]).max() < 0.01
    assert np.array_equal(ensemble.frame(3).atom_names, chain(10).atom_names)
    assert np.abs(ensemble.structure.coords - ensemble.coords[0]).max() < 1e-9


def test_atoms_on_the_same_spot_are_not_confused(tmp_path):
    frames = bent(3)
    files = write(tmp_path, frames, np.arange(3.0))
    raw = mdtraj.load(str(files[1]), top=str(files[0]))
    raw.xyz[1:, -WATER:] += 5.0
    raw.save(str(files[1]))
    ensemble = load_ensemble(*files)
    assert ensemble.coords.shape == frames.shape
    assert np.abs(ensemble.coords[:, 0] - superpose(
        frames, frames[0], np.arange(1, 60, 6)
    )[:, 0]).max() < 0.01  # fmt: skip


def test_lags_count_from_the_first_frame(tmp_path):
    ensemble = load_ensemble(*write(tmp_path, bent(4), 500.0 + np.array([0.0, 1.0, 5.0, 20.0])))
    assert ensemble.lags_ps == pytest.approx([0, 1, 5, 20])


def test_time_stamps_that_stand_still_need_a_spacing(tmp_path):
    files = write(tmp_path, bent(4), np.zeros(4))
    with pytest.raises(InputError, match="give the spacing"):
        load_ensemble(*files)
    assert load_ensemble(*files, spacing_ps=2.5).lags_ps == pytest.approx([0, 2.5, 5, 7.5])


def test_a_spacing_overrules_the_time_stamps(tmp_path):
    files = write(tmp_path, bent(3), np.arange(3.0))
    assert load_ensemble(*files, spacing_ps=40.0).lags_ps == pytest.approx([0, 40, 80])
    with pytest.raises(InputError, match="do not increase"):
        load_ensemble(*files, spacing_ps=-1.0)


def test_a_choice_of_frames_is_even_and_keeps_both_ends(tmp_path):
    files = write(tmp_path, bent(11), 10.0 * np.arange(11))
    every, some = load_ensemble(*files), load_ensemble(*files, max_frames=6)
    assert some.lags_ps == pytest.approx([0, 20, 40, 60, 80, 100])
    assert np.abs(some.coords - every.coords[::2]).max() < 1e-9
    assert len(load_ensemble(*files, max_frames=50)) == 11


@pytest.mark.parametrize("name", ["traj.dcd", "traj.pdb", "traj.trr"])
def test_other_formats_hold_the_same_motion(tmp_path, name):
    ours = load_ensemble(*write(tmp_path, bent(3), np.arange(3.0), name), spacing_ps=1.0)
    reference = load_ensemble(*write(tmp_path, bent(3), np.arange(3.0)), spacing_ps=1.0)
    assert np.abs(ours.coords - reference.coords).max() < 0.02


def test_a_unit_cell_without_depth_warns_of_nothing(tmp_path):
    files = write(tmp_path, bent(3), np.arange(3.0))
    frames = mdtraj.load(str(files[1]), top=str(files[0]))
    flat = np.repeat(np.diag([5.0, 5.0, 0.0]).astype(np.float32)[None], 3, axis=0)
    with mdtraj.formats.XTCTrajectoryFile(str(files[1]), "w") as out:
        out.write(frames.xyz, time=frames.time, step=np.arange(3, dtype=np.int32), box=flat)
    with pytest.warns(RuntimeWarning):
        mdtraj.load(str(files[1]), top=str(files[0]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(load_ensemble(*files)) == 3


def test_one_frame_is_no_motion(tmp_path):
    with pytest.raises(InputError, match="at least two"):
        load_ensemble(*write(tmp_path, bent(1), np.zeros(1)))


def test_a_trajectory_of_other_atoms_is_refused(tmp_path):
    files = write(tmp_path, bent(3), np.arange(3.0))
    mdtraj.load(str(files[1]), top=str(files[0])).atom_slice(range(30)).save(str(files[1]))
    with pytest.raises(InputError, match="30 atoms but the topology names 62"):
        load_ensemble(*files)


def test_a_trajectory_that_breaks_off_is_refused_in_one_sentence(tmp_path):
    files = write(tmp_path, bent(6), np.arange(6.0))
    whole = files[1].read_bytes()
    files[1].write_bytes(whole[: int(0.55 * len(whole))])
    with pytest.raises(InputError, match="could not be read") as caught:
        load_ensemble(*files)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("left_over", [1, 2, 3, 4, 5, 40, 91, 92, 300])
def test_a_trajectory_that_breaks_off_anywhere_in_a_frame_is_refused(tmp_path, left_over):
    files = write(tmp_path, bent(6), np.arange(6.0))
    whole = files[1].read_bytes()
    with mdtraj.open(str(files[1])) as stream:
        start = int(stream.offsets[5])
    files[1].write_bytes(whole[: start + left_over])
    with pytest.raises(InputError, match="could not be read"):
        load_ensemble(*files)
    files[1].write_bytes(whole[:start])
    assert len(load_ensemble(*files)) == 5


def test_a_dcd_file_that_is_shorter_than_it_promises_is_said(tmp_path):
    files = write(tmp_path, bent(6), np.arange(6.0), "traj.dcd")
    assert load_ensemble(*files, spacing_ps=1.0).notes == ()
    files[1].write_bytes(files[1].read_bytes()[:-100])
    cut = load_ensemble(*files, spacing_ps=1.0)
    assert len(cut) == 5
    assert cut.notes[0].startswith("the file's header promises 6 frames but it holds 5")


def test_a_placeholder_of_a_box_mends_nothing(tmp_path):
    files = write(tmp_path, tumbling(bent(3)), np.arange(3.0), box=np.eye(3))
    ensemble = load_ensemble(*files)
    assert ensemble.notes == ()
    assert np.abs(ensemble.coords - load_ensemble(
        *write(tmp_path / "plain", tumbling(bent(3)), np.arange(3.0))
    ).coords).max() < 1e-6  # fmt: skip


def test_frames_that_are_not_finite_are_refused(tmp_path):
    frames = bent(3)
    frames[2, 5] = np.nan
    with pytest.raises(InputError, match="NaN or infinity"):
        load_ensemble(*write(tmp_path, frames, np.arange(3.0), "traj.dcd"))


@pytest.mark.parametrize("missing", [0, 1])
def test_missing_files_are_named(tmp_path, missing):
    files = list(write(tmp_path, bent(3), np.arange(3.0)))
    files[missing].unlink()
    with pytest.raises(InputError, match=files[missing].name):
        load_ensemble(*files)


@pytest.mark.data
@pytest.mark.parametrize("name", ["trpzip2", "ubiquitin"])
def test_superposed_frames_are_as_far_apart_as_mdtraj_finds_them(data_dir, name):
    folder = data_dir / "protein_md" / name
    files = folder / "top.pdb", folder / "traj.xtc"
    ensemble = load_ensemble(*files, max_frames=20, spacing_ps=1.0)
    anchors = np.flatnonzero(ensemble.structure.atom_names == "CA")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frames = mdtraj.load(str(files[1]), top=str(files[0]))
    frames = frames[np.linspace(0, len(frames) - 1, 20).round().astype(int)]
    expected = 10 * mdtraj.rmsd(frames, frames, 0, frames.topology.select("name CA and protein"))
    moved = ensemble.coords[:, anchors] - ensemble.coords[0, anchors]
    assert np.sqrt(np.square(moved).sum(axis=-1).mean(axis=-1)) == pytest.approx(expected, abs=5e-3)
    assert expected.max() > 0.5
