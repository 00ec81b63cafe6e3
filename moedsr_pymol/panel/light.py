"""Whether the chosen backend answers: a light, and words beside it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pymol.Qt import QtCore, QtGui, QtWidgets

from ..backends import backend_named
from ..errors import RefusedError, UnreachableError
from ..local_backend import LocalBackend
from ..servers import ASKING

UNKNOWN, GOOD, BAD = "unknown", "good", "bad"
COLORS = {UNKNOWN: "#9a9a9a", GOOD: "#2fa84f", BAD: "#d64541"}
EVERY_MS = 15_000
SOON_MS = 1500
SIZE = 12


@dataclass(frozen=True)
class Answer:
    """What a backend said.

    Attributes:
        state: The light.
        text: A few words.
        reason: A sentence on it.
        models: Its models, as far as they are known.
    """

    state: str
    text: str
    reason: str
    models: list[dict[str, Any]] = field(default_factory=list)


def ask(name: str) -> Answer:
    """Ask a backend how it is; in a thread, for that takes a while. None is started for it.

    Args:
        name: The backend.
    """
    try:
        backend = backend_named(name)
        if not backend.running:
            if isinstance(backend, LocalBackend):
                backend.python()
            reason = "It starts with the first prediction, which takes some seconds."
            return Answer(UNKNOWN, "not started yet", reason)
        client = backend.client(ASKING)
        try:
            health = client.health()
            models = _models(client)
        finally:
            client.close()
    except Exception as error:
        if "moedsr_install" in str(error):
            return Answer(BAD, "not installed", str(error))
        return Answer(BAD, "no answer", str(error))
    return Answer(GOOD, _words(health), _sentence(health, backend.name), models)


def _models(client: Any) -> list[dict[str, Any]]:
    try:
        models: list[dict[str, Any]] = client.models()
    except (RefusedError, UnreachableError):
        return []  # there are none until a worker is up
    return models


def _words(health: dict[str, Any]) -> str:
    device = str(health.get("device") or "getting ready")
    queue = health.get("queue") or {}
    running, waiting = queue.get("running") or 0, queue.get("waiting") or 0
    if waiting:
        return f"{device}, {waiting} waiting"
    return f"{device}, busy" if running else device


def _sentence(health: dict[str, Any], name: str) -> str:
    devices = health.get("devices") or [health.get("device")]
    listed = ", ".join(str(device) for device in devices if device) or "no device yet"
    return f"{name} answers: moedsr {health.get('version', '?')} on {listed}"


class Light(QtWidgets.QWidget):
    """A light for one backend; grey: unknown, green: it answers, red: it does not.

    Args:
        desk: What the tabs share.
    """

    answered = QtCore.Signal(object)
    """An :class:`Answer` has come."""

    def __init__(self, desk: Any, parent: Any = None) -> None:
        super().__init__(parent)
        self._desk, self._name, self._asking = desk, "", False
        self.state = UNKNOWN
        self._dot = QtWidgets.QLabel()
        self._dot.setFixedSize(SIZE, SIZE)
        self._text = QtWidgets.QLabel()
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        layout.addWidget(self._dot)
        layout.addWidget(self._text, 1)
        self._timer = QtCore.QTimer(self)
        self._timer.setInterval(EVERY_MS)
        self._timer.timeout.connect(self.look)
        self._show(Answer(UNKNOWN, "unknown", "It was not asked yet."))

    @property
    def text(self) -> str:
        """The words beside it."""
        return str(self._text.text())

    def watch(self, name: str) -> None:
        """Look at another backend."""
        if name != self._name:
            self._name = name
            self._show(Answer(UNKNOWN, "asking …", "It is being asked."))
        self.look()

    def set_active(self, active: bool) -> None:
        """Ask now and then, or rest."""
        if active:
            self._timer.start()
            self.look()
        else:
            self._timer.stop()

    def look(self) -> None:
        """Ask the backend, unless an answer is being waited for."""
        if self._asking:
            return
        self._asking, name = True, self._name
        self._desk.background.ask(lambda: ask(name), lambda answer: self._take(name, answer))

    def _take(self, name: str, answer: Answer) -> None:
        self._asking = False
        if name != self._name:
            self.look()
            return
        self._show(answer)
        if answer.state == GOOD and not answer.models and self._timer.isActive():
            QtCore.QTimer.singleShot(SOON_MS, self.look)  # they are known once a worker is up
        self.answered.emit(answer)

    def _show(self, answer: Answer) -> None:
        self.state = answer.state
        self._dot.setPixmap(_disc(COLORS[answer.state], self.devicePixelRatioF()))
        self._text.setText(answer.text)
        for widget in (self, self._dot, self._text):
            widget.setToolTip(answer.reason)


def _disc(color: str, ratio: float) -> Any:
    pixmap = QtGui.QPixmap(int(SIZE * ratio), int(SIZE * ratio))
    pixmap.setDevicePixelRatio(ratio)
    pixmap.fill(QtCore.Qt.GlobalColor.transparent)
    painter = QtGui.QPainter(pixmap)
    painter.setRenderHint(QtGui.QPainter.RenderHint.Antialiasing)
    painter.setBrush(QtGui.QColor(color))
    painter.setPen(QtGui.QPen(QtGui.QColor(color).darker(125), 1))
    painter.drawEllipse(QtCore.QRectF(1, 1, SIZE - 2, SIZE - 2))
    painter.end()
    return pixmap
