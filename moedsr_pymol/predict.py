"""From a selection to a running job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .atoms import polymer_atoms
from .backends import backend_named
from .coloring import Coloring
from .errors import RefusedError, UserError
from .follow import Hold
from .jobs import Job
from .labels import Label, keep_label
from .progress import Progress
from .receiver import Begin, Receiver
from .remote import BackendClient
from .surface import Surface
from .unlearnt import warning
from .window import run_task
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
            where nothing would show the frames; None waits there and in scripts.
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
    hold = Hold.of(atoms, _self)
    surface = Surface(name, atoms, order.coloring, planned=frames, label=label, hold=hold)
    receiver = Receiver(backend, _new_job(atoms.arrays(), order, label))
    progress = Progress(surface, order.quiet)
    progress.say_name(order.name)
    unknown = warning(atoms) if order.options.get("kind") == "predict" else ""
    if unknown:
        progress.say(unknown)
    run(Job(surface, receiver, workspace, progress, _self), order.wait, _self)
    return name


def run(job: Job, wait: bool | None, _self: Any) -> None:
    """Start a job that replaces what runs under its name, and wait for it.

    Args:
        job: The job.
        wait: Whether to wait; see :func:`window.run_task`.
        _self: PyMOL.

    Raises:
        UserError: If it was waited for and failed.
    """
    job.start()
    try:
        run_task(job, wait, _self)
    except KeyboardInterrupt:
        job.cancel()
        run_task(job, True, _self)


def _new_job(arrays: dict[str, Any], order: Order, label: Label) -> Begin:
    def begin(client: BackendClient) -> str:
        _refuse_expert(order, client)
        job = client.create(arrays, order.options)
        try:
            keep_label(job, label)
        except UserError:
            pass  # a full disk: the job can be fetched all the same, by its id
        return job

    return begin


def _refuse_expert(order: Order, client: BackendClient) -> None:
    """Refuse the colour of an expert that the model does not have, as far as its list tells.

    Raises:
        UserError: If there is no such expert.
    """
    if order.coloring.expert is None:
        return
    try:
        models = client.models()
    except RefusedError:
        return  # the list is not there until a worker is up
    named = order.options.get("model")
    for model in models:
        chosen = model.get("name") == named if named else model.get("default")
        count = model.get("experts")
        if chosen and isinstance(count, int) and order.coloring.expert > count:
            raise UserError(
                f"color must be expert1 to expert{count} for model '{model.get('name')}', got "
                f"'{order.coloring.mode}'"
            )
