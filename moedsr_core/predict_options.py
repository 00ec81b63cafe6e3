"""What to predict and how; read without torch, so that a server can judge options by it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from moedsr_core.choices import LEVELS, SPACINGS, check_choice, check_number
from moedsr_core.errors import InputError

MAX_FRAMES = 2000
DURATIONS_PS = (1e-3, 1e9)
"""Shortest and longest movie that can be asked for [ps]; a model may reach less far."""
MESHES = ("tracked", "marching_cubes")
"""Names of :data:`levelset.extract.MESHERS`."""
LATENTS = ("typical", "sample", "mean", "fit")
"""Names of :data:`model_field.LATENTS`."""
SURFACES = ("ses", "pymol", "msms")
"""Names of :data:`surface.choice.SURFACES`."""
DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d{1,3})?")


@dataclass(frozen=True, kw_only=True)
class PredictOptions:
    """What to predict and how."""

    frames: int = 100
    """Frames of the movie, evenly spaced over the model's time; one is the input itself."""
    duration_ps: float | None = None
    """Time of the last frame after the input [ps]; by default as far as the model reaches."""
    spacing: float = 0.7
    """Distance between the grid nodes that the surface is found on [Å]."""
    level: float = 0.0
    """Signed distance of what is shown from the molecule's surface [Å], positive outside; 1.4 is
    the surface that waters' centres reach."""
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
        if self.duration_ps is not None:
            check_number("duration_ps", self.duration_ps, *DURATIONS_PS)
        check_number("spacing", self.spacing, *SPACINGS)
        check_number("level", self.level, *LEVELS)
        check_number("seed", self.seed, 0, 2**63 - 1, whole=True)
        check_number("n_points", self.n_points, 100, 100_000, whole=True)
        check_choice("mesh", self.mesh, MESHES)
        check_choice("latent", self.latent, LATENTS)
        check_choice("surface", self.surface, SURFACES)
        if not isinstance(self.model, str) or not self.model:
            raise InputError(f"model must be a name or a folder, got {self.model!r}")
        if not DEVICE.fullmatch(str(self.device)):
            raise InputError(f"device must be auto, cpu, mps, cuda or cuda:N, got {self.device!r}")
