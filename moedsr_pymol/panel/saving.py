"""Taking a surface, or a movie of it, elsewhere."""

from __future__ import annotations

import shutil
from typing import Any

from pymol.Qt import QtWidgets

from .advice import sentence
from .desk import Desk
from .emit import command, path_text
from .looking import Looking
from .parts import ask_file, button, column, heading, hint, row

EVERY_MS = 400
SURFACES = (
    "All frames and values (*.npz)",
    "Animated scene (*.glb)",
    "A mesh for each frame (*.ply)",
    "A mesh for each frame (*.obj)",
    "Table of values (*.csv)",
)
GIF, MP4 = "Animated picture (*.gif)", "Video (*.mp4)"
COMMANDS = ("moedsr_movie", "moedsr_save")


class Saving(Looking):
    """Buttons that save the chosen surface and the movie, and how far that is.

    Args:
        desk: What the tabs share.
        chosen: Gives the name of the surface that is chosen.
    """

    def __init__(self, desk: Desk, chosen: Any, parent: Any = None) -> None:
        super().__init__(EVERY_MS, parent)
        self._desk, self._chosen = desk, chosen
        self.surface = button(
            "Surface…", self._save_surface, "For other programs, or to keep it small"
        )
        self.movie = button("Movie…", self._save_movie, "Of the present view, for a talk")
        self.ray = QtWidgets.QCheckBox("Ray-traced")
        self.ray.setToolTip("Draw each frame of the movie with shadows; that takes much longer")
        self.cancel = button("Cancel", self._cancel, "Stop; nothing is written then")
        self.said = hint()
        layout = column(self, 0)
        layout.addWidget(heading("Save"))
        layout.addLayout(row(self.surface, self.movie, self.ray, None, self.cancel))
        layout.addWidget(self.said)
        self.look()

    def look(self) -> None:
        """Show how far it is."""
        working, chosen = self._working(), bool(self._chosen())
        self.cancel.setVisible(bool(working))
        self.said.setVisible(bool(working))
        self.movie.setEnabled(chosen and "moedsr_movie" not in working)
        self.surface.setEnabled(chosen and "moedsr_save" not in working)
        if working:
            self.said.setText(sentence(next(iter(working.values())).report.line() or "beginning"))

    def _working(self) -> dict[str, Any]:
        work = self._desk.workspace.working()
        return {name: work[name] for name in COMMANDS if name in work}

    def _save_surface(self) -> None:
        surface = self._chosen()
        name = ask_file(self, f"{surface}.npz", SURFACES) if surface else ""
        if name:
            self._desk.attempt(lambda: command("moedsr_save", surface, path_text(name)))
            self.look()

    def _save_movie(self) -> None:
        kinds = (MP4, GIF) if shutil.which("ffmpeg") else (GIF,)
        name = ask_file(self, f"{self._chosen() or 'movie'}{_ending(kinds[0])}", kinds)
        if name:
            ray = 1 if self.ray.isChecked() else None
            self._desk.attempt(lambda: command("moedsr_movie", path_text(name), ray=ray))
            self.look()

    def _cancel(self) -> None:
        self._desk.do(*(f"moedsr_cancel {name}" for name in self._working()))
        self.look()


def _ending(kind: str) -> str:
    return kind[kind.index("*") + 1 : -1]
