"""What a client may choose for a job, and what is refused."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, fields
from typing import Any

from moedsr_core.errors import InputError

KINDS = ("predict", "surface")
MESHES = ("tracked", "marching_cubes")
SURFACES = ("ses", "pymol", "msms")
LATENTS = ("zero", "mean", "fit")
MAX_FRAMES = 10_000
SPACING_RANGE = (0.1, 5.0)
"""Finest and coarsest mesh that makes sense [Å]: atoms are about 3 Å wide."""
_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d{1,3})?")
_MAX_TEXT = 1024
_TYPES: dict[str, tuple[type | tuple[type, ...], str]] = {
    "frames": (int, "a whole number"),
    "seed": (int, "a whole number"),
    "spacing": ((int, float), "a number"),
}
"""Types of the options that are not text, and what they are called."""
_MAX_SEED = 2**63 - 1


@dataclass(frozen=True, kw_only=True)
class JobOptions:
    """Choices for one job; where one is None the core's default holds."""

    kind: str = "predict"
    """``predict``: a moving surface; ``surface``: the surface of the input itself."""
    frames: int | None = None
    """Frames of the movie; a ``surface`` job always has one."""
    model: str | None = None
    """Name of the model."""
    spacing: float | None = None
    """Length of a mesh's edges [Å]."""
    mesh: str | None = None
    """How frames are meshed."""
    seed: int | None = None
    """Which motion is drawn; None is the typical one."""
    device: str | None = None
    """Where it is computed: auto, cpu, mps, cuda or cuda:N."""
    surface: str | None = None
    """Which surface of the input is meant."""
    latent: str | None = None
    """Where the latent code of an unseen protein comes from."""

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        _check_choice("kind", self.kind, KINDS)
        _check_choice("mesh", self.mesh, MESHES)
        _check_choice("surface", self.surface, SURFACES)
        _check_choice("latent", self.latent, LATENTS)
        _check_range("frames", self.frames, 1, MAX_FRAMES)
        _check_range("seed", self.seed, 0, _MAX_SEED)
        _check_range("spacing", self.spacing, *SPACING_RANGE)
        if self.model is not None and not 0 < len(self.model.replace("\0", "")) <= _MAX_TEXT:
            raise InputError(f"model must be a name, got {_shown(self.model)}")
        if self.device is not None and not _DEVICE.fullmatch(self.device):
            raise InputError(
                f"device must be auto, cpu, mps, cuda or cuda:N, got {_shown(self.device)}"
            )

    def given(self) -> dict[str, Any]:
        """Options that were chosen, without the kind of the job."""
        chosen = {name: value for name, value in asdict(self).items() if value is not None}
        del chosen["kind"]
        return chosen


def read_options(text: str) -> JobOptions:
    """Read the options of a request.

    Args:
        text: A JSON object; ``null`` stands for the core's default.

    Raises:
        InputError: If it is anything else, names an unknown option, or a value is refused.
    """
    try:
        values = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise InputError(f"options must be a JSON object, got text that is not: {error}") from error
    if not isinstance(values, dict):
        raise InputError(f"options must be a JSON object, got a {type(values).__name__}")
    known = [field.name for field in fields(JobOptions)]
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise InputError(f"unknown option {_shown(unknown[0])}; choose from {', '.join(known)}")
    given = {name: value for name, value in values.items() if value is not None}
    for name, value in given.items():
        _check_type(name, value)
    return JobOptions(**given)


def _refuse_constant(name: str) -> float:
    raise InputError(f"options must hold finite numbers, got {name}")


def _check_type(name: str, value: object) -> None:
    types, meant = _TYPES.get(name, (str, "text"))
    if isinstance(value, bool) or not isinstance(value, types):
        raise InputError(f"{name} must be {meant}, got {_shown(value)}")


def _check_choice(name: str, value: str | None, choices: tuple[str, ...]) -> None:
    if value is not None and value not in choices:
        raise InputError(f"{name} must be one of {', '.join(choices)}, got {_shown(value)}")


def _check_range(name: str, value: float | None, low: float, high: float) -> None:
    if value is not None and not low <= value <= high:
        raise InputError(f"{name} must be from {low} to {high}, got {_shown(value)}")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:40] + "…"
