"""The tab that measures: what moves, how large it is, what opens, and how good it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pymol.Qt import QtCore, QtWidgets

from ..errors import UserError
from ..measure.gate import gate_weights
from ..measure.profile import MEASURES, Profile
from .advice import sentence
from .chart_view import ChartView
from .desk import Desk
from .emit import command, number_text, path_text, selection_text, word_text
from .looking import Looking
from .parts import Form, ask_file, button, choice, column, expanding, hint, real, refill, row

EVERY_MS = 400
SELECTION = "sele"
"""Selection that a clicked residue goes to, as PyMOL's own clicks do."""
FILES = ("Table (*.csv)", "Picture (*.png)", "Drawing (*.svg)", "Document (*.pdf)")


@dataclass(frozen=True)
class Kind:
    """One thing that can be measured.

    Attributes:
        text: What the list says.
        command: The command that measures it; empty for what is only read.
        fields: Which fields it needs.
        about: What it tells, in a sentence.
    """

    text: str
    command: str
    fields: tuple[str, ...]
    about: str


KINDS = (
    Kind(
        "Motion of each residue", "moedsr_profile", ("by",),
        "How much each residue's part of the surface moves. Click a bar to select the residue.",
    ),
    Kind(
        "Area and volume over time", "moedsr_shape", (),
        "Size of the whole surface in every frame.",
    ),
    Kind(
        "Opening of a pocket over time", "moedsr_pocket", ("pocket", "radius"),
        "Area and volume near a selection, such as a ligand or the residues of a pocket.",
    ),
    Kind(
        "Agreement with a trajectory", "moedsr_compare", ("trajectory", "interval"),
        "Scores against an object with several states, beside a surface that stays still and the "
        "mean shape.",
    ),
    Kind("Weights of the experts", "", (), "How much each expert of the model says here."),
)  # fmt: skip


