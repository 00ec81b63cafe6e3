"""What a surface's colours mean."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import UserError
from .palettes import category_colors, palette_stops, plain_color, scale_colors
from .residue_scales import RANGES, SCALES, values_at

if TYPE_CHECKING:
    from .surface import Surface

MODES = ("motion", "fluctuation", "normal", "chain", "expert", "hydrophobicity", "charge")
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
DEFAULT_PALETTES = {
    "motion": "blue_white_red",
    "fluctuation": "viridis",
    "expert": "viridis",
    "hydrophobicity": "teal_white_gold",
    "charge": "red_white_blue",
}
_NEEDED = {
    "chain": "atom", "hydrophobicity": "atom", "charge": "atom",
    "motion": None, "normal": None, "plain": None,
}  # fmt: skip
"""Which attribute a mode shows, where it is not the one of its own name."""


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
        if kind == "expert" and mode != kind and int(mode[len(kind) :]) < 1:
            raise UserError(f"experts are numbered from 1, got '{mode}'")
        if kind not in MODES:
            return cls(mode="plain", stops=(tuple(_plain(by.strip(), _self)),))
        stops = palette_stops(palette or DEFAULT_PALETTES.get(kind, "viridis"), _self)
        return cls(mode, tuple(map(tuple, stops.tolist())), minimum, maximum)

    @property
    def expert(self) -> int | None:
        """The one expert whose share is shown; None in other modes."""
        return int(self.mode[len("expert") :]) if self.mode[len("expert") :].isdigit() else None

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

    def missing(self, surface: Surface, _self: Any) -> str | None:
        """Why a finished surface cannot be coloured so; None where it can."""
        need = _NEEDED.get(self.mode, self.mode.rstrip("0123456789"))
        if need is not None and need not in surface.attributes:
            return f"'{surface.name}' holds no values for colour '{self.mode}'"
        if self.mode in SCALES:
            try:
                values_at(surface, self.mode, 0, _self)
            except UserError as error:
                return str(error)
        shares = surface.attributes.get("expert")
        if self.expert and shares is not None and self.expert > shares.shape[1]:
            return f"'{surface.name}' has experts 1 to {shares.shape[1]}, got '{self.mode}'"
        return None

    def ends(self, surface: Surface) -> tuple[float, float] | None:
        """Values at the ends of the scale, chosen or not; None where there is no scale yet."""
        if self.mode == "motion":
            low, high = -FIRST_RANGE, FIRST_RANGE
        elif self.expert:
            low, high = 0.0, 1.0
        elif self.mode == "fluctuation" and self.mode in surface.attributes:
            top = float(np.percentile(surface.attributes[self.mode], PERCENTILE))
            low, high = 0.0, max(top, SMALLEST_RANGE)
        elif self.mode in RANGES:
            low, high = RANGES[self.mode]
        else:
            return None
        return (
            low if self.minimum is None else self.minimum,
            high if self.maximum is None else self.maximum,
        )

    def inverted(self, surface: Surface) -> str | None:
        """Why the scale is none, where one of its ends follows from the values."""
        low, high = self.ends(surface) or (0.0, 1.0)
        if low < high:
            return None
        return (
            f"minimum must be below maximum, got {low:g} and {high:g}, one of which follows from "
            "the values; give both"
        )

    def colors(self, surface: Surface, k: int, _self: Any) -> np.ndarray:
        """Red, green, blue at the vertices of frame ``k``, (n, 3); grey where not yet known."""
        found = _COLORS.get(self.mode.rstrip("0123456789"), _plain_colors)(self, surface, k, _self)
        if found is None:
            found = np.array([UNKNOWN])
        return np.broadcast_to(found, (len(surface.frames[k].vertices), 3))

    def scaled(self, values: np.ndarray, surface: Surface) -> np.ndarray:
        """Colours of values on this scale."""
        low, high = self.ends(surface) or (0.0, 1.0)
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
    return how.scaled(surface.frames[k].displacement, surface)


def _normal_colors(how: Coloring, surface: Surface, k: int, _self: Any) -> np.ndarray:
    return np.clip(0.5 + 0.5 * surface.frames[k].normals, 0.0, 1.0)


def _fluctuation_colors(how: Coloring, surface: Surface, k: int, _self: Any) -> np.ndarray | None:
    values = surface.at_vertices("fluctuation", k)
    return None if values is None else how.scaled(values, surface)


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
    if how.expert:
        known = how.expert <= shares.shape[1]
        return how.scaled(shares[:, how.expert - 1], surface) if known else None
    return np.clip(shares @ category_colors(shares.shape[1]), 0.0, 1.0)


def _scale_colors(how: Coloring, surface: Surface, k: int, _self: Any) -> np.ndarray | None:
    """A property of the nearest residue; grey where its scale knows no such residue."""
    try:
        values = values_at(surface, how.mode, k, _self)
    except UserError:
        return None  # the molecule has gone while frames arrive
    if values is None:
        return None
    colors = how.scaled(np.nan_to_num(values), surface)
    return np.where(np.isnan(values)[:, None], np.array(UNKNOWN), colors)


_COLORS = {
    "motion": _motion_colors,
    "fluctuation": _fluctuation_colors,
    "normal": _normal_colors,
    "chain": _chain_colors,
    "expert": _expert_colors,
    "hydrophobicity": _scale_colors,
    "charge": _scale_colors,
    "plain": _plain_colors,
}
