"""The tab that asks for a prediction, and shows how far it has come."""

from __future__ import annotations

from typing import Any

from pymol.Qt import QtCore, QtWidgets

from ..arguments import FRAMES_RANGE, LEVEL_RANGE
from ..backends import BACKENDS
from ..commands.prediction import MESHES
from ..servers import known_servers
from ..settings import load_settings
from .desk import Desk
from .job_view import JobView
from .light import Light
from .model_choice import ModelChoice
from .molecule_choice import MoleculeChoice
from .order import FRAMES, NORMAL, SPACINGS, PredictOrder, known_options
from .parts import (
    Form,
    choice,
    choose,
    column,
    real,
    refill,
    row,
    whole,
)

SEEDS = 2**31 - 1
"""Highest seed that the field takes; the command takes higher ones."""
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
        self._desk = desk
        self._make_fields()
        self._lay_out()
        self._recall()
        self.jobs = JobView(desk, self)
        self._body.addWidget(self.jobs)
        self._body.addStretch(1)
        desk.backend_changed.connect(self._list_backends)
        self.backend.activated.connect(lambda _: self._watch_backend())
        self.light.answered.connect(self.models.take)
        self.jobs.asked.connect(self.predict)
        self.jobs.answered.connect(self.light.look)
        self._list_backends()

    def _make_fields(self) -> None:
        self.molecule = MoleculeChoice(self._desk, self)
        self.models = ModelChoice(
            self._desk, lambda: self.backend.currentData() or "",
            self._desk.choices.get("model", ""), self,
        )  # fmt: skip
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
        self.molecule.add_to(form)
        self.models.add_to(form)
        form.add(
            "Frames", row(self.frames, None),
            "Frames of the movie, one state each. The first is the molecule as it is.",
        )  # fmt: skip
        if "duration" in known_options():
            form.add("Duration", self.duration, "Time between the first and the last frame.")
        form.add(
            "Spacing", self.spacing,
            "Edge length of the triangles. Normal makes three times as many as preview, fine six "
            "times.",
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
            "Mesh", self.mesh,
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
        self._used_backend = ""
        self._wanted_backend = kept.get("backend", "")

    def remember(self) -> None:
        """Tell the choices what is chosen."""
        for name, value in (
            ("frames", self.frames.value()), ("spacing", self.spacing.currentData()),
            ("mesh", self.mesh.currentData()), ("color", self.color.currentData()),
            ("seed", self.seed.value()), ("duration", self.duration.currentText()),
            ("more", self.more.isChecked()), ("model", self.models.name),
            ("backend", self.backend.currentData() or ""),
        ):  # fmt: skip
            self._desk.choices.set(name, value)

    def set_active(self, active: bool) -> None:
        """Show how things are now, and ask the backend now and then; or rest."""
        if active:
            self._list_backends()
            self.molecule.look()
        self.light.set_active(active)

    @property
    def order(self) -> PredictOrder:
        """What is chosen."""
        used = load_settings()["backend"] or "local"
        backend = self.backend.currentData() or used
        return PredictOrder(
            selection=self.molecule.text,
            frames=self.frames.value(),
            state=self.molecule.state.value(),
            model=self.models.name,
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
        self._desk.choices.keep()
        self.jobs.begin()
        self._desk.ask_for(self.order)
        self.jobs.follow()

    def _list_backends(self) -> None:
        used = load_settings()["backend"] or "local"
        items = [("This computer", name) for name in BACKENDS]
        items += [(s.name or s.url.split("//")[-1], s.url) for s in known_servers()]
        refill(self.backend, items, used)
        if used != self._used_backend:  # chosen elsewhere, or seen for the first time
            choose(self.backend, used)
        self._used_backend = used
        if self._wanted_backend:
            choose(self.backend, self._wanted_backend)
            self._wanted_backend = ""
        self._watch_backend()

    def _watch_backend(self) -> None:
        self.light.watch(self.backend.currentData() or "")
