"""Which model, and its card."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pymol.Qt import QtCore

from .card import CardDialog, read_card
from .desk import Desk
from .light import Answer
from .parts import Form, button, choice, refill, row


class ModelChoice(QtCore.QObject):
    """The models of a backend, once it tells them.

    Attributes:
        model: The list; its value is empty for the backend's own choice.
        card: Opens the card of the chosen model.
        dialog: The card that was opened last.

    Args:
        desk: What the tabs share.
        backend: Gives the name of the chosen backend.
        wanted: Model to choose if it is there.
    """

    def __init__(
        self, desk: Desk, backend: Callable[[], str], wanted: str, parent: Any = None
    ) -> None:
        super().__init__(parent)
        self._desk, self._backend, self._wanted = desk, backend, wanted
        self._models: list[dict[str, Any]] = []
        self.dialog: CardDialog | None = None
        self.model = choice([("Default", "")])
        self.card = button("Card…", self._open, "What the model was trained on, and how good it is")
        self.card.setEnabled(False)
        self.model.activated.connect(lambda _: self.card.setEnabled(bool(self._carded())))

    def add_to(self, form: Form) -> None:
        """Put the fields into a form."""
        form.add("Model", row(self.model, self.card, stretch=0), "What predicts the motion.")

    @property
    def name(self) -> str:
        """Name of the chosen model; empty for the backend's own choice."""
        return str(self.model.currentData() or "")

    def take(self, answer: Answer) -> None:
        """Offer the models that a backend has told."""
        if not answer.models:
            return
        self._models = answer.models
        default = next((m for m in self._models if m.get("default")), {})
        usual = f"Default ({default['name']})" if default else "Default"
        items = [(usual, ""), *((str(m["name"]), str(m["name"])) for m in self._models)]
        refill(self.model, items)
        place = self.model.findData(self._wanted) if self._wanted else -1
        if place >= 0:
            self.model.setCurrentIndex(place)
        self._wanted = ""
        for k, model in enumerate(self._models):
            tip = QtCore.Qt.ItemDataRole.ToolTipRole
            self.model.setItemData(k + 1, str(model.get("summary", "")), tip)
        self.card.setEnabled(bool(self._carded()))

    def _carded(self) -> str:
        """Name of the chosen model, if it has a card."""
        for model in self._models:
            chosen = model["name"] == self.name if self.name else model.get("default")
            if chosen and model.get("card"):
                return str(model["name"])
        return ""

    def _open(self) -> None:
        model, backend = self._carded(), self._backend()
        self._desk.background.ask(
            lambda: read_card(backend, model),
            lambda text: self._show(model, text),
            self._desk.failed.emit,
        )

    def _show(self, model: str, text: str) -> None:
        self.dialog = CardDialog(model, text, self.card.window())
        self.dialog.show()
