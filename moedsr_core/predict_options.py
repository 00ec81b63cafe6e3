"""What to predict and how, and where to compute it."""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch

from moedsr_core.choices import check_choice, check_number
from moedsr_core.errors import InputError
from moedsr_core.levelset.extract import MESHERS
from moedsr_core.model_field import LATENTS
from moedsr_core.surface.choice import SPACINGS, SURFACES

MAX_FRAMES = 2000
_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d{1,3})?")


@dataclass(frozen=True, kw_only=True)
class PredictOptions:
    """What to predict and how."""

    frames: int = 100
    """Frames of the movie, evenly spaced over the model's time; one is the input itself."""
    spacing: float = 0.7
    """Distance between the grid nodes that the surface is found on [Å]."""
    mesh: str = "tracked"
    """tracked keeps one topology as long as it can; marching_cubes meshes every frame anew."""
    seed: int = 0
    """Which motion is drawn, and which surface points the model sees."""
    latent: str = "sample"
    """Where the code of the motion comes from: typical, sample, mean or fit."""
    device: str = "auto"
    """Where the network runs: auto, cpu, mps, cuda or cuda:N."""
    model: str = "default"
    """Name of a model, or a folder with weights."""
    surface: str = "ses"
    """Whose surface the model's points are drawn from: ses, pymol or msms."""
    n_points: int = 2000
    """Surface points that the model sees."""

    def __post_init__(self) -> None:
        """Refuse values of the wrong kind or range."""
        check_number("frames", self.frames, 1, MAX_FRAMES, whole=True)
        check_number("spacing", self.spacing, *SPACINGS)
        check_number("seed", self.seed, 0, 2**63 - 1, whole=True)
        check_number("n_points", self.n_points, 100, 100_000, whole=True)
        check_choice("mesh", self.mesh, MESHERS)
        check_choice("latent", self.latent, LATENTS)
        check_choice("surface", self.surface, SURFACES)
        if not isinstance(self.model, str) or not self.model:
            raise InputError(f"model must be a name or a folder, got {self.model!r}")
        if not _DEVICE.fullmatch(str(self.device)):
            raise InputError(f"device must be auto, cpu, mps, cuda or cuda:N, got {self.device!r}")


def choose_device(name: str = "auto") -> torch.device:
    """Device of a name; ``auto`` is cuda, else mps, else cpu.

    Raises:
        InputError: If the name is unknown or there is no such device here.
    """
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next((kind for kind, here in present.items() if here), "cpu"))
    if not _DEVICE.fullmatch(name):
        raise InputError(f"device must be auto, cpu, mps, cuda or cuda:N, got {name!r}")
    device = torch.device(name)
    count = torch.cuda.device_count() if device.type == "cuda" else 1
    if not present.get(device.type, True) or (device.index or 0) >= count:
        raise InputError(f"there is no device {name} here; use device=auto or device=cpu")
    return device
