from __future__ import annotations

import errno
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh
from analytic_fields import AnalyticField, breathing_ball

from moedsr_core.errors import InputError
from moedsr_core.levelset import extract_frames
from moedsr_core.mesh_io import displacement_colours, read_ply, write_mesh
from moedsr_core.mesh_trajectory import Frame, MeshTrajectory, load_sequence, load_trajectory

TIMES = np.array([-1.0, 0.0, 1.0])


def a_frame(mesh, faces=None) -> Frame:
    displacement = np.linalg.norm(mesh.vertices - [0.1, 0.2, 0.3], axis=1) - 5.0
    return Frame(
        mesh.vertices,
        mesh.faces if faces is None else faces,
        mesh.normals,
        displacement.astype(np.float32),
    )


def make_trajectory(kind: str) -> MeshTrajectory:
    field = AnalyticField(breathing_ball)
    frames = tuple(
        map(a_frame, extract_frames(field, TIMES, ([-9.0] * 3, [9.0] * 3), 1.0, mesh=kind))
    )
    n = len(frames[0].vertices)
    rng = np.random.default_rng(0)
    return MeshTrajectory(
        frames=frames,
        times=TIMES,
        lags_ps=np.array([0.0, 10.0, 1e5]),
        fluctuation=rng.random(n).astype(np.float32),
        mean_displacement=rng.random(n).astype(np.float32),
        atom=rng.integers(0, 9, n).astype(np.int32),
        expert=rng.random((n, 4)).astype(np.float32),
        metadata={"model": "Å", "frames": 3},
    )


@pytest.fixture(scope="module")
def tracked() -> MeshTrajectory:
    return make_trajectory("tracked")


@pytest.fixture(scope="module")
def free() -> MeshTrajectory:
    return make_trajectory("marching_cubes")


def assert_same_frames(frames, reference) -> None:
    assert len(frames) == len(reference)
    for frame, other in zip(frames, reference, strict=True):
        for name in ("vertices", "faces", "normals", "displacement"):
            assert np.array_equal(getattr(frame, name), getattr(other, name))
            assert getattr(frame, name).dtype == getattr(other, name).dtype


@pytest.mark.parametrize("kind", ["tracked", "free"])
def test_a_trajectory_comes_back_from_npz_bit_by_bit(kind, request, tmp_path):
    trajectory = request.getfixturevalue(kind)
    trajectory.save(tmp_path / "a.npz")
    loaded = load_trajectory(tmp_path / "a.npz")
    assert_same_frames(loaded.frames, trajectory.frames)
    for name in ("times", "lags_ps", "fluctuation", "mean_displacement", "atom", "expert"):
        assert np.array_equal(getattr(loaded, name), getattr(trajectory, name))
    assert loaded.metadata == trajectory.metadata
    assert loaded.topologies == trajectory.topologies


