"""From a structure to a moving surface, frame by frame."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.spatial import cKDTree

import moedsr_core
from moedsr_core.ahead import ahead
from moedsr_core.device_memory import memory_errors
from moedsr_core.devices import choose_device
from moedsr_core.errors import CancelledError, InputError
from moedsr_core.frame import CanonicalFrame
from moedsr_core.levelset import Field, LevelSetConfig, LevelSetExtractor
from moedsr_core.mesh_trajectory import Frame, MeshTrajectory
from moedsr_core.model_field import (
    ModelField,
    SurfaceField,
    check_latent,
    latent_path,
    on_device,
)
from moedsr_core.models.base import ProteinCode
from moedsr_core.models.inputs import PosedStructure
from moedsr_core.models.registry import LoadedModel, load_model
from moedsr_core.predict_options import PredictOptions
from moedsr_core.structure import Structure, check_complete, polymer_heavy_atoms
from moedsr_core.surface.choice import surface_mesh
from moedsr_core.surface.mesh import Mesh
from moedsr_core.surface.parts import SMALLEST_PART

__all__ = [
    "PredictOptions",
    "Prediction",
    "choose_device",
    "predict",
    "predict_frames",
    "surface_mesh",
]

BOX_MARGIN = 6.0
"""Free space between the outermost atom centres and the box that is searched [Å]: atom radius and
room to move; the margin of Ω (:data:`frame.OMEGA_MARGIN`)."""
PREPARED_AHEAD = 2.5
"""Nodes this near to the first surface are prepared for all frames at once [Å]: in a movie of a
hundred frames nine in ten of them are needed sooner or later."""
Progress = Callable[[str, int], None]
"""Called with the stage that begins and the number of frames done."""


class Prediction:
    """The moving surface of one structure; frames are computed as they are asked for.

    Args:
        structure: The input P₀; its polymer's heavy atoms are enclosed.
        options: What to predict and how.
        loaded: A model that is already in memory, in place of ``options.model``.

    Raises:
        InputError: If the device is absent, or the structure holds no polymer, or one that is not
            whole (:func:`structure.check_complete`).
    """

    def __init__(
        self, structure: Structure, options: PredictOptions, loaded: LoadedModel | None = None
    ) -> None:
        self.options = options
        self.device = choose_device(options.device)
        self._structure = structure
        self._atoms = polymer_heavy_atoms(structure)
        check_complete(self._atoms)
        self._loaded = loaded
        self._started = 0.0
        self._first: Float[np.ndarray, "first 3"] | None = None
        self._signal: list[Float[np.ndarray, " first"]] = []
        self._summary: dict[str, Any] = {}
        self._code: ProteinCode | None = None
        self._drawn_from: Mesh | None = None

    @property
    def times(self) -> Float[np.ndarray, " frames"]:
        """Model time of each frame."""
        return np.linspace(-1.0, self.last_time, self.options.frames)

    @property
    def last_time(self) -> float:
        """Model time of the last frame; 1 unless a duration was asked for.

        Raises:
            InputError: If the model does not reach so far, or has no physical time.
        """
        if self.options.duration_ps is None:
            return 1.0
        return self._model().time_map.last_t(self.options.duration_ps)

    @property
    def lags_ps(self) -> Float[np.ndarray, " frames"] | None:
        """Time after the input structure [ps]; None where the model knows none."""
        return self._model().time_map.to_ps(self.times)

    def frames(
        self,
        on_progress: Progress | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> Iterator[Frame]:
        """Compute the frames one by one; memory does not grow with their number.

        Args:
            on_progress: Told where a stage begins and a frame is done.
            should_stop: Asked often, also by a thread that computes the next frame.

        Raises:
            InputError: If the model cannot be read or makes no surface in the box.
            CancelledError: As soon as ``should_stop`` says so.
            MoedsrError: If the device's memory does not hold it, however small the batches.
        """
        with memory_errors(self.device):
            yield from self._frames(on_progress, should_stop)

    def _frames(
        self, on_progress: Progress | None, should_stop: Callable[[], bool] | None
    ) -> Iterator[Frame]:
        abandoned = threading.Event()

        def pause() -> None:
            if abandoned.is_set() or (should_stop is not None and should_stop()):
                raise CancelledError("the prediction was stopped on request")

        self._tell, self._pause = on_progress or (lambda stage, done: None), pause
        self._abandon = abandoned.set
        self._started, self._first, self._signal = time.perf_counter(), None, []
        self._tell("reading the model", 0)
        check_latent(self.options.latent, self._model().model)
        self.last_time  # noqa: B018  so that one out of the model's reach is refused at once
        pause()
        self._tell("measuring the surface", 0)
        self._posed = PosedStructure.of(self._atoms, self._model().scale)
        self._drawn_from = None
        if self.options.surface != "ses":
            self._drawn_from = surface_mesh(self._posed.structure, self.options.surface)
        pause()
        for done, frame in enumerate(self._mesh()):
            yield frame
            self._tell("computing frames", done + 1)
            pause()

    def first_attributes(self) -> dict[str, np.ndarray]:
        """``atom`` and ``expert`` of every vertex of the first frame; from the first frame on."""
        x = self._first_vertices()
        return {"atom": self._nearest_atom(x), "expert": self._expert_shares(x)}

    def motion(self) -> dict[str, np.ndarray]:
        """``fluctuation`` and ``mean_displacement`` [Å] of the first frame's vertices so far."""
        self._first_vertices()
        signal = np.stack(self._signal)
        return {
            "fluctuation": signal.std(axis=0),
            "mean_displacement": -signal.mean(axis=0),
        }

    def summary(self) -> dict[str, Any]:
        """What was computed so far and at what cost."""
        return dict(self._summary)

    def _model(self) -> LoadedModel:
        if self._loaded is None:
            self._loaded = load_model(self.options.model, self.device)
        return self._loaded

    def _encoded(self) -> ProteinCode:
        """The protein as the model sees it; made when first needed."""
        if self._code is None:
            options, model = self.options, self._model().model
            self._tell("encoding the protein", len(self._signal))
            protein = self._posed.described(options.n_points, options.seed, self._drawn_from)
            self._pause()
            with torch.no_grad():
                self._code = model.encode(on_device(protein, self.device))
        return self._code

    def _field(self) -> ModelField:
        model, options, code = self._model().model, self.options, self._encoded()
        path = latent_path(options.latent, model, code, options.frames, options.seed)
        return ModelField(model, code, self.times, path, self._pause)

    def _extractor(self, field: Field) -> LevelSetExtractor:
        """What meshes a field in the box around the atoms."""
        atoms, level = self._posed.structure.coords, self.options.level
        margin = BOX_MARGIN + max(level, 0.0)
        box = (atoms.min(axis=0) - margin, atoms.max(axis=0) + margin)
        config = LevelSetConfig(smallest_part=SMALLEST_PART)
        return LevelSetExtractor(field, box, self.options.spacing, level=level, config=config)

    def _mesh(self) -> Iterator[Frame]:
        """Frames in the input's pose.

        A model that starts at the surface says nothing of the first frame that is not known
        without it, so that frame comes before the protein is encoded. It is laid onto the exact
        surface, by which its volume grows; later frames are raised by as much in the mean, or
        they would all seem to have shrunk.
        """
        level = self.options.level
        exact = self._posed.surface if self._model().model.starts_at_surface else None
        field = SurfaceField(exact) if exact else self._field()
        extractor = self._extractor(field)
        self._tell("computing frames", 0)
        mesh, lift = next(extractor.frames(self.times[:1], self.options.mesh)), 0.0
        if exact is not None:
            cut, mesh = mesh, exact.fit(mesh.vertices.astype(np.float64), mesh.faces, level)
            lift = (mesh.volume - cut.volume) / cut.area
        first, start = mesh.vertices.astype(np.float64), extractor.keep()
        self._first = first

        def finished(mesh: Mesh, signal: Float[np.ndarray, " first"]) -> Frame:
            self._signal.append(signal)
            vertices = mesh.vertices.astype(np.float64)
            displacement = (
                exact.signed_distance(vertices) - level if exact else start.sample(vertices)[0]
            )
            self._note(mesh, field, extractor)
            return _in_input_pose(mesh, displacement.astype(np.float32), self._posed.frame)

        yield finished(mesh, extractor.sample(first))
        if self.options.frames == 1:
            return
        if exact is not None:
            field = self._field()
            self._tell("computing frames", 1)
            extractor.go_on(field, PREPARED_AHEAD)
        overlap = partial(ahead, pause=self._pause, abandon=self._abandon)
        left = max(torch.get_num_threads() - 2, 1)
        located = partial(overlap, threads=left)
        meshes = extractor.frames(self.times[1:], self.options.mesh, located)
        for mesh, signal in overlap((mesh, extractor.sample(first)) for mesh in meshes):
            yield finished(_lifted(mesh, lift), signal)

    def _note(self, mesh: Mesh, field: Field, extractor: LevelSetExtractor) -> None:
        seconds = time.perf_counter() - self._started
        if len(self._signal) == 1:
            self._summary = {"seconds_to_first_frame": round(seconds, 3)}
        self._summary |= {
            "frames": len(self._signal),
            "vertices": len(mesh.vertices),
            "faces": len(mesh.faces),
            "topologies": extractor.remeshed + 1,
            "seconds": round(seconds, 3),
            "network_evaluations": field.evaluations,
            "nodes_prepared": extractor.nodes_prepared,
            "share_of_dense": round(extractor.share_of_dense, 5),
            "device": str(self.device),
            "model": self._model().info.name,
            "atoms": len(self._atoms),
            "residues": self._atoms.n_residues,
        }

    def _first_vertices(self) -> Float[np.ndarray, "first 3"]:
        if self._first is None:
            raise InputError("attributes are known from the first frame on; ask for a frame first")
        return self._first

    def _nearest_atom(self, x: Float[np.ndarray, "first 3"]) -> Int[np.ndarray, " first"]:
        """Index into the input's atoms, of those that the surface encloses."""
        enclosed = cKDTree(self._structure.coords).query(self._atoms.coords)[1]
        nearest = cKDTree(self._posed.structure.coords).query(x)[1]
        return enclosed[nearest].astype(np.int32)

    @torch.no_grad()
    def _expert_shares(self, x: Float[np.ndarray, "first 3"]) -> Float[np.ndarray, "first experts"]:
        code = self._encoded()
        points = torch.as_tensor(x / code.protein.scale).to(code.protein.points)
        shares = self._model().model.expert_shares(code, points)
        return shares.float().cpu().numpy().copy()


