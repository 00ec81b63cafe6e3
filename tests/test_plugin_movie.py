"""Movies of what PyMOL shows."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymol import CmdException
from pymol_support import backend_double, call, open_pymol

from moedsr_pymol.movie import Shot, movie_steps
from moedsr_pymol.steps import Report, Steps
from moedsr_pymol.workspace import Workspace

Image = pytest.importorskip("PIL.Image")
REPOSITORY = Path(__file__).resolve().parents[1]
FFMPEG = f"""#!{sys.executable}
import pathlib, sys
at = sys.argv.index("-i")
folder = pathlib.Path(sys.argv[at + 1]).parent
for k, picture in enumerate(sorted(folder.glob("*.png"))):
    print(f"frame={{k + 1}}", flush=True)
if "fail" in sys.argv[0]:
    sys.exit("no room on the disk")
pathlib.Path(sys.argv[-1]).write_text(" ".join([str(k + 1), *sys.argv[1:]]))
"""


@pytest.fixture(scope="module")
def cmd() -> Iterator[Any]:
    """A PyMOL that shows a ball growing in four states."""
    with pytest.MonkeyPatch.context() as patch, open_pymol() as cmd, backend_double(patch):
        path = os.pathsep.join(filter(None, (str(REPOSITORY), os.environ.get("PYTHONPATH"))))
        patch.setenv("PYTHONPATH", path)
        patch.setenv("MOEDSR_PYTHON", sys.executable)
        call(cmd, "moedsr_predict", "prot", frames=4)
        cmd.zoom("prot_surf", 6)
        yield cmd


@pytest.fixture(autouse=True)
def scratch(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: Any) -> Iterator[Path]:
    """Where temporary folders go; it is empty at the end."""
    folder = tmp_path_factory.mktemp("scratch")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


def ffmpeg(monkeypatch: pytest.MonkeyPatch, folder: Path, code: str = FFMPEG) -> None:
    folder.mkdir()
    program = folder / "ffmpeg"
    program.write_text(code)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


def scene(cmd: Any) -> tuple:
    settings = [
        cmd.get(name) for name in ("opaque_background", "ray_opaque_background", "mesh_width")
    ]
    return cmd.get_frame(), cmd.get_names("objects", enabled_only=1), cmd.get_view(), settings


def pictures(path: Path) -> list[np.ndarray]:
    with Image.open(path) as image:
        found = []
        for k in range(image.n_frames):
            image.seek(k)
            found.append(np.array(image.convert("RGB")))
        return found


def test_every_frame_of_a_gif_is_another_picture_and_the_scene_stays(cmd, tmp_path, capsys):
    cmd.frame(3)
    before = scene(cmd)
    target = tmp_path / "m.gif"
    call(cmd, "moedsr_movie", str(target), width="64", height=48, fps="10", quiet=0)
    found = pictures(target)
    assert len(found) == 4 and found[0].shape == (48, 64, 3)
    shown = [(frame.sum(axis=2) > 60).sum() for frame in found]
    assert shown == sorted(set(shown)) and shown[0] > 50  # the ball grows
    with Image.open(target) as image:
        assert image.info["duration"] == 100 and image.info["loop"] == 0
    assert scene(cmd) == before
    said = capsys.readouterr().out
    assert "ray-tracing" in said and "4 frames, 0.4 s" in said and "same picture" not in said


def test_a_movie_of_pymols_own_and_of_several_objects(cmd, tmp_path, capsys):
    cmd.create("other", "prot", 1, 1)
    cmd.create("other", "prot", 1, 2)
    cmd.alter_state(2, "other", "x += 20")
    cmd.show("spheres", "other")
    cmd.mset("1 -4 -2 x2")
    try:
        call(cmd, "moedsr_movie", str(tmp_path / "m.gif"), width=48, quiet=0)
        count = cmd.count_frames()
        assert count > 6
        assert f"{count} frames" in capsys.readouterr().out
    finally:
        cmd.mset("")
        cmd.delete("other")


def test_objects_can_be_shown_alone(cmd, tmp_path):
    cmd.show("spheres", "prot")
    cmd.disable("prot_surf")
    before = scene(cmd)
    call(cmd, "moedsr_movie", str(tmp_path / "m.gif"), width=48, objects="prot_surf")
    assert scene(cmd) == before
    cmd.enable("prot_surf")
    assert len({frame.tobytes() for frame in pictures(tmp_path / "m.gif")}) == 4
    with pytest.raises(CmdException, match="there is no object 'nothing'"):
        call(cmd, "moedsr_movie", str(tmp_path / "n.gif"), objects="nothing")


def test_an_object_in_a_group_is_shown_alone_and_a_group_is_refused(cmd, tmp_path):
    cmd.group("inner", "prot_surf")
    cmd.group("outer", "inner")
    cmd.disable("outer")
    before = scene(cmd)
    try:
        call(cmd, "moedsr_movie", str(tmp_path / "m.gif"), width=32, objects="prot_surf")
        assert len({frame.tobytes() for frame in pictures(tmp_path / "m.gif")}) == 4
        assert scene(cmd) == before
        with pytest.raises(CmdException, match="'inner' is a group; name the objects in it"):
            call(cmd, "moedsr_movie", str(tmp_path / "n.gif"), objects="inner")
    finally:
        cmd.ungroup("prot_surf")
        cmd.delete("inner outer")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda cmd: cmd.delete("other"), "'other' was deleted or renamed while the movie"),
        (lambda cmd: cmd.disable("prot_surf"), "4 frames became 1 while the movie was made"),
    ],
)
def test_a_movie_ends_when_what_it_shows_goes_away(cmd, tmp_path, change, reason):
    cmd.create("other", "prot")
    report = Report("movie", True)
    shot = Shot(tmp_path / "m.gif", ray=True, width=32, height=24, rate=10)
    task = Steps(movie_steps(shot, report, cmd), report)
    for _ in range(2):
        task.step(0.0)
    change(cmd)
    task.step(0.0)
    cmd.delete("other")
    cmd.enable("prot_surf")
    assert task.over and reason in str(task.error)
    assert list(tmp_path.iterdir()) == []


def test_a_movie_in_which_nothing_moves_is_refused(cmd, tmp_path):
    cmd.set("all_states", 1)
    with pytest.raises(CmdException, match=r"all 4 frames are the same picture.*all_states is off"):
        call(cmd, "moedsr_movie", str(tmp_path / "m.gif"), width=32)
    cmd.set("all_states", 0)
    cmd.disable("prot_surf")
    with pytest.raises(CmdException, match=r"one frame only|the same picture"):
        call(cmd, "moedsr_movie", str(tmp_path / "m.gif"), width=32)
    cmd.enable("prot_surf")
    assert list(tmp_path.iterdir()) == []


def test_equal_neighbours_are_told(cmd, tmp_path, capsys, monkeypatch):
    ffmpeg(monkeypatch, tmp_path / "bin")
    cmd.mset("1 1 2")
    call(cmd, "moedsr_movie", str(tmp_path / "m.mp4"), width=32, quiet=0)
    cmd.mset("")
    assert "1 of its frames show the same picture" in capsys.readouterr().out


@pytest.mark.skipif(sys.platform == "win32", reason="a script is no program on Windows")
def test_an_mp4_is_made_by_ffmpeg_where_there_is_one(cmd, tmp_path, monkeypatch):
    target = tmp_path / "m.mp4"
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CmdException, match=r"needs the program ffmpeg.*\.gif"):
        call(cmd, "moedsr_movie", str(target))
    ffmpeg(monkeypatch, tmp_path / "bin")
    call(cmd, "moedsr_movie", str(target), width=33, height=25, fps=24)
    words = target.read_text().split()
    assert words[0] == "4" and words[words.index("-framerate") + 1] == "24"
    assert words[words.index("-pix_fmt") + 1] == "yuv420p"


@pytest.mark.skipif(sys.platform == "win32", reason="a script is no program on Windows")
def test_what_ffmpeg_says_is_told_and_an_earlier_file_stays(cmd, tmp_path, monkeypatch):
    target = tmp_path / "m.mp4"
    target.write_text("earlier")
    ffmpeg(monkeypatch, tmp_path / "fail")
    with pytest.raises(CmdException, match="ffmpeg failed: no room on the disk"):
        call(cmd, "moedsr_movie", str(target), width=32)
    assert target.read_text() == "earlier"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fail", "m.mp4"]


def test_cancelling_leaves_nothing_and_the_scene_as_it_was(cmd, tmp_path):
    cmd.frame(2)
    before = scene(cmd)
    report = Report("movie", True)
    shot = Shot(tmp_path / "m.gif", ray=True, width=32, height=24, rate=10)
    task = Steps(movie_steps(shot, report, cmd), report)
    for _ in range(3):
        task.step(0.0)
    assert (report.stage, report.done, report.total) == ("ray-tracing", 2, 4)
    Workspace.of(cmd).tasks["moedsr_movie"] = task
    with pytest.raises(CmdException, match="moedsr_movie is at work already"):
        call(cmd, "moedsr_movie", str(tmp_path / "n.gif"))
    call(cmd, "moedsr_cancel", "moedsr_movie")
    assert task.over and task.cancelled and scene(cmd) == before
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"file": "m.avi"}, r"must end in \.mp4, \.gif"),
        ({"file": "m.gif", "fps": "60"}, "fps must be a number from 0.1 to 50"),
        ({"file": "m.gif", "width": "2"}, "width must be a whole number from 16"),
    ],
)
def test_what_cannot_be_is_one_sentence(cmd, tmp_path, given, reason):
    file = str(tmp_path / given.pop("file"))
    with pytest.raises(CmdException, match=reason):
        call(cmd, "moedsr_movie", file, **given)
