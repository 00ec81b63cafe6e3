"""What is told of a model, in a window of its own."""

from __future__ import annotations

from typing import Any

from pymol.Qt import QtWidgets

from ..backends import backend_named
from ..servers import ASKING
from .parts import SPACE, button, row

WIDTH, HEIGHT = 640, 620


def read_card(backend: str, model: str) -> str:
    """The card of a model, as Markdown; in a thread, for a server is asked.

    Raises:
        UserError: If there is none, or the server is away.
    """
    client = backend_named(backend).client(ASKING)
    try:
        return client.card(model)
    finally:
        client.close()


class CardDialog(QtWidgets.QDialog):
    """Shows a card.

    Args:
        model: Name of the model.
        text: Its card, as Markdown.
    """

    def __init__(self, model: str, text: str, parent: Any = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(f"Model {model}")
        self.browser = QtWidgets.QTextBrowser()
        self.browser.setOpenExternalLinks(True)
        if hasattr(self.browser, "setMarkdown"):  # Qt 5.14 and later
            self.browser.setMarkdown(text)
        else:
            self.browser.setPlainText(text)
        layout = QtWidgets.QVBoxLayout(self)
        layout.setSpacing(SPACE)
        layout.addWidget(self.browser)
        layout.addLayout(row(None, button("Close", self.accept)))
        self.resize(WIDTH, HEIGHT)
