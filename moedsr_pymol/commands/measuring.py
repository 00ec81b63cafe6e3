"""Commands that read something off a surface."""

from __future__ import annotations

import numpy as np
from pymol import cmd

from ..arguments import choice, counted, given, is_quiet, real_number, whole_number
from ..atoms import drawn_positions, object_state
from ..measure.bfactors import restore_bfactors, write_bfactors
from ..measure.files import check_file, write_measurement
from ..measure.pocket import pocket_steps
from ..measure.profile import MEASURES, residue_profile
from ..measure.shape import shape_over_time
from ..placement import moved, object_matrix
from ..steps import Report, Steps
from ..workspace import Workspace
from .common import do_long, one_sentence

_SHOWN = 5
"""Residues that a profile names."""


def moedsr_profile(
    surface, by="fluctuation", file="", bfactor="0", state=-1, quiet=1, *, _self=cmd
):  # fmt: skip
    """
    DESCRIPTION

        "moedsr_profile" measures how much each residue's part of a surface
        moves, and names the residues that move most.

    USAGE

        moedsr_profile surface [, by [, file [, bfactor [, state ]]]]

    ARGUMENTS

        surface = string: a surface of moedsr_predict; to restore B-factors, its
            molecule will do

        by = fluctuation: how much its points move over all frames, the standard
                deviation in Angstrom {default}
            motion: how far its points are from the first surface in one state,
                to either side, in Angstrom

        file = string: where to write it: .csv a table; .png, .svg or .pdf a
            diagram

        bfactor = 1: write the values into the B-factors of the molecule, of
                every atom of the residue; buried residues get 0, and what was
                not predicted keeps its own. PyMOL's undo does not know of it,
                but what was there is kept until PyMOL ends
            restore: put back what was there before
            0: leave them alone {default}

        state = integer: state of the surface, for motion {default: -1, the one
            shown}

    EXAMPLE

        moedsr_profile 1ubq_surf, bfactor=1, file=~/profile.csv
        spectrum b, blue_white_red, 1ubq and polymer
        moedsr_profile 1ubq_surf, bfactor=restore

    SEE ALSO

        moedsr_color, moedsr_shape, moedsr_pocket, moedsr_compare
    """
    with one_sentence():
        workspace = Workspace.of(_self)
        name = str(surface).strip()
        write = choice("bfactor", bfactor, ("0", "1", "restore"))
        if write == "restore":
            there = workspace.surfaces.get(name)
            molecule = there.atoms.object_name if there else name
            back, new = restore_bfactors(molecule, workspace.bfactors, _self)
            more = f"; {counted(new, 'atom')} that came later kept theirs" if new else ""
            _say(quiet, f"{molecule}: B-factors of {counted(back, 'atom')} are as before{more}")
            return None
        found = workspace.surface(name)
        target = check_file(str(file).strip()) if given(file) else None
        by = choice("by", by, MEASURES)
        state = whole_number("state", state, -1, 10**9)
        if by == "motion" and state == -1:
            state = object_state(found.name, -1, _self)
        profile = residue_profile(found, by, state, _self=_self)
        if write == "1":
            count = write_bfactors(profile, workspace.bfactors, _self)
            _say(
                quiet,
                f"{profile.molecule}: B-factors of {counted(count, 'residue')} hold their {by}; "
                f"'moedsr_profile {found.name}, bfactor=restore' puts the old ones back",
            )
        workspace.keep_measurement("moedsr_profile", found, profile)
        for k in profile.most_mobile(_SHOWN):
            _say(quiet, f"{profile.label(k)}: {profile.value[k]:.2f} Å")
        if target is not None:
            _write(profile, target, "moedsr_profile", found, quiet, _self)
        return profile


