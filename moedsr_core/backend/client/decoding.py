"""Frames out of their records."""

from __future__ import annotations

from .records import Record


class FrameDecoder:
    """Turns the frame records of one job, in order, into plain arrays."""

    def decode(self, record: Record) -> Record:
        """Decode the next frame.

        Returns:
            It with ``vertices`` [Å] (n, 3), ``normals`` (n, 3), ``displacement`` [Å] (n,), and
            ``faces`` (m, 3) where they are not those of the frame before.
        """
        return record
