"""The join between the jobs and the science."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.spatial import cKDTree

from moedsr_core.backend.jobs import Event
from moedsr_core.backend.options import JobOptions
from moedsr_core.errors import CancelledError
from moedsr_core.mesh_trajectory import Frame
from moedsr_core.models.registry import LoadedModel, available_models, load_model
from moedsr_core.predict import Prediction, PredictOptions, choose_device, surface_mesh
from moedsr_core.structure import Structure, polymer_heavy_atoms
from moedsr_core.surface.mesh import Mesh

MAX_THREADS = 16
"""More threads than this cost more than they bring for networks of this width."""

OnProgress = Callable[[str, int], None]
ShouldStop = Callable[[], bool]


class CoreEngine:
    """Runs jobs with :mod:`moedsr_core.predict`; keeps the last model warm between jobs.

    Args:
        device: Where jobs are computed unless they choose another place.

    Raises:
        InputError: If there is no such device.
    """

    def __init__(self, device: str = "auto") -> None:
        self._device = str(choose_device(device))
        self._warm: tuple[object, LoadedModel] | None = None

    def device(self) -> str:
        """Where jobs are computed unless they choose another place."""
        return self._device

    def models(self) -> list[dict[str, Any]]:
        """Entries of ``GET /v1/models``."""
        return [
            {
                "name": info.name,
                "summary": info.summary,
                "default": info.is_default,
                "experts": info.experts,
                "size_mb": round(info.size_mb, 3),
                "span_ps": info.time.span_ps,
            }
            for info in available_models()
        ]

    def warm_up(self) -> None:
        """Settle the number of threads that the calling thread computes with."""
        torch.set_num_threads(_thread_count())

    def check(self, options: JobOptions) -> None:
        """Refuse values that the science does not take.

        Raises:
            InputError: If one is out of range, unknown, or asks for an absent device.
        """
        choose_device(self._full(options).device)

    def __call__(
        self,
        structure: Structure,
        options: JobOptions,
        on_progress: OnProgress,
        should_stop: ShouldStop,
    ) -> Generator[Event, None, None]:
        """Compute one job; see :data:`moedsr_core.backend.jobs.Engine`."""
        make = _KINDS[options.kind]
        yield from make(self, structure, self._full(options), on_progress, should_stop)

    def _full(self, options: JobOptions) -> PredictOptions:
        """The science's options: its defaults where none were chosen."""
        chosen = options.given()
        if chosen.get("device", "auto") == "auto":
            chosen["device"] = self._device
        return PredictOptions(**chosen)

    def _predict(
        self,
        structure: Structure,
        options: PredictOptions,
        on_progress: OnProgress,
        should_stop: ShouldStop,
    ) -> Generator[Event, None, None]:
        def tell(stage: str, done: int) -> None:
            on_progress(stage, options.frames)

        tell("reading the model", 0)
        prediction = Prediction(structure, options, self._model(options))
        for k, frame in enumerate(prediction.frames(tell, should_stop)):
            yield _frame_event(frame)
            if k == 0:
                yield Event(kind="attributes", data=prediction.first_attributes())
        yield Event(kind="attributes", data=prediction.motion())
        yield Event(kind="summary", data=prediction.summary())

    def _surface(
        self,
        structure: Structure,
        options: PredictOptions,
        on_progress: OnProgress,
        should_stop: ShouldStop,
    ) -> Generator[Event, None, None]:
        on_progress("measuring the surface", 1)
        atoms = polymer_heavy_atoms(structure)
        mesh = surface_mesh(atoms, options.surface, options.spacing)
        if should_stop():
            raise CancelledError("the surface was stopped on request")
        still = np.zeros(len(mesh.vertices), np.float32)
        yield _frame_event(Frame(mesh.vertices, mesh.faces, mesh.normals, still))
        yield Event(kind="attributes", data={"atom": _nearest_atoms(mesh, atoms, structure)})
        yield Event(kind="summary", data=_surface_summary(mesh, options.surface))

    def _model(self, options: PredictOptions) -> LoadedModel:
        """The model asked for; read again only if it is another one or its files changed."""
        key = (options.model, options.device, _stamp(options.model))
        if self._warm is None or self._warm[0] != key:
            self._warm = None  # two large models need not fit into memory
            self._warm = (key, load_model(options.model, choose_device(options.device)))
        return self._warm[1]


_KINDS: dict[str, Callable[..., Generator[Event, None, None]]] = {
    "predict": CoreEngine._predict,
    "surface": CoreEngine._surface,
}


def _frame_event(frame: Frame) -> Event:
    names = ("vertices", "normals", "faces", "displacement")
    return Event(kind="frame", data={name: getattr(frame, name) for name in names})


def _nearest_atoms(mesh: Mesh, atoms: Structure, structure: Structure) -> np.ndarray:
    """Index into the input's atoms of the enclosed atom nearest to each vertex."""
    enclosed = cKDTree(structure.coords).query(atoms.coords)[1]
    return enclosed[cKDTree(atoms.coords).query(mesh.vertices)[1]]


def _surface_summary(mesh: Mesh, kind: str) -> dict[str, Any]:
    return {
        "frames": 1,
        "vertices": len(mesh.vertices),
        "faces": len(mesh.faces),
        "area": round(mesh.area, 3),
        "volume": round(mesh.volume, 3),
        "surface": kind,
    }


def _stamp(model: str) -> tuple[int, ...]:
    """What changes when the files of a model do."""
    folders = {info.name: info.folder for info in available_models() if info.name == model}
    files = sorted(folders.get(model, Path(model)).glob("model.*"))
    return tuple(n for file in files for n in (file.stat().st_mtime_ns, file.stat().st_size))


def _thread_count() -> int:
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    if wanted.isdecimal():
        return max(int(wanted), 1)
    usable = getattr(os, "sched_getaffinity", None)  # Linux only
    cores = len(usable(0)) if usable else os.cpu_count() or 1
    return min(cores, MAX_THREADS)
