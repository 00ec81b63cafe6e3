"""The tab that asks for a prediction, and shows how far it has come."""

from __future__ import annotations

from typing import Any

from pymol.Qt import QtCore, QtWidgets

from ..arguments import FRAMES_RANGE, LEVEL_RANGE
from ..backends import BACKENDS
from ..commands.prediction import MESHES
from ..servers import known_servers
from ..settings import load_settings
from .card import CardDialog, read_card
from .desk import Desk
from .job_view import JobView
from .light import Answer, Light
from .order import FRAMES, NORMAL, SPACINGS, PredictOrder, known_options
from .parts import (
    Form,
    button,
    choice,
    choose,
    column,
    expanding,
    hint,
    real,
    refill,
    row,
    whole,
)

SEEDS = 2**31 - 1
"""Highest seed that the field takes; the command takes higher ones."""
SETTLE_MS = 300
"""Pause in typing after which a selection is looked at [ms]."""
MESH_NAMES = {
    "tracked": "Follow the points (tracked)",
    "marching_cubes": "New mesh each frame",
}
COLORS = (("Motion", "motion"), ("Normal direction", "normal"), ("Chain", "chain"))


class PredictTab(QtWidgets.QWidget):
    """Molecule, model and movie; where it is computed; Predict and Cancel.

    Args:
        desk: What the tabs share.
    """

    def __init__(self, desk: Desk, parent: Any = None) -> None:
        super().__init__(parent)
        self._desk, self._models = desk, list[dict[str, Any]]()
        self._make_fields()
        self._lay_out()
        self._recall()
        self.jobs = JobView(desk, self)
        self._body.addWidget(self.jobs)
        self._body.addStretch(1)
        desk.watch.changed.connect(self._list_molecules)
        desk.backend_changed.connect(self._list_backends)
        self._settle = QtCore.QTimer(self)
        self._settle.setSingleShot(True)
        self._settle.setInterval(SETTLE_MS)
        self._settle.timeout.connect(self._look_at_selection)
        self.selection.editTextChanged.connect(lambda _: self._settle.start())
        self.backend.activated.connect(lambda _: self._watch_backend())
        self.light.answered.connect(self._list_models)
        self.jobs.asked.connect(self.predict)
        self.jobs.answered.connect(self.light.look)
        self._list_backends()
        self._list_molecules()
        self._list_models(Answer("", "", ""))

    def _make_fields(self) -> None:
        self.selection = QtWidgets.QComboBox()
        self.selection.setEditable(True)
        self.selection.setInsertPolicy(QtWidgets.QComboBox.InsertPolicy.NoInsert)
        self.selection.setMinimumContentsLength(12)
        expanding(self.selection)
        self.selection.lineEdit().setPlaceholderText("load a molecule, or type a selection")
        self.about = hint()
        self.state = whole(0, 1, 0)
        self.state.setSpecialValueText("shown")
        self.states = QtWidgets.QLabel()
        self.model = choice()
        self.card = button("Card…", self._open_card, "What the model was trained on, and how good")
        self.frames = whole(*FRAMES_RANGE, FRAMES)
        self.duration = QtWidgets.QComboBox()
        self.duration.setEditable(True)
        self.duration.addItems(["", "10 ps", "100 ps", "1 ns", "10 ns", "100 ns"])
        self.duration.lineEdit().setPlaceholderText("all that the model knows")
        self.spacing = choice((text, value) for text, value in SPACINGS)
        self.mesh = choice((MESH_NAMES[mesh], mesh) for mesh in MESHES)
        self.seed = whole(0, SEEDS, 0)
        self.level = real(*LEVEL_RANGE, 0.0, 0.1, " Å")
        self.color = choice(COLORS)
        self.name = QtWidgets.QLineEdit()
        self.name.setPlaceholderText("the molecule's name and _surf")
        self.backend = choice()
        self.light = Light(self._desk)

    def _lay_out(self) -> None:
        inner = self._body = column(self)
        form = Form()
        form.add(
            "Molecule", self.selection,
            "An object or a named selection of PyMOL, or any selection of one object.",
        )  # fmt: skip
        form.addRow("", self.about)
        form.add(
            "State", row(self.state, self.states, None),
            "State of the molecule to start from; 'shown' is the one that PyMOL shows.",
        )  # fmt: skip
        form.add("Model", row(self.model, self.card, stretch=0), "What predicts the motion.")
        form.add(
            "Frames", row(self.frames, None),
            "Frames of the movie, one state each. The first is the molecule as it is.",
        )  # fmt: skip
        if "duration" in known_options():
            form.add("Duration", self.duration, "Time between the first and the last frame.")
        form.add(
            "Mesh", self.spacing,
            "Edge length of the triangles. Fine takes about three times as long as preview.",
        )  # fmt: skip
        inner.addLayout(form)
        inner.addWidget(self._more_options())
        place = Form()
        place.add(
            "Compute on", row(self.backend, self.light, stretch=0),
            "Servers are made known under Settings.",
        )  # fmt: skip
        inner.addLayout(place)

    def _more_options(self) -> Any:
        self.more = QtWidgets.QToolButton()
        self.more.setText("More options")
        self.more.setAutoRaise(True)
        self.more.setCheckable(True)
        self.more.setToolButtonStyle(QtCore.Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.more.toggled.connect(self._show_more)
        self._extra = QtWidgets.QWidget()
        form = Form()
        form.add(
            "Points", self.mesh,
            "Points that follow the motion can be compared from frame to frame; a new mesh each "
            "frame follows closing clefts more closely.",
        )  # fmt: skip
        form.add("Seed", row(self.seed, None), "Each number draws another plausible motion.")
        if "level" in known_options():
            form.add(
                "Level", row(self.level, None),
                "Distance from the molecular surface at which the shown one lies; outside is "
                "positive.",
            )  # fmt: skip
        form.add("Colour by", self.color, "What the colours mean; more under Look.")
        form.add("Object", self.name, "Name of the object to make.")
        self._extra.setLayout(form)
        box = QtWidgets.QWidget()
        layout = column(box, 0)
        layout.addLayout(row(self.more, None))
        layout.addWidget(self._extra)
        self._show_more(False)
        return box

    def _show_more(self, shown: bool) -> None:
        arrow = QtCore.Qt.ArrowType.DownArrow if shown else QtCore.Qt.ArrowType.RightArrow
        self.more.setArrowType(arrow)
        self._extra.setVisible(shown)

    def _recall(self) -> None:
        kept = self._desk.choices
        self.frames.setValue(kept.get("frames", FRAMES))
        choose(self.spacing, kept.get("spacing", NORMAL))
        choose(self.mesh, kept.get("mesh", MESHES[0]))
        choose(self.color, kept.get("color", "motion"))
        self.seed.setValue(kept.get("seed", 0))
        self.duration.setCurrentText(kept.get("duration", ""))
        self.more.setChecked(kept.get("more", False))
        self._wanted_model, self._wanted_backend = kept.get("model", ""), kept.get("backend", "")

    def remember(self) -> None:
        """Tell the choices what is chosen."""
        for name, value in (
            ("frames", self.frames.value()), ("spacing", self.spacing.currentData()),
            ("mesh", self.mesh.currentData()), ("color", self.color.currentData()),
            ("seed", self.seed.value()), ("duration", self.duration.currentText()),
            ("more", self.more.isChecked()), ("model", self.model.currentData() or ""),
            ("backend", self.backend.currentData() or ""),
        ):  # fmt: skip
            self._desk.choices.set(name, value)

    @property
    def order(self) -> PredictOrder:
        """What is chosen."""
        used = load_settings()["backend"] or "local"
        backend = self.backend.currentData() or used
        return PredictOrder(
            selection=self.selection.currentText(),
            frames=self.frames.value(),
            state=self.state.value(),
            model=self.model.currentData() or "",
            spacing=self.spacing.currentData(),
            mesh=self.mesh.currentData(),
            seed=self.seed.value(),
            duration=self.duration.currentText(),
            level=self.level.value(),
            backend="" if backend == used else backend,
            name=self.name.text(),
            color=self.color.currentData(),
        )

    def predict(self) -> None:
        """Start what is chosen."""
        self.remember()
        self.jobs.begin()
        self._desk.attempt(lambda: self.order.line())
        self.jobs.follow()

    def _list_molecules(self) -> None:
        watch, text = self._desk.watch, self.selection.currentText()
        self.selection.blockSignals(True)
        self.selection.clear()
        self.selection.addItems(watch.molecules)
        if watch.molecules and watch.selections:
            self.selection.insertSeparator(len(watch.molecules))
        self.selection.addItems(watch.selections)
        gone = text not in (*watch.molecules, *watch.selections) and text == self._listed
        fallback = watch.molecules[-1] if watch.molecules else ""
        self.selection.setCurrentText(fallback if gone or not text else text)
        self._listed = self.selection.currentText()
        self.selection.blockSignals(False)
        self._look_at_selection()

    _listed = ""
    """What was chosen when the list was made; when its object goes, another one is chosen."""

    def _look_at_selection(self) -> None:
        """Say how large the selection is, or why it is none."""
        text, cmd = self.selection.currentText().strip(), self._desk.cmd
        self._listed = text if text in self._desk.watch.molecules else self._listed
        if not text:
            self.about.setText("Open a structure in PyMOL to begin.")
            self._set_states(1)
            return
        try:
            atoms = cmd.count_atoms(f"({text}) and polymer")
            residues = cmd.count_atoms(f"bycalpha (({text}) and polymer)")
            names = cmd.get_object_list(f"({text})") or []
        except Exception:  # PyMOL raises different types from version to version
            self.about.setText("This is neither an object nor a selection.")
            return
        self._set_states(max(cmd.count_states(names[0]), 1) if len(names) == 1 else 1)
        if len(names) > 1:
            self.about.setText(f"Spans {len(names)} objects; select within one.")
        elif not atoms:
            self.about.setText("Holds no protein or nucleic acid.")
        else:
            counted = f"{residues:,} residues, " if residues else ""
            self.about.setText(f"{counted}{atoms:,} atoms of protein or nucleic acid")

    def _set_states(self, count: int) -> None:
        self.state.setMaximum(count)
        self.state.setEnabled(count > 1)
        self.states.setText(f"of {count}")

    def _list_backends(self) -> None:
        used = load_settings()["backend"] or "local"
        items = [("This computer", name) for name in BACKENDS]
        items += [(s.name or s.url.split("//")[-1], s.url) for s in known_servers()]
        first = not self.backend.count()
        refill(self.backend, items, used)
        if first and self._wanted_backend:
            choose(self.backend, self._wanted_backend)
        self._watch_backend()

    def _watch_backend(self) -> None:
        self.light.watch(self.backend.currentData() or "")

    def _list_models(self, answer: Answer) -> None:
        """Offer the models of the backend, once it tells them."""
        if answer.models or not self.model.count():
            self._models = answer.models
            default = next((m for m in self._models if m.get("default")), {})
            usual = f"Default ({default['name']})" if default else "Default"
            items = [(usual, ""), *((str(m["name"]), str(m["name"])) for m in self._models)]
            refill(self.model, items, self._wanted_model)
            for k, model in enumerate(self._models):
                tip = QtCore.Qt.ItemDataRole.ToolTipRole
                self.model.setItemData(k + 1, str(model.get("summary", "")), tip)
        self.card.setEnabled(bool(self._carded()))

    def _carded(self) -> str:
        """Name of the chosen model, if it has a card."""
        wanted = self.model.currentData()
        for model in self._models:
            if (model["name"] == wanted if wanted else model.get("default")) and model.get("card"):
                return str(model["name"])
        return ""

    def _open_card(self) -> None:
        model, backend = self._carded(), self.backend.currentData() or ""
        self._desk.background.ask(
            lambda: read_card(backend, model),
            lambda text: self._show_card(model, text),
            self._desk.failed.emit,
        )

    def _show_card(self, model: str, text: str) -> None:
        self.card_dialog = CardDialog(model, text, self)
        self.card_dialog.show()
