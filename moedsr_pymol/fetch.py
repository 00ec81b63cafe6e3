"""Jobs of earlier sessions: found, listed, loaded, cancelled, deleted."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Any

import numpy as np

from .arguments import counted
from .atoms import Molecule, single_object
from .backends import Backend, all_backends, backend_named, find_backend
from .coloring import Coloring
from .errors import UserError
from .follow import Hold
from .jobs import Job
from .labels import Label, drop_labels, load_labels
from .predict import run
from .progress import Progress
from .receiver import Begin, Receiver
from .remote import BackendClient
from .servers import ASKING
from .surface import Surface
from .workspace import Workspace

FRESH_S = 600.0
"""Age below which a label is kept although its server lists no such job [s]: clocks differ."""


def backend_of(job: str, named: str, labels: dict[str, Label]) -> Backend:
    """Where a job is: as named, as remembered, or the backend that is used now.

    Raises:
        UserError: If there is no such backend any more.
    """
    sent = labels[job].backend if job in labels else ""
    if sent and not named and find_backend(sent) is None:
        raise UserError(
            f"job {job} was sent to {sent}, which is not known any more; make it known again with "
            f"'moedsr_backend {sent}, token_file=FILE'"
        )
    return backend_named(named or sent)


def fetch(
    job: str, *, backend: str, name: str, molecule: str, coloring: Coloring, wait: bool | None,
    quiet: bool, _self: Any,
) -> str:  # fmt: skip
    """Load a job, from its first frame on, and follow it if it runs.

    Args:
        job: Its id.
        backend: Where it is; empty for where it was sent.
        name: The object to make; empty for the name it was to have.
        molecule: The object that it lies on; empty for the one that was sent.
        coloring: How it is coloured.
        wait: Whether to return only when it is complete; None waits without a window alone.
        quiet: Whether to say nothing.
        _self: PyMOL.

    Returns:
        The name of the object.

    Raises:
        UserError: If it cannot be loaded.
    """
    workspace, labels = Workspace.of(_self), load_labels()
    for running in workspace.jobs.values():
        if running.id == job:
            raise UserError(f"job {job} is arriving in '{running.surface.name}' already")
    label = labels.get(job)
    lies_on = _molecule(label, molecule, _self)
    wanted = name or (label.surface if label else "") or f"{lies_on.object_name or job}_surf"
    free = workspace.free_name(wanted, wanted, _self)
    where = backend_of(job, backend, labels)
    if label is None:
        label = Label.of(lies_on, backend=where.name, selection="", surface=free, frames=1)
    hold = Hold.of(lies_on, _self)
    surface = Surface(free, lies_on, coloring, planned=label.frames, label=label, hold=hold)
    receiver, progress = Receiver(where, _old_job(job)), Progress(surface, quiet)
    progress.say_name(name)
    run(Job(surface, receiver, workspace, progress, _self), wait, _self)
    return free


def _old_job(job: str) -> Begin:
    def begin(client: BackendClient) -> str:
        client.status(job)
        return job

    return begin


def _molecule(label: Label | None, named: str, _self: Any) -> Molecule:
    """What a fetched surface lies on."""
    sent = label.molecule() if label else Molecule("", 1, np.array([], np.str_), np.eye(4))
    if not named:
        return sent
    return Molecule(single_object(named, _self), sent.state, sent.chain_ids, sent.history)


def arriving(_self: Any) -> dict[str, str]:
    """Names of the surfaces that are arriving in this PyMOL, by the ids of their jobs."""
    return {job.id: name for name, job in Workspace.of(_self).jobs.items() if job.id}


def job_rows(named: str, shown: dict[str, str]) -> tuple[list[dict[str, Any]], list[str]]:
    """Jobs at all backends, or at one; it leaves PyMOL alone.

    Args:
        named: A backend; empty for all, without those that cannot be asked.
        shown: What :func:`arriving` gave.

    Returns:
        A row for each job, the newest first, and a sentence for each backend that gave none.

    Raises:
        UserError: If the one that was named cannot be asked.
    """
    labels, rows, problems = load_labels(), [], []
    for backend in [backend_named(named)] if named else all_backends():
        if not named and not _has_jobs(backend, labels):
            continue
        try:
            found = backend.client(ASKING).jobs()
        except UserError as error:
            if named:
                raise
            problems.append(str(error))
            continue
        _forget_gone(backend, found, labels)
        rows += [_row(backend, status, labels, shown) for status in found]
    return sorted(rows, key=lambda row: row["age_s"]), problems


def _has_jobs(backend: Backend, labels: dict[str, Label]) -> bool:
    """Whether a backend may have jobs of ours, so that it is worth starting."""
    return backend.running or any(label.backend == backend.name for label in labels.values())


def _forget_gone(backend: Backend, found: list[dict], labels: dict[str, Label]) -> None:
    """Forget labels of jobs that have expired or been deleted."""
    there, old = {status.get("id") for status in found}, time.time() - FRESH_S
    drop_labels(
        job
        for job, label in labels.items()
        if label.backend == backend.name and job not in there and label.created < old
    )


def _row(
    backend: Backend, status: dict[str, Any], labels: dict[str, Label], shown: dict[str, str]
) -> dict[str, Any]:
    job = str(status.get("id"))
    label = labels.get(job)
    return {
        "id": job,
        "state": str(status.get("state")),
        "backend": backend.name,
        "object": label.object_name if label else "",
        "selection": label.selection if label else "",
        "surface": shown.get(job, label.surface if label else ""),
        "frames_done": status.get("frames_done") or 0,
        "frames": status.get("frames") or 0,
        "age_s": float(status.get("age_s") or 0.0),
        "seconds": float(status.get("seconds") or 0.0),
        "error": status.get("error"),
        "bytes": status.get("bytes") or 0,
    }


def cancel_earlier(job: str, named: str) -> str:
    """Cancel a job that is not arriving in this PyMOL; says what came of it.

    Raises:
        UserError: If there is none, or its backend cannot be asked.
    """
    return backend_of(job, named, load_labels()).client(ASKING).cancel(job)


ENDED = ("done", "failed", "cancelled")
"""States of jobs that nothing computes any more."""


def delete_earlier(job: str, named: str, kept: Collection[str] = ()) -> str:
    """Delete a job and what it made; says what came of it.

    Args:
        job: Its id, or ``all`` for every job of ours that has ended.
        named: The backend; empty for where the job was sent, or the one that is used.
        kept: Jobs that ``all`` leaves, as those that are still arriving.

    Raises:
        UserError: If there is no such job, or its backend cannot be asked.
    """
    labels = load_labels()
    if job != "all":
        backend_of(job, named, labels).client(ASKING).delete(job)
        drop_labels([job])
        return f"job {job} is deleted"
    client = backend_named(named).client(ASKING)
    ended = [str(row["id"]) for row in client.jobs() if row.get("state") in ENDED]
    gone = [one for one in ended if one not in kept]
    for one in gone:
        client.delete(one)
    drop_labels(gone)
    return f"{counted(len(gone), 'job')} deleted"
