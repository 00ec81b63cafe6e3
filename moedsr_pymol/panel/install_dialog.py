"""Installing the part that computes: what it means first, then how far it is."""

from __future__ import annotations

from typing import Any

from pymol.Qt import QtCore, QtWidgets

from ..install import installation_plan
from ..install.plan import Plan
from .advice import sentence
from .desk import Desk
from .parts import SPACE, button, column, hint, row

EVERY_MS = 250
WIDTH, HEIGHT = 520, 420
BUILDS = (
    ("Choose by itself", "auto"),
    ("For NVIDIA GPUs", "yes"),
    ("For processors", "no"),
)


class InstallDialog(QtWidgets.QDialog):
    """Explains, installs, shows the log, can be cancelled.

    Args:
        desk: What the tabs share.
    """

    def __init__(self, desk: Desk, parent: Any = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Install moedsr's core")
        self._desk, self._seen = desk, 0
        self.about = QtWidgets.QLabel("Looking at this computer …")
        self.about.setWordWrap(True)
        self.build = QtWidgets.QComboBox()
        for text, value in BUILDS:
            self.build.addItem(text, value)
        self.build.activated.connect(lambda _: self._ask())
        self.bar = QtWidgets.QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setMaximumHeight(SPACE)
        self.said = hint()
        self.log = QtWidgets.QPlainTextEdit()
        self.log.setReadOnly(True)
        self.log.setLineWrapMode(QtWidgets.QPlainTextEdit.LineWrapMode.NoWrap)
        self.start = button("Install", self._start, "Begin; PyMOL can be used meanwhile")
        self.stop = button("Cancel", self._cancel, "Stop, and remove what is there so far")
        self.shut = button("Close", self.reject, "An installation goes on without this window")
        layout = column(self)
        layout.addWidget(self.about)
        layout.addLayout(row(QtWidgets.QLabel("PyTorch"), self.build, None))
        layout.addWidget(self.bar)
        layout.addWidget(self.said)
        layout.addWidget(self.log, 1)
        layout.addLayout(row(self.start, self.stop, None, self.shut))
        self.resize(WIDTH, HEIGHT)
        self.start.setEnabled(False)
        self._timer = QtCore.QTimer(self)
        self._timer.setInterval(EVERY_MS)
        self._timer.timeout.connect(self.look)
        self._ask()
        self.look()

    def showEvent(self, event: Any) -> None:
        """Follow the installation."""
        super().showEvent(event)
        self._timer.start()

    def hideEvent(self, event: Any) -> None:
        """Rest."""
        super().hideEvent(event)
        self._timer.stop()

    def _ask(self) -> None:
        gpu = self.build.currentData()
        self._desk.background.ask(
            lambda: installation_plan(gpu), self._explain, lambda error: self._explain(error)
        )

    def _explain(self, plan: Any) -> None:
        possible = isinstance(plan, Plan)
        text = " ".join(plan.sentences()) if possible else sentence(str(plan))
        self.about.setText(sentence(text))
        self.start.setEnabled(possible and not self.running)

    @property
    def installation(self) -> Any:
        """The installation of this session; None if there was none."""
        return self._desk.workspace.installation

    @property
    def running(self) -> bool:
        """Whether it is under way."""
        return self.installation is not None and not self.installation.over

    def _start(self) -> None:
        gpu = self.build.currentData()
        self.start.setEnabled(False)
        self._seen = 0
        self.log.clear()
        self._desk.do("moedsr_install" if gpu == "auto" else f"moedsr_install gpu={gpu}")
        self.look()

    def _cancel(self) -> None:
        self.stop.setEnabled(False)
        self._desk.do("moedsr_install cancel")

    def look(self) -> None:
        """Show how far it is."""
        task, running = self.installation, self.running
        self.bar.setVisible(running)
        self.stop.setVisible(running)
        self.build.setEnabled(not running)
        if task is None:
            self.said.setText("")
            return
        self._show_log(list(task.log))
        if running:
            self.start.setEnabled(False)
            known = task.done_mb > 0
            self.bar.setRange(0, round(task.total_mb) if known else 0)
            self.bar.setValue(round(task.done_mb))
            amount = f", {task.done_mb:,.0f} of about {task.total_mb:,.0f} MB" if known else ""
            self.said.setText(sentence(f"{task.stage}{amount}"))
        elif self._running_before:
            self.stop.setEnabled(True)
            self.said.setText(_outcome(task))
            self._ask()
            self._desk.backend_changed.emit()
        self._running_before = running

    _running_before = False

    def _show_log(self, lines: list[str]) -> None:
        text = "\n".join(lines)
        if len(text) != self._seen:
            self._seen = len(text)
            self.log.setPlainText(text)
            bar = self.log.verticalScrollBar()
            bar.setValue(bar.maximum())


def _outcome(task: Any) -> str:
    if task.state == "done":
        return "Installed and tried; predictions can begin."
    if task.state == "cancelled":
        return "Cancelled; nothing was kept."
    return sentence(str(task.error))
