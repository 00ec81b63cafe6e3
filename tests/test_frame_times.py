"""Order and times of frames, and what is said of odd ones."""

from __future__ import annotations

import numpy as np
import pytest
from trajectory_files import bent, write

from moedsr_core.data.ensemble import load_ensemble
from moedsr_core.data.frame_times import frame_times
from moedsr_core.errors import InputError


def times_of(stamps, spacing_ps=None, coords=None):
    coords = bent(len(stamps)) if coords is None else coords
    return frame_times(np.asarray(stamps, float), coords, spacing_ps, "traj.xtc")


def test_even_stamps_need_no_word():
    found = times_of(100.0 + 2.0 * np.arange(6))
    assert found.notes == ()
    assert np.array_equal(found.order, np.arange(6))
    assert np.array_equal(found.lags_ps, 2.0 * np.arange(6))


def test_single_precision_of_late_stamps_is_no_gap():
    stamps = (260_001 + 0.1 * np.arange(50)).astype(np.float32).astype(float)
    assert np.ptp(np.diff(stamps)) > 0.01
    assert times_of(stamps).notes == ()


def test_gaps_are_counted_and_kept():
    found = times_of([0, 1, 2, 4, 5, 8])
    assert np.array_equal(found.lags_ps, [0, 1, 2, 4, 5, 8])
    assert found.notes == (
        "2 of 5 steps in time are longer than the usual 1 ps, up to 3 ps: frames are missing",
    )


def test_frames_out_of_order_are_put_in_order():
    found = times_of([0, 3, 1, 2, 4])
    assert np.array_equal(found.order, [0, 2, 3, 1, 4])
    assert np.array_equal(found.lags_ps, np.arange(5))
    assert found.notes == ("frames were out of order in 1 place and were put in order of time",)


def test_an_unordered_file_is_read_as_the_ordered_one(tmp_path):
    frames, stamps = bent(5), np.array([0.0, 3.0, 1.0, 2.0, 4.0])
    mixed = load_ensemble(*write(tmp_path / "a", frames, stamps))
    order = np.argsort(stamps)
    sorted_file = load_ensemble(*write(tmp_path / "b", frames[order], stamps[order]))
    assert np.array_equal(mixed.coords, sorted_file.coords)
    assert np.array_equal(mixed.lags_ps, sorted_file.lags_ps)
    assert any("out of order" in note for note in mixed.notes)
    assert sorted_file.notes == ()


def test_frames_written_twice_after_a_restart_are_kept_once():
    frames = bent(6)[[0, 1, 2, 1, 2, 3]]
    found = times_of([0, 1, 2, 1, 2, 3], coords=frames)
    assert np.array_equal(found.order, [0, 1, 2, 5])
    assert np.array_equal(found.lags_ps, [0, 1, 2, 3])
    assert "2 frames were written twice; each was kept once" in found.notes


def test_different_frames_at_one_time_are_refused():
    with pytest.raises(InputError, match=r"frames 1 and 2 differ but are both at 1 ps"):
        times_of([0, 1, 1, 2])


@pytest.mark.parametrize("stamps", [[0, 0, 0], [7, 7, 7], [0, np.nan, 2], [0, np.inf, 1]])
def test_stamps_that_tell_nothing_are_refused_unless_a_spacing_is_told(stamps):
    with pytest.raises(InputError, match="give the spacing"):
        times_of(stamps)
    assert np.array_equal(times_of(stamps, 5.0).lags_ps, [0, 5, 10])


@pytest.mark.parametrize("spacing", [0.0, -1.0, np.nan, np.inf])
def test_a_spacing_that_is_no_time_is_refused(spacing):
    with pytest.raises(InputError, match="give a positive number"):
        times_of([0, 1, 2], spacing)


@pytest.mark.parametrize(
    ("stamps", "spacing", "said"),
    [
        ([0, 0, 0], 2.0, "no time stamps; frames are taken as 2 ps apart"),
        ([0, 2, 1], 2.0, "out of order or repeated; frames are taken as 2 ps apart"),
        ([0, 1, 3], 2.0, "step by 1 to 2 ps; frames are taken as 2 ps apart"),
        ([0, 1, 2], 2.0, "step by 1 ps; frames are taken as 2 ps apart"),
    ],
)
def test_a_spacing_that_overrules_the_file_is_said(stamps, spacing, said):
    (note,) = times_of(stamps, spacing).notes
    assert said in note


def test_a_spacing_that_agrees_with_the_file_needs_no_word():
    assert times_of([10, 12, 14], 2.0).notes == ()


def test_the_time_unit_of_charmm_is_no_spacing():
    (note,) = times_of(0.0488882 * np.arange(5)).notes
    assert "give the true spacing" in note
    assert times_of(0.05 * np.arange(5)).notes == ()


@pytest.mark.parametrize("spacing", [None, 1.0])
def test_a_conformation_that_stands_still_is_said(spacing):
    (note,) = times_of([0, 1, 2, 3], spacing, bent(4)[[0, 1, 1, 2]]).notes
    assert note == "1 of 4 frames repeat the frame before (first: frame 2)"


@pytest.mark.data
def test_the_gaps_of_ubiquitin_are_found(data_dir):
    folder = data_dir / "protein_md" / "ubiquitin"
    ensemble = load_ensemble(folder / "top.pdb", folder / "traj.xtc")
    assert ensemble.notes == (
        "189 of 811 steps in time are longer than the usual 1 ps, up to 2 ps: frames are missing",
    )
    assert ensemble.spacing_ps == 1.0
    assert ensemble.lags_ps[-1] == 622 + 2 * 189
