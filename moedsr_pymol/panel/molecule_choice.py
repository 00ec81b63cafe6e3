"""Which molecule, or part of it, and which state."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pymol.Qt import QtCore, QtWidgets

from ..unlearnt import LEAST_RESIDUES
from .desk import Desk
from .parts import Form, expanding, hint, row, whole

SETTLE_MS = 300
"""Pause in typing after which a selection is looked at [ms]."""
GUESS = f"the model knows proteins of {LEAST_RESIDUES} residues and more, so this will be a guess"


class MoleculeChoice(QtCore.QObject):
    """A live list of objects and selections, into which others can be typed; and a state.

    Attributes:
        selection: The list.
        about: What is chosen, in words.
        state: The state; 0 is the one that is shown.

    Args:
        desk: What the tabs share.
    """

    def __init__(self, desk: Desk, parent: Any = None) -> None:
        super().__init__(parent)
        self._desk, self._listed = desk, ""
        self.selection = QtWidgets.QComboBox()
        self.selection.setEditable(True)
        self.selection.setInsertPolicy(QtWidgets.QComboBox.InsertPolicy.NoInsert)
        self.selection.setMinimumContentsLength(12)
        expanding(self.selection)
        self.selection.lineEdit().setPlaceholderText("load a molecule, or type a selection")
        self.about, self.states = hint(), QtWidgets.QLabel()
        self.state = whole(0, 1, 0)
        self.state.setSpecialValueText("shown")
        self._settle = QtCore.QTimer(self)
        self._settle.setSingleShot(True)
        self._settle.setInterval(SETTLE_MS)
        self._settle.timeout.connect(self.look)
        self.selection.editTextChanged.connect(lambda _: self._settle.start())
        desk.watch.changed.connect(self._list)
        self._list()

    def add_to(self, form: Form) -> None:
        """Put the fields into a form."""
        form.add(
            "Molecule", self.selection,
            "An object or a named selection of PyMOL, or any selection of one object.",
        )  # fmt: skip
        form.addRow("", self.about)
        form.add(
            "State", row(self.state, self.states, None),
            "State of the molecule to start from; 'shown' is the one that PyMOL shows.",
        )  # fmt: skip

    @property
    def text(self) -> str:
        """What is chosen."""
        return str(self.selection.currentText()).strip()

    def _list(self) -> None:
        """Offer what is loaded; where the chosen object is gone, the last of the others."""
        watch, text = self._desk.watch, self.text
        self.selection.blockSignals(True)
        self.selection.clear()
        self.selection.addItems(watch.molecules)
        if watch.molecules and watch.selections:
            self.selection.insertSeparator(len(watch.molecules))
        self.selection.addItems(watch.selections)
        gone = text not in (*watch.molecules, *watch.selections) and text == self._listed
        fallback = watch.molecules[-1] if watch.molecules else ""
        self.selection.setCurrentText(fallback if gone or not text else text)
        self.selection.blockSignals(False)
        self.look()

    def look(self) -> None:
        """Say how large the selection is, or why it is none."""
        text, cmd = self.text, self._desk.cmd
        self._listed = text if text in self._desk.watch.molecules else self._listed
        if not text:
            self._say("Open a structure in PyMOL to begin.")
            return
        try:
            with _without_complaint(cmd):
                atoms = cmd.count_atoms(f"({text}) and polymer")
                residues = cmd.count_atoms(f"bycalpha (({text}) and polymer)")
                names = cmd.get_object_list(f"({text})") or []
        except Exception:  # PyMOL raises different types from version to version
            self._say("This is neither an object nor a selection.")
            return
        if len(names) > 1:
            self._say(f"Spans {len(names)} objects; select within one.")
        elif not atoms:
            self._say("Holds no protein or nucleic acid.")
        else:
            counted = f"{residues:,} residues, " if residues else ""
            states = max(cmd.count_states(names[0]), 1)
            guess = "" if residues >= LEAST_RESIDUES else f"; {GUESS}"
            self._say(f"{counted}{atoms:,} atoms of protein or nucleic acid{guess}", states)

    def _say(self, text: str, states: int = 1) -> None:
        self.about.setText(text)
        self.state.setMaximum(states)
        self.state.setEnabled(states > 1)
        self.states.setText(f"of {states}")


@contextmanager
def _without_complaint(cmd: Any) -> Iterator[None]:
    """Let PyMOL say nothing of a selection that is half typed."""
    cmd.feedback("push")
    try:
        cmd.feedback("disable", "selector executive", "errors")
        yield
    finally:
        cmd.feedback("pop")
