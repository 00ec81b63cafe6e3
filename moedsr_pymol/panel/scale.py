"""Round numbers along an axis."""

from __future__ import annotations

import math


def round_step(span: float, most: int) -> float:
    """The smallest step of 1, 2 or 5 times a power of ten that parts a span at most so often."""
    if not span > 0.0 or most < 1:
        return 1.0
    size = 10.0 ** math.floor(math.log10(span / most))
    return next(
        factor * size for factor in (1.0, 2.0, 5.0, 10.0) if span <= factor * size * most * 1.0001
    )


def ticks(low: float, high: float, most: int, least: float = 0.0) -> list[float]:
    """Round numbers from ``low`` to ``high``, at most ``most`` + 1, at least ``least`` apart."""
    step = max(round_step(high - low, most), least)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [k * step for k in range(first, last + 1)]


def tick_text(value: float, step: float) -> str:
    """A number with as many decimals as its step has; with a space between thousands."""
    decimals = max(0, -math.floor(math.log10(step) + 1e-9)) if step > 0 else 0
    return f"{value:,.{decimals}f}".replace(",", "\N{THIN SPACE}")
