"""Commands for a surface that is there."""

from __future__ import annotations

from pymol import cmd

from ..arguments import counted, given, is_quiet, real_number, whole_number
from ..coloring import Coloring
from ..errors import UserError
from ..export import frames_per_second, save_steps
from ..measure.files import check_file
from ..movie import ENDINGS, LARGEST_RATE, Shot, find_ffmpeg, movie_steps
from ..repaint import Repaint
from ..smoothing import Smoothing
from ..steps import Report, Steps
from ..window import run_task
from ..workspace import Workspace
from .common import one_sentence

_ANY_VALUE = (-1e6, 1e6)
_PIXELS = (16, 8192)
_WINDOWS, _PASSES = (1, 99), (0, 100)


def moedsr_color(object, by="motion", palette="", minimum="", maximum="", quiet=1, *, _self=cmd):
    """
    DESCRIPTION

        "moedsr_color" colours a surface of moedsr_predict or moedsr_surface.

    USAGE

        moedsr_color object [, by [, palette [, minimum [, maximum ]]]]

    ARGUMENTS

        object = string: a surface

        by = motion: distance from the first frame, in Angstrom, outward
                positive {default}
            fluctuation: how much a point moves over all frames, in Angstrom
            normal: direction of the surface
            chain: PyMOL's colour of the nearest atom's chain
            expert: which experts of the model speak; expert1, expert2 ...: the
                share of one
            hydrophobicity: of the nearest residue, after Kyte and Doolittle,
                from -4.5 (water-loving) to 4.5
            charge: of the nearest residue near pH 7
            or the name of a PyMOL colour

        palette = blue_white_red, red_white_blue, teal_white_gold, viridis, grey,
            or PyMOL colours separated by spaces {default: by what is shown}

        minimum, maximum = float: ends of the scale {default: from the values}

    EXAMPLE

        moedsr_color 1ubq_surf, fluctuation
        moedsr_color 1ubq_surf, motion, green white magenta, -3, 3
        moedsr_color 1ubq_surf, marine

    SEE ALSO

        moedsr_predict, moedsr_save
    """
    with one_sentence():
        workspace = Workspace.of(_self)
        surface = workspace.surface(str(object).strip())
        low = real_number("minimum", minimum, *_ANY_VALUE) if given(minimum) else None
        high = real_number("maximum", maximum, *_ANY_VALUE) if given(maximum) else None
        coloring = Coloring.read(str(by), str(palette).strip(), low, high, _self)
        running = any(job.surface is surface for job in workspace.jobs.values())
        if not running:
            coloring = coloring.settled(surface)
        problem = (None if running else coloring.missing(surface, _self)) or coloring.inverted(
            surface
        )
        if problem:
            raise UserError(problem)
        surface.coloring = coloring
        if not running:
            run_task(Repaint(surface, workspace, _self), None, _self)
        if not is_quiet(quiet):
            print(f" moedsr: {surface.name}: coloured by {by}")


def moedsr_smooth(object, window=5, passes=0, quiet=1, *, _self=cmd):
    """
    DESCRIPTION

        "moedsr_smooth" smooths a surface where it is drawn. Its values, its
        colours and what moedsr_save writes stay those of the prediction.

    USAGE

        moedsr_smooth object [, window [, passes ]]

    ARGUMENTS

        object = string: a surface

        window = integer: frames that are averaged around each, an odd number;
            1 for none. Fewer where the mesh was made anew {default: 5}

        passes = integer: passes along the mesh, which round off its bumps and
            keep its volume {default: 0}

    EXAMPLE

        moedsr_smooth 1ubq_surf
        moedsr_smooth 1ubq_surf, 1, 10
        moedsr_smooth 1ubq_surf, 1

    SEE ALSO

        moedsr_predict, moedsr_color
    """
    with one_sentence():
        workspace = Workspace.of(_self)
        surface = workspace.surface(str(object).strip())
        frames = whole_number("window", window, *_WINDOWS)
        if frames % 2 == 0:
            raise UserError(f"window must be an odd number of frames, got {frames}")
        surface.smoothing = Smoothing(frames, whole_number("passes", passes, *_PASSES))
        if not any(job.surface is surface for job in workspace.jobs.values()):
            run_task(Repaint(surface, workspace, _self), None, _self)
        if not is_quiet(quiet):
            print(f" moedsr: {surface.name}: smoothed over {counted(frames, 'frame')}")


