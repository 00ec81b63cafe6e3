"""The tab for jobs, of this session and of earlier ones."""

from __future__ import annotations

from typing import Any

from pymol.Qt import QtCore, QtWidgets

from ..fetch import ENDED, arriving, job_rows
from ..wording import age, size
from .desk import Desk
from .looking import Looking
from .parts import SPACE, button, column, hint, row, sure

EVERY_MS = 10_000
COLUMNS = ("Surface", "State", "Frames", "Age", "Where")
MIDDLE = 2


class JobsTab(Looking):
    """A list of jobs; loads, cancels and deletes them.

    Args:
        desk: What the tabs share.
    """

    listed = QtCore.Signal()
    """The list is new."""

    def __init__(self, desk: Desk, parent: Any = None) -> None:
        super().__init__(EVERY_MS, parent)
        self._desk, self._asking = desk, False
        self.rows: list[dict[str, Any]] = []
        self.table = QtWidgets.QTreeWidget()
        self.table.setRootIsDecorated(False)
        self.table.setAlternatingRowColors(True)
        self.table.setUniformRowHeights(True)
        self.table.setHeaderLabels(list(COLUMNS))
        header = self.table.header()
        header.setStretchLastSection(True)
        mode = QtWidgets.QHeaderView.ResizeMode
        header.setSectionResizeMode(mode.ResizeToContents)
        header.setSectionResizeMode(0, mode.Stretch)
        self.table.itemSelectionChanged.connect(self._show_possible)
        self.table.itemDoubleClicked.connect(lambda *_: self._load())
        self.load = button("Load", self._load, "Load its frames; one that runs goes on appearing")
        self.cancel = button("Cancel", self._cancel, "Stop it; its finished frames stay")
        self.delete = button("Delete…", self._delete, "Delete it and its frames where they lie")
        self.refresh = button("Refresh", self.look, "Ask all backends for their jobs")
        self.said = hint()
        layout = column(self)
        layout.addWidget(hint("Your predictions, on this computer and on servers you know. "
                              "Finished ones are kept for some days."))  # fmt: skip
        layout.addWidget(self.table, 1)
        layout.addLayout(row(self.load, self.cancel, self.delete, None, self.refresh))
        layout.addWidget(self.said)
        self._show_possible()

    def look(self) -> None:
        """Ask for the jobs, unless an answer is being waited for."""
        if self._asking:
            return
        self._asking, shown = True, arriving(self._desk.cmd)
        if not self.rows:
            self.said.setText("Asking …")
        self._desk.background.ask(lambda: job_rows("", shown), self._take, self._fail)

    def _take(self, found: tuple[list[dict[str, Any]], list[str]]) -> None:
        self._asking = False
        rows, problems = found
        self.said.setText(" ".join(problems) or ("" if rows else "No jobs."))
        if rows != self.rows:
            self._show(rows)
        self.listed.emit()

    def _fail(self, error: Exception) -> None:
        self._asking = False
        self.said.setText(str(error))

    def _show(self, rows: list[dict[str, Any]]) -> None:
        chosen = self.chosen["id"] if self.chosen else ""
        self.rows = rows
        self.table.blockSignals(True)
        self.table.clear()
        for job in rows:
            item = QtWidgets.QTreeWidgetItem(_cells(job))
            item.setData(0, QtCore.Qt.ItemDataRole.UserRole, job["id"])
            for k in range(len(COLUMNS)):
                item.setToolTip(k, _about(job))
            item.setSizeHint(0, QtCore.QSize(0, self.fontMetrics().lineSpacing() + SPACE))
            item.setTextAlignment(MIDDLE, QtCore.Qt.AlignmentFlag.AlignCenter)
            self.table.addTopLevelItem(item)
            if job["id"] == chosen:
                self.table.setCurrentItem(item)
        self.table.blockSignals(False)
        self._show_possible()

    @property
    def chosen(self) -> dict[str, Any] | None:
        """The job that is selected."""
        item = self.table.currentItem()
        if item is None or not item.isSelected():
            return None
        identity = item.data(0, QtCore.Qt.ItemDataRole.UserRole)
        return next((job for job in self.rows if job["id"] == identity), None)

    def _show_possible(self) -> None:
        job = self.chosen
        here = job is not None and job["id"] in arriving(self._desk.cmd)
        self.load.setEnabled(job is not None and not here)
        self.cancel.setEnabled(job is not None and job["state"] not in ENDED)
        self.delete.setEnabled(job is not None and not here)

    def _load(self) -> None:
        self._do("moedsr_fetch")
        self._desk.wanted.emit("predict")

    def _cancel(self) -> None:
        self._do("moedsr_cancel")
        self.look()

    def _delete(self) -> None:
        job = self.chosen
        if job is None:
            return
        text = f"Delete the job of {job['object'] or job['id']} and its frames?"
        more = "It cannot be loaded again afterwards. A surface that is loaded in PyMOL stays."
        if sure(self, text, more, "Delete"):
            self._do("moedsr_delete")
            self.look()

    def _do(self, word: str) -> None:
        job = self.chosen
        if job is not None:
            where = "" if job["backend"] == "local" else f", backend={job['backend']}"
            self._desk.do(f"{word} {job['id']}{where}")


def _cells(job: dict[str, Any]) -> list[str]:
    of = job["surface"] or job["object"] or "?"
    where = "here" if job["backend"] == "local" else job["backend"].split("//")[-1]
    return [
        of, job["state"], f"{job['frames_done']}/{job['frames']}", age(job["age_s"]), where,
    ]  # fmt: skip


def _about(job: dict[str, Any]) -> str:
    lines = [f"Job {job['id']}"]
    if job["object"]:
        lines.append(f"Molecule: {job['object']}")
    if job["selection"] not in ("", job["object"]):
        lines.append(f"Selection: {job['selection']}")
    if job["bytes"]:
        lines.append(f"{size(job['bytes'])} of frames")
    if job["error"]:
        lines.append(str(job["error"]))
    return "\n".join(lines)
