"""Frames out of their records."""

from __future__ import annotations

from dataclasses import replace

from ..wire.frames import FrameState, decode
from .errors import BackendError
from .records import Record


class FrameDecoder:
    """Turns the frame records of one job, in order, into plain arrays.

    Args:
        origin: Who sends them, for sentences.
    """

    def __init__(self, origin: str = "the backend") -> None:
        self._origin = origin
        self._last: FrameState | None = None

    def decode(self, record: Record) -> Record:
        """Decode the next frame.

        Returns:
            It with ``vertices`` [Å] (n, 3), ``normals`` (n, 3), ``displacement`` [Å] (n,), and
            ``faces`` (m, 3) where they are not those of the frame before.

        Raises:
            BackendError: If it is damaged, or another frame should have come before.
        """
        before = self._last
        try:
            arrays, self._last = decode(record.data, before)
        except ValueError as error:
            raise BackendError(
                f"{self._origin} sent a frame that cannot be read; update or restart it"
            ) from error
        if before is not None and arrays["faces"] is before.faces:
            del arrays["faces"]
        return replace(record, arrays=arrays)
