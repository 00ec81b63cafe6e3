"""Colour scales: numbers to red, green, blue in 0 … 1."""

from __future__ import annotations

from typing import Any

import numpy as np

from .errors import UserError

TEAL_WHITE_GOLD = ((0.00, 0.50, 0.50), (0.96, 0.96, 0.96), (0.72, 0.53, 0.04))
BLUE_WHITE_RED = ((0.10, 0.25, 0.80), (0.97, 0.97, 0.97), (0.80, 0.10, 0.12))
# Ten evenly spaced samples of matplotlib's viridis (van der Walt and Smith 2015, CC0).
VIRIDIS = (
    (0.267, 0.005, 0.329), (0.283, 0.141, 0.458), (0.254, 0.265, 0.530), (0.207, 0.372, 0.553),
    (0.164, 0.471, 0.558), (0.128, 0.567, 0.551), (0.135, 0.659, 0.518), (0.267, 0.749, 0.441),
    (0.478, 0.821, 0.318), (0.993, 0.906, 0.144),
)  # fmt: skip
# Okabe and Ito 2008: told apart by colour-blind readers too.
CATEGORIES = np.array([
    (0.902, 0.624, 0.000), (0.337, 0.706, 0.914), (0.000, 0.620, 0.451), (0.941, 0.894, 0.259),
    (0.000, 0.447, 0.698), (0.835, 0.369, 0.000), (0.800, 0.475, 0.655), (0.600, 0.600, 0.600),
])  # fmt: skip
PALETTES = {
    "blue_white_red": BLUE_WHITE_RED,
    "red_white_blue": BLUE_WHITE_RED[::-1],
    "teal_white_gold": TEAL_WHITE_GOLD,
    "viridis": VIRIDIS,
    "grey": ((0.95, 0.95, 0.95), (0.10, 0.10, 0.10)),
}


def palette_stops(palette: str, _self: Any) -> np.ndarray:
    """Colours that a palette runs through.

    Args:
        palette: A name of :data:`PALETTES`, or PyMOL colours separated by spaces.

    Returns:
        Red, green, blue of each stop, (stops, 3).

    Raises:
        UserError: If it is neither.
    """
    if palette in PALETTES:
        return np.array(PALETTES[palette])
    names = palette.split()
    if len(names) < 2:
        raise UserError(
            f"palette must be one of {', '.join(PALETTES)} or several PyMOL colours separated by "
            f"spaces, got '{palette}'"
        )
    return np.array([plain_color(name, _self) for name in names])


def plain_color(name: str, _self: Any) -> tuple[float, float, float]:
    """Red, green, blue of a PyMOL colour.

    Raises:
        UserError: If PyMOL knows no such colour.
    """
    index = _self.get_color_index(name)
    if index == -1 or _self.get_color_tuple(index) is None:
        raise UserError(f"PyMOL knows no colour '{name}'; type 'help colors' for its names")
    return _self.get_color_tuple(index)


def scale_colors(values: np.ndarray, low: float, high: float, stops: np.ndarray) -> np.ndarray:
    """Linear colour scale; values beyond its ends take the end's colour.

    Args:
        values: Any quantity, (n,).
        low: Value of the first stop.
        high: Value of the last stop.
        stops: Colours at even steps between them, (stops, 3).

    Returns:
        Red, green, blue, (n, 3).
    """
    at = np.linspace(0.0, 1.0, len(stops))
    share = (np.asarray(values, np.float64) - low) / max(high - low, 1e-12)
    return np.stack([np.interp(share, at, stops[:, k]) for k in range(3)], axis=1)


def category_colors(count: int) -> np.ndarray:
    """``count`` distinct colours, repeating after eight, (count, 3)."""
    return CATEGORIES[np.arange(count) % len(CATEGORIES)]
