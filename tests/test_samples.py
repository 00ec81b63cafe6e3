"""Samples for training: what was measured, where, and how it is kept."""

from __future__ import annotations

import json
import shutil
from dataclasses import fields, replace

import mdtraj
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from synthetic_chain import chain, swelling

from moedsr_core.data import samples
from moedsr_core.data.samples import (
    BAND,
    MotionSample,
    SampleConfig,
    motion_samples,
    prepare_samples,
)
from moedsr_core.data.trajectory_files import TrajectoryFiles
from moedsr_core.errors import InputError
from moedsr_core.frame import canonical_frame
from moedsr_core.structure import Structure
from moedsr_core.surface.ses import SolventExcludedSurface

SMALL = SampleConfig(n_frames=5, n_references=2, n_points=400, n_surface_points=60)


@pytest.fixture(scope="module")
def ensemble():
    return swelling()


@pytest.fixture(scope="module")
def measured(ensemble):
    return motion_samples(ensemble, SMALL)


def assert_equal_distances(start: np.ndarray, error: np.ndarray) -> None:
    """Equal to what the surface's sampling allows, which is closest where the surface is."""
    near = error[np.abs(start) < 1.0]
    assert np.median(near) < 0.003
    assert np.quantile(near, 0.95) < 0.03
    assert near.max() < 0.15
    assert error.max() < 0.3


def same(a: MotionSample, b: MotionSample) -> bool:
    ours = [getattr(a, f.name) for f in fields(a) if f.name != "structure"]
    theirs = [getattr(b, f.name) for f in fields(b) if f.name != "structure"]
    return all(np.array_equal(x, y) for x, y in zip(ours, theirs, strict=True))


def test_start_is_the_distance_to_the_reference_surface(measured):
    for sample in measured:
        surface = SolventExcludedSurface(sample.structure.coords, sample.structure.radii)
        error = np.abs(surface.signed_distance(sample.points) - sample.start)
        assert_equal_distances(sample.start, error)


def test_distances_are_those_to_the_other_frames_surfaces(ensemble, measured):
    sample = measured[0]
    anchors = ensemble.structure.atom_names == "CA"
    pose = canonical_frame(ensemble.coords[0])
    for row, k in enumerate(range(1, 5)):
        turn, middle = (
            Rotation.align_vectors(
                ensemble.coords[k][anchors] - ensemble.coords[k][anchors].mean(axis=0),
                ensemble.coords[0][anchors] - ensemble.coords[0][anchors].mean(axis=0),
            )[0],
            ensemble.coords[0][anchors].mean(axis=0),
        )
        points = turn.apply(pose.to_input(sample.points) - middle)
        points += ensemble.coords[k][anchors].mean(axis=0)
        surface = SolventExcludedSurface(ensemble.coords[k], ensemble.structure.radii)
        assert np.abs(surface.signed_distance(points) - sample.distances[row]).max() < 1e-6


def test_a_molecule_that_only_tumbles_does_not_move(ensemble):
    x = ensemble.coords[0]
    turns = Rotation.random(4, random_state=0)
    poses = np.stack([x, *(turn.apply(x) + 7.0 * k for k, turn in enumerate(turns))])
    for sample in motion_samples(replace(ensemble, coords=poses), SMALL):
        for distances in sample.distances:
            assert_equal_distances(sample.start, np.abs(distances - sample.start))


def test_a_swelling_molecule_moves_outward(measured):
    near = np.abs(measured[0].start) < 0.5
    assert near.sum() > 50
    assert (measured[0].distances - measured[0].start)[:, near].mean() < -0.2
    late = measured[1]
    assert (late.distances[0] - late.start)[np.abs(late.start) < 0.5].mean() > 0.05
    for distances in late.distances[1:]:
        assert_equal_distances(late.start, np.abs(distances - late.start))


def test_points_lie_in_the_band_and_crowd_at_the_surface(measured):
    for sample in measured:
        assert np.abs(sample.start).max() < BAND
        assert 200 < len(sample.points) <= SMALL.n_points
        assert 0.5 < (np.abs(sample.start) < 1.6).mean() < 0.9
        assert 0.15 < (np.abs(sample.start) < 0.4).mean() < 0.4
        assert (np.abs(sample.start) > 2.5).any()


