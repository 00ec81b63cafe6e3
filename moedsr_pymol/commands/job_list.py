"""Commands for jobs, of this session and of earlier ones."""

from __future__ import annotations

from pymol import cmd

from ..arguments import given, is_quiet, wait_or_not
from ..coloring import Coloring
from ..errors import UserError
from ..fetch import arriving, cancel_earlier, delete_earlier, fetch, job_rows
from ..labels import load_labels
from ..window import outside
from ..wording import age, duration, shortened
from ..workspace import Workspace
from .common import one_sentence

_COLUMNS = ("id", "state", "object", "frames", "age", "took", "backend")
_WIDEST = 20
"""Of a molecule in the list [letters]; the panel shows it whole."""


def moedsr_jobs(backend="", quiet=1, *, _self=cmd):
    """
    DESCRIPTION

        "moedsr_jobs" lists your predictions, those of earlier sessions too, on
        this computer and on the servers that moedsr_backend knows. Finished
        ones are kept for some days.

    USAGE

        moedsr_jobs [ backend ]

    ARGUMENTS

        backend = string: as in moedsr_predict {default: all of them}

    EXAMPLE

        moedsr_jobs

    SEE ALSO

        moedsr_fetch, moedsr_cancel, moedsr_backend
    """
    with one_sentence():
        named, shown = str(backend).strip(), arriving(_self)
        rows, problems = outside(lambda: job_rows(named, shown), _self)
        if not is_quiet(quiet):
            for line in [*_table(rows), *problems]:
                print(f" {line}")
        return rows


def _table(rows) -> list:
    if not rows:
        return ["no jobs"]
    lines = [_COLUMNS]
    for row in rows:
        of = row["object"] or "?"
        if row["selection"] not in ("", of):
            of = f"{of} ({row['selection']})"
        frames = f"{row['frames_done']}/{row['frames']}"
        where = row["backend"].split("//")[-1]
        line = (
            row["id"], row["state"], shortened(of, _WIDEST), frames, age(row["age_s"]),
            duration(row["seconds"]), where,
        )  # fmt: skip
        lines.append(line)
    widths = [max(len(line[k]) for line in lines) for k in range(len(_COLUMNS))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)) for line in lines]  # noqa: B905


def moedsr_fetch(
    job, name="", object="", color="motion", backend="", wait=-1, quiet=1, *, _self=cmd
):
    """
    DESCRIPTION

        "moedsr_fetch" loads a prediction of an earlier session. One that still
        runs goes on appearing, frame by frame. The surface lies on the molecule
        that it was computed of, if an object of that name is loaded from the
        same file or session.

    USAGE

        moedsr_fetch job [, name [, object [, color [, backend [, wait ]]]]]

    ARGUMENTS

        job = string: its id, as moedsr_jobs shows it

        name = string: object to make {default: the name it was to have}

        object = string: molecule that the surface is to lie on {default: the
            one of that name then}

        color = as in moedsr_predict {default: motion}

        backend, wait = as in moedsr_predict {default: where it was sent; -1}

    EXAMPLE

        moedsr_jobs
        moedsr_fetch 0f3a9c5e7b21d846

    SEE ALSO

        moedsr_jobs, moedsr_predict, moedsr_cancel
    """
    with one_sentence():
        return fetch(
            _job_id(job),
            backend=str(backend).strip(),
            name=str(name).strip(),
            molecule=str(object).strip(),
            coloring=Coloring.read(str(color), "", None, None, _self),
            wait=wait_or_not(wait),
            quiet=is_quiet(quiet),
            _self=_self,
        )


def _job_id(job) -> str:
    word = str(job).strip()
    if not (word.isascii() and word.isalnum()):
        raise UserError(f"job must be an id as moedsr_jobs shows it, got '{word}'")
    return word


def moedsr_cancel(job="", backend="", quiet=1, *, _self=cmd):
    """
    DESCRIPTION

        "moedsr_cancel" stops a prediction, whose finished frames stay, or other
        long work, of which nothing stays.

    USAGE

        moedsr_cancel [ job [, backend ]]

    ARGUMENTS

        job = string: the object that is being made; or the id of a job, of this
            session or an earlier one; or a command that is at work, as
            moedsr_movie; or all that is being made here {default: the only one
            there is}

        backend = string: as in moedsr_fetch

    EXAMPLE

        moedsr_cancel 1ubq_surf

    SEE ALSO

        moedsr_predict, moedsr_jobs, moedsr_fetch
    """
    with one_sentence():
        workspace = Workspace.of(_self)
        jobs, work = workspace.jobs, workspace.working()
        names = [*jobs, *work]
        word = str(job).strip() or (names[0] if len(names) == 1 else "")
        here: list = [task for name, task in jobs.items() if word in ("all", name, task.id)]
        here += [task for name, task in work.items() if word in ("all", name)]
        for running in here:
            running.cancel()
        if here or word == "all":
            return
        known = _is_id(word) or word in load_labels()
        if not known and not given(backend):
            there = ", ".join(names) or "none"
            raise UserError(
                f"name the prediction to cancel, all, or a job's id; running here: {there}"
            )
        identity, named = _job_id(word), str(backend).strip()
        said = outside(lambda: cancel_earlier(identity, named), _self)
        if not is_quiet(quiet):
            print(f" moedsr: {said}")


def moedsr_delete(job, backend="", quiet=1, *, _self=cmd):
    """
    DESCRIPTION

        "moedsr_delete" deletes a job and its frames where they were computed.
        A surface that is loaded in PyMOL stays.

    USAGE

        moedsr_delete job [, backend ]

    ARGUMENTS

        job = string: its id, as moedsr_jobs shows it, or all for every job of
            yours that has ended

        backend = string: as in moedsr_fetch {default: where the job was sent;
            for all, the one that moedsr_backend shows}

    EXAMPLE

        moedsr_delete 0f3a9c5e7b21d846

    SEE ALSO

        moedsr_jobs, moedsr_cancel, moedsr_fetch
    """
    with one_sentence():
        identity, named, shown = _job_id(job), str(backend).strip(), set(arriving(_self))
        if identity in shown:
            raise UserError(f"job {identity} is arriving in this PyMOL; cancel it first")
        said = outside(lambda: delete_earlier(identity, named, shown), _self)
        if not is_quiet(quiet):
            print(f" moedsr: {said}")


def _is_id(word) -> bool:
    """Whether it is 16 hexadecimal digits."""
    return len(word) == 16 and not set(word) - set("0123456789abcdef")
