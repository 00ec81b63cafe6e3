"""From a selection to a running job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .atoms import polymer_atoms
from .backends import backend_named
from .coloring import Coloring
from .errors import UserError
from .jobs import Job
from .labels import Label, keep_label
from .progress import Progress
from .receiver import Begin, Receiver
from .remote import BackendClient
from .surface import Surface
from .window import in_window, run_between_events
from .workspace import Workspace


@dataclass(frozen=True)
class Order:
    """What a command asks for, all of it checked.

    Attributes:
        selection: Atoms of one object.
        state: Its state; -1 is the one shown.
        options: Options of the job; those left out are the backend's choice.
        name: The object to make; empty for the usual name.
        coloring: How it is coloured.
        backend: Where it is computed.
        wait: Whether to return only when it is complete, as it always does without a window,
            where nothing would show the frames; None waits there alone.
        quiet: Whether to say nothing.
    """

    selection: str
    state: int
    options: dict[str, Any]
    name: str
    coloring: Coloring
    backend: str
    wait: bool | None
    quiet: bool


def carry_out(order: Order, _self: Any) -> str:
    """Start a job, and wait for it where there is no window to return to.

    Returns:
        The name of the object that holds, or will hold, the surface.

    Raises:
        UserError: If it cannot be started or, when waited for, fails.
    """
    workspace = Workspace.of(_self)
    backend = backend_named(order.backend)
    atoms = polymer_atoms(order.selection, order.state, _self)
    name = workspace.free_name(order.name, atoms.object_name, _self)
    frames = order.options.get("frames", 1)
    label = Label.of(
        atoms, backend=backend.name, selection=order.selection, surface=name, frames=frames
    )
    surface = Surface(name, atoms, order.coloring, planned=frames)
    receiver = Receiver(backend, _new_job(atoms.arrays(), order.options, label))
    run(Job(surface, receiver, workspace, Progress(surface, order.quiet), _self), order.wait)
    return name


def run(job: Job, wait: bool | None) -> None:
    """Start a job that replaces what runs under its name, and wait for it.

    Args:
        job: The job.
        wait: Whether to wait; None waits only where no window would show the frames.

    Raises:
        UserError: If it was waited for and failed.
    """
    job.start()
    if wait or not in_window():
        job.wait()
    else:
        run_between_events(job)


def _new_job(arrays: dict[str, Any], options: dict[str, Any], label: Label) -> Begin:
    def begin(client: BackendClient) -> str:
        job = client.create(arrays, options)
        try:
            keep_label(job, label)
        except UserError:
            pass  # a full disk: the job can be fetched all the same, by its id
        return job

    return begin
