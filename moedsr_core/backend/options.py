"""What a client may choose for a job, and what is refused."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Any

from moedsr_core.errors import InputError
from moedsr_core.predict_options import PredictOptions

KINDS = ("predict", "surface")
"""What a job can be."""
_MAX_TEXT = 1024
_TYPES: dict[str, tuple[type | tuple[type, ...], str]] = {
    "frames": (int, "a whole number"),
    "seed": (int, "a whole number"),
    "duration_ps": ((int, float), "a number"),
    "spacing": ((int, float), "a number"),
    "level": ((int, float), "a number"),
}
"""Types of the options that are not text, and what they are called."""


@dataclass(frozen=True, kw_only=True)
class JobOptions:
    """Choices for one job; where one is None the core's default holds."""

    kind: str = "predict"
    """``predict``: a moving surface; ``surface``: the surface of the input itself."""
    frames: int | None = None
    """Frames of the movie; a ``surface`` job always has one."""
    duration_ps: float | None = None
    """Time of the last frame [ps]."""
    model: str | None = None
    """Name of the model."""
    spacing: float | None = None
    """Length of a mesh's edges [Å]."""
    level: float | None = None
    """Signed distance of what is shown from the surface [Å]."""
    mesh: str | None = None
    """How frames are meshed."""
    seed: int | None = None
    """Which motion is drawn."""
    device: str | None = None
    """Where it is computed: auto, cpu, mps, cuda or cuda:N."""
    surface: str | None = None
    """Which surface of the input is meant."""
    latent: str | None = None
    """Where the latent code of an unseen protein comes from."""

    def __post_init__(self) -> None:
        """Refuse unknown kinds; the other values are judged where they are used."""
        if self.kind not in KINDS:
            raise InputError(f"kind must be one of {', '.join(KINDS)}, got {_shown(self.kind)}")

    def given(self) -> dict[str, Any]:
        """Options that were chosen, without the kind of the job."""
        chosen = {name: value for name, value in asdict(self).items() if value is not None}
        del chosen["kind"]
        return chosen

    def full(self, device: str = "auto") -> PredictOptions:
        """The science's options: its defaults where none were chosen.

        Args:
            device: Where to compute if that was left open.

        Raises:
            InputError: If a value is out of range or unknown.
        """
        chosen = self.given()
        if chosen.get("device", "auto") == "auto":
            chosen["device"] = device
        return PredictOptions(**chosen)

    def with_kind(self) -> dict[str, Any]:
        """Options that were chosen, and the kind of the job."""
        return {"kind": self.kind, **self.given()}

    def resolved(self, device: str = "auto") -> dict[str, Any]:
        """All options of the science, as JSON can hold them."""
        return asdict(self.full(device))

    @property
    def n_frames(self) -> int:
        """Frames that the job will have."""
        return 1 if self.kind == "surface" else self.full().frames


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
    if isinstance(value, str) and (len(value) > _MAX_TEXT or not value.isprintable()):
        raise InputError(f"{name} must be one line of plain text, got {_shown(value)}")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:40] + "…"
