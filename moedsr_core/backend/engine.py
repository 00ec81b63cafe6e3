"""The join between the jobs and the science."""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict
from collections.abc import Callable, Generator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from scipy.spatial import cKDTree

from moedsr_core.backend.options import JobOptions
from moedsr_core.devices import choose_device
from moedsr_core.errors import CancelledError, InputError
from moedsr_core.mesh_trajectory import Frame
from moedsr_core.models.config import config_to_dict
from moedsr_core.models.registry import (
    DEFAULT_MODEL,
    LoadedModel,
    ModelInfo,
    available_models,
    load_model,
)
from moedsr_core.predict import Prediction, PredictOptions, surface_mesh
from moedsr_core.structure import Structure, polymer_heavy_atoms
from moedsr_core.surface.mesh import Mesh

MAX_THREADS = 16
"""More threads than this cost more than they bring for networks of this width."""
WARM_MB = 1000.0
"""Size of the models that are kept in memory between jobs [MB]; one is kept whatever its size."""
_CARD = "MODEL_CARD.md"

OnProgress = Callable[[str, int], None]
ShouldStop = Callable[[], bool]


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something the engine has finished."""

    kind: Literal["frame", "attributes", "summary"]
    """What it is; see the stream of the protocol."""
    data: Mapping[str, Any]
    """Arrays by name, or the entries of the summary."""


class CoreEngine:
    """Runs jobs with :mod:`moedsr_core.predict`; keeps the last models warm between jobs.

    Args:
        device: Where jobs are computed unless they choose another place.

    Raises:
        InputError: If there is no such device.
    """

    def __init__(self, device: str = "auto") -> None:
        self._device = _full_name(choose_device(device))
        self._warm: OrderedDict[object, LoadedModel] = OrderedDict()

    def device(self) -> str:
        """Where jobs are computed unless they choose another place."""
        return self._device

    def devices(self) -> list[str]:
        """All devices of that kind which are here."""
        kind = self._device.partition(":")[0]
        return [f"cuda:{k}" for k in range(torch.cuda.device_count())] if kind == "cuda" else [kind]

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
                "card": f"/v1/models/{info.name}/card" if _card(info) else None,
            }
            for info in available_models()
        ]

    def digests(self) -> dict[str, str]:
        """Hash of the files of every model."""
        return {info.name: digest(info.folder) for info in available_models()}

    def cards(self) -> dict[str, str]:
        """Text of every model card."""
        cards = {info.name: _card(info) for info in available_models()}
        return {name: text for name, text in cards.items() if text}

    def warm_up(self) -> None:
        """Settle the number of threads that the calling thread computes with."""
        torch.set_num_threads(_thread_count())

    def resolve(self, kind: str, options: Mapping[str, Any]) -> dict[str, Any]:
        """What is computed of options: all of them, where, and with which files.

        Args:
            kind: ``predict`` or ``surface``.
            options: Those of the science; the defaults hold where one is absent.

        Raises:
            InputError: If one is out of range, unknown, or asks for what is not here.
        """
        asked = PredictOptions(**options)
        device = self._device if asked.device == "auto" else _full_name(choose_device(asked.device))
        resolved: dict[str, Any] = {"options": asdict(asked), "device": device, "digest": ""}
        if kind == "predict":
            name = DEFAULT_MODEL if asked.model == "default" else asked.model
            resolved["options"]["model"] = name
            resolved["digest"] = digest(_folder(name))
        return resolved

    def __call__(
        self,
        structure: Structure,
        options: JobOptions,
        on_progress: OnProgress,
        should_stop: ShouldStop,
    ) -> Generator[Event, None, None]:
        """Compute one job.

        Args:
            structure: The input.
            options: What to compute.
            on_progress: Called where a stage begins, with the frames that there will be.
            should_stop: Asked often; once it is true this ends with CancelledError.
        """
        make = _KINDS[options.kind]
        yield from make(self, structure, options.full(self._device), on_progress, should_stop)

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
        loaded = self._model(options)
        prediction = Prediction(structure, options, loaded)
        for k, frame in enumerate(prediction.frames(tell, should_stop)):
            yield _frame_event(frame)
            if k == 0:
                yield Event(kind="attributes", data=prediction.first_attributes())
        yield Event(kind="attributes", data=prediction.motion())
        time = config_to_dict(loaded.info.time)
        summary = {**prediction.summary(), "time": time, "last_time": prediction.last_time}
        yield Event(kind="summary", data=summary)

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
        """The model asked for; read again only if its files changed or others took its place."""
        key = (options.model, options.device, _stamp(_folder(options.model)))
        if key not in self._warm:
            self._make_room(options)
            self._warm[key] = load_model(options.model, choose_device(options.device))
        self._warm.move_to_end(key)
        return self._warm[key]

    def _make_room(self, options: PredictOptions) -> None:
        """Forget models, the longest unused first, so that the next one finds memory."""
        size = sum(file.stat().st_size for file in _folder(options.model).glob("model.*")) / 1e6
        while self._warm and size + sum(m.info.size_mb for m in self._warm.values()) > WARM_MB:
            self._warm.popitem(last=False)


_KINDS: dict[str, Callable[..., Generator[Event, None, None]]] = {
    "predict": CoreEngine._predict,
    "surface": CoreEngine._surface,
}


def digest(folder: Path) -> str:
    """Hash of all that a model is made of."""
    total = hashlib.sha256()
    for file in _files(folder):
        total.update(file.name.encode() + b"\0")
        with file.open("rb") as content:
            while block := content.read(1 << 20):
                total.update(block)
    return total.hexdigest()


def _folder(model: str) -> Path:
    """Folder of a model that is asked for by name or by folder.

    Raises:
        InputError: If there is none.
    """
    known = {info.name: info.folder for info in available_models()}
    folder = known.get(DEFAULT_MODEL if model == "default" else model, Path(model))
    if not folder.is_dir():
        raise InputError(
            f"unknown model {model!r}; choose from {sorted(known)} or give a folder with weights"
        )
    return folder


def _files(folder: Path) -> list[Path]:
    return sorted([*folder.glob("model.*"), *folder.glob("*.safetensors")])


def _stamp(folder: Path) -> tuple[int, ...]:
    """What changes when the files of a model do."""
    files = _files(folder)
    return tuple(n for file in files for n in (file.stat().st_mtime_ns, file.stat().st_size))


def _card(info: ModelInfo) -> str:
    try:
        return (info.folder / _CARD).read_text(encoding="utf-8")
    except OSError:
        return ""


def _full_name(device: torch.device) -> str:
    return f"cuda:{device.index or 0}" if device.type == "cuda" else device.type


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


def _thread_count() -> int:
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    if wanted.isdecimal():
        return max(int(wanted), 1)
    usable = getattr(os, "sched_getaffinity", None)  # Linux only
    cores = len(usable(0)) if usable else os.cpu_count() or 1
    return min(cores, MAX_THREADS)
