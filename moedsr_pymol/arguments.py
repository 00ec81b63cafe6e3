"""Arguments of typed commands, which arrive as text."""

from __future__ import annotations

import math
import re

from .errors import UserError

FRAMES_RANGE = (1, 2_000)
SPACING_RANGE = (0.3, 3.0)
SEED_RANGE = (0, 2**63 - 1)
LEVEL_RANGE = (-1.0, 3.0)
_UNITS_PS = {"": 1.0, "fs": 1e-3, "ps": 1.0, "ns": 1e3, "us": 1e6, "µs": 1e6}
_DURATION = re.compile(r"([0-9.]+(?:e[+-]?[0-9]+)?)\s*([a-zµ]*)")


def whole_number(name: str, value: object, low: int, high: int) -> int:
    """Cast to int within ``low`` … ``high``.

    Raises:
        UserError: If it is not such a number.
    """
    try:
        number = int(str(value).strip())
    except ValueError:
        number = low - 1
    if not low <= number <= high:
        raise UserError(f"{name} must be a whole number from {low} to {high}, got '{value}'")
    return number


def real_number(name: str, value: object, low: float, high: float) -> float:
    """Cast to float within ``low`` … ``high``.

    Raises:
        UserError: If it is not such a number.
    """
    try:
        number = float(str(value).strip())
    except ValueError:
        number = math.nan
    if not low <= number <= high:
        raise UserError(f"{name} must be a number from {low:g} to {high:g}, got '{value}'")
    return number


def duration_ps(name: str, value: object) -> float:
    """Read a time such as ``1 ns`` [ps]; a bare number is in ps.

    Raises:
        UserError: If it is no such time, or none above zero.
    """
    found = _DURATION.fullmatch(str(value).strip().lower().replace("μ", "µ"))
    unit = _UNITS_PS.get(found[2]) if found else None
    try:
        number = float(found[1]) * unit if found and unit else 0.0
    except ValueError:
        number = 0.0
    if not 0.0 < number < math.inf:
        raise UserError(f"{name} must be a time such as 500 ps, 1 ns or 2.5 us, got '{value}'")
    return number


def choice(name: str, value: object, choices: tuple[str, ...]) -> str:
    """Take one of several words.

    Raises:
        UserError: If it is another word.
    """
    word = str(value).strip().lower()
    if word not in choices:
        raise UserError(f"{name} must be one of {', '.join(choices)}, got '{value}'")
    return word


def given(value: object) -> bool:
    """Whether an optional argument was given."""
    return value is not None and str(value).strip() != ""


def unquoted(value: object) -> str:
    """Text without the quotes around it, which PyMOL leaves where a comma made them needed."""
    text = str(value).strip()
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"
    return text[1:-1] if quoted else text


def counted(n: int, noun: str) -> str:
    """``1 frame``, ``3 frames``."""
    return f"{n} {noun}{'' if n == 1 else 's'}"


def is_quiet(value: object) -> bool:
    """Whether a command's ``quiet`` asks for silence; PyMOL gives 0, 1 or -1.

    Raises:
        UserError: If it is something else.
    """
    return bool(whole_number("quiet", value, -1, 1))


def wait_or_not(value: object) -> bool | None:
    """A command's ``wait``: 0, 1, or -1 (None) for what is usual.

    Raises:
        UserError: If it is something else.
    """
    number = whole_number("wait", value, -1, 1)
    return None if number < 0 else bool(number)
