"""Frames as text: the compact frames of the wire, in base64.

PyMOL pickles a session so that bytes take half as much again; base64 takes a third. Frames that
came over the wire are whole steps already, so writing them again loses nothing.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..remote import FrameState, decode_frame, encode_frame

if TYPE_CHECKING:
    import numpy as np

    from ..surface import Frame


class PackedFrames:
    """Frames of one surface as text, kept so that saving again costs nothing.

    Args:
        frames: Frames that are text already.
        texts: Their texts.
        last: What the next frame is written against.
    """

    def __init__(
        self,
        frames: Iterable[Frame] = (),
        texts: Iterable[str] = (),
        last: FrameState | None = None,
    ) -> None:
        self._frames, self._texts, self._last = list(frames), list(texts), last

    def texts(self, frames: list[Frame]) -> list[str]:
        """One text a frame, each read after the one before it.

        Raises:
            ValueError: If a frame holds numbers that are not finite.
        """
        known = len(self._frames)
        if len(frames) < known or any(a is not b for a, b in zip(self._frames, frames)):  # noqa: B905
            self._frames, self._texts, self._last = [], [], None
        for frame in frames[len(self._frames) :]:
            arrays = {
                "vertices": frame.vertices,
                "normals": frame.normals,
                "displacement": frame.displacement,
                "faces": frame.faces,
            }
            data, self._last = encode_frame(arrays, self._last)
            self._frames.append(frame)
            self._texts.append(base64.b64encode(data).decode("ascii"))
        return list(self._texts)


class StoredFrames:
    """Frames of one surface that are still text.

    Args:
        texts: What :meth:`PackedFrames.texts` gave, all of it.
    """

    def __init__(self, texts: list[str]) -> None:
        self.texts = texts
        self.last: FrameState | None = None
        self._at = 0

    @property
    def left(self) -> bool:
        """Whether there are more."""
        return self._at < len(self.texts)

    def read(self) -> dict[str, np.ndarray]:
        """Arrays of the next frame; without ``faces`` where they are those of the one before.

        Raises:
            ValueError: If it is damaged.
        """
        before = self.last
        try:
            data = base64.b64decode(self.texts[self._at], validate=True)
        except (binascii.Error, TypeError, ValueError) as error:
            raise ValueError(f"no text of a frame ({error})") from error
        arrays: dict[str, Any]
        arrays, self.last = decode_frame(data, before)
        if before is not None and arrays["faces"] is before.faces:
            del arrays["faces"]
        self._at += 1
        return arrays
