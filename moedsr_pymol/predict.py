"""From a selection to a running job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .arguments import choice
from .atoms import polymer_atoms
from .backend import LOCAL, LocalBackend
from .coloring import Coloring
from .jobs import Job, Receiver
from .manifest import load_manifest
from .progress import Progress
from .surface import Surface
from .window import in_window, run_between_events
from .workspace import Workspace

BACKENDS: dict[str, LocalBackend] = {"local": LOCAL}


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


def backend_named(name: str) -> LocalBackend:
    """A backend; the manifest's default for no name.

    Raises:
        UserError: If there is none of that name.
    """
    return BACKENDS[choice("backend", name or load_manifest()["default_backend"], tuple(BACKENDS))]


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
    if name in workspace.jobs:
        workspace.jobs[name].cancel()
    surface = Surface(name, atoms, order.coloring, planned=order.options.get("frames", 1))
    receiver = Receiver(backend, atoms.arrays(), order.options)
    job = Job(surface, receiver, workspace, Progress(name, order.quiet), _self)
    job.start()
    if order.wait or not in_window():
        job.wait()
    else:
        run_between_events(job)
    return name
