"""Playing, pausing, and going to a frame."""

from __future__ import annotations

from typing import Any

from pymol.Qt import QtCore, QtWidgets

from .desk import Desk
from .looking import Looking
from .parts import column, hint, row, sure, whole

EVERY_MS = 200
FPS = 15
"""Frames a second until another speed is chosen."""


class Player(Looking):
    """Buttons, a slider over the frames, speed, and whether the movie turns back at its end.

    Args:
        desk: What the tabs share.
    """

    def __init__(self, desk: Desk, parent: Any = None) -> None:
        super().__init__(EVERY_MS, parent)
        self._desk = desk
        self._count = self._ordered = 0
        style, icon = self.style(), QtWidgets.QStyle.StandardPixmap
        self._icons = style.standardIcon(icon.SP_MediaPlay), style.standardIcon(icon.SP_MediaPause)
        self.first = self._tool(icon.SP_MediaSkipBackward, "First frame", self._to_first)
        self.play = self._tool(icon.SP_MediaPlay, "Play", self._toggle)
        self.last = self._tool(icon.SP_MediaSkipForward, "Last frame", self._to_last)
        self.slider = QtWidgets.QSlider(QtCore.Qt.Orientation.Horizontal)
        self.slider.setToolTip("Frame that is shown")
        self.slider.sliderMoved.connect(lambda k: desk.quietly(f"frame {k}"))
        self.slider.sliderReleased.connect(lambda: desk.do(f"frame {self.slider.value()}"))
        self.slider.actionTriggered.connect(self._stepped)
        self.where = QtWidgets.QLabel()
        self.where.setMinimumWidth(self.fontMetrics().horizontalAdvance("200 / 200"))
        self.where.setAlignment(
            QtCore.Qt.AlignmentFlag.AlignRight | QtCore.Qt.AlignmentFlag.AlignVCenter
        )
        self.fps = whole(1, 60, FPS, " frames/s")
        self.fps.setToolTip("Speed of the movie; PyMOL plays as fast as it can draw")
        self.fps.valueChanged.connect(lambda value: desk.do(f"set movie_fps, {value}"))
        self.back = QtWidgets.QCheckBox("Back and forth")
        self.back.setToolTip("Turn back at the last frame, in place of beginning anew")
        self.back.clicked.connect(lambda *_: self._set_order())
        layout = column(self, 0)
        layout.addLayout(row(self.first, self.play, self.last, self.slider, self.where, stretch=3))
        layout.addLayout(row(QtWidgets.QLabel("Speed"), self.fps, None, self.back))
        self.note = hint()
        layout.addWidget(self.note)
        self.note.hide()
        self.look()

    def _tool(self, icon: Any, tip: str, action: Any) -> Any:
        made = QtWidgets.QToolButton()
        made.setIcon(self.style().standardIcon(icon))
        made.setToolTip(tip)
        made.setAutoRaise(True)
        made.clicked.connect(lambda *_: action())
        return made

    def set_active(self, active: bool) -> None:
        """Follow the movie, or rest."""
        if active:
            fps = int(self._desk.cmd.get_setting_float("movie_fps") or FPS)
            self.fps.blockSignals(True)
            self.fps.setValue(fps)
            self.fps.blockSignals(False)
        super().set_active(active)

    def look(self) -> None:
        """Show where the movie is."""
        cmd = self._desk.cmd
        self._keep_order()
        count, frame = max(cmd.count_frames(), 1), cmd.get_frame()
        playing = bool(cmd.get_movie_playing())
        if count != self._count:
            self._count = count
            self.slider.setRange(1, count)
        if not self.slider.isSliderDown():
            self.slider.blockSignals(True)
            self.slider.setValue(frame)
            self.slider.blockSignals(False)
        self.where.setText(f"{frame} / {count}")
        self.play.setIcon(self._icons[playing])
        self.play.setToolTip("Pause" if playing else "Play")
        for widget in (self.first, self.play, self.last, self.slider):
            widget.setEnabled(count > 1)

    def _toggle(self) -> None:
        self._desk.do("mstop" if self._desk.cmd.get_movie_playing() else "mplay")
        self.look()

    def _to_first(self) -> None:
        self._desk.do("mstop", "frame 1")
        self.look()

    def _to_last(self) -> None:
        self._desk.do("mstop", f"frame {self._count}")
        self.look()

    def _stepped(self, _: int) -> None:
        """A key, the wheel, or a click beside the handle has moved the slider."""
        if not self.slider.isSliderDown():
            self._desk.do(f"frame {self.slider.sliderPosition()}")

    def _set_order(self) -> None:
        states = self._states()
        there = self._length()
        another = there > 0 and there != 2 * (self._ordered or states) - 2
        if self.back.isChecked() and states > 2:
            more = "The order of its frames is lost, and what is stored in them (mset, mview)."
            if another and not sure(self, "Replace the movie that PyMOL has?", more, "Replace"):
                self.back.setChecked(False)
                return
            self._desk.do(f"mset 1 -{states} -2")
            self._ordered = states
        elif not self.back.isChecked():
            self._ordered = 0
            if not another:
                self._desk.do("mset")
        self.look()

    def _keep_order(self) -> None:
        """Follow the number of states; leave a movie that somebody has made meanwhile."""
        if not self._ordered:
            return
        states = self._states()
        if self._length() != 2 * self._ordered - 2:
            self._ordered = 0
            self.back.setChecked(False)
        elif states != self._ordered and states > 2 and not self._desk.jobs:
            self._desk.do(f"mset 1 -{states} -2")
            self._ordered = states

    def _length(self) -> int:
        """Frames of PyMOL's movie; 0 where it shows the states alone."""
        return int(self._desk.cmd.get_movie_length())

    def _states(self) -> int:
        return int(self._desk.cmd.count_states("all"))
