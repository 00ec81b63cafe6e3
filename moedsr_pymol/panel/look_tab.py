"""The tab for how surfaces look, and how they move."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pymol.Qt import QtCore, QtWidgets

from ..arguments import LEVEL_RANGE
from ..coloring import DEFAULT_PALETTES
from ..palettes import PALETTES
from .desk import Desk
from .emit import command, number_text
from .legend import Legend
from .parts import Form, button, choice, choose, column, heading, hint, real, refill, row, whole
from .player import Player
from .saving import Saving
from .side_by_side import SideBySide

MODES = (
    ("Motion (distance from the first frame)", "motion"),
    ("Fluctuation (over all frames)", "fluctuation"),
    ("Normal direction", "normal"),
    ("Chain", "chain"),
    ("Expert weights", "expert"),
    ("Hydrophobicity (Kyte, Doolittle)", "hydrophobicity"),
    ("Charge of the residue", "charge"),
    ("One colour …", "plain"),
)
RAMPED = ("motion", "fluctuation", "hydrophobicity", "charge")
"""Modes whose colours are a ramp."""
PALETTE_NAMES = {
    "blue_white_red": "Blue, white, red",
    "red_white_blue": "Red, white, blue",
    "teal_white_gold": "Teal, white, gold",
    "viridis": "Viridis",
    "grey": "Grey",
}


class LookTab(QtWidgets.QWidget):
    """Which surface, its colours and transparency; playback; several surfaces.

    Args:
        desk: What the tabs share.
    """

    def __init__(self, desk: Desk, parent: Any = None) -> None:
        super().__init__(parent)
        self._desk, self._experts = desk, -1
        self._make_fields()
        layout = column(self)
        self.empty = hint("No surface yet. Predict one, or load an earlier job under Jobs.")
        layout.addWidget(self.empty)
        layout.addWidget(self._appearance())
        layout.addWidget(heading("Movie"))
        self.player = Player(desk)
        layout.addWidget(self.player)
        self.several = SideBySide(desk)
        layout.addWidget(self.several)
        self.saving = Saving(desk, lambda: self.surface.currentData() or "")
        layout.addWidget(self.saving)
        layout.addStretch(1)
        desk.watch.changed.connect(self._list_surfaces)
        desk.watch.looked.connect(self._refresh)
        self._list_surfaces()

    def _make_fields(self) -> None:
        self.surface = choice()
        self.mode = choice(MODES)
        self.palette_field = choice([("Usual", ""), *_palettes()])
        self.low, self.high = real(-99, 99, -2, 0.5), real(-99, 99, 2, 0.5)
        self.auto = button("Auto", self._set_automatic, "Ends of the ramp from the values")
        self.legend = Legend()
        self.opaque = QtWidgets.QSlider(QtCore.Qt.Orientation.Horizontal)
        self.opaque.setRange(0, 95)
        self.percent = QtWidgets.QLabel("0 %")
        self.percent.setMinimumWidth(self.fontMetrics().horizontalAdvance("100 %"))
        self.window = choice([("None", 1), *((f"{n} frames", n) for n in (3, 5, 9, 15))])
        self.passes = whole(0, 100, 0, " passes")
        self.level = real(*LEVEL_RANGE, 0.0, 0.1, " Å")
        self.again = button("Predict again", self._predict_again, "At this level, the same motion")
        self.surface.activated.connect(lambda _: self._show_surface())
        self.mode.activated.connect(lambda _: self._set_mode())
        self.palette_field.activated.connect(lambda _: self._color(keep_range=True))
        for field in (self.low, self.high):
            field.valueChanged.connect(lambda _: self._color(keep_range=True))
        self.opaque.valueChanged.connect(lambda value: self.percent.setText(f"{value} %"))
        self.opaque.sliderMoved.connect(self._fade)
        self.opaque.sliderReleased.connect(lambda: self._fade(None))
        self.opaque.actionTriggered.connect(self._faded_by_key)
        self.window.activated.connect(lambda _: self._smooth())
        self.passes.valueChanged.connect(lambda _: self._smooth())

    def _appearance(self) -> Any:
        self.fields = QtWidgets.QWidget()
        form = Form()
        form.add("Surface", self.surface, "A surface of this plugin.")
        form.add("Colour by", self.mode, "What the colours mean.")
        form.add("Ramp", self.palette_field, "Colours from the lowest to the highest value.")
        self._range = QtWidgets.QWidget()
        self._range.setLayout(row(self.low, QtWidgets.QLabel("to"), self.high, self.auto, None))
        self._range_label = form.add("Range", self._range, "Values at the ends of the ramp.")
        form.addRow("", self.legend)
        form.add(
            "Transparency", row(self.opaque, self.percent, stretch=0), "0 % hides what is behind."
        )
        form.add(
            "Smooth time", self.window,
            "Averages neighbouring frames where they are drawn; values and files stay the "
            "prediction's.",
        )  # fmt: skip
        form.add("Smooth mesh", row(self.passes, None), "Rounds off bumps along the mesh.")
        self._level_row = row(self.level, self.again, None)
        form.add(
            "Level", self._level_row,
            "Distance from the molecular surface at which the shown one lies; 1.4 Å shows what "
            "waters reach. Another one is computed anew.",
        )  # fmt: skip
        self.fields.setLayout(form)
        return self.fields

    _leveled = ""
    """Mark of the surface whose level the field shows."""

    def set_active(self, active: bool) -> None:
        """Follow the movie, or rest."""
        self.saving.set_active(active)
        self.player.set_active(active)
        if active:
            self._show_surface()

    @property
    def shown(self) -> Any:
        """The chosen surface; None if there is none."""
        return self._desk.workspace.surfaces.get(self.surface.currentData() or "")

    def _list_surfaces(self) -> None:
        names = self._desk.watch.surfaces
        refill(self.surface, [(name, name) for name in names], names[-1] if names else None)
        self.empty.setVisible(not names)
        self.fields.setEnabled(bool(names))
        self.saving.look()
        self.several.list_surfaces(names)
        self._show_surface()

    def _refresh(self) -> None:
        """Follow what commands and arriving frames change."""
        if self.isVisible():
            self._show_surface()

    def _show_surface(self) -> None:
        """Show how the chosen surface looks."""
        surface = self.shown
        jobs = self._desk.jobs.values()
        self.legend.show_surface(surface, any(job.surface is surface for job in jobs))
        if surface is None:
            return
        how = surface.coloring
        self._list_experts(surface)
        choose(self.mode, how.mode)
        choose(self.palette_field, _palette_of(how))
        ramped = how.mode in RAMPED or how.expert is not None
        for widget in (self._range, self._range_label):
            widget.setEnabled(ramped)
        self.palette_field.setEnabled(ramped)
        ends = how.ends(surface)
        if ends is not None and not (self.low.hasFocus() or self.high.hasFocus()):
            for field, value in zip((self.low, self.high), ends):  # noqa: B905
                _set_silently(field, value)
        if not self.opaque.isSliderDown():
            shown = self._desk.cmd.get_setting_float("cgo_transparency", surface.name)
            _set_silently(self.opaque, round(100 * float(shown or 0.0)))
            self.percent.setText(f"{self.opaque.value()} %")
        order = self._desk.orders.get(surface.mark)
        for field in (self.level, self.again):
            field.setEnabled(order is not None)
        if order is not None and surface.mark != self._leveled:
            self._leveled = surface.mark
            _set_silently(self.level, order.level)
        choose(self.window, surface.smoothing.window)
        if not self.passes.hasFocus():
            _set_silently(self.passes, surface.smoothing.passes)

    def _list_experts(self, surface: Any) -> None:
        shares = surface.attributes.get("expert")
        count = 0 if shares is None else shares.shape[1]
        if count != self._experts:
            self._experts = count
            experts = [(f"Share of expert {k}", f"expert{k}") for k in range(1, count + 1)]
            refill(self.mode, [*MODES[:5], *experts, *MODES[5:]])

    def _predict_again(self) -> None:
        surface = self.shown
        order = self._desk.orders.get(surface.mark) if surface is not None else None
        if order is not None:
            of = surface.atoms
            there = of.object_name in self._desk.watch.molecules
            several = there and self._desk.cmd.count_states(of.object_name) > 1
            state = of.state if several else order.state  # another may be shown by now
            level = round(self.level.value(), 2)
            self._desk.ask_for(replace(order, level=level, name=surface.name, state=state))
            self._desk.wanted.emit("predict")

    def _set_mode(self) -> None:
        if self.mode.currentData() == "plain":
            self._choose_color()
        else:
            _set_silently_index(self.palette_field, 0)
            self._color(keep_range=False)

    def _color(self, keep_range: bool) -> None:
        surface, by = self.shown, self.mode.currentData()
        if surface is None or by == "plain":
            return
        low, high = self.low.value(), self.high.value()
        if keep_range and not low < high:
            return
        ends = (number_text(low), number_text(high)) if keep_range else (None, None)
        self._desk.do(
            command(
                "moedsr_color", surface.name, by, palette=self.palette_field.currentData(),
                minimum=ends[0], maximum=ends[1],
            )
        )  # fmt: skip
        self._show_surface()

    def _set_automatic(self) -> None:
        self._color(keep_range=False)

    def _choose_color(self) -> None:
        surface = self.shown
        if surface is None:
            return
        color = QtWidgets.QColorDialog.getColor(parent=self)
        if color.isValid():
            self._desk.do(command("moedsr_color", surface.name, f"0x{color.name()[1:]}"))
        self._show_surface()

    def _fade(self, value: int | None) -> None:
        surface = self.shown
        if surface is None:
            return
        share = (self.opaque.value() if value is None else value) / 100
        line = f"set cgo_transparency, {number_text(share)}, {surface.name}"
        if value is None:
            self._desk.do(line)
        else:
            self._desk.quietly(line)

    def _faded_by_key(self, _: int) -> None:
        if not self.opaque.isSliderDown():
            self.opaque.setValue(self.opaque.sliderPosition())
            self._fade(None)

    def _smooth(self) -> None:
        surface = self.shown
        if surface is not None:
            passes = self.passes.value() or None
            line = command("moedsr_smooth", surface.name, self.window.currentData(), passes=passes)
            self._desk.do(line)


def _palettes() -> list[tuple[str, str]]:
    return [(PALETTE_NAMES.get(name, name), name) for name in PALETTES]


def _palette_of(how: Any) -> str:
    """Name of the palette of a colouring; empty for one that is usual, or none of ours."""
    for name, stops in PALETTES.items():
        if tuple(map(tuple, stops)) == how.stops and DEFAULT_PALETTES.get(how.mode) != name:
            return name
    return ""


def _set_silently(field: Any, value: Any) -> None:
    field.blockSignals(True)
    field.setValue(value)
    field.blockSignals(False)


def _set_silently_index(field: Any, index: int) -> None:
    field.blockSignals(True)
    field.setCurrentIndex(index)
    field.blockSignals(False)
