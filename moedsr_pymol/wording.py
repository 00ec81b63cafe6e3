"""Times and sizes in words."""

from __future__ import annotations


def age(seconds: float) -> str:
    """How long ago: ``3 h``."""
    for length, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def duration(seconds: float) -> str:
    """How long: ``95 s``, ``3 min``, ``1.5 h``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def size(count: float) -> str:
    """Bytes in words: ``1.2 MB``, ``12 MB``."""
    for length, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= length:
            share = count / length
            return f"{share:.1f} {unit}" if share < 10 else f"{share:.0f} {unit}"
    return f"{count:.0f} B"


def shortened(text: str, most: int) -> str:
    """Text of at most so many letters, with an ellipsis where some are left out."""
    return text if len(text) <= most else f"{text[: most - 1]}…"
