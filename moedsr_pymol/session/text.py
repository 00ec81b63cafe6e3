"""Bytes as text of seven bits a letter.

PyMOL pickles a session so that bytes take half as much again, and so do letters beyond ASCII. Of
ASCII's letters all are used, which takes a seventh more; base64, as in sessions of format 1, takes
a third.
"""

from __future__ import annotations

import base64
import binascii

import numpy as np

_MARK = "~"
"""First letter, which base64 does not have."""


def as_text(kept: object) -> str:
    """Text as it was saved: PyMOL reads some back as bytes where it saves for PyMOL 1.8.

    Raises:
        ValueError: If it is no text.
    """
    text = kept.decode("ascii") if isinstance(kept, bytes) else kept
    if not isinstance(text, str):
        raise ValueError(f"expected text, got {type(text).__name__}")
    return text


def to_text(data: bytes) -> str:
    """Write bytes as text; :func:`from_text` undoes it."""
    bits = np.unpackbits(np.frombuffer(data, np.uint8))
    letters = np.zeros((-(-len(bits) // 7), 8), np.uint8)
    letters[:, 1:] = np.pad(bits, (0, 7 * len(letters) - len(bits))).reshape(-1, 7)
    return _MARK + np.packbits(letters).tobytes().decode("ascii")


def from_text(text: str) -> bytes:
    """Read what :func:`to_text` wrote, or base64.

    Raises:
        ValueError: If it is neither.
    """
    if not text.startswith(_MARK):
        try:
            return base64.b64decode(text, validate=True)
        except binascii.Error as error:
            raise ValueError(str(error)) from error
    letters = np.frombuffer(text[len(_MARK) :].encode("ascii"), np.uint8)
    bits = np.unpackbits(letters).reshape(-1, 8)[:, 1:].ravel()
    return np.packbits(bits[: len(bits) // 8 * 8]).tobytes()
