"""A surface that PyMOL shows: its frames, what is known of its points, and its colours."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any
from weakref import ReferenceType, ref

import numpy as np

from .atoms import Molecule
from .cgo import Layout, load_state
from .coloring import Coloring
from .errors import BackendError
from .follow import Hold, follow
from .labels import Label
from .marks import new_mark, set_mark
from .nearest import nearest
from .placement import place, placement
from .session.frames import StoredFrames
from .smoothing import Smoothing


@dataclass(frozen=True)
class Frame:
    """The surface at one time.

    Attributes:
        vertices: Positions in the molecule's stored coordinates [Å], float32 (n, 3).
        normals: Outward unit normals, float32 (n, 3).
        faces: Vertex indices of each triangle, int32 (m, 3); shared between frames.
        displacement: Signed distance from the first surface, positive outward [Å], (n,).
        layout: How a state of these faces is written; shared between frames.
        record: The compact frame that it came as; empty for one that was changed since.
        after: The frame that this record is read after.
    """

    vertices: np.ndarray
    normals: np.ndarray
    faces: np.ndarray
    displacement: np.ndarray
    layout: Layout
    record: bytes = field(default=b"", init=False, repr=False, compare=False)
    after: ReferenceType[Frame] | None = field(default=None, init=False, repr=False, compare=False)

    @classmethod
    def read(
        cls,
        arrays: dict[str, np.ndarray],
        last: Frame | None,
        layout: Layout | None = None,
        record: bytes = b"",
    ) -> Frame:
        """Check a frame record; faces it leaves out are the last frame's.

        Args:
            arrays: What came.
            last: The frame before.
            layout: How these faces are written, where that is known.
            record: The compact frame that they came as.

        Raises:
            BackendError: If it does not describe a mesh.
        """
        try:
            vertices = np.asarray(arrays["vertices"], np.float32)
            normals = np.asarray(arrays["normals"], np.float32)
            displacement = np.asarray(arrays["displacement"], np.float32)
            faces = arrays["faces"] if "faces" in arrays or last is None else last.faces
        except (KeyError, ValueError) as error:
            raise BackendError("the backend sent a frame without a mesh; restart it") from error
        fits = vertices.shape == normals.shape == (len(displacement), 3) and len(faces)
        if not fits or faces.ndim != 2 or faces.min() < 0 or faces.max() >= len(vertices):
            raise BackendError("the backend sent a frame that is no mesh; restart it")
        if not np.isfinite(vertices).all() or not np.isfinite(normals).all():
            raise BackendError("the backend sent a frame with numbers missing; restart it")
        same = last is not None and faces is last.faces
        layout = last.layout if same and last is not None else layout or Layout.of(faces)
        frame = cls(vertices, normals, faces, displacement, layout)
        object.__setattr__(frame, "record", record)
        object.__setattr__(frame, "after", None if last is None else ref(last))
        return frame


@dataclass(frozen=True)
class MadeState:
    """How a frame looks as a state, to be loaded.

    Attributes:
        frame: What it shows.
        key: What else its drawing depends on.
        floats: What PyMOL is to load.
    """

    frame: Frame
    key: tuple
    floats: list[float] = field(repr=False)


@dataclass
class Surface:
    """Everything that is known of one surface object.

    Attributes:
        name: Its object in PyMOL.
        atoms: The molecule it was computed of.
        coloring: How it is coloured.
        smoothing: How it is smoothed where it is drawn.
        planned: Frames that were asked for.
        frames: One per state, in order.
        attributes: Values at each point of the first frame: ``atom``, ``expert``,
            ``fluctuation`` [Å], ``mean_displacement`` [Å], as far as they have come.
        summary: What the backend said at the end.
        mark: What the object bears, by which it is known again.
        per_atom: Properties of the atoms' residues, as far as they were asked for.
        job: Its id at the backend; empty where it has none.
        label: What this computer remembers of the job.
        hold: Where the molecule was last seen; None where it is not known.
        stored: Frames of a session that are still to be read.
        nearest: Of each frame with a new mesh, as far as it was asked for, the first frame's point
            nearest to each vertex.
    """

    name: str
    atoms: Molecule
    coloring: Coloring
    smoothing: Smoothing = field(default_factory=Smoothing)
    planned: int = 1
    frames: list[Frame] = field(default_factory=list)
    attributes: dict[str, np.ndarray] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    mark: str = field(default_factory=new_mark)
    per_atom: dict[str, np.ndarray] = field(default_factory=dict)
    job: str = ""
    label: Label | None = None
    hold: Hold | None = None
    stored: StoredFrames | None = None
    nearest: dict[int, np.ndarray] = field(default_factory=dict)
    _shown: dict[int, tuple] = field(default_factory=dict)

    def add_attributes(self, arrays: dict[str, np.ndarray]) -> None:
        """Take values at the points of the first frame.

        Raises:
            BackendError: If they belong to other points.
        """
        count = len(self.frames[0].vertices) if self.frames else 0
        if any(len(values) != count for values in arrays.values()):
            raise BackendError(
                "the backend sent values of other points than the mesh's; restart it"
            )
        sent = len(self.atoms.chain_ids) or np.inf
        if "atom" in arrays and not 0 <= arrays["atom"].min() <= arrays["atom"].max() < sent:
            raise BackendError("the backend named atoms that it was not sent; restart it")
        self.attributes.update(arrays)

    def at_vertices(self, name: str, k: int) -> np.ndarray | None:
        """One attribute at the vertices of frame ``k``, from the nearest first-frame point.

        It was the nearest when the frame's mesh was new; its vertices keep it as they move.
        """
        values = self.attributes.get(name)
        first, frame = self.frames[0], self.frames[k]
        if values is None or frame.faces is first.faces:
            return values
        while self.frames[k - 1].faces is frame.faces:
            k -= 1
        if k not in self.nearest or len(self.nearest[k]) != len(frame.vertices):
            self.nearest[k] = nearest(self.frames[k].vertices, first.vertices)
        return values[self.nearest[k]]

    def make(self, k: int, _self: Any) -> MadeState:
        """Work out how frame ``k`` is to look now, without loading it."""
        frame = self.smoothing.smooth(self.frames, k)
        colors = self.coloring.colors(self, k, _self)
        floats = frame.layout.floats(frame.vertices, frame.normals, colors)
        return MadeState(frame=self.frames[k], key=self._key(k), floats=floats)

    def fits(self, made: MadeState | None, k: int) -> bool:
        """Whether frame ``k`` is still to look as it was worked out."""
        return made is not None and made.frame is self.frames[k] and made.key == self._key(k)

    def show(self, k: int, _self: Any, made: MadeState | None = None) -> None:
        """Load frame ``k`` as a state, in the present colours.

        Args:
            k: Which, from 0.
            _self: PyMOL.
            made: What :meth:`make` gave; worked out anew where it is out of date.
        """
        if made is None or not self.fits(made, k):
            made = self.make(k, _self)
        load_state(made.floats, self.name, k + 1, _self)
        if not self._shown:
            set_mark(self.name, self.mark, _self)
            self._lay_on(_self)
        self._shown[k] = made.key

    def _lay_on(self, _self: Any) -> None:
        """Place the new object on its molecule, which may have moved since it was sent."""
        if self.hold is None:
            place(self.name, placement(self.atoms, _self), _self)
            return
        place(self.name, self.hold.placement, _self)
        self.hold.lie(self.hold.placement)
        follow(self, _self)

    def show_as_it_is(self) -> None:
        """Take the one state that its object has for the first frame."""
        self._shown = {0: self.coloring.key(self)}

    def read_next(self) -> None:
        """Read the next frame that a session kept.

        Raises:
            BackendError: If it is damaged.
        """
        if self.stored is None:
            return
        try:
            arrays, layout, record = self.stored.read()
        except ValueError as error:
            raise BackendError(f"the next frame is damaged ({error})") from error
        last = self.frames[-1] if self.frames else None
        self.frames.append(Frame.read(arrays, last, layout, record))
        if not self.stored.left:
            self.stored = None

    @property
    def kept(self) -> int:
        """Frames that are there, those of a session that are still to be read too."""
        return len(self.stored.texts) if self.stored else len(self.frames)

    def copied(self, name: str, states: int) -> Surface:
        """The same for a copy of its object, made when it had so many states."""
        return replace(
            self,
            name=name,
            mark=new_mark(),
            frames=self.frames[:states],
            attributes=dict(self.attributes),
            hold=deepcopy(self.hold),
            stored=None,
            _shown={k: key for k, key in self._shown.items() if k < states},
            nearest={},
        )

    @property
    def states(self) -> int:
        """States that its object was given."""
        return len(self._shown)

    def outdated(self) -> list[int]:
        """Frames that are not shown, or not as they are to be now."""
        return [k for k in range(len(self.frames)) if self._shown.get(k) != self._key(k)]

    def _key(self, k: int) -> tuple:
        """What the drawing of frame ``k`` depends on, beside its data."""
        return (
            self.coloring.key(self), self.smoothing.passes,
            self.smoothing.neighbours(self.frames, k),
        )  # fmt: skip
