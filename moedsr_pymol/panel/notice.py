"""The box that says what went wrong, and what to do."""

from __future__ import annotations

import traceback
from typing import Any

from pymol.Qt import QtCore, QtWidgets

from .advice import advise, sentence
from .parts import SPACE, button, row

DETAIL_LINES = 6


class Notice(QtWidgets.QFrame):
    """Advice on the last failure; hidden while there is none.

    Args:
        open_tab: Shows a tab, by its name.
    """

    closed = QtCore.Signal()

    def __init__(self, open_tab: Any, parent: Any = None) -> None:
        super().__init__(parent)
        self._open_tab, self._tab, self._details = open_tab, "", ""
        self._said, self._scene = "", set[str]()
        self.setObjectName("moedsr_notice")
        self.setFrameShape(QtWidgets.QFrame.Shape.StyledPanel)
        self.setAutoFillBackground(True)
        self.title, self.text = QtWidgets.QLabel(), QtWidgets.QLabel()
        font = self.title.font()
        font.setBold(True)
        self.title.setFont(font)
        for label in (self.title, self.text):
            label.setWordWrap(True)
        self.text.setTextInteractionFlags(QtCore.Qt.TextInteractionFlag.TextSelectableByMouse)
        self.go = button("Open Settings", self._go)
        self.more = button("Details", self._toggle, "What the program said, word by word")
        self.copy = button("Copy", self._copy, "Copy the details, to send them to somebody")
        self.close_button = button("Dismiss", self.dismiss)
        self.details = QtWidgets.QPlainTextEdit()
        self.details.setReadOnly(True)
        self.details.setLineWrapMode(QtWidgets.QPlainTextEdit.LineWrapMode.WidgetWidth)
        self.details.setFixedHeight(self.fontMetrics().lineSpacing() * DETAIL_LINES)
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(SPACE + 2, SPACE, SPACE + 2, SPACE)
        layout.setSpacing(SPACE // 2 + 2)
        layout.addWidget(self.title)
        layout.addWidget(self.text)
        layout.addWidget(self.details)
        layout.addLayout(row(self.go, self.more, self.copy, None, self.close_button))
        self.hide()

    def show_error(self, error: BaseException, tab: str) -> None:
        """Say what a failure means.

        Args:
            error: The failure.
            tab: The tab that is shown already.
        """
        self._said, self._scene = str(error), set()
        advice = advise(error)
        self._tab = advice.tab
        self._details = _details(error, advice.known)
        self.title.setText(advice.title)
        self.text.setText(advice.text)
        self.details.setPlainText(self._details)
        self.go.setText("Install…" if advice.tab == "install" else f"Open {advice.tab.title()}")
        self.go.setVisible(advice.tab not in ("", tab))
        self.more.setVisible(advice.known)
        self._show_details(not advice.known)
        self.show()

    def look(self, scene: set[str]) -> None:
        """Say nothing any more once all that the failure speaks of is gone.

        That is what it names of the objects that the first look after it finds, or all of them.

        Args:
            scene: Names of what is loaded now.
        """
        if not self._scene:
            self._scene = {name for name in scene if f"'{name}'" in self._said} or scene
        elif not self._scene & scene:
            self.hide()

    def dismiss(self) -> None:
        """Say nothing any more."""
        self.hide()
        self.closed.emit()

    def _go(self) -> None:
        self._open_tab(self._tab)

    def _toggle(self) -> None:
        self._show_details(self.details.isHidden())

    def _show_details(self, shown: bool) -> None:
        self.details.setVisible(shown)
        self.copy.setVisible(shown)
        self.more.setText("Hide details" if shown else "Details")

    def _copy(self) -> None:
        QtWidgets.QApplication.clipboard().setText(self._details)


def _details(error: BaseException, known: bool) -> str:
    if known:
        return sentence(str(error))
    lines = traceback.format_exception(type(error), error, error.__traceback__)
    return "".join(lines).strip()
