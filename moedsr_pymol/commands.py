"""The commands that PyMOL learns."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pymol import CmdException, cmd

from .arguments import (
    FRAMES_RANGE,
    SEED_RANGE,
    SPACING_RANGE,
    choice,
    given,
    is_quiet,
    real_number,
    whole_number,
)
from .backend import check_python
from .coloring import MODES, Coloring
from .errors import UserError
from .export import save_surface
from .palettes import PALETTES
from .predict import BACKENDS, Order, backend_named, carry_out
from .repaint import Repaint
from .settings import load_settings, save_setting
from .window import in_window, run_between_events
from .workspace import Workspace

MESHES = ("tracked", "marching_cubes")
SURFACES = ("ses", "pymol", "msms")
_ANY_VALUE = (-1e6, 1e6)


@contextmanager
def _one_sentence() -> Iterator[None]:
    """Turn what went wrong into the one line that PyMOL prints."""
    try:
        yield
    except UserError as error:
        raise CmdException(str(error)) from error


def moedsr_predict(
    selection, frames=100, name="", model="", state=-1, spacing="", mesh="", color="motion",
    seed="", backend="", wait=-1, quiet=1, *, _self=cmd,
):  # fmt: skip
    """
    DESCRIPTION

        "moedsr_predict" predicts how the molecular surface of a protein moves
        and loads it as an object with one state per frame, ready to play. It
        lies on the molecule. States appear while later ones are computed.

    USAGE

        moedsr_predict selection [, frames [, name [, model [, state
            [, spacing [, mesh [, color [, seed [, backend [, wait ]]]]]]]]]]

    ARGUMENTS

        selection = string: atoms of one object; its polymer is predicted

        frames = integer: frames of the movie {default: 100}

        name = string: object to make {default: the molecule's name and _surf}

        model = string: one of moedsr_models {default: the backend's}

        state = integer: state of the molecule to start from {default: -1, the
            one shown}

        spacing = float: edge length of the mesh in Angstrom {default: the
            backend's}

        mesh = tracked or marching_cubes: one mesh that moves along, or a new
            one for each frame {default: tracked}

        color = motion, fluctuation, normal, chain, expert or a PyMOL colour
            {default: motion}

        seed = integer: which plausible motion is drawn {default: 0}

        backend = local: where it is computed {default: local}

        wait = 0 or 1: return when the surface is complete {default: -1, not in
            a window}; without a window it always waits

    EXAMPLE

        fetch 1ubq, async=0
        moedsr_predict 1ubq, frames=50
        mplay

    SEE ALSO

        moedsr_color, moedsr_surface, moedsr_save, moedsr_cancel
    """
    with _one_sentence():
        options: dict[str, Any] = {"kind": "predict"}
        options["frames"] = whole_number("frames", frames, *FRAMES_RANGE)
        if given(mesh):
            options["mesh"] = choice("mesh", mesh, MESHES)
        if given(seed):
            options["seed"] = whole_number("seed", seed, *SEED_RANGE)
        if given(model):
            options["model"] = str(model).strip()
        return _order(
            selection, options, name=name, state=state, spacing=spacing, color=color,
            backend=backend, wait=wait, quiet=quiet, _self=_self,
        )  # fmt: skip


def moedsr_surface(
    selection, name="", spacing="", surface="ses", state=-1, color="chain", backend="", wait=-1,
    quiet=1, *, _self=cmd,
):  # fmt: skip
    """
    DESCRIPTION

        "moedsr_surface" loads the molecular surface of a selection: the one
        that predictions start from.

    USAGE

        moedsr_surface selection [, name [, spacing [, surface [, state
            [, color [, backend [, wait ]]]]]]]

    ARGUMENTS

        selection = string: atoms of one object; the surface of its polymer is
            made

        name = string: object to make {default: the molecule's name and _surf}

        spacing = float: edge length of the mesh in Angstrom {default: the
            backend's}

        surface = ses, pymol or msms: the backend's own solvent-excluded
            surface, or another program's {default: ses}

        state = integer: state of the molecule {default: -1, the one shown}

        color = normal, chain or a PyMOL colour {default: chain}

        backend, wait = as in moedsr_predict

    EXAMPLE

        moedsr_surface 1ubq, spacing=0.5, color=marine

    SEE ALSO

        moedsr_predict, moedsr_color, moedsr_save
    """
    with _one_sentence():
        options: dict[str, Any] = {"kind": "surface"}
        options["surface"] = choice("surface", surface, SURFACES)
        return _order(
            selection, options, name=name, state=state, spacing=spacing, color=color,
            backend=backend, wait=wait, quiet=quiet, _self=_self,
        )  # fmt: skip


def _order(selection, options, *, name, state, spacing, color, backend, wait, quiet, _self) -> str:
    if given(spacing):
        options["spacing"] = real_number("spacing", spacing, *SPACING_RANGE)
    waiting = whole_number("wait", wait, -1, 1)
    order = Order(
        selection=str(selection),
        state=whole_number("state", state, -1, 10**9),
        options=options,
        name=str(name).strip(),
        coloring=Coloring.read(str(color), "", None, None, _self),
        backend=str(backend),
        wait=None if waiting < 0 else bool(waiting),
        quiet=is_quiet(quiet),
    )
    return carry_out(order, _self)


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
            or the name of a PyMOL colour

        palette = blue_white_red, red_white_blue, viridis, grey, or PyMOL
            colours separated by spaces {default: by what is shown}

        minimum, maximum = float: ends of the scale {default: from the values}

    EXAMPLE

        moedsr_color 1ubq_surf, fluctuation
        moedsr_color 1ubq_surf, motion, green white magenta, -3, 3
        moedsr_color 1ubq_surf, marine

    SEE ALSO

        moedsr_predict, moedsr_save
    """
    with _one_sentence():
        workspace = Workspace.of(_self)
        surface = workspace.surface(str(object).strip())
        low = real_number("minimum", minimum, *_ANY_VALUE) if given(minimum) else None
        high = real_number("maximum", maximum, *_ANY_VALUE) if given(maximum) else None
        coloring = Coloring.read(str(by), str(palette).strip(), low, high, _self)
        running = surface.name in workspace.jobs
        if not running:
            coloring = coloring.settled(surface)
            problem = coloring.missing(surface)
            if problem:
                raise UserError(problem)
        surface.coloring = coloring
        if not running:
            _do(Repaint(surface, _self))
        if not is_quiet(quiet):
            print(f" moedsr: {surface.name}: coloured by {by}")


def _do(task: Repaint) -> None:
    if in_window():
        run_between_events(task)
        return
    while not task.over:
        task.step(0.0)
    if task.error is not None:
        raise task.error


def moedsr_save(object, file, quiet=1, *, _self=cmd):
    """
    DESCRIPTION

        "moedsr_save" writes a surface where PyMOL draws it.

    USAGE

        moedsr_save object, file

    ARGUMENTS

        object = string: a surface

        file = string: the ending chooses the format: .npz holds all frames and
            all values; .ply and .obj hold one frame each, with its colours, and
            are numbered: surf.ply becomes surf_0001.ply, surf_0002.ply ...

    EXAMPLE

        moedsr_save 1ubq_surf, ~/1ubq.npz

    SEE ALSO

        moedsr_predict, moedsr_surface
    """
    with _one_sentence():
        surface = Workspace.of(_self).surface(str(object).strip())
        files = save_surface(surface, str(file).strip(), _self)
        if not is_quiet(quiet):
            more = f" … {files[-1].name}" if len(files) > 1 else ""
            print(f" moedsr: wrote {files[0]}{more}")


def moedsr_models(backend="", quiet=1, *, _self=cmd):
    """
    DESCRIPTION

        "moedsr_models" lists the models that moedsr_predict can use.

    USAGE

        moedsr_models [ backend ]

    EXAMPLE

        moedsr_models

    SEE ALSO

        moedsr_predict, moedsr_backend
    """
    with _one_sentence():
        models = backend_named(str(backend)).client().models()
        if not is_quiet(quiet):
            for model in models:
                mark = "*" if model.get("default") else " "
                print(f" {mark} {model.get('name')}: {model.get('summary')}")
        return models


def moedsr_backend(action="status", python="", quiet=1, *, _self=cmd):
    """
    DESCRIPTION

        "moedsr_backend" shows, starts or stops the process that computes, and
        tells it which Python to use.

    USAGE

        moedsr_backend [ action ]
        moedsr_backend python=path

    ARGUMENTS

        action = status: say whether it runs {default}
            local: start it now
            stop: end it; the next command starts it again

        python = string: interpreter that holds moedsr_core, remembered for all
            sessions; auto forgets it

    EXAMPLE

        moedsr_backend python=/opt/miniforge3/envs/moedsr/bin/python
        moedsr_backend status

    SEE ALSO

        moedsr_predict, moedsr_models
    """
    with _one_sentence():
        action = choice("action", action, ("status", "stop", *BACKENDS))
        local = BACKENDS["local"]
        if given(python):
            _choose_python(str(python).strip())
            local.stop()
        if action == "stop":
            local.stop()
        state = _backend_state(local, start=action in BACKENDS)
        if not is_quiet(quiet):
            for key, value in state.items():
                print(f" {key}: {value}")
        return state


def _choose_python(path: str) -> None:
    save_setting("python", "" if path == "auto" else check_python(path))


def _backend_state(backend: Any, *, start: bool) -> dict[str, Any]:
    state = {"backend": "local", "python": load_settings()["python"] or "found automatically"}
    if not (start or backend.running):
        return {**state, "running": "no"}
    health = backend.client().health()
    shown = {key: health.get(key) for key in ("version", "protocol", "device", "pid")}
    return {**state, "running": "yes", **shown}


def moedsr_cancel(job="", quiet=1, *, _self=cmd):
    """
    DESCRIPTION

        "moedsr_cancel" stops a prediction. The frames that are finished stay.

    USAGE

        moedsr_cancel [ job ]

    ARGUMENTS

        job = string: the object that is being made, or all {default: the only
            one there is}

    EXAMPLE

        moedsr_cancel 1ubq_surf

    SEE ALSO

        moedsr_predict
    """
    with _one_sentence():
        jobs = Workspace.of(_self).jobs
        name = str(job).strip() or (next(iter(jobs)) if len(jobs) == 1 else "")
        if name != "all" and name not in jobs:
            there = ", ".join(jobs) or "none"
            raise UserError(f"name the prediction to cancel, or all; running: {there}")
        for running in list(jobs.values()) if name == "all" else [jobs[name]]:
            running.cancel()


COMMANDS = (
    moedsr_predict, moedsr_surface, moedsr_color, moedsr_save, moedsr_models, moedsr_backend,
    moedsr_cancel,
)  # fmt: skip
for _command in COMMANDS:  # PyMOL prints help as it stands, headings at the margin
    _command.__doc__ = f"\n{inspect.cleandoc(_command.__doc__ or '')}\n"


def register(_self: Any) -> None:
    """Teach a PyMOL the commands, their help and their completion."""
    for command in COMMANDS:
        _self.extend(command.__name__, command)
    shortcut = _self.Shortcut
    surfaces = [lambda: shortcut(list(Workspace.of(_self).surfaces)), "surface", ", "]
    jobs = [lambda: shortcut([*Workspace.of(_self).jobs, "all"]), "prediction", ""]
    colors = [lambda: shortcut([*MODES, *_color_names(_self)]), "colour", ", "]
    first, second, third = _self.auto_arg[:3]
    for name in ("moedsr_predict", "moedsr_surface"):
        first[name] = [_self.selection_sc, "selection", ", "]
    first["moedsr_color"] = first["moedsr_save"] = surfaces
    first["moedsr_cancel"] = jobs
    first["moedsr_backend"] = [lambda: shortcut(["status", "stop", *BACKENDS]), "action", ""]
    second["moedsr_color"] = colors
    third["moedsr_color"] = [lambda: shortcut(list(PALETTES)), "palette", ", "]


def _color_names(_self: Any) -> list[str]:
    return [name for name, _ in _self.get_color_indices()]
