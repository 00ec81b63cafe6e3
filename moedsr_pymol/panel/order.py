"""What the Predict tab asks for, as the line of a script."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from functools import cache

from ..commands.prediction import MESHES, moedsr_predict
from .emit import command, number_text, selection_text, word_text

SPACINGS = (
    ("Preview, 1.2 Å", 1.2),
    ("Normal, 0.7 Å", 0.7),
    ("Fine, 0.5 Å", 0.5),
)
NORMAL = 0.7
"""The core's own spacing, which a command leaves out."""
FRAMES = 100


@cache
def known_options() -> frozenset[str]:
    """Arguments of ``moedsr_predict``."""
    return frozenset(inspect.signature(moedsr_predict).parameters)


@dataclass(frozen=True)
class PredictOrder:
    """Everything that is chosen; empty or None leaves a choice to the command.

    Attributes:
        selection: Atoms.
        frames: Frames of the movie.
        state: State to start from; 0 for the one shown.
        model: Name of a model.
        spacing: Edge length of the mesh [Å].
        mesh: Kind of mesh.
        seed: Which motion is drawn.
        duration: Last lag, such as ``1 ns``.
        level: Level of the signed distance that is shown [Å].
        backend: Where it is computed.
        name: Object to make.
        color: What the colours mean.
    """

    selection: str
    frames: int = FRAMES
    state: int = 0
    model: str = ""
    spacing: float = NORMAL
    mesh: str = MESHES[0]
    seed: int = 0
    duration: str = ""
    level: float = 0.0
    backend: str = ""
    name: str = ""
    color: str = "motion"

    def line(self) -> str:
        """The command; what is usual is left out.

        Raises:
            UserError: If the selection cannot be one, or another field is more than words.
        """
        more = {
            "frames": self.frames,
            "name": word_text("the name", self.name),
            "model": self.model,
            "state": self.state or None,
            "spacing": None if self.spacing == NORMAL else number_text(self.spacing),
            "mesh": None if self.mesh == MESHES[0] else self.mesh,
            "color": None if self.color == "motion" else self.color,
            "seed": self.seed or None,
            "duration": word_text("the duration", self.duration),
            "level": number_text(self.level) if self.level else None,
            "backend": self.backend,
        }
        known = {key: value for key, value in more.items() if key in known_options()}
        return command("moedsr_predict", selection_text(self.selection), **known)
