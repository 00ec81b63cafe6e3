"""Frames of the DSR paper's experiments."""

from __future__ import annotations

import numpy as np
import pytest
from trajectory_files import bent, write

from moedsr_core.data.paths import (
    FRAME_CHOICES,
    PROTOCOLS,
    SETS,
    FrameChoice,
    load_path,
    protocol_frames,
)
from moedsr_core.errors import InputError


@pytest.mark.parametrize(
    ("name", "n_frames", "trained", "last", "future"),
    [
        ("dims", 102, 40, 78, range(80, 100)),
        ("froda", 142, 40, 117, range(120, 140)),
        ("ifabp", 500, 80, 395, range(400, 420)),
        ("adk_equilibrium", 4187, 150, 1490, range(1500, 1520)),
        ("abeta_demo", 2000, 30, 145, range(150, 170)),
    ],
)
def test_frames_are_those_of_the_paper(name, n_frames, trained, last, future):
    near = protocol_frames(name, "future_10", n_frames)
    far = protocol_frames(name, "future_11_20", n_frames)
    assert len(near.train) == trained
    assert (near.train[0], near.train[-1]) == (0, last)
    assert near.test + far.test == tuple(future)
    assert near.train == far.train
    assert near.notes == far.notes == ()


@pytest.mark.parametrize("name", sorted(FRAME_CHOICES))
def test_only_reconstruction_tests_what_was_trained(name):
    found = {p: protocol_frames(name, p, 5000) for p in PROTOCOLS}
    assert found["reconstruction"].test == found["reconstruction"].train
    for protocol in set(PROTOCOLS) - {"reconstruction"}:
        assert not set(found[protocol].test) & set(found[protocol].train)
    train = found["interpolation"].train
    assert set(found["interpolation"].test) | set(train) == set(range(train[-1] + 1))
    assert set(found["interpolation_middle"].test) <= set(found["interpolation"].test)
    assert len(found["interpolation_middle"].test) == len(train) - 1


def test_a_trajectory_that_ends_early_tests_what_it_has_and_says_so():
    found = protocol_frames("adk_dims_a", "future_11_20", 98)
    assert found.test == tuple(range(90, 98))
    assert "frames 90 to 97: 8 instead of 10" in found.notes[0]
    short = protocol_frames("froda", "reconstruction", 60)
    assert short.train == tuple(range(0, 60, 3))
    assert "first 120 frames of froda, which has only 60" in short.notes[0]


def test_what_a_trajectory_is_too_short_for_is_refused():
    with pytest.raises(InputError, match="needs frames after 79, but it has 80 frames"):
        protocol_frames("dims", "future_10", 80)
    with pytest.raises(InputError, match="leaves 1 to train on"):
        protocol_frames("adk_eq_oplsaa", "reconstruction", 10)


def test_unknown_sets_and_protocols_are_refused():
    with pytest.raises(InputError, match="must be one of dims"):
        protocol_frames("gpcrmd", "reconstruction", 100)
    with pytest.raises(InputError, match="protocol must be one of reconstruction"):
        protocol_frames("dims", "extrapolation", 100)


@pytest.mark.parametrize(("window", "stride"), [(80, 0), (2, 2), (0, 1)])
def test_a_choice_of_no_frames_is_refused(window, stride):
    with pytest.raises(InputError, match="must be a whole number"):
        FrameChoice(window=window, stride=stride)


def test_frames_of_a_path_count_as_time(tmp_path):
    write(tmp_path / "adk_dims_a", bent(5), 0.0488882 * np.arange(5))
    path = load_path(tmp_path / "adk_dims_a")
    assert path.lags_ps.tolist() == [0, 1, 2, 3, 4]
    assert path.notes[0] == "this path has no physical time; frame k stands at k ps"


def test_an_equilibrium_run_keeps_its_own_time(tmp_path):
    write(tmp_path / "adk_eq_oplsaa", bent(5), 100.0 * np.arange(5))
    assert load_path(tmp_path / "adk_eq_oplsaa").lags_ps.tolist() == [0, 100, 200, 300, 400]


def test_another_folder_is_refused(tmp_path):
    write(tmp_path / "mine", bent(5), np.arange(5.0))
    with pytest.raises(InputError, match="must be one of adk_dims_a"):
        load_path(tmp_path / "mine")


@pytest.mark.data
@pytest.mark.parametrize("name", sorted(set(SETS) - {"adk_eq_oplsaa"}))
def test_the_paths_at_hand_close_the_kinase_smoothly(data_dir, name):
    path = load_path(data_dir / "protein_md" / name)
    frames = protocol_frames(name, "future_11_20", len(path))
    assert len(frames.test) >= 2
    anchors = np.flatnonzero(path.structure.atom_names == "CA")
    x = path.take(frames.train + frames.test).coords[:, anchors]
    away = np.sqrt(np.square(x - x[0]).sum(-1).mean(-1))
    assert away[-1] > 4.0
    assert np.diff(away).min() > -0.5
