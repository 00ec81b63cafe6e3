"""Movies of what PyMOL shows: its frames as pictures, joined by ffmpeg or by the core."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .core_process import ChildProcess, CoreProcess
from .errors import UserError
from .measure.files import deliver
from .steps import Report, Work
from .window import in_window

ENDINGS = (".mp4", ".gif")
LARGEST_RATE = {".mp4": 120.0, ".gif": 50.0}
"""Frames a second that players keep up with: many slow a GIF with less than 20 ms a frame down."""
_OPAQUE = ("opaque_background", "ray_opaque_background")


@dataclass(frozen=True)
class Shot:
    """How a movie is taken.

    Attributes:
        target: The file; its ending chooses the format.
        ray: Whether frames are ray-traced; without a window they always are.
        width: Of the picture [pixels], even.
        height: Of the picture [pixels], even.
        rate: Frames a second.
        objects: Objects that are shown alone; empty for what is shown.
    """

    target: Path
    ray: bool
    width: int
    height: int
    rate: float
    objects: tuple[str, ...] = ()


def find_ffmpeg() -> str:
    """The program ffmpeg.

    Raises:
        UserError: If it is not there.
    """
    found = shutil.which("ffmpeg")
    if found is None:
        raise UserError(
            "a movie in mp4 needs the program ffmpeg, which was not found; install it, or name a "
            "file that ends in .gif"
        )
    return found


def movie_steps(shot: Shot, report: Report, _self: Any) -> Work:
    """Take every frame of PyMOL's movie, or every state where there is none.

    The scene is left as it was, and so is an earlier file until the new one is whole.

    Args:
        shot: How it is taken.
        report: Told how far it is.
        _self: PyMOL.

    Raises:
        UserError: If nothing moves, or the movie cannot be written.
    """
    ending = shot.target.suffix.lower()
    ffmpeg = find_ffmpeg() if ending == ".mp4" else ""
    with tempfile.TemporaryDirectory(prefix="moedsr-movie-") as name:
        with scene_kept(shot.objects, _self):
            pictures = yield from _take(shot, Path(name), report, _self)
        equal = _equal_neighbours(pictures)
        if equal == len(pictures) - 1:
            raise UserError(
                f"all {len(pictures)} frames are the same picture; show an object with several "
                "states, and check that the setting all_states is off"
            )
        collect = _delivers(shot.target)
        joining: ChildProcess
        if ffmpeg:
            joining = Ffmpeg(ffmpeg, Path(name), len(pictures), shot.rate, collect)
        else:
            request = {
                "pictures": [str(path) for path in pictures],
                "milliseconds": 1000.0 / shot.rate,
            }
            joining = CoreProcess("gif", request, collect=collect)
        yield from joining.through(report)
        joining.wait_for_end(0.0)
    seconds = len(pictures) / shot.rate
    report.say(f"wrote {shot.target}: {len(pictures)} frames, {seconds:.1f} s")
    if equal:
        report.say(f"{equal} of its frames show the same picture as the one before")


def _take(shot: Shot, folder: Path, report: Report, _self: Any) -> Work:
    count = _self.count_frames()
    if count < 2:
        raise UserError(
            "there is one frame only, so nothing moves; predict more frames, or make a movie with "
            "PyMOL's mset"
        )
    ray = shot.ray or not in_window()
    stage = "ray-tracing" if ray else "drawing"
    shown, pictures = _self.get_names("objects", enabled_only=1), []
    for k in range(count):
        report.update(stage, k, count)
        _refuse_changed(shown, count, _self)
        path = folder / f"{k + 1:05d}.png"
        _self.frame(k + 1)
        if ray:
            _self.png(str(path), shot.width, shot.height, ray=1, quiet=1)
        else:  # png with a size shrinks the window's scene each time (PyMOL 3.2), draw does not
            _self.draw(shot.width, shot.height)
            _self.png(str(path), prior=1, quiet=1)
        if not path.is_file():
            raise UserError(f"PyMOL drew no picture of frame {k + 1}; try ray=1")
        pictures.append(path)
        yield
    return pictures


def _refuse_changed(shown: list[str], count: int, _self: Any) -> None:
    """Go on only while all that the movie began with is there: the window takes commands meanwhile.

    Raises:
        UserError: If an object has gone, or frames have.
    """
    there, left = _self.get_names("objects"), _self.count_frames()
    gone = next((name for name in shown if name not in there), "")
    if gone or left < count:
        what = f"'{gone}' was deleted or renamed" if gone else f"{count} frames became {left}"
        raise UserError(f"{what} while the movie was made, so nothing was written; make it again")


def _equal_neighbours(pictures: list[Path]) -> int:
    """How many pictures are the same as the one before."""
    seen = [hashlib.sha256(path.read_bytes()).digest() for path in pictures]
    return sum(a == b for a, b in zip(seen, seen[1:]))  # noqa: B905, RUF007


def _delivers(target: Path) -> Callable[[Path], None]:
    return lambda folder: deliver(folder / f"movie{target.suffix.lower()}", target)


@contextmanager
def scene_kept(objects: tuple[str, ...], _self: Any) -> Iterator[None]:
    """Show some objects alone, stop the movie, and put everything back in the end.

    Raises:
        UserError: If there is no such object, or it is a group.
    """
    names, groups = _self.get_names("objects"), _self.get_names("group_objects")
    unknown = [name for name in objects if name not in names]
    if unknown:
        raise UserError(f"there is no object '{unknown[0]}'; there are: {', '.join(names)}")
    group = next((name for name in objects if name in groups), "")
    if group:
        raise UserError(f"'{group}' is a group; name the objects in it that are to be shown")
    frame, playing = _self.get_frame(), _self.get_movie_playing()
    shown = _self.get_names("objects", enabled_only=1)
    settings = {name: _self.get_setting_int(name) for name in _OPAQUE}
    try:
        if playing:
            _self.mstop()
        for name in shown if objects else ():
            if name not in (*objects, *groups):  # a group draws nothing, and hides what is in it
                _self.disable(name)
        for name in objects:
            _self.enable(name, parents=1)
        for name in _OPAQUE:
            _self.set(name, 1, quiet=1)
        yield
    finally:
        for name, value in settings.items():
            _self.set(name, value, quiet=1)
        there = _self.get_names("objects")
        for name in shown if objects else ():
            if name in there:
                _self.enable(name)
        _self.frame(frame)  # while its states are counted, as those of shown objects alone are
        for name in (*objects, *groups) if objects else ():
            if name in there and name not in shown:
                _self.disable(name)
        if playing:
            _self.mplay()


class Ffmpeg(ChildProcess):
    """Joins pictures into an mp4 that every player reads (H.264, 4:2:0).

    Args:
        program: ffmpeg.
        pictures: Folder of ``00001.png`` and on.
        count: How many there are.
        rate: Frames a second.
        collect: As of any child.
    """

    def __init__(
        self, program: str, pictures: Path, count: int, rate: float, collect: Callable[[Path], Any]
    ) -> None:
        self._program, self._pictures, self._count, self._rate = program, pictures, count, rate
        super().__init__("ffmpeg", collect)

    def start(self, folder: Path) -> subprocess.Popen[bytes]:
        """Start it."""
        command = [
            self._program, "-nostdin", "-loglevel", "error", "-progress", "pipe:1", "-nostats",
            "-framerate", f"{self._rate:g}", "-i", str(self._pictures / "%05d.png"),
            "-c:v", "libx264", "-crf", "18", "-pix_fmt", "yuv420p", "-movflags", "+faststart",
            str(folder / "movie.mp4"),
        ]  # fmt: skip
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )  # fmt: skip

    def heard(self, line: bytes) -> dict[str, Any]:
        """Frames that are done."""
        name, _, value = line.decode("ascii", errors="replace").strip().partition("=")
        if name != "frame" or not value.isdigit():
            return {}
        return {"stage": "writing the mp4", "done": int(value), "total": self._count}
