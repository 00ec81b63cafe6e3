"""What all tabs share."""

from __future__ import annotations

from typing import Any

from pymol.Qt import QtCore

from .. import failures
from ..errors import UserError
from ..workspace import Workspace
from .background import Background
from .choices import Choices
from .emit import Emitter
from .order import PredictOrder
from .watch import Watch


class Desk(QtCore.QObject):
    """PyMOL, the commands given to it, what is loaded in it, threads, and what is remembered.

    Attributes:
        cmd: PyMOL.
        background: Asks in threads.
        watch: What is loaded.
        choices: What is remembered.
        orders: How surfaces were asked for here, by their marks.

    Args:
        _self: PyMOL.
    """

    failed = QtCore.Signal(object)
    """A command, or a job, has failed: the exception."""
    backend_changed = QtCore.Signal()
    """Another backend may be used now, or be known."""
    begun = QtCore.Signal()
    """Something new is tried, so that what went wrong before is past."""
    wanted = QtCore.Signal(str)
    """A tab is asked for, by its name."""

    def __init__(self, _self: Any, parent: Any = None) -> None:
        super().__init__(parent)
        self.cmd = _self
        self.background = Background(self)
        self.watch = Watch(_self, self)
        self.choices = Choices()
        self.orders: dict[str, PredictOrder] = {}
        self._emitter = Emitter(_self)
        self._failures = 0
        self.failed.connect(self._count)
        failures.listen(self._hear)

    def _count(self, _: object) -> None:
        self._failures += 1

    def _hear(self, error: BaseException) -> None:
        try:
            self.failed.emit(error)
        except RuntimeError:  # Qt has taken the window away
            failures.stop_listening(self._hear)

    def do(self, *lines: str, begins: bool = True) -> None:
        """Carry out commands as if they had been typed.

        Args:
            lines: The commands.
            begins: Whether what went wrong before is past with them.
        """
        if begins:
            self.begun.emit()
        for line in lines:
            self._emitter.do(line)

    def quietly(self, line: str) -> None:
        """Carry out a step of an action."""
        self._emitter.quietly(line)

    def attempt(self, make: Any) -> bool:
        """Carry out the command that a function makes; say what is wrong with its arguments.

        Returns:
            Whether nothing has failed so far.
        """
        self.begun.emit()
        before = self._failures
        try:
            self.do(make())
        except UserError as error:
            self.failed.emit(error)
        return self._failures == before

    def ask_for(self, order: PredictOrder) -> None:
        """Predict, and remember how the surface was asked for."""
        before = set(self.jobs.values())
        self.attempt(order.line)
        for job in set(self.jobs.values()) - before:
            self.orders[job.surface.mark] = order

    @property
    def workspace(self) -> Workspace:
        """Our surfaces and jobs as PyMOL's objects are now."""
        return Workspace.of(self.cmd)

    @property
    def jobs(self) -> dict[str, Any]:
        """The jobs that run here, without a look at PyMOL's objects."""
        held = getattr(self.cmd._pymol, "_moedsr", None)
        return held.jobs if isinstance(held, Workspace) else {}
