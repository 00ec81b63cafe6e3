"""Several predictions at once: which are shown, and whether each in a place of its own."""

from __future__ import annotations

from typing import Any

from pymol.Qt import QtCore, QtWidgets

from .desk import Desk
from .parts import column, heading

ROWS = 4
"""Surfaces that are seen without scrolling."""


class SideBySide(QtWidgets.QWidget):
    """A list of surfaces to switch on and off; hidden while there are fewer than two.

    Args:
        desk: What the tabs share.
    """

    def __init__(self, desk: Desk, parent: Any = None) -> None:
        super().__init__(parent)
        self._desk = desk
        self.names = QtWidgets.QListWidget()
        self.names.setToolTip("Surfaces that are shown")
        self.names.itemChanged.connect(self._switch)
        self.grid = QtWidgets.QCheckBox("Side by side")
        self.grid.setToolTip("Each surface, with its molecule, in a place of its own")
        self.grid.clicked.connect(lambda *_: self._arrange())
        layout = column(self, 0)
        layout.addWidget(heading("Several predictions"))
        layout.addWidget(self.names)
        layout.addWidget(self.grid)
        self.hide()

    def list_surfaces(self, names: list[str]) -> None:
        """Show which surfaces there are."""
        enabled = set(self._desk.cmd.get_names("public_objects", enabled_only=1))
        self.names.blockSignals(True)
        self.names.clear()
        for name in names:
            item = QtWidgets.QListWidgetItem(name)
            item.setFlags(item.flags() | QtCore.Qt.ItemFlag.ItemIsUserCheckable)
            state = QtCore.Qt.CheckState
            item.setCheckState(state.Checked if name in enabled else state.Unchecked)
            self.names.addItem(item)
        self.names.blockSignals(False)
        height = self.names.sizeHintForRow(0) if names else 0
        self.names.setFixedHeight(height * min(len(names), ROWS) + 2 * self.names.frameWidth() + 2)
        self.grid.setChecked(bool(self._desk.cmd.get_setting_int("grid_mode")))
        self.setVisible(len(names) > 1)

    def _switch(self, item: Any) -> None:
        shown = item.checkState() == QtCore.Qt.CheckState.Checked
        self._desk.do(f"{'enable' if shown else 'disable'} {item.text()}")

    def _arrange(self) -> None:
        """Give each surface and its molecule a place, or all the same one."""
        surfaces = self._desk.workspace.surfaces
        if not self.grid.isChecked():
            self._desk.do("set grid_mode, 0")
            return
        slots: dict[str, int] = {}
        for k, (name, surface) in enumerate(surfaces.items(), start=1):
            slots[name] = k
            molecule = surface.atoms.object_name
            if molecule in self._desk.watch.molecules:
                slots.setdefault(molecule, k)
        self._desk.do(*(f"set grid_slot, {slot}, {name}" for name, slot in slots.items()))
        self._desk.do("set grid_mode, 1")