class MeasureTab(Looking):
    """What to measure of which surface, and a chart of what was found.

    Args:
        desk: What the tabs share.
    """

    def __init__(self, desk: Desk, parent: Any = None) -> None:
        super().__init__(EVERY_MS, parent)
        self._desk, self._found = desk, None
        self.views: list[ChartView] = []
        self._make_fields()
        layout = column(self)
        layout.addLayout(self._form())
        layout.addWidget(self.about)
        layout.addLayout(row(self.measure, self.save, None))
        layout.addWidget(self.said)
        self._charts = column(None, 0)
        layout.addLayout(self._charts, 1)
        layout.addStretch(0)
        desk.watch.changed.connect(self._list_names)
        self._list_names()
        self._show_kind()

    def _make_fields(self) -> None:
        known = self._desk.cmd.keyword
        self.surface = choice()
        self.kind = choice(
            (kind.text, kind) for kind in KINDS if not kind.command or kind.command in known
        )
        self.by = choice([("Fluctuation over all frames", "fluctuation"),
                          ("Motion in the frame that is shown", "motion")])  # fmt: skip
        assert {self.by.itemData(k) for k in range(self.by.count())} == set(MEASURES)
        self.pocket = QtWidgets.QComboBox()
        self.pocket.setEditable(True)
        self.pocket.setInsertPolicy(QtWidgets.QComboBox.InsertPolicy.NoInsert)
        expanding(self.pocket)
        self.radius = real(1.0, 30.0, 6.0, 0.5, " Å")
        self.trajectory = choice()
        self.interval = QtWidgets.QLineEdit()
        self.interval.setPlaceholderText("frames spread evenly; or a time, as 100 ps")
        self.about, self.said = hint(), hint()
        self.measure = button("Measure", self.run)
        self.save = button("Save…", self._save, "Write it as a table or a picture")
        self.save.setEnabled(False)
        self.surface.activated.connect(lambda _: self._show_kept())
        self.kind.activated.connect(lambda _: self._show_kind())

    def _form(self) -> Any:
        form = Form()
        form.add("Surface", self.surface, "A surface of this plugin.")
        form.add("Measure", self.kind, "What is to be measured.")
        layout = column(None, 0)
        layout.addLayout(form)
        self._rows = {
            "by": _alone("Motion", self.by, "Of what the bars show the mean."),
            "pocket": _alone("Around", self.pocket, "Atoms that the pocket lies around."),
            "radius": _alone("Within", row(self.radius, None), "Distance from those atoms."),
            "trajectory": _alone(
                "Trajectory", self.trajectory, "Object with several states: the truth."
            ),
            "interval": _alone("Interval", self.interval, "Time between the trajectory's states."),
        }
        for box in self._rows.values():
            layout.addWidget(box)
        return layout

    def set_active(self, active: bool) -> None:
        """Look for what commands have found, or rest."""
        if active:
            self._list_names()
        super().set_active(active)

    @property
    def chosen(self) -> Kind:
        """What is to be measured."""
        kind: Kind = self.kind.currentData()
        return kind

    def run(self) -> None:
        """Measure it, or stop what measures."""
        if self.chosen.command in self._desk.workspace.working():
            self._desk.do(f"moedsr_cancel {self.chosen.command}")
            return
        surface = self.surface.currentData()
        if not surface:
            self._desk.failed.emit(UserError("no surface was made yet; predict one first"))
            return
        if not self.chosen.command:
            self._show_gate(surface)
            return
        self._desk.attempt(lambda: self.line())
        self.look()

    def line(self, file: str = "") -> str:
        """The command.

        Raises:
            UserError: If a selection cannot be one.
        """
        kind, surface = self.chosen, self.surface.currentData()
        make: dict[str, Callable[[], str]] = {
            "moedsr_profile": lambda: command(
                kind.command, surface, by=_unless(self.by.currentData(), MEASURES[0]),
                file=path_text(file),
            ),
            "moedsr_pocket": lambda: command(
                kind.command, surface, selection_text(self.pocket.currentText()),
                radius=number_text(self.radius.value()), file=path_text(file),
            ),
            "moedsr_compare": lambda: command(
                kind.command, surface, selection_text(self.trajectory.currentData() or ""),
                interval=word_text("the time between states", self.interval.text()),
                file=path_text(file),
            ),
        }  # fmt: skip
        plain = lambda: command(kind.command, surface, file=path_text(file))  # noqa: E731
        return make.get(kind.command, plain)()

    def _list_names(self) -> None:
        watch, typed = self._desk.watch, self.pocket.currentText()
        refill(self.surface, [(n, n) for n in watch.surfaces], (watch.surfaces or [""])[-1])
        cmd = self._desk.cmd
        several = [name for name in watch.molecules if cmd.count_states(name) > 1]
        refill(self.trajectory, [(name, name) for name in several])
        self.pocket.clear()
        self.pocket.addItems([*watch.selections, "organic"])
        if typed:
            self.pocket.setCurrentText(typed)
        self.measure.setEnabled(bool(watch.surfaces))
        self._show_kept()

    def _show_kind(self) -> None:
        kind = self.chosen
        for name, box in self._rows.items():
            box.setVisible(name in kind.fields)
        self.about.setText(kind.about)
        self._show_kept()

    def look(self) -> None:
        """Show what a command has found since, and how far one is."""
        self._show_kept()
        task = self._desk.workspace.working().get(self.chosen.command)
        self.measure.setText("Cancel" if task is not None else "Measure")
        self.said.setText(sentence(task.report.line()) if task is not None else "")
        self.said.setVisible(bool(self.said.text()))

    def _show_kept(self) -> None:
        """Show what was measured last of the chosen surface; nothing of one that it replaces."""
        surface = self.surface.currentData() or ""
        self._show(self._desk.workspace.measurement(self.chosen.command, surface))

    def _show_gate(self, name: str) -> None:
        workspace = self._desk.workspace
        try:
            surface = workspace.surface(name)
            workspace.keep_measurement(self.chosen.command, surface, gate_weights(surface))
            self._show_kept()
        except UserError as error:
            self._desk.failed.emit(error)

    def _show(self, found: Any) -> None:
        if found is self._found:
            return
        self._found = found
        while self._charts.count():
            widget = self._charts.takeAt(0).widget()
            widget.hide()
            widget.deleteLater()
        self.views = [ChartView(chart) for chart in found.charts()] if found is not None else []
        for view in self.views:
            view.picked.connect(self._pick)
            self._charts.addWidget(_scrolled_sideways(view), 1)
        self.save.setEnabled(found is not None and bool(self.chosen.command))

    def _pick(self, k: int) -> None:
        if isinstance(self._found, Profile):
            self._desk.do(f"select {SELECTION}, {self._found.selection(k)}")

    def _save(self) -> None:
        name = ask_file(self, f"{self.surface.currentData()}.csv", FILES)
        if name:
            self._desk.attempt(lambda: self.line(name))


def _unless(value: str, usual: str) -> str | None:
    return None if value == usual else value


def _alone(text: str, field: Any, tip: str) -> Any:
    """A row that takes no space while it is hidden, which those of a form do in Qt 5."""
    box, form = QtWidgets.QWidget(), Form()
    form.add(text, field, tip)
    box.setLayout(form)
    return box


def _scrolled_sideways(view: Any) -> Any:
    area = QtWidgets.QScrollArea()
    area.setFrameShape(QtWidgets.QFrame.Shape.NoFrame)
    area.setWidgetResizable(True)
    area.setVerticalScrollBarPolicy(QtCore.Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setWidget(view)
    bar = area.horizontalScrollBar().sizeHint().height()
    area.setMinimumHeight(view.minimumHeight() + bar)
    return area
