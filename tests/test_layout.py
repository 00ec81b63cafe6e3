"""Folders of trajectories, replicates apart and in a row."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic_chain import chain
from trajectory_files import bent, tumbling, write

from moedsr_core.data.ensemble import Ensemble, load_ensemble
from moedsr_core.data.layout import concatenate, load_replicates
from moedsr_core.data.splits import load_part
from moedsr_core.data.trajectory_files import find_trajectories, home_of
from moedsr_core.errors import InputError

NAME = "1abc_A"


def atlas(folder, lengths=(5, 4, 6), pattern="{name}_R{k}.xtc"):
    """A protein in the layout of ATLAS; 10 ps a frame, every run from another start."""
    for k, n in enumerate(lengths, start=1):
        frames = tumbling(bent(n + k), seed=k)[k:]
        write(
            folder / NAME, frames, 10.0 * np.arange(n),
            pattern.format(name=NAME, k=k), top_name=f"{NAME}.pdb",
        )  # fmt: skip
    return folder / NAME


def plain(folder):
    write(folder, bent(4), np.arange(4.0))
    return folder


@pytest.mark.parametrize("pattern", ["{name}_R{k}.xtc", "{name}_prod_R{k}_fit.xtc"])
def test_replicates_of_atlas_are_kept_apart_in_order(tmp_path, pattern):
    replicates = load_replicates(atlas(tmp_path, pattern=pattern))
    assert [one.name for one in replicates] == [f"{NAME}_R{k}" for k in (1, 2, 3)]
    assert [len(one) for one in replicates] == [5, 4, 6]
    assert all(one.seams == () and one.notes == () for one in replicates)
    assert all(one.lags_ps[0] == 0 and one.spacing_ps == 10 for one in replicates)


def test_ten_replicates_are_counted_as_numbers(tmp_path):
    found = find_trajectories(atlas(tmp_path, lengths=(2,) * 11))
    assert [files.replicate for files in found] == [f"R{k}" for k in range(1, 12)]


def test_files_of_other_kinds_are_no_replicates(tmp_path):
    folder = atlas(tmp_path, lengths=(2, 2))
    for name in (f"{NAME}_R1.tpr", f"{NAME}_R1_old.xtc", "1xyz_A_R3.xtc", f"{NAME}_Rest.xtc"):
        (folder / name).write_bytes(b"")
    assert [files.replicate for files in find_trajectories(folder)] == ["R1", "R2"]


def test_of_two_names_of_a_replicate_the_newer_counts(tmp_path):
    folder = atlas(tmp_path, lengths=(2, 2))
    (folder / f"{NAME}_prod_R1_fit.xtc").write_bytes(b"")
    found = [files.trajectory.name for files in find_trajectories(folder)]
    assert found == [f"{NAME}_R1.xtc", f"{NAME}_R2.xtc"]


def test_a_folder_is_named_as_it_is_reached(tmp_path, monkeypatch):
    folder = atlas(tmp_path, lengths=(2,))
    monkeypatch.chdir(folder)
    for here in (".", f"../{NAME}/", folder):
        assert [files.label for files in find_trajectories(here)] == [f"{NAME}_R1"]


def test_the_plain_layout_is_one_replicate(tmp_path):
    (one,) = load_replicates(plain(tmp_path / "mine"))
    assert one.name == "mine"
    assert len(one) == 4


def test_stride_and_frames_hold_for_each_replicate(tmp_path):
    folder = atlas(tmp_path, lengths=(9, 9))
    every, some = load_replicates(folder), load_replicates(folder, stride=4)
    assert [one.lags_ps.tolist() for one in some] == [[0, 40, 80]] * 2
    assert np.array_equal(some[1].coords, every[1].coords[::4])
    assert [len(one) for one in load_replicates(folder, max_frames=3)] == [3, 3]


def test_replicates_in_a_row_lie_on_the_first_and_remember_their_seams(tmp_path):
    replicates = load_replicates(atlas(tmp_path))
    row = concatenate(replicates, name=NAME)
    assert row.name == NAME
    assert row.seams == (5, 9)
    assert row.lags_ps.tolist() == [10.0 * k for k in range(15)]
    assert row.spacing_ps == 10
    anchors = np.flatnonzero(row.structure.atom_names == "CA")
    away = np.sqrt(np.square(row.coords[:, anchors] - row.coords[0, anchors]).sum(-1).mean(-1))
    assert away.max() < 0.5
    assert "new ones begin at frames 5, 9" in row.notes[-1]


def test_frames_taken_from_a_row_keep_its_seams(tmp_path):
    row = concatenate(load_replicates(atlas(tmp_path)), name=NAME)
    taken = row.take([3, 4, 6, 7, 10])
    assert taken.seams == (2, 4)
    assert taken.lags_ps.tolist() == [0, 10, 30, 40, 70]
    assert row.take([9, 10, 11]).seams == ()
    assert np.abs(taken.coords[0] - row.coords[3]).max() < 1e-9
    assert np.abs(taken.structure.coords - taken.coords[0]).max() < 1e-9


def test_steps_across_a_seam_are_no_spacing():
    coords = np.repeat(chain(10).coords[None], 3, axis=0)
    lags = np.array([0.0, 10.0, 500.0])
    ensemble = Ensemble("two", chain(10), coords, lags, seams=(2,))
    assert ensemble.spacing_ps == 10


@pytest.mark.parametrize("frames", [[], [2, 1], [1, 1], [-1, 2], [3, 4]])
def test_frames_that_cannot_be_taken_are_refused(tmp_path, frames):
    ensemble = load_replicates(plain(tmp_path))[0]
    with pytest.raises(InputError, match="rising order from 0 to 3"):
        ensemble.take(frames)


def test_notes_of_replicates_are_carried_with_their_names(tmp_path):
    folder = atlas(tmp_path, lengths=(5, 5))
    write(folder, bent(4), np.array([0, 10, 20, 60.0]), f"{NAME}_R2.xtc", top_name=f"{NAME}.pdb")
    row = concatenate(load_replicates(folder), name=NAME)
    assert row.notes[0].startswith(f"{NAME}_R2: 1 of 3 steps in time")


def test_replicates_of_other_atoms_are_refused(tmp_path):
    (one,) = load_replicates(plain(tmp_path / "a"))
    other = load_replicates(plain(tmp_path / "b"))[0]
    names = other.structure.residue_names.copy()
    names[:6] = "TRP"
    changed = type(other)("b", type(one.structure)(**{
        **vars(one.structure), "residue_names": names
    }), other.coords, other.lags_ps)  # fmt: skip
    with pytest.raises(InputError, match="b has other atoms than a"):
        concatenate([one, changed], name="both")
    with pytest.raises(InputError, match="at least one"):
        concatenate([], name="none")


def test_a_folder_of_neither_layout_is_refused(tmp_path):
    folder = atlas(tmp_path, lengths=(2,))
    (folder / f"{NAME}.pdb").unlink()
    with pytest.raises(InputError, match=r"1abc_A\.pdb with 1abc_A_R1\.xtc"):
        find_trajectories(folder)
    with pytest.raises(InputError, match="no folder"):
        find_trajectories(tmp_path / "nosuch")


def test_a_stride_that_leaves_one_frame_is_refused(tmp_path):
    files = write(tmp_path, bent(4), np.arange(4.0))
    assert len(load_ensemble(*files, stride=3)) == 2
    with pytest.raises(InputError, match="a stride of 4 leaves one of the 4 frames"):
        load_ensemble(*files, stride=4)
    with pytest.raises(InputError, match="stride must be a whole number"):
        load_ensemble(*files, stride=0)


def test_a_part_of_a_split_keeps_replicates_apart(tmp_path):
    atlas(tmp_path, lengths=(3, 3))
    plain(tmp_path / "two")
    split = {"train": [{"name": NAME}, {"name": "two"}], "validation": [], "test": []}
    part = load_part(split, "train", tmp_path)
    assert list(part) == [f"{NAME}_R1", f"{NAME}_R2", "two"]


def test_frames_in_no_order_are_said(tmp_path):
    start, away = bent(2)
    swing = start + np.linspace(0.0, 20.0, 60)[:, None, None] * (away - start)
    smooth = load_ensemble(*write(tmp_path / "a", swing, np.arange(60.0)))
    mixed = swing[np.random.default_rng(1).permutation(60)]
    random = load_ensemble(*write(tmp_path / "b", mixed, np.arange(60.0)))
    assert not any("unordered" in note for note in smooth.notes)
    assert any("they are unordered, or further apart" in note for note in random.notes)


def test_a_protein_is_found_in_the_one_folder_that_holds_it(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    plain(second / "two")
    (first / "one_R1.h5").parent.mkdir(parents=True)
    (first / "one_R1.h5").touch()
    assert home_of([first, second], "two") == second / "two"
    assert home_of([first, second], "one") == first / "one"
    assert home_of(first, "two") == first / "two"  # for its reader to refuse


def test_a_protein_that_no_folder_or_two_folders_hold_is_refused(tmp_path):
    folders = [tmp_path / "first", tmp_path / "second"]
    with pytest.raises(InputError, match=r"none of .*first, .*second holds two; check the paths"):
        home_of(folders, "two")
    for folder in folders:
        plain(folder / "two")
    with pytest.raises(InputError, match=r"first.two and .*second.two have the same name; rename"):
        home_of(folders, "two")


def test_a_part_comes_from_several_folders(tmp_path):
    plain(tmp_path / "first" / "one")
    plain(tmp_path / "second" / "two")
    split = {"train": [{"name": "one"}, {"name": "two"}], "validation": [], "test": []}
    folders = [tmp_path / "first", tmp_path / "second"]
    assert list(load_part(split, "train", folders)) == ["one", "two"]
