"""Widgets as all tabs use them, so that they look alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from pymol.Qt import QtCore, QtWidgets

SPACE = 8
"""Space between things that belong together [pixels]; what does not has twice that."""
NARROW = 80
"""Width of number fields [pixels]."""


def column(parent: Any = None, margin: int = SPACE + 4) -> Any:
    """A layout from top to bottom."""
    layout = QtWidgets.QVBoxLayout(parent) if parent is not None else QtWidgets.QVBoxLayout()
    layout.setContentsMargins(margin, margin, margin, margin)
    layout.setSpacing(SPACE)
    return layout


def row(*things: Any, stretch: int | None = None) -> Any:
    """Widgets beside one another.

    Args:
        things: Widgets; None is an empty space that grows.
        stretch: Which one takes the space that is left.
    """
    layout = QtWidgets.QHBoxLayout()
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(SPACE)
    for k, thing in enumerate(things):
        if thing is None:
            layout.addStretch(1)
        else:
            layout.addWidget(thing, 1 if k == stretch else 0)
    return layout


class Form(QtWidgets.QFormLayout):
    """Labels at the left, fields at the right, whose tooltips their labels share."""

    LABEL = 96
    """Least width of the labels [pixels], the same in all forms, so that fields align."""

    def __init__(self) -> None:
        super().__init__()
        self.setContentsMargins(0, 0, 0, 0)
        self.setHorizontalSpacing(SPACE)
        self.setVerticalSpacing(SPACE)
        self.setLabelAlignment(
            QtCore.Qt.AlignmentFlag.AlignRight | QtCore.Qt.AlignmentFlag.AlignVCenter
        )
        self.setFieldGrowthPolicy(QtWidgets.QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)

    def add(self, text: str, field: Any, tip: str = "") -> Any:
        """Add a row; returns its label.

        Args:
            text: The label.
            field: A widget, or a layout of several.
            tip: What the field means, in a sentence.
        """
        label = QtWidgets.QLabel(text)
        label.setMinimumWidth(self.LABEL)
        label.setAlignment(
            QtCore.Qt.AlignmentFlag.AlignRight | QtCore.Qt.AlignmentFlag.AlignVCenter
        )
        for widget in [label, *_widgets(field)]:
            if tip and not widget.toolTip():
                widget.setToolTip(tip)
        self.addRow(label, field)
        return label


def _widgets(field: Any) -> list[Any]:
    if isinstance(field, QtWidgets.QWidget):
        return [field]
    found = (field.itemAt(k).widget() for k in range(field.count()))
    return [widget for widget in found if widget is not None]


def heading(text: str) -> Any:
    """The title of a section."""
    label = QtWidgets.QLabel(text)
    font = label.font()
    font.setBold(True)
    label.setFont(font)
    label.setContentsMargins(0, SPACE // 2, 0, 0)
    return label


def hint(text: str = "") -> Any:
    """A line of explanation, smaller than the rest and paler."""
    label = QtWidgets.QLabel(text)
    label.setWordWrap(True)
    font = label.font()
    font.setPointSizeF(max(font.pointSizeF() * 0.9, 7.0))
    label.setFont(font)
    pale(label)
    return label


def pale(label: Any) -> None:
    """Write a label in the colour of placeholders, whatever the theme."""
    palette = label.palette()
    color = palette.color(palette.ColorRole.WindowText)
    color.setAlphaF(0.65)
    palette.setColor(palette.ColorRole.WindowText, color)
    label.setPalette(palette)


def button(text: str, action: Callable[[], Any], tip: str = "") -> Any:
    """A button that does something."""
    made = QtWidgets.QPushButton(text)
    made.clicked.connect(lambda *_: action())
    made.setToolTip(tip)
    made.setAutoDefault(False)
    return made


def whole(low: int, high: int, value: int, suffix: str = "") -> Any:
    """A field for a whole number."""
    field = QtWidgets.QSpinBox()
    field.setRange(low, high)
    field.setValue(value)
    field.setSuffix(suffix)
    field.setMinimumWidth(NARROW)
    field.setKeyboardTracking(False)
    return field


def real(low: float, high: float, value: float, step: float, suffix: str = "") -> Any:
    """A field for a number with two decimals."""
    field = QtWidgets.QDoubleSpinBox()
    field.setDecimals(2)
    field.setRange(low, high)
    field.setSingleStep(step)
    field.setValue(value)
    field.setSuffix(suffix)
    field.setMinimumWidth(NARROW)
    field.setKeyboardTracking(False)
    return field


def choice(items: Iterable[tuple[str, Any]] = ()) -> Any:
    """A list of which one is chosen; each item has a value beside its text."""
    field = QtWidgets.QComboBox()
    field.setSizeAdjustPolicy(
        QtWidgets.QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
    )
    field.setMinimumContentsLength(8)
    expanding(field)
    for text, value in items:
        field.addItem(text, value)
    return field


def expanding(field: Any) -> None:
    """Let a field take the width that is there."""
    policy = field.sizePolicy()
    policy.setHorizontalPolicy(QtWidgets.QSizePolicy.Policy.Expanding)
    field.setSizePolicy(policy)


def refill(field: Any, items: Iterable[tuple[str, Any]], keep: Any = None) -> None:
    """Put other items into a list, and keep what is chosen where it is still there.

    Args:
        field: The list.
        items: Texts and values.
        keep: Value to choose if what was chosen is gone.
    """
    chosen = field.currentData()
    field.blockSignals(True)
    field.clear()
    for text, value in items:
        field.addItem(text, value)
    for value in (chosen, keep):
        k = field.findData(value) if value is not None else -1
        if k >= 0:
            field.setCurrentIndex(k)
            break
    field.blockSignals(False)


def choose(field: Any, value: Any) -> None:
    """Choose the item of a value, if there is one."""
    k = field.findData(value)
    if k >= 0:
        field.setCurrentIndex(k)


def line() -> Any:
    """A thin line between sections."""
    frame = QtWidgets.QFrame()
    frame.setFrameShape(QtWidgets.QFrame.Shape.HLine)
    frame.setFrameShadow(QtWidgets.QFrame.Shadow.Sunken)
    return frame


def scrolled(widget: Any) -> Any:
    """A widget that can be scrolled where the panel is low; it never scrolls sideways."""
    area = QtWidgets.QScrollArea()
    area.setWidgetResizable(True)
    area.setFrameShape(QtWidgets.QFrame.Shape.NoFrame)
    area.setHorizontalScrollBarPolicy(QtCore.Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setWidget(widget)
    return area


def ask_file(parent: Any, proposed: str, kinds: Iterable[str]) -> str:
    """Ask where something is to be saved; empty if it is not to be.

    Args:
        parent: The tab that asks.
        proposed: A file name.
        kinds: What it may be, each with its ending in brackets: ``Table (*.csv)``.

    Returns:
        A path with the ending of the chosen kind, if none was typed.
    """
    name, kind = QtWidgets.QFileDialog.getSaveFileName(parent, "Save", proposed, ";;".join(kinds))
    if name and "." not in name.replace("\\", "/").rsplit("/", 1)[-1]:
        name += kind[kind.index("*") + 1 : -1]
    return str(name)


def sure(parent: Any, text: str, more: str, verb: str) -> bool:
    """Ask before something that cannot be undone; whether it is wanted.

    Args:
        parent: The tab that asks.
        text: The question.
        more: What follows from it.
        verb: What the button says.
    """
    box = QtWidgets.QMessageBox(parent)
    box.setIcon(QtWidgets.QMessageBox.Icon.Question)
    box.setWindowTitle(verb)
    box.setText(text)
    box.setInformativeText(more)
    yes = box.addButton(verb, QtWidgets.QMessageBox.ButtonRole.DestructiveRole)
    box.addButton(QtWidgets.QMessageBox.StandardButton.Cancel)
    box.exec() if hasattr(box, "exec") else box.exec_()
    return box.clickedButton() is yes
