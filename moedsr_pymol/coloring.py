"""What a surface's colours mean."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import UserError
from .palettes import category_colors, palette_stops, plain_color, scale_colors

if TYPE_CHECKING:
    from .surface import Surface

MODES = ("motion", "fluctuation", "normal", "chain", "expert")
FIRST_RANGE = 2.0
"""Displacement at the ends of the scale until all frames are known [Å]: most surface points of
a folded protein stay within it."""
PERCENTILE = 98.0
"""Share of the points that the final scale covers; a few flapping ends would else fade the rest."""
SMALLEST_RANGE = 0.5
"""Range that is never undercut [Å]: numerical noise must not look like motion."""
CLOSE = 0.1
"""A final range that differs by less than this share is not worth another drawing."""
UNKNOWN = (0.75, 0.75, 0.75)
DEFAULT_PALETTES = {"motion": "blue_white_red", "fluctuation": "viridis", "expert": "viridis"}


@dataclass(frozen=True)
class Coloring:
    """How a surface is coloured.

    Attributes:
        mode: One of :data:`MODES`, ``expert1`` … for one expert's share, or a PyMOL colour.
        stops: Colours of the scale, as a tuple of triples; of one plain colour, that one.
        minimum: Value of the first stop; None chooses it.
        maximum: Value of the last stop; None chooses it.
    """

    mode: str
    stops: tuple[tuple[float, ...], ...] = ()
    minimum: float | None = None
    maximum: float | None = None

    @classmethod
    def read(
        cls, by: str, palette: str, minimum: float | None, maximum: float | None, _self: Any
    ) -> Coloring:
        """Understand the arguments of ``moedsr_color``.

        Raises:
            UserError: If the mode is neither known nor a colour, or the range is empty.
        """
        mode = by.strip().lower()
        kind = mode.rstrip("0123456789") if mode.startswith("expert") else mode
        if minimum is not None and maximum is not None and not minimum < maximum:
            raise UserError(f"minimum must be below maximum, got {minimum:g} and {maximum:g}")
        if kind not in MODES:
            return cls(mode="plain", stops=(tuple(_plain(by.strip(), _self)),))
        stops = palette_stops(palette or DEFAULT_PALETTES.get(kind, "viridis"), _self)
        return cls(mode, tuple(map(tuple, stops.tolist())), minimum, maximum)

    def key(self, surface: Surface) -> tuple:
        """What the colours of a frame depend on; the same key means the same colours."""
        known = () if self.mode in ("motion", "normal", "plain") else tuple(surface.attributes)
        return (self, known)

    def settled(self, surface: Surface) -> Coloring:
        """The same with its range fixed by all frames, unless the present one is close."""
        if self.mode != "motion" or None not in (self.minimum, self.maximum):
            return self
        found = np.concatenate([np.abs(frame.displacement) for frame in surface.frames])
        size = max(float(np.percentile(found, PERCENTILE)), SMALLEST_RANGE)
        if abs(size - FIRST_RANGE) < CLOSE * FIRST_RANGE:
            return self
        low = -size if self.minimum is None else self.minimum
        high = size if self.maximum is None else self.maximum
        return replace(self, minimum=low, maximum=high)

    def missing(self, surface: Surface) -> str | None:
        """Why a finished surface cannot be coloured so; None where it can."""
        need = {"chain": "atom", "motion": None, "normal": None, "plain": None}.get(
            self.mode, self.mode.rstrip("0123456789")
        )
        if need is not None and need not in surface.attributes:
            return f"'{surface.name}' holds no values for colour '{self.mode}'"
        shares = surface.attributes.get("expert")
        if need == "expert" and shares is not None and self.mode != "expert":
            if not 1 <= int(self.mode[len("expert") :]) <= shares.shape[1]:
                return f"'{surface.name}' has experts 1 to {shares.shape[1]}, got '{self.mode}'"
        return None

    def colors(self, surface: Surface, k: int, _self: Any) -> np.ndarray:
        """Red, green, blue at the vertices of frame ``k``, (n, 3); grey where not yet known."""
        found = _COLORS.get(self.mode.rstrip("0123456789"), _plain_colors)(self, surface, k, _self)
        if found is None:
            found = np.array([UNKNOWN])
        return np.broadcast_to(found, (len(surface.frames[k].vertices), 3))

    def scaled(self, values: np.ndarray, low: float, high: float) -> np.ndarray:
        """Colours of values on this scale; ``low`` and ``high`` where none was chosen."""
        low = low if self.minimum is None else self.minimum
        high = high if self.maximum is None else self.maximum
        return scale_colors(values, low, high, np.array(self.stops))


def _plain(name: str, _self: Any) -> tuple[float, float, float]:
    try:
        return plain_color(name, _self)
    except UserError as error:
        raise UserError(
            f"color must be one of {', '.join(MODES)}, expert1, expert2 … or a PyMOL colour, got "
            f"'{name}'"
        ) from error


def _plain_colors(how: Coloring, surface: Surface, k: int, _self: Any) -> np.ndarray:
    return np.array(how.stops[:1])


def _motion_colors(how: Coloring, surface: Surface, k: int, _self: Any) -> np.ndarray:
    return how.scaled(surface.frames[k].displacement, -FIRST_RANGE, FIRST_RANGE)


def _normal_colors(how: Coloring, surface: Surface, k: int, _self: Any) -> np.ndarray:
    return np.clip(0.5 + 0.5 * surface.frames[k].normals, 0.0, 1.0)


def _fluctuation_colors(how: Coloring, surface: Surface, k: int, _self: Any) -> np.ndarray | None:
    values = surface.at_vertices("fluctuation", k)
    if values is None:
        return None
    high = float(np.percentile(surface.attributes["fluctuation"], PERCENTILE))
    return how.scaled(values, 0.0, max(high, SMALLEST_RANGE))


def _chain_colors(how: Coloring, surface: Surface, k: int, _self: Any) -> np.ndarray | None:
    """The colours that PyMOL's own "by chain" gives, of the nearest atom's chain."""
    atom = surface.at_vertices("atom", k)
    if atom is None or not len(surface.atoms.chain_ids):
        return None
    from pymol.util import _color_cycle

    chains, index = np.unique(surface.atoms.chain_ids, return_inverse=True)
    table = np.array([
        _self.get_color_tuple(_color_cycle[c % len(_color_cycle)]) for c in range(len(chains))
    ])  # fmt: skip
    return table[index[atom]]


def _expert_colors(how: Coloring, surface: Surface, k: int, _self: Any) -> np.ndarray | None:
    """One hue per expert, mixed by their shares; or one expert's share on the scale."""
    shares = surface.at_vertices("expert", k)
    if shares is None:
        return None
    if how.mode != "expert":
        number = int(how.mode[len("expert") :])
        return how.scaled(shares[:, number - 1], 0.0, 1.0) if number <= shares.shape[1] else None
    return np.clip(shares @ category_colors(shares.shape[1]), 0.0, 1.0)


_COLORS = {
    "motion": _motion_colors,
    "fluctuation": _fluctuation_colors,
    "normal": _normal_colors,
    "chain": _chain_colors,
    "expert": _expert_colors,
    "plain": _plain_colors,
}
