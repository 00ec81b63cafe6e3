"""Frames as text: the compact frames of the wire.

Frames that came over the wire are whole steps already, so writing them again loses nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..cgo import Layout
from ..remote import FrameState, decode_frame, encode_frame, unzigzag, zigzag
from .text import from_text, to_text

if TYPE_CHECKING:
    from ..surface import Frame

Strips = tuple[np.ndarray, np.ndarray]
"""Corners of all strips of a topology, and how many each strip has."""


def frame_texts(frames: list[Frame]) -> list[str]:
    """One text a frame, each to be read after the one before it.

    Frames that are here as they came are the records they came as.

    Raises:
        ValueError: If a frame holds numbers that are not finite.
    """
    records = _as_they_came(frames)
    if records is None:
        records, last = [], None
        for frame in frames:
            arrays = {
                "vertices": frame.vertices,
                "normals": frame.normals,
                "displacement": frame.displacement,
                "faces": frame.faces,
            }
            record, last = encode_frame(arrays, last)
            records.append(record)
    return [to_text(record) for record in records]


def _as_they_came(frames: list[Frame]) -> list[bytes] | None:
    """Records of frames; None if one was changed, left out or put in."""
    last: Frame | None = None
    for frame in frames:
        before = frame.after() if frame.after is not None else None
        if not frame.record or before is not last:
            return None
        last = frame
    return [frame.record for frame in frames]


class StoredFrames:
    """Frames of one surface that are still text.

    Args:
        texts: What :func:`frame_texts` gave, all of it.
        strips: What :func:`strips_of` gave.
    """

    def __init__(self, texts: list[str], strips: list[Strips]) -> None:
        self.texts, self.strips = texts, strips
        self._last: FrameState | None = None
        self._at = self._topologies = 0

    @property
    def left(self) -> bool:
        """Whether there are more."""
        return self._at < len(self.texts)

    def read(self) -> tuple[dict[str, np.ndarray], Layout | None, bytes]:
        """Arrays of the next frame, without ``faces`` where they are those of the one before.

        Returns:
            The arrays, how new faces are written, and the record.

        Raises:
            ValueError: If it is damaged.
        """
        before = self._last
        try:
            data = from_text(self.texts[self._at])
        except ValueError as error:
            raise ValueError(f"no text of a frame ({error})") from error
        arrays: dict[str, Any]
        arrays, self._last = decode_frame(data, before)
        self._at += 1
        if before is not None and arrays["faces"] is before.faces:
            del arrays["faces"]
            return arrays, None, data
        self._topologies += 1
        return arrays, self._layout(arrays["faces"]), data

    def _layout(self, faces: np.ndarray) -> Layout | None:
        """Strips that were kept for these faces; None where they do not fit."""
        if self._topologies > len(self.strips):
            return None
        corners, lengths = self.strips[self._topologies - 1]
        fits = len(faces) and 0 <= corners.min() and corners.max() <= faces.max()
        return Layout.of_strips(corners, lengths) if fits else None


def strips_of(frames: list[Frame]) -> list[Strips]:
    """Strips of each topology in turn; to find them takes longer than all else."""
    found = []
    for k, frame in enumerate(frames):
        if not k or frame.faces is not frames[k - 1].faces:
            found.append((frame.layout.corners, frame.layout.lengths))
    return found


def pack_strips(strips: list[Strips]) -> dict[str, np.ndarray]:
    """Arrays that compress well; :func:`unpack_strips` undoes it."""
    none = [(np.zeros(0, np.int64),) * 2]
    corners = [_planes(np.diff(corners, prepend=0)) for corners, _ in strips or none]
    counts = [(len(corners), len(lengths)) for corners, lengths in strips]
    return {
        "corners": np.concatenate(corners),
        "lengths": np.concatenate([lengths for _, lengths in strips or none]).astype(np.uint32),
        "counts": np.array(counts, np.int64).reshape(-1, 2),
    }


def unpack_strips(arrays: dict[str, np.ndarray]) -> list[Strips]:
    """Undo :func:`pack_strips`.

    Raises:
        ValueError: If they do not fit together.
    """
    counts = arrays["counts"]
    corners = np.split(arrays["corners"], 4 * np.cumsum(counts[:, 0])[:-1])
    lengths = np.split(arrays["lengths"].astype(np.int64), np.cumsum(counts[:, 1])[:-1])
    strips = [
        (np.cumsum(_from_planes(part)), length)
        for part, length in zip(corners, lengths)  # noqa: B905 (Python 3.9 knows no strict)
    ]
    if any(len(part) != length.sum() for part, length in strips):
        raise ValueError("strips that do not fit together")
    return strips


def pack_nearest(nearest: dict[int, np.ndarray]) -> dict[str, np.ndarray]:
    """Arrays that compress well; :func:`unpack_nearest` undoes it."""
    parts = [_planes(np.diff(index, prepend=0)) for index in nearest.values()]
    return {
        "points": np.concatenate(parts) if parts else np.zeros(0, np.uint8),
        "counts": np.array([len(index) for index in nearest.values()], np.int64),
        "frames": np.array(list(nearest), np.int64),
    }


def unpack_nearest(arrays: dict[str, np.ndarray], points: int) -> dict[int, np.ndarray]:
    """Undo :func:`pack_nearest`.

    Raises:
        ValueError: If they name other points than there are.
    """
    parts = np.split(arrays["points"], 4 * np.cumsum(arrays["counts"])[:-1])
    nearest = {
        k: np.cumsum(_from_planes(part))
        for k, part in zip(arrays["frames"].tolist(), parts)  # noqa: B905
    }
    if any(
        len(index) and not 0 <= index.min() <= index.max() < points for index in nearest.values()
    ):
        raise ValueError("values of points that are not there")
    return nearest


def _planes(values: np.ndarray) -> np.ndarray:
    """Lowest bytes of all numbers, signs folded, then their next; (4 n,)."""
    return zigzag(values).astype("<u4").view(np.uint8).reshape(-1, 4).T.ravel()


def _from_planes(planes: np.ndarray) -> np.ndarray:
    numbers = np.ascontiguousarray(planes.reshape(4, -1).T).view("<u4").ravel()
    return unzigzag(numbers.astype(np.int64))
