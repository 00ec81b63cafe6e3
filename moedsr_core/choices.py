"""What a caller may choose, and how anything else is refused."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from moedsr_core.errors import InputError

SPACINGS = (0.3, 3.0)
"""Finest and coarsest mesh that makes sense [Å]: atoms are about 3 Å wide."""
LEVELS = (-1.0, 3.0)
"""Innermost and outermost level of the signed distance that is shown [Å]: atoms are 1.2 Å and more
from their surface, and 1.4 Å outside it lies the solvent-accessible surface."""


def check_number(name: str, value: Any, low: float, high: float, whole: bool = False) -> None:
    """Refuse anything but a number in a range."""
    kinds = (int, np.integer) if whole else (int, float, np.integer, np.floating)
    if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
        kind = "a whole number" if whole else "a number"
        raise InputError(f"{name} must be {kind} from {low} to {high}, got {value!r}")


def check_choice(name: str, value: Any, choices: Collection[str]) -> None:
    """Refuse anything but one of ``choices``."""
    if value not in choices:
        raise InputError(f"{name} must be one of {', '.join(choices)}, got {value!r}")