def test_everything_is_in_the_canonical_pose(measured):
    for sample in measured:
        pose = canonical_frame(sample.structure.coords)
        assert np.abs(pose.rotation - np.eye(3)).max() < 1e-6
        assert np.abs(pose.center).max() < 1e-9
        surface = SolventExcludedSurface(sample.structure.coords, sample.structure.radii)
        assert np.abs(surface.signed_distance(sample.surface_points)).max() < 0.25
        ahead = surface.signed_distance(sample.surface_points + 0.3 * sample.surface_normals)
        assert np.median(ahead) == pytest.approx(0.3, abs=0.05)
        assert np.linalg.norm(sample.surface_normals, axis=1) == pytest.approx(1.0)


def test_times_run_both_ways_from_the_reference(measured):
    assert [sample.name for sample in measured] == ["swelling-0", "swelling-4"]
    assert measured[0].lags_ps.tolist() == [100, 200, 300, 400]
    assert measured[1].lags_ps.tolist() == [400, 300, 200, 100]


def test_frames_and_references_are_spread_over_the_trajectory():
    found = motion_samples(swelling(n_frames=9), replace(SMALL, n_frames=5, n_references=3))
    assert [sample.name for sample in found] == ["swelling-0", "swelling-4", "swelling-8"]
    assert found[1].lags_ps.tolist() == [400, 200, 200, 400]


def test_more_frames_than_there_are_means_all_of_them():
    found = motion_samples(swelling(n_frames=3), replace(SMALL, n_frames=30, n_references=10))
    assert [sample.name for sample in found] == ["swelling-0", "swelling-1", "swelling-2"]
    assert found[0].distances.shape[0] == 2


def test_replicates_share_a_proteins_frames_and_references():
    config = SampleConfig(n_frames=30, n_references=10, n_points=50)
    three = config.shared(3)
    assert (three.n_frames, three.n_references, three.n_points) == (10, 4, 50)
    assert config.shared(1) == config
    many = config.shared(40)
    assert (many.n_frames, many.n_references) == (2, 1)


def test_the_same_seed_measures_the_same_points(ensemble, measured):
    again = motion_samples(ensemble, SMALL)
    other = motion_samples(ensemble, replace(SMALL, seed=1))
    assert all(map(same, again, measured))
    assert not any(map(same, other, measured))


def test_a_sample_survives_the_disk(measured, tmp_path):
    sample = measured[0]
    sample.save(tmp_path / "a.npz")
    back = MotionSample.load(tmp_path / "a.npz")
    assert back.name == sample.name
    for field in fields(Structure):
        ours, theirs = getattr(sample.structure, field.name), getattr(back.structure, field.name)
        assert np.array_equal(ours, theirs), field.name
    assert np.array_equal(back.lags_ps, sample.lags_ps)
    for name in ("surface_points", "surface_normals", "points", "start"):
        assert np.array_equal(getattr(back, name), getattr(sample, name).astype(np.float32)), name
    assert np.abs(back.distances - sample.distances).max() < 0.005
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("before", [b"", b"older"])
def test_an_interrupted_save_changes_nothing(measured, tmp_path, monkeypatch, error, before):
    path = tmp_path / "a.npz"
    if before:
        path.write_bytes(before)

    def breaks_off(file, **_):
        file.write(b"half of it")
        raise error

    monkeypatch.setattr(np, "savez_compressed", breaks_off)
    with pytest.raises((InputError, KeyboardInterrupt)):
        measured[0].save(path)
    assert [p.read_bytes() for p in tmp_path.iterdir()] == ([before] if before else [])


def not_a_zip(path):
    path.write_bytes(b"PK not really")


def nothing(path):
    path.write_bytes(b"")


