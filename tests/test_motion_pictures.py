"""Pictures of predicted beside true motion."""

from __future__ import annotations

import dataclasses
import io
import json

import numpy as np
import pytest
from evaluated import loaded
from synthetic_chain import swelling
from trajectory_files import bent, write

from scripts import motion_pictures as script

pytest.importorskip("matplotlib")
pytest.importorskip("pymol2")


def pixels(content):
    from matplotlib.image import imread

    return np.asarray(imread(io.BytesIO(content)))


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    model = loaded(tmp_path_factory.mktemp("model"), push=0.5)
    return script.compare(swelling(), model, frames=3, draws=2)


def test_both_motions_are_those_of_the_vertices_that_are_drawn(compared):
    n = len(compared.mesh.vertices)
    for motion in (compared.true, compared.drawn):
        assert motion.rmsf.shape == motion.displacement.shape == (n,)
    assert np.abs(compared.true.displacement).max() > 0.5
    extent = np.ptp(compared.mesh.vertices, axis=0)
    assert extent[0] > extent[1] > extent[2]


def test_trajectory_and_model_are_painted_from_the_same_scale(compared, monkeypatch):
    painted = []
    monkeypatch.setattr(
        script, "_rendered", lambda mesh, colors: painted.append(colors) or np.ones((4, 4, 3))
    )
    half = dataclasses.replace(
        compared.true,
        rmsf=0.5 * compared.true.rmsf, displacement=0.5 * compared.true.displacement,
    )  # fmt: skip
    both = dataclasses.replace(compared, drawn=half)
    script.picture(dataclasses.replace(both, drawn=compared.true))
    assert all(np.array_equal(painted[k], painted[k + 1]) for k in (0, 2))
    script.picture(both)
    displaced = painted[6:]
    assert not np.allclose(*displaced, atol=0.1)
    white = np.abs(displaced[1] - 1.0).mean() < np.abs(displaced[0] - 1.0).mean()
    assert white  # half as far is nearer to the middle of the same scale


def test_a_surface_is_traced_in_its_colours(compared):
    red = np.tile([0.9, 0.05, 0.05], (len(compared.mesh.vertices), 1))
    shown = script._rendered(compared.mesh, red)[..., :3]
    on_surface = shown.min(axis=-1) < 0.8
    assert 0.05 < on_surface.mean() < 0.95
    assert shown[on_surface][:, 0].mean() > 2 * shown[on_surface][:, 1].mean()


def test_the_pictures_are_written_for_the_trajectories_named(tmp_path, capsys):
    write(tmp_path / "data" / "one", bent(5), 10.0 * np.arange(5.0))
    split = tmp_path / "split.json"
    split.write_text(json.dumps({"train": [], "validation": [], "test": [{"name": "one"}]}))
    loaded(tmp_path, push=0.3)
    common = ["--data", str(tmp_path / "data"), "--split", str(split), "--out", str(tmp_path / "p")]
    common += ["--model", str(tmp_path / "moedsr-anchored"), "--frames", "4", "--draws", "2"]
    assert script.main([*common, "--names", "one"]) == 0
    for name in ("motion-one.png", "memory.png"):
        assert pixels((tmp_path / "p" / name).read_bytes()).std() > 0.05
    assert script.main([*common, "--names", "two"]) == 2
    assert "two is not in the test part" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (["--frames", "0"], "from 1, got 0 and 26"),
        (["--draws", "-1"], "from 1, got 20 and -1"),
        (["--part", "nonsense", "--names", "a"], "unknown part 'nonsense'"),
        (["--part", "train"], "lists nothing under train"),
        (["--out", "file"], "is a file"),
    ],
)
def test_what_makes_no_picture_is_refused(wrong, reason, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    split = {"train": [], "validation": [], "test": [{"name": "a"}]}
    (tmp_path / "split.json").write_text(json.dumps(split))
    known = ["--data", ".", "--split", "split.json", "--out", "pictures"]
    assert script.main([*known, *wrong]) == 2
    assert reason in " ".join(capsys.readouterr().err.split())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "split.json"]
