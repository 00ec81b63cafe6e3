"""How frames become bytes and are read again; the one place that knows the format."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from moedsr_core.backend.wire.records import FRAME_DTYPES, pack_arrays
from moedsr_core.errors import BackendError


@dataclass(frozen=True)
class FrameState:
    """What the next frame is told against: the faces of the one before."""

    faces: np.ndarray | None = None


def encode_frame(
    arrays: Mapping[str, np.ndarray], state: FrameState | None
) -> tuple[bytes, FrameState]:
    """Pack a frame; its faces only where they differ from those of the frame before.

    Args:
        arrays: ``vertices`` [Å], ``normals``, ``displacement`` [Å] and ``faces``.
        state: That of the frame before; None at the first.

    Returns:
        The bytes, which are the same whenever the frames are, and the state for the next frame.
    """
    packed, faces = dict(arrays), arrays["faces"]
    if state is not None and state.faces is not None and np.array_equal(faces, state.faces):
        del packed["faces"]
    return pack_arrays(packed, FRAME_DTYPES), FrameState(faces)


def decode_frame(data: bytes, state: FrameState | None) -> tuple[dict[str, np.ndarray], FrameState]:
    """Read what :func:`encode_frame` has packed.

    Raises:
        BackendError: If it is damaged.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        if "faces" not in arrays and state is not None and state.faces is not None:
            arrays["faces"] = state.faces
        return {name: arrays[name] for name in FRAME_DTYPES}, FrameState(arrays["faces"])
    except Exception as error:  # damaged archives fail in many ways
        raise BackendError("a frame of this job is damaged; run it again") from error