def moedsr_save(object, file, sequence=0, quiet=1, *, _self=cmd):
    """
    DESCRIPTION

        "moedsr_save" writes a surface where PyMOL draws it.

    USAGE

        moedsr_save object, file [, sequence ]

    ARGUMENTS

        object = string: a surface

        file = string: the ending chooses the format:
            .npz: all frames and all values
            .glb: all frames with their colours, as one animated scene for
                Blender, web pages and slides; as fast as the movie_fps setting
            .ply, .obj: one frame each, with its colours; they are numbered:
                surf.ply becomes surf_0001.ply, surf_0002.ply ...
            .csv: a table of the values at each point of the first frame

        sequence = 0 or 1: 1 makes a .glb of each frame, numbered {default: 0}

    EXAMPLE

        moedsr_save 1ubq_surf, ~/1ubq.npz
        moedsr_save 1ubq_surf, ~/1ubq.glb

    SEE ALSO

        moedsr_movie, moedsr_predict, moedsr_surface
    """
    with one_sentence():
        workspace = Workspace.of(_self)
        surface = workspace.surface(str(object).strip())
        each = bool(whole_number("sequence", sequence, 0, 1))
        report = Report(surface.name, is_quiet(quiet))

        def work():
            files = yield from save_steps(surface, str(file).strip(), each, report, _self)
            more = f" … {files[-1].name}" if len(files) > 1 else ""
            there, planned = len(surface.frames), surface.planned
            part = f"; {there} of {planned} frames so far" if there < planned else ""
            report.say(f"wrote {files[0]}{more}{part}")

        workspace.do("moedsr_save", Steps(work(), report), _self)


def moedsr_movie(
    file, ray=0, width="", height="", fps="", objects="", quiet=1, *, _self=cmd
):  # fmt: skip
    """
    DESCRIPTION

        "moedsr_movie" makes a movie of the present view: of PyMOL's movie where
        there is one (mset), of all states otherwise. The scene is left as it
        was. 'moedsr_cancel moedsr_movie' ends it; then nothing is written.

    USAGE

        moedsr_movie file [, ray [, width [, height [, fps [, objects ]]]]]

    ARGUMENTS

        file = string: ends in .gif, or in .mp4 where the program ffmpeg is
            installed

        ray = 0 or 1: draw frames as the window shows them, or ray-trace them,
            which is slower and prettier. Without a window they are always
            ray-traced {default: 0}

        width, height = integer: size in pixels; of one that is missing, the
            window's shape decides {default: those of the window}

        fps = float: frames a second, at most 50 in a .gif {default: the setting
            movie_fps}

        objects = string: names of objects to show alone, separated by spaces
            {default: what is shown}

    EXAMPLE

        moedsr_movie ~/breathing.gif, width=480, fps=15
        moedsr_movie ~/breathing.mp4, ray=1, width=1920, height=1080

    SEE ALSO

        moedsr_save, moedsr_smooth, moedsr_cancel
    """
    with one_sentence():
        target = check_file(str(file).strip(), ENDINGS)
        if target.suffix.lower() == ".mp4":
            find_ffmpeg()
        size = _size(width, height, _self)
        most = LARGEST_RATE[target.suffix.lower()]
        usual = min(frames_per_second(_self), most)
        shot = Shot(
            target=target,
            ray=bool(whole_number("ray", ray, 0, 1)),
            width=size[0],
            height=size[1],
            rate=real_number("fps", fps, 0.1, most) if given(fps) else usual,
            objects=tuple(str(objects).split()),
        )
        report = Report("movie", is_quiet(quiet))
        task = Steps(movie_steps(shot, report, _self), report)
        Workspace.of(_self).do("moedsr_movie", task, _self)


def _size(width, height, _self) -> tuple:
    """Width and height of a movie, even numbers as its format wants them."""
    shape = _self.get_viewport()
    wide = whole_number("width", width, *_PIXELS) if given(width) else 0
    high = whole_number("height", height, *_PIXELS) if given(height) else 0
    if not wide:
        wide = round(high * shape[0] / shape[1]) if high else shape[0]
    high = high or round(wide * shape[1] / shape[0])
    return wide // 2 * 2, high // 2 * 2