def moedsr_shape(surface, file="", quiet=1, *, _self=cmd):
    """
    DESCRIPTION

        "moedsr_shape" measures the area and the volume of a surface in every
        state.

    USAGE

        moedsr_shape surface [, file ]

    ARGUMENTS

        surface = string: a surface

        file = string: where to write it: .csv a table; .png, .svg or .pdf
            diagrams

    EXAMPLE

        moedsr_shape 1ubq_surf, ~/shape.csv

    SEE ALSO

        moedsr_profile, moedsr_pocket
    """
    with one_sentence():
        workspace = Workspace.of(_self)
        found = workspace.surface(str(surface).strip())
        target = check_file(str(file).strip()) if given(file) else None
        shape = shape_over_time(found)
        workspace.keep_measurement("moedsr_shape", found, shape)
        _say(quiet, f"{found.name}: {_so_far(len(shape.area), found)}")
        _say(quiet, f"area {_range(shape.area, 'Å²')}")
        _say(quiet, f"volume {_range(shape.volume, 'Å³')}")
        if target is not None:
            _write(shape, target, "moedsr_shape", found, quiet, _self)
        return shape


def moedsr_pocket(surface, selection, radius=6.0, file="", quiet=1, *, _self=cmd):
    """
    DESCRIPTION

        "moedsr_pocket" measures how a pocket opens and closes: in every state
        of a surface, the open space near a selection and the area of the
        surface there. Open space lies outside the surface and is enclosed by
        it: of seven lines, along the axes and the diagonals of a cube, at least
        four run into the surface on both sides.

    USAGE

        moedsr_pocket surface, selection [, radius [, file ]]

    ARGUMENTS

        surface = string: a surface of moedsr_predict

        selection = string: atoms in or around the pocket: a ligand, or the
            residues that line it. They are taken where they are drawn now

        radius = float: how near to them is near, in Angstrom {default: 6.0}

        file = string: where to write it: .csv a table; .png, .svg or .pdf
            diagrams

    EXAMPLE

        moedsr_pocket 1ubq_surf, resi 45+48+59, 6, ~/pocket.csv

    SEE ALSO

        moedsr_shape, moedsr_profile, moedsr_cancel
    """
    with one_sentence():
        workspace = Workspace.of(_self)
        found = workspace.surface(str(surface).strip())
        radius = real_number("radius", radius, 1.0, 30.0)
        target = check_file(str(file).strip()) if given(file) else None
        name = str(selection).strip()
        drawn_to_stored = np.linalg.inv(object_matrix(found.name, _self))
        coords = moved(drawn_positions(name, _self), drawn_to_stored)
        report = Report(found.name, is_quiet(quiet))

        def work():
            pocket = yield from pocket_steps(found, coords, radius, name, report)
            workspace.keep_measurement("moedsr_pocket", found, pocket)
            report.say(_so_far(len(pocket.area), found))
            report.say(f"open volume {_range(pocket.volume, 'Å³')}{_extremes(pocket.volume)}")
            report.say(f"area near it {_range(pocket.area, 'Å²')}")
            if target is not None:
                yield from write_measurement(pocket, target, report)

        return do_long("moedsr_pocket", found, work(), report, _self)


def _extremes(values) -> str:
    if len(values) < 2 or not np.ptp(values):
        return ""
    return f"; smallest in state {values.argmin() + 1}, largest in state {values.argmax() + 1}"


def _write(measured, target, command, surface, quiet, _self) -> None:
    report = Report(surface.name, is_quiet(quiet))
    work = write_measurement(measured, target, report)
    Workspace.of(_self).do(command, Steps(work, report), _self)


def _so_far(measured, surface) -> str:
    if measured < surface.planned:
        return f"{measured} of {surface.planned} frames so far"
    return counted(measured, "frame")


def _range(values, unit) -> str:
    if len(values) < 2:
        return f"{values[0]:.0f} {unit}"
    low, high = values.min(), values.max()
    return f"{values[0]:.0f} {unit} at first, {low:.0f} to {high:.0f} {unit} in all"


def _say(quiet, text) -> None:
    if not is_quiet(quiet):
        print(f" moedsr: {text}")
