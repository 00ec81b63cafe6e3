"""Which models there are, and how weights are found, checked and loaded."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

import moedsr_core
from moedsr_core.errors import CheckpointError, InputError
from moedsr_core.files import whole_folder
from moedsr_core.frame import TimeMap
from moedsr_core.models.anchored import AnchoredMoEDSR
from moedsr_core.models.anchored_config import AnchoredConfig
from moedsr_core.models.base import SurfaceModel
from moedsr_core.models.codes import read_codes
from moedsr_core.models.config import config_from_dict, config_to_dict
from moedsr_core.models.dsr import DSR, DSRConfig
from moedsr_core.models.moedsr import MoEDSR, MoEDSRConfig
from moedsr_core.wording import reason

ARCHITECTURES: dict[str, tuple[type[SurfaceModel], type]] = {
    "moedsr-anchored": (AnchoredMoEDSR, AnchoredConfig),
    "moedsr": (MoEDSR, MoEDSRConfig),
    "dsr": (DSR, DSRConfig),
}
"""Model class and configuration class of every architecture."""

DEFAULT_MODEL = "anchored"
"""Name of the weights that are used when none is asked for."""
_FORMAT = 1
_FILES = ("model.json", "model.safetensors")
_ASKED = (
    "give the folder `weights` of a run, `best/weights` of one that was stopped, or a name that "
    "`moedsr models` lists"
)


@dataclass(frozen=True)
class ModelInfo:
    """A set of weights that can be loaded.

    Attributes:
        name: What to ask for it by.
        architecture: Key of :data:`ARCHITECTURES`.
        summary: One line.
        folder: Where ``model.safetensors`` and ``model.json`` lie.
        experts: Number of experts.
        size_mb: Size of the weights [MB].
        time: The model's time axis.
    """

    name: str
    architecture: str
    summary: str
    folder: Path
    experts: int
    size_mb: float
    time: TimeMap

    @property
    def is_default(self) -> bool:
        """Whether this is what one gets without asking."""
        return self.name == DEFAULT_MODEL


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to predict.

    Attributes:
        model: In evaluation mode, on its device.
        info: Where it came from.
        scale: Length of one unit of Ω [Å] it was trained at; None where it is fitted to each
            protein.
    """

    model: SurfaceModel
    info: ModelInfo
    scale: float | None

    @property
    def time_map(self) -> TimeMap:
        """The model's time axis."""
        return self.info.time


def available_models() -> list[ModelInfo]:
    """Weights that come with the package, the default first."""
    folder = Path(moedsr_core.__file__).parent / "weights"
    found = [_read_info(path.parent)[0] for path in sorted(folder.glob("*/model.json"))]
    return sorted(found, key=lambda info: (not info.is_default, info.name))


def load_model(name: str | Path = "default", device: str | torch.device = "cpu") -> LoadedModel:
    """Load weights by name, or from a folder that :func:`save_model` wrote.

    Args:
        name: ``"default"``, a name from :func:`available_models`, or a folder.
        device: Where to put the model.

    Raises:
        InputError: If there are no weights of that name.
        CheckpointError: If the files are damaged, foreign, or do not fit together.
    """
    name = DEFAULT_MODEL if str(name) == "default" else str(name)
    known = {info.name: info.folder for info in available_models()}
    folder = known.get(name, Path(name))
    if not folder.is_dir():
        raise InputError(
            f"unknown model {name!r}; choose from {sorted(known)} or give a folder with weights"
        )
    info, data = _read_info(folder)
    model = _build(info, data)
    try:
        model.load_state_dict(load_file(folder / "model.safetensors"))
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"the weights in {folder} cannot be read ({reason(error)}); install or copy them again"
        ) from error
    except RuntimeError as error:
        raise CheckpointError(
            f"the weights in {folder} do not fit their configuration; they are of another model "
            f"({reason(error)})"
        ) from error
    if not all(torch.isfinite(tensor).all() for tensor in model.state_dict().values()):
        raise CheckpointError(f"the weights in {folder} hold NaN or infinity; copy them again")
    codes = read_codes(folder)
    if codes:
        model.mean_code = torch.stack(list(codes.values())).mean(dim=0).to(device)
    return LoadedModel(model.to(device).eval(), info, data["scale"])


def save_model(
    folder: Path,
    model: SurfaceModel,
    *,
    architecture: str,
    summary: str,
    time: TimeMap,
    scale: float | None = None,
) -> None:
    """Write a model as ``model.safetensors`` and ``model.json``, both or neither.

    Raises:
        InputError: If the disk is full, or the place cannot be written to.
    """
    tensors = {name: t.detach().cpu().contiguous() for name, t in model.state_dict().items()}
    description = {
        "format": _FORMAT,
        "architecture": architecture,
        "summary": summary,
        "time": config_to_dict(time),
        "scale": scale,
        "config": config_to_dict(model.config),
    }
    with whole_folder(folder) as draft:
        save_file(tensors, draft / "model.safetensors")
        (draft / "model.json").write_text(json.dumps(description, indent=1), encoding="utf-8")


def _build(info: ModelInfo, data: dict[str, Any]) -> SurfaceModel:
    model_class, config_class = ARCHITECTURES[info.architecture]
    try:
        return model_class(config_from_dict(config_class, data["config"]))
    except InputError as error:
        raise CheckpointError(f"{info.folder} holds a model that cannot be: {error}") from error
    except (MemoryError, RuntimeError) as error:
        raise CheckpointError(
            f"{info.folder} holds a model that is too large for this computer ({reason(error)}); "
            "check its model.json"
        ) from error


def _read_info(folder: Path) -> tuple[ModelInfo, dict[str, Any]]:
    missing = [name for name in _FILES if not (folder / name).is_file()]
    if missing:
        raise CheckpointError(
            f"{folder} does not hold a moedsr model: it lacks {' and '.join(missing)}; {_ASKED}"
        )
    try:
        data = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        size = (folder / "model.safetensors").stat().st_size
        if data["format"] != _FORMAT:
            raise CheckpointError(
                f"the weights in {folder} are of format {data['format']}, this version of moedsr "
                f"reads format {_FORMAT}; install a matching version"
            )
        config = data["config"]
        info = ModelInfo(
            name=folder.name,
            architecture=str(data["architecture"]),
            summary=data["summary"],
            folder=folder,
            experts=int(config.get("n_experts", 1)),
            size_mb=size / 1e6,
            time=config_from_dict(TimeMap, data["time"]),
        )
        data["scale"] = None if data.get("scale") is None else float(data["scale"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(
            f"{folder} does not hold a moedsr model ({reason(error)}); {_ASKED}"
        ) from error
    if info.architecture not in ARCHITECTURES:
        raise CheckpointError(
            f"{folder} is of the unknown architecture {info.architecture!r}; this version knows "
            f"{sorted(ARCHITECTURES)}"
        )
    return info, data