def test_one_topology_is_stored_once_and_shared_again(tracked, tmp_path):
    assert tracked.topologies == 1
    tracked.save(tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as archive:
        assert len(archive["faces"]) == len(tracked.frames[0].faces)
    loaded = load_trajectory(tmp_path / "a.npz")
    assert loaded.frames[2].faces is loaded.frames[0].faces


def test_a_movie_without_physical_time_stays_without(tracked, tmp_path):
    replace(tracked, lags_ps=None).save(tmp_path / "a.npz")
    assert load_trajectory(tmp_path / "a.npz").lags_ps is None


def test_no_array_in_the_file_is_pickled(tracked, tmp_path):
    tracked.save(tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz", allow_pickle=False) as archive:
        assert not any(archive[name].dtype.hasobject for name in archive.files)


@pytest.mark.parametrize("kind", ["tracked", "free"])
def test_frames_come_back_from_ply_bit_by_bit(kind, request, tmp_path):
    trajectory = request.getfixturevalue(kind)
    trajectory.save_sequence(tmp_path / "frames")
    frames = load_sequence(tmp_path / "frames")
    assert_same_frames(frames, trajectory.frames)
    shared = frames[1].faces is frames[0].faces
    assert shared == (kind == "tracked")


@pytest.mark.parametrize("kind", ["ply", "obj", "glb"])
def test_another_program_reads_the_same_mesh(kind, tracked, tmp_path):
    tracked.save_sequence(tmp_path / "frames", kind)
    paths = sorted((tmp_path / "frames").iterdir())
    assert [path.name for path in paths] == [f"frame_{k:04d}.{kind}" for k in range(3)]
    seen = trimesh.load(paths[1], process=False, force="mesh")
    assert np.abs(seen.vertices - tracked.frames[1].vertices).max() < 1e-4
    assert np.array_equal(seen.faces, tracked.frames[1].faces)
    assert seen.volume == pytest.approx(tracked.frames[1].volume, rel=1e-4)
    assert (seen.vertex_normals * tracked.frames[1].normals).sum(axis=1).min() > 0.99
    colours = displacement_colours(tracked.frames[1].displacement, tracked.colour_range)
    assert np.abs(seen.visual.vertex_colors[:, :3].astype(int) - colours).max() <= 1


def test_outward_is_red_inward_blue_and_still_white():
    red, blue, white = displacement_colours(np.array([2.0, -9.0, 0.0]), 2.0).astype(int)
    assert red[0] > 2 * red[2]
    assert blue[2] > 2 * blue[0]
    assert white.min() == white.max() > 240


def test_the_strongest_colour_is_the_largest_displacement_but_never_noise(tracked):
    assert tracked.colour_range == pytest.approx(2.0, abs=0.05)
    still = [replace(f, displacement=0 * f.displacement) for f in tracked.frames]
    assert replace(tracked, frames=tuple(still)).colour_range == 0.5


@pytest.mark.parametrize("length", [10, 400, -1])
def test_a_ply_file_cut_short_is_refused(length, tracked, tmp_path):
    path = tmp_path / "a.ply"
    write_mesh(path, tracked.frames[0])
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(InputError, match=r"a\.ply"):
        read_ply(path)


def test_a_ply_file_with_wild_faces_is_refused(tracked, tmp_path):
    path = tmp_path / "a.ply"
    write_mesh(path, replace(tracked.frames[0], faces=tracked.frames[0].faces + 10**6))
    with pytest.raises(InputError, match="damaged"):
        read_ply(path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no", b"hello", b"\x93NUMPY\x01\x00v\x00"])
def test_files_of_another_make_are_refused(content, tmp_path):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.npz"):
        load_trajectory(tmp_path / "a.npz")


def test_a_single_array_is_refused(tmp_path):
    with (tmp_path / "a.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(InputError, match="single array"):
        load_trajectory(tmp_path / "a.npz")


def test_a_pickled_array_is_refused(tmp_path):
    np.save(tmp_path / "a.npz.npy", np.array([{}], dtype=object), allow_pickle=True)
    (tmp_path / "a.npz.npy").rename(tmp_path / "a.npz")
    with pytest.raises(InputError, match="expected"):
        load_trajectory(tmp_path / "a.npz")


@pytest.mark.parametrize("missing", ["faces", "topology", "metadata"])
def test_a_trajectory_that_lacks_a_part_is_refused(missing, tracked, tmp_path):
    tracked.save(tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as archive:
        arrays = {name: archive[name] for name in archive.files if name != missing}
    np.savez(tmp_path / "b.npz", **arrays)
    with pytest.raises(InputError, match="damaged"):
        load_trajectory(tmp_path / "b.npz")


def test_a_trajectory_cut_short_is_refused(tracked, tmp_path):
    tracked.save(tmp_path / "a.npz")
    data = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"a\.npz"):
        load_trajectory(tmp_path / "a.npz")


def test_a_newer_format_is_refused(tracked, tmp_path):
    tracked.save(tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as archive:
        arrays = {name: archive[name] for name in archive.files}
    np.savez(tmp_path / "b.npz", **(arrays | {"format": np.array(2)}))
    with pytest.raises(InputError, match="format 2"):
        load_trajectory(tmp_path / "b.npz")


def test_a_missing_file_or_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="could not read"):
        load_trajectory(tmp_path / "none.npz")
    with pytest.raises(InputError, match="found none"):
        load_sequence(tmp_path / "none")
    with pytest.raises(InputError, match="could not read"):
        read_ply(tmp_path / "none.ply")


def full_disk(*_args, **_kwargs):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_leaves_the_old_trajectory_whole(tracked, tmp_path, monkeypatch):
    tracked.save(tmp_path / "a.npz")
    before = (tmp_path / "a.npz").read_bytes()

    def write_half(file, **_arrays):
        file.write(b"half")
        full_disk()

    monkeypatch.setattr(np, "savez", write_half)
    with pytest.raises(InputError, match="No space left"):
        tracked.save(tmp_path / "a.npz")
    assert (tmp_path / "a.npz").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def test_a_full_disk_leaves_no_half_written_sequence(tracked, tmp_path, monkeypatch):
    written = []

    def second_fails(path, *args):
        if written:
            full_disk()
        written.append(path)
        write_mesh(path, *args)

    monkeypatch.setattr("moedsr_core.mesh_trajectory.write_mesh", second_fails)
    with pytest.raises(InputError, match="No space left"):
        tracked.save_sequence(tmp_path / "frames")
    assert len(written) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_place_of_the_folder_is_refused_and_kept(tracked, tmp_path):
    (tmp_path / "frames").write_text("mine")
    with pytest.raises(InputError, match="is a file"):
        tracked.save_sequence(tmp_path / "frames")
    assert (tmp_path / "frames").read_text() == "mine"
    with pytest.raises(InputError, match="could not write"):
        tracked.save(tmp_path / "frames" / "a.npz")


def test_an_older_sequence_is_replaced_entry_by_entry(tracked, tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    (folder / "frame_0000.ply").write_text("old")
    tracked.save_sequence(folder)
    assert_same_frames(load_sequence(folder), tracked.frames)
    assert (folder / "notes.txt").read_text() == "mine"
    assert list(tmp_path.iterdir()) == [folder]


def test_unknown_kinds_are_refused_with_the_choices(tracked, tmp_path):
    with pytest.raises(InputError, match="ply, obj, glb"):
        tracked.save_sequence(tmp_path / "frames", "stl")
    with pytest.raises(InputError, match=r"\.ply, \.obj, \.glb"):
        write_mesh(tmp_path / "a.stl", tracked.frames[0])
    with pytest.raises(InputError, match=r"end in \.npz"):
        tracked.save(tmp_path / "a.zip")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"frames": ()}, "at least one"),
        ({"times": TIMES[:2], "lags_ps": None}, "equally many"),
        ({"times": TIMES[:2], "lags_ps": TIMES[:2]}, "equally many"),
        (
            {
                "fluctuation": np.zeros(3),
                "mean_displacement": np.zeros(3),
                "atom": np.zeros(3, np.int32),
                "expert": np.zeros((3, 1)),
            },
            "fluctuation must describe",
        ),
    ],
)
def test_parts_that_do_not_belong_together_are_refused(change, reason, tracked):
    with pytest.raises(InputError, match=reason):
        replace(tracked, **change)


def test_metadata_is_json_in_the_file(tracked, tmp_path):
    tracked.save(Path(tmp_path) / "a.npz")
    with np.load(tmp_path / "a.npz") as archive:
        assert json.loads(str(archive["metadata"])) == {"model": "Å", "frames": 3}