def half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def one_byte_changed(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(bytes(data))


def one_array(path):
    with path.open("wb") as file:
        np.save(file, np.zeros(3))


def other_arrays(path):
    np.savez(path, points=np.zeros((3, 3)))


def pickled(path):
    np.savez(path, name=np.array([{}], dtype=object), points=np.zeros((3, 3)))


def gone(path):
    path.unlink()


@pytest.mark.parametrize(
    "damage",
    [not_a_zip, nothing, half, one_byte_changed, one_array, other_arrays, pickled, gone],
)
def test_a_damaged_sample_is_refused(measured, tmp_path, damage):
    path = tmp_path / "a.npz"
    measured[0].save(path)
    damage(path)
    with pytest.raises(InputError, match="not a motion sample") as caught:
        MotionSample.load(path)
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def measured_files(tmp_path_factory):
    """A trajectory of five residues on disk, and its samples."""
    folder, structure, top = tmp_path_factory.mktemp("md"), chain(5), mdtraj.Topology()
    part = top.add_chain()
    for k in range(5):
        residue = top.add_residue("LEU", part)
        for i in np.flatnonzero(structure.residue_index == k):
            symbol = mdtraj.element.get_by_symbol(str(structure.elements[i]))
            top.add_atom(str(structure.atom_names[i]), symbol, residue)
    frames = mdtraj.Trajectory(swelling(3, 5).coords / 10, top, time=np.arange(3.0))
    frames[0].save_pdb(str(folder / "top.pdb"))
    frames.save(str(folder / "traj.xtc"))
    prepare(folder)
    return folder


@pytest.fixture
def files(measured_files, tmp_path):
    """A copy that a test may change."""
    shutil.copytree(measured_files, tmp_path / "md")
    return tmp_path / "md"


def prepare(folder, config=SMALL, name="one", **options):
    source = TrajectoryFiles(name, None, folder / "top.pdb", folder / "traj.xtc")
    return prepare_samples(source, folder / "samples", config, **options)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_samples_are_measured_once(files, monkeypatch):
    monkeypatch.setattr(samples, "motion_samples", None)
    paths = prepare(files)
    assert [path.name for path in paths] == ["one-0.npz", "one-2.npz"]
    assert [MotionSample.load(path).name for path in paths] == ["one-0", "one-2"]
    assert [MotionSample.load(path).lags_ps.tolist() for path in paths] == [[1, 2], [2, 1]]


def test_samples_that_went_missing_are_measured_again(files):
    before = prepare(files)
    before[1].unlink()
    assert prepare(files) == before
    assert before[1].exists()


@pytest.mark.parametrize("change", [{"config": replace(SMALL, n_points=300)}, {"spacing_ps": 4.0}])
def test_samples_of_another_configuration_are_refused(files, change):
    before = contents(files / "samples")
    with pytest.raises(InputError, match="give another folder or remove them"):
        prepare(files, **change)
    assert contents(files / "samples") == before


@pytest.mark.parametrize("text", ["", "{", "[]", '{"config": {}}', '{"config": 3, "files": []}'])
def test_a_damaged_record_is_refused(files, text):
    (files / "samples" / "one.json").write_text(text)
    with pytest.raises(InputError, match=r"one\.json does not tell"):
        prepare(files)


def test_a_measurement_that_is_cut_short_is_done_again(files, monkeypatch):
    shutil.rmtree(files / "samples")
    real, calls = MotionSample.save, []

    def fails_at_second(self, path):
        calls.append(path)
        if len(calls) == 2:
            raise KeyboardInterrupt
        real(self, path)

    monkeypatch.setattr(MotionSample, "save", fails_at_second)
    with pytest.raises(KeyboardInterrupt):
        prepare(files)
    assert list(contents(files / "samples")) == ["one-0.npz"]
    monkeypatch.setattr(MotionSample, "save", real)
    assert [path.exists() for path in prepare(files)] == [True, True]


def test_two_trajectories_share_a_folder(files):
    first = contents(files / "samples")
    second = prepare(files, name="two")
    assert [path.name for path in second] == ["two-0.npz", "two-2.npz"]
    after = contents(files / "samples")
    assert {name: after[name] for name in first} == first
    assert json.loads(after["two.json"])["files"] == [path.name for path in second]
