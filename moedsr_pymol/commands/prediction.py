"""Commands that make a surface."""

from __future__ import annotations

from typing import Any

from pymol import cmd

from ..arguments import (
    FRAMES_RANGE,
    LEVEL_RANGE,
    SEED_RANGE,
    SPACING_RANGE,
    choice,
    duration_ps,
    given,
    is_quiet,
    real_number,
    wait_or_not,
    whole_number,
)
from ..coloring import Coloring
from ..errors import UserError
from ..predict import Order, carry_out
from .common import one_sentence

MESHES = ("tracked", "marching_cubes")
SURFACES = ("ses", "pymol", "msms")
SURFACE_COLORS = ("normal", "chain", "plain")
"""What a surface that does not move can show; a PyMOL colour is plain."""


def moedsr_predict(
    selection, frames=100, name="", model="", state=-1, spacing="", mesh="", color="motion",
    seed="", backend="", wait=-1, duration="", level="", quiet=1, *, _self=cmd,
):  # fmt: skip
    """
    DESCRIPTION

        "moedsr_predict" predicts how the molecular surface of a protein moves
        and loads it as an object with one state per frame, ready to play. It
        lies on the molecule and follows it. States appear while later ones are
        computed. A server gets the selected polymer's coordinates and names,
        nothing else.

    USAGE

        moedsr_predict selection [, frames [, name [, model [, state
            [, spacing [, mesh [, color [, seed [, backend [, wait
            [, duration [, level ]]]]]]]]]]]]

    ARGUMENTS

        selection = string: atoms of one object; its polymer is predicted

        frames = integer: frames of the movie {default: 100}

        name = string: object to make {default: the molecule's name and _surf}

        model = string: one of moedsr_models {default: the backend's}

        state = integer: state of the molecule to start from {default: -1, the
            one shown}

        spacing = float: edge length of the mesh in Angstrom {default: the
            backend's}

        mesh = tracked or marching_cubes: a mesh that moves along and is made
            anew where the surface opens or closes, so that points correspond
            from frame to frame only in between; or a new one for each frame
            {default: tracked}

        color = motion, fluctuation, normal, chain, expert, hydrophobicity,
            charge or a PyMOL colour {default: motion}

        seed = integer: which plausible motion is drawn {default: 0}

        backend = local, remote, or the name or address of a server that
            moedsr_backend knows: where it is computed {default: the one that
            moedsr_backend shows}

        wait = 0 or 1: return when the surface is complete, which it always
            does without a window {default: -1, in a script (@file) yes, for a
            typed command no; Python in a window needs wait=1}

        duration = time: how long after the input the last frame is, as 500 ps
            or 1 ns; frames are closer in time at the beginning {default: as
            far as the model reaches, which moedsr_models shows}

        level = float: how far outside the molecule's surface to look, in
            Angstrom; 1.4 shows what the centres of waters reach {default: 0}

    EXAMPLE

        fetch 1ubq, async=0
        moedsr_predict 1ubq, frames=50
        mplay
        moedsr_predict 1ubq, duration=1 ns, name=first_ns

    SEE ALSO

        moedsr_color, moedsr_surface, moedsr_save, moedsr_cancel, moedsr_fetch,
        moedsr_backend
    """
    with one_sentence():
        options: dict[str, Any] = {"kind": "predict"}
        options["frames"] = whole_number("frames", frames, *FRAMES_RANGE)
        if given(mesh):
            options["mesh"] = choice("mesh", mesh, MESHES)
        if given(seed):
            options["seed"] = whole_number("seed", seed, *SEED_RANGE)
        if given(model):
            options["model"] = str(model).strip()
        if given(duration):
            options["duration_ps"] = duration_ps("duration", duration)
        if given(level):
            options["level"] = real_number("level", level, *LEVEL_RANGE)
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
    with one_sentence():
        options: dict[str, Any] = {"kind": "surface"}
        options["surface"] = choice("surface", surface, SURFACES)
        if Coloring.read(str(color), "", None, None, _self).mode not in SURFACE_COLORS:
            raise UserError(f"color must be normal, chain or a PyMOL colour, got '{color}'")
        return _order(
            selection, options, name=name, state=state, spacing=spacing, color=color,
            backend=backend, wait=wait, quiet=quiet, _self=_self,
        )  # fmt: skip


def _order(selection, options, *, name, state, spacing, color, backend, wait, quiet, _self) -> str:
    if given(spacing):
        options["spacing"] = real_number("spacing", spacing, *SPACING_RANGE)
    order = Order(
        selection=str(selection),
        state=whole_number("state", state, -1, 10**9),
        options=options,
        name=str(name).strip(),
        coloring=Coloring.read(str(color), "", None, None, _self),
        backend=str(backend),
        wait=wait_or_not(wait),
        quiet=is_quiet(quiet),
    )
    return carry_out(order, _self)
