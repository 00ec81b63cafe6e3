"""What a store of surfaces is on disk, and what it says about all of its frames."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from moedsr_core.errors import InputError
from moedsr_core.structure import Structure

FORMAT = "moedsr surfaces"
FORMAT_NUMBER = 1
"""Goes up when older readers can no longer read what is written."""


@dataclass(frozen=True, kw_only=True)
class StoreInfo:
    """What a store says about all of its frames."""

    name: str
    """Ensemble."""
    replicate: str | None
    """Which of several independent trajectories, where there are several."""
    structure: Structure
    """Frame 0, heavy polymer atoms, canonical pose [Å]."""
    scale: float
    """Length of one unit of Ω [Å]."""
    lags_ps: Float[np.ndarray, " frames"]
    """Time of every frame after the first [ps]."""
    recipe: dict
    """Everything the frames depend on: sources with their sizes, options, seed."""

    def __post_init__(self) -> None:
        """Refuse what cannot be a store."""
        if not (0 < self.scale < math.inf and len(self.lags_ps) and len(self.structure)):
            raise InputError(
                "a store needs a frame, an atom and a positive scale, got "
                f"{len(self.lags_ps)} frames, {len(self.structure)} atoms and {self.scale} Å"
            )
