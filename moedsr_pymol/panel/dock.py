"""The panel itself: tabs, and what went wrong."""

from __future__ import annotations

from typing import Any

from pymol.Qt import QtCore, QtWidgets

from .desk import Desk
from .jobs_tab import JobsTab
from .look_tab import LookTab
from .measure_tab import MeasureTab
from .notice import Notice
from .parts import SPACE, scrolled
from .predict_tab import PredictTab
from .settings_tab import SettingsTab

WIDTH, HEIGHT = 420, 680
LEAST_WIDTH = 360
SETTLE_MS = 1000
"""Time after which a new size or place is kept [ms]: PyMOL may end without telling anybody."""
FLOATS = int(QtCore.qVersion().split(".")[0]) >= 6
"""Whether the panel floats until it is docked by hand: PyMOL's picture may turn black under Qt 6
when anything is docked."""


class Panel(QtWidgets.QDockWidget):
    """All tabs in a window that can be docked beside the molecules.

    Args:
        _self: PyMOL.
        parent: PyMOL's window.
    """

    def __init__(self, _self: Any, parent: Any = None) -> None:
        super().__init__("MoeDSR", parent)
        self.setObjectName("moedsr_panel")
        areas = QtCore.Qt.DockWidgetArea
        self.setAllowedAreas(areas.LeftDockWidgetArea | areas.RightDockWidgetArea)
        self.desk = Desk(_self, self)
        self.predict = PredictTab(self.desk)
        self.look = LookTab(self.desk)
        self.measure = MeasureTab(self.desk)
        self.jobs = JobsTab(self.desk)
        self.settings = SettingsTab(self.desk)
        self.tabs = QtWidgets.QTabWidget()
        self.tabs.setDocumentMode(True)
        for tab in (self.predict, self.look, self.measure, self.jobs, self.settings):
            name = type(tab).__name__.replace("Tab", "")
            self.tabs.addTab(scrolled(tab), name)
        self.notice = Notice(self.open_tab)
        self.desk.failed.connect(self._on_failure)
        self.desk.begun.connect(self.notice.hide)
        self.desk.watch.looked.connect(lambda: self.notice.look(self.desk.watch.objects))
        self.desk.wanted.connect(self.open_tab)
        self.predict.jobs.ended.connect(lambda _: self.desk.watch.look())
        self.predict.jobs.ended.connect(lambda _: self.predict.light.look())
        self.tabs.currentChanged.connect(lambda _: self._wake())
        body = QtWidgets.QWidget()
        layout = QtWidgets.QVBoxLayout(body)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.tabs, 1)
        holder = QtWidgets.QVBoxLayout()
        holder.setContentsMargins(SPACE, 0, SPACE, SPACE)
        holder.addWidget(self.notice)
        layout.addLayout(holder)
        self.setWidget(body)
        body.setMinimumWidth(LEAST_WIDTH)
        self._later = QtCore.QTimer(self)
        self._later.setSingleShot(True)
        self._later.setInterval(SETTLE_MS)
        self._later.timeout.connect(self.remember)
        for changed in (self.topLevelChanged, self.dockLocationChanged, self.tabs.currentChanged):
            changed.connect(lambda *_: self._later.start())
        self.tabs.setCurrentIndex(min(self.desk.choices.get("tab", 0), self.tabs.count() - 1))

    @classmethod
    def beside_the_molecules(cls, _self: Any) -> Panel:
        """Make the panel of PyMOL's window, as large as it was last; docked, or beside it."""
        from pymol.gui import get_qtwindow

        window = get_qtwindow()
        panel = cls(_self, window)
        kept, areas = panel.desk.choices, QtCore.Qt.DockWidgetArea
        left = kept.get("area", "right") == "left"
        window.addDockWidget(areas.LeftDockWidgetArea if left else areas.RightDockWidgetArea, panel)
        floating = not kept.get("docked", False) if FLOATS else kept.get("floating", False)
        panel.setFloating(floating)
        size = kept.get("width", WIDTH), kept.get("height", HEIGHT)
        if floating:
            screen = window.screen().availableGeometry() if hasattr(window, "screen") else None
            panel.resize(*size)
            if screen is not None:
                panel.move(place_beside(window.frameGeometry(), screen, panel.size(), left))
        else:
            width = max(size[0], LEAST_WIDTH)
            _make_room(window, width)
            window.resizeDocks([panel], [width], QtCore.Qt.Orientation.Horizontal)
        QtWidgets.QApplication.instance().aboutToQuit.connect(panel.remember)
        return panel

    def present(self) -> None:
        """Show it in front of other windows."""
        self.show()
        self.raise_()

    def open_tab(self, name: str) -> None:
        """Show a tab, by its name; ``install`` is the window for that."""
        if name == "install":
            self.open_tab("settings")
            self.settings.open_install()
        for k in range(self.tabs.count()):
            if self.tabs.tabText(k).lower() == name.lower():
                self.tabs.setCurrentIndex(k)

    def remember(self) -> None:
        """Keep size, place and choices for the next session."""
        self.predict.remember()
        kept, window = self.desk.choices, self.parentWidget()
        for name, value in (
            ("width", self.width()), ("height", self.height()),
            ("docked" if FLOATS else "floating", self.isFloating() != FLOATS),
            ("tab", self.tabs.currentIndex()), ("play", self.predict.jobs.play.isChecked()),
        ):  # fmt: skip
            kept.set(name, value)
        if isinstance(window, QtWidgets.QMainWindow):
            left = window.dockWidgetArea(self) == QtCore.Qt.DockWidgetArea.LeftDockWidgetArea
            kept.set("area", "left" if left else "right")
        kept.keep()

    def resizeEvent(self, event: Any) -> None:
        """Remember the size, once it stays."""
        super().resizeEvent(event)
        self._later.start()

    def showEvent(self, event: Any) -> None:
        """Look at PyMOL while there is somebody to look at the panel."""
        super().showEvent(event)
        self.desk.watch.start()
        self._wake()

    def hideEvent(self, event: Any) -> None:
        """Rest, and remember."""
        super().hideEvent(event)
        self.desk.watch.stop()
        self._wake()
        self.remember()

    def _wake(self) -> None:
        """Let the tab that is shown work, and the others rest."""
        shown = self.isVisible()
        current = self.tabs.currentIndex()
        self.predict.set_active(shown and current == 0)
        self.predict.jobs.set_active(shown)
        self.look.set_active(shown and current == 1)
        self.measure.set_active(shown and current == 2)
        self.jobs.set_active(shown and current == 3)
        self.settings.set_active(shown and current == 4)

    def _on_failure(self, error: Any) -> None:
        tab = self.tabs.tabText(self.tabs.currentIndex()).lower()
        self.notice.show_error(error, tab)


def place_beside(window: Any, screen: Any, size: Any, left: bool) -> Any:
    """Where a floating panel begins, clear of PyMOL's window where the screen has room.

    Args:
        window: Rectangle of PyMOL's window with its frame [pixels].
        screen: Rectangle of the screen that may be used.
        size: Of the panel.
        left: Whether the left side is tried first.
    """
    last = screen.right() + 1 - size.width()
    rooms = [window.right() + 1, window.left() - size.width()]
    if left:
        rooms.reverse()
    x = next((x for x in rooms if screen.left() <= x <= last), max(last, screen.left()))
    lowest = max(screen.bottom() + 1 - size.height(), screen.top())
    return QtCore.QPoint(x, min(max(window.top(), screen.top()), lowest))


def _make_room(window: Any, width: int) -> None:
    """Widen PyMOL's window by a panel, where the screen allows it; the picture keeps its size."""
    if window.isMaximized() or window.isFullScreen() or not hasattr(window, "screen"):
        return
    there = window.screen().availableGeometry().width()
    if window.width() + width <= there:
        window.resize(window.width() + width, window.height())