def _lifted(mesh: Mesh, lift: float) -> Mesh:
    """A mesh raised along its normals [Å], with the same ``faces``."""
    return replace(mesh, vertices=(mesh.vertices + lift * mesh.normals).astype(np.float32))


def _in_input_pose(
    mesh: Mesh, displacement: Float[np.ndarray, " vertices"], pose: CanonicalFrame
) -> Frame:
    return Frame(
        vertices=pose.to_input(mesh.vertices).astype(np.float32),
        faces=mesh.faces,
        normals=pose.vectors_to_input(mesh.normals).astype(np.float32),
        displacement=displacement,
    )


def predict_frames(
    structure: Structure,
    options: PredictOptions,
    *,
    on_progress: Progress | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Iterator[Frame]:
    """Frames of a structure's moving surface, as they are ready (:class:`Prediction`)."""
    return Prediction(structure, options).frames(on_progress, should_stop)


def predict(
    structure: Structure,
    options: PredictOptions | None = None,
    *,
    loaded: LoadedModel | None = None,
    on_progress: Progress | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> MeshTrajectory:
    """All frames of a structure's moving surface (:class:`Prediction`)."""
    prediction = Prediction(structure, options or PredictOptions(), loaded)
    frames = tuple(prediction.frames(on_progress, should_stop))
    return MeshTrajectory(
        frames=frames,
        times=prediction.times,
        lags_ps=prediction.lags_ps,
        metadata={
            "program": "moedsr",
            "version": moedsr_core.__version__,
            "options": asdict(prediction.options),
            **prediction.summary(),
        },
        **prediction.first_attributes(),
        **prediction.motion(),
    )
