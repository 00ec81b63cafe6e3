"""Words that messages share."""

from __future__ import annotations

_LONGEST = 200
"""Letters of another library's reason that are shown."""


def counted(n: int, one: str, many: str = "") -> str:
    """``1 frame``, ``3 frames``, ``2 trajectories``.

    Args:
        n: How many.
        one: The noun, or noun and verb: ``frame``, ``frame was``.
        many: The same for any other number; by default with an s.
    """
    return f"{n} {one if n == 1 else many or one + 's'}"


def reason(error: BaseException) -> str:
    """Why something failed, for the brackets of a sentence: no number of an error, one line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    if isinstance(error, KeyError):
        return f"{error} is missing"
    return " ".join(str(error).split())[:_LONGEST]
