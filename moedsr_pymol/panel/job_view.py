"""Predict ↔ Cancel, and how far the prediction has come."""

from __future__ import annotations

import time
from typing import Any

from pymol.Qt import QtCore, QtWidgets

from ..arguments import counted
from ..wording import duration
from .desk import Desk
from .looking import Looking
from .parts import SPACE, button, column, hint, row

EVERY_MS = 200
PLAYED_FROM = 5
"""Frames after which the movie begins to play."""
DEAF_S = 0.5
"""Time for which the button hears nothing after a press, or once it means something else [s]."""


class TurningButton(QtWidgets.QPushButton):
    """A button whose meaning changes, which no second click of a double click reaches."""

    _INPUT = (
        QtCore.QEvent.Type.MouseButtonPress, QtCore.QEvent.Type.MouseButtonDblClick,
        QtCore.QEvent.Type.KeyPress,
    )  # fmt: skip
    _changed = -float("inf")

    def mean(self, text: str, tip: str) -> None:
        """Say what a press does now; one that has begun is void."""
        if text != self.text():
            self.setText(text)
            self.rest()
            self.setDown(False)
        self.setToolTip(tip)

    def rest(self) -> None:
        """Hear nothing for a moment."""
        self._changed = time.monotonic()

    def event(self, event: Any) -> bool:
        """Let no press through while it is deaf."""
        if event.type() in self._INPUT and time.monotonic() - self._changed < DEAF_S:
            return True
        return bool(super().event(event))


class JobView(Looking):
    """Shows the job that was started last and still runs, and can stop it.

    Args:
        desk: What the tabs share.
    """

    asked = QtCore.Signal()
    """Predict was pressed."""
    answered = QtCore.Signal()
    """The backend has said something of the job that is shown for the first time."""
    ended = QtCore.Signal(object)
    """A job that was shown is over: the job."""

    def __init__(self, desk: Desk, parent: Any = None) -> None:
        super().__init__(EVERY_MS, parent)
        self._desk, self._job = desk, None
        self._known: list[Any] = []
        self._playing = self._heard = False
        self.action = TurningButton("Predict")
        self.action.setMinimumHeight(self.action.sizeHint().height() + SPACE)
        self.action.setDefault(True)
        self.action.clicked.connect(lambda *_: self.press())
        self.bar = QtWidgets.QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setMaximumHeight(SPACE)
        self.said = hint()
        self.play = QtWidgets.QCheckBox("Play while frames arrive")
        self.play.setChecked(desk.choices.get("play", True))
        layout = column(self, 0)
        layout.addWidget(self.play)
        layout.addWidget(self.action)
        layout.addWidget(self.bar)
        layout.addWidget(self.said)
        self.next = QtWidgets.QWidget()
        self.next.setLayout(
            row(
                button("Look", lambda: desk.wanted.emit("look"), "Colours, movie, comparison"),
                button("Measure", lambda: desk.wanted.emit("measure"), "What moves, and how much"),
                None,
            )
        )
        layout.addWidget(self.next)
        self._show_idle()
        self.next.hide()

    @property
    def job(self) -> Any:
        """The job that is shown; None if none runs."""
        return self._job

    def press(self) -> None:
        """Predict, or cancel what runs."""
        self.action.rest()
        if self._job is None:
            self.asked.emit()
        else:
            self.action.setEnabled(False)
            self._desk.do(f"moedsr_cancel {self._job.surface.name}")
            self.look()

    def begin(self) -> None:
        """Forget what was said of an earlier job."""
        self.next.hide()
        self.said.setText("")

    def follow(self) -> None:
        """Show a job that was just started."""
        self._playing = False
        self.look()

    def look(self) -> None:
        """Show how far the job has come."""
        running = list(self._desk.jobs.values())
        if any(job not in self._known and job.error is None for job in running):
            self._desk.begun.emit()
        self._known = running
        if self._job is not None and self._job.over:
            job, self._job = self._job, None
            self._show_idle()
            self.said.setText(_outcome(job))
            self.next.setVisible(bool(job.surface.frames))
            self.ended.emit(job)
        if self._job is None and running:
            self._job = running[-1]
            self.action.mean("Cancel", "Stop it; the frames that are there stay")
            self.bar.show()
            self.next.hide()
            self._heard = False
        if self._job is not None:
            self._show_running(self._job)

    def _show_running(self, job: Any) -> None:
        self.action.setEnabled(job.state == "running")
        done, planned = len(job.surface.frames), max(job.surface.planned, 1)
        self.bar.setRange(0, planned if done else 0)
        self.bar.setValue(done)
        self.said.setText(_course(job, done, planned))
        if not self._heard and job.id:
            self._heard = True
            self.answered.emit()
        if self.play.isChecked() and not self._playing and done >= min(PLAYED_FROM, planned) > 1:
            self._playing = True
            self._desk.do("mplay", begins=False)  # nobody has asked for something new

    def _show_idle(self) -> None:
        self.action.mean("Predict", "Compute the movie of the surface and load it, frame by frame")
        self.action.setEnabled(True)
        self.bar.hide()


def _course(job: Any, done: int, planned: int) -> str:
    """Stage, frames done and time left."""
    fields = job.progress.fields
    if job.state != "running":
        return "Finishing …"
    stage = str(fields.get("stage") or "preparing")
    if fields.get("reason"):
        stage = f"{stage} ({fields['reason']})"
    parts = [stage[:1].upper() + stage[1:]]
    if done:
        parts.append(f"{done} of {counted(planned, 'frame')}")
    left = fields.get("seconds_left")
    if isinstance(left, (int, float)):
        parts.append(f"about {duration(left)} left")
    return " · ".join(parts)


def _outcome(job: Any) -> str:
    frames = len(job.surface.frames)
    if job.state == "done":
        return f"{counted(frames, 'frame')} in {duration(job.progress.seconds)}"
    if job.state == "failed":
        return f"Failed; kept {counted(frames, 'frame')}" if frames else "Failed"
    if job.state == "left":
        return "Goes on without this scene; the Jobs tab has it"
    return f"Cancelled; kept {counted(frames, 'frame')}" if frames else "Cancelled"
