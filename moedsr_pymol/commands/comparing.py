"""The command that compares a prediction with a trajectory."""

from __future__ import annotations

from pymol import cmd

from ..arguments import counted, duration_ps, given, is_quiet, whole_number
from ..atoms import single_object
from ..errors import UserError
from ..measure.compare import CONTENDERS, compare_steps, pair
from ..measure.files import check_file, write_measurement
from ..steps import Report
from ..workspace import Workspace
from .common import do_long, one_sentence


def moedsr_compare(
    prediction, object, first="", stride="", interval="", file="", quiet=1, *, _self=cmd
):  # fmt: skip
    """
    DESCRIPTION

        "moedsr_compare" compares a prediction with a trajectory: at every state
        it gives the intersection over union, the Chamfer distance and the
        normal consistency of the predicted surface, beside those of two
        surfaces that stand still, the first one (static) and the best single
        shape (mean shape, which knows the trajectory). The fluctuation of the
        surface is compared residue by residue. It takes minutes.

    USAGE

        moedsr_compare prediction, object [, first [, stride [, interval
            [, file ]]]]

    ARGUMENTS

        prediction = string: a surface of moedsr_predict

        object = string: an object with several states, or a selection in it,
            that holds the atoms that were predicted. Its states are superposed
            on the prediction by their C-alpha atoms; the object does not move

        first = integer: the state that the prediction's first frame stands for
            {default: the one that was predicted, 1 if that was another object}

        stride = integer: take each so-manyth state after the first {default:
            so that there are at most 100}

        interval = string: time between neighbouring states, as 100 ps. Each
            state is then compared with the frame of its time {default: frames
            are spread evenly over the states}

        file = string: where to write it: .csv tables, FILE_residues.csv and
            FILE_summary.csv beside it; .png, .svg or .pdf diagrams

    EXAMPLE

        load top.pdb, traj
        load_traj traj.xtc, traj
        moedsr_predict traj, state=1
        moedsr_compare traj_surf, traj, file=~/compare.csv

    SEE ALSO

        moedsr_predict, moedsr_profile, moedsr_cancel
    """
    with one_sentence():
        workspace = Workspace.of(_self)
        found = workspace.surface(str(prediction).strip())
        running = any(job.surface is found for job in workspace.jobs.values())
        if running or not found.frames:
            raise UserError(
                f"'{found.name}' is still arriving, with {len(found.frames)} of {found.planned} "
                "frames; compare it when it is complete"
            )
        target = check_file(str(file).strip()) if given(file) else None
        selection = str(object).strip()
        name = single_object(selection, _self)
        count = _self.count_states(name)
        own = found.atoms.state if name == found.atoms.object_name else 1
        pairs = pair(
            found,
            count,
            whole_number("first", first, 1, count) if given(first) else min(own, count),
            whole_number("stride", stride, 1, 10**9) if given(stride) else None,
            duration_ps("interval", interval) if given(interval) else None,
        )
        report = Report(found.name, is_quiet(quiet))

        def work():
            compared = yield from compare_steps(found, selection, name, pairs, report, _self)
            workspace.keep_measurement("moedsr_compare", found, compared)
            for line in _lines(compared, pairs):
                report.say(line)
            if target is not None:
                yield from write_measurement(compared, target, report)

        return do_long("moedsr_compare", found, work(), report, _self)


def _lines(compared, pairs) -> list:
    lines = [f"{counted(len(pairs.states), 'state')} of {compared.object}"]
    if pairs.left_out:
        lines[0] += f"; {pairs.left_out} beyond the prediction left out"
    for who in CONTENDERS:
        iou, chamfer, normals = (compared.mean(who, m) for m in ("iou", "chamfer_A", "nc_signed"))
        name = who.replace("_", " ")
        lines.append(f"{name}: IoU {iou:.3f}, Chamfer {chamfer:.2f} Å, normals {normals:.3f}")
    motion = compared.motion
    r, by_residue = motion["surface_rmsf_r"], motion["surface_rmsf_r_residue"]
    if r == r:
        lines.append(f"surface fluctuation: r = {r:.2f} by point, {by_residue:.2f} by residue")
    return lines
