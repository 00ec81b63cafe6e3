"""Records of a job's stream: one line of JSON each, and the arrays that follow it."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from moedsr_core.errors import InputError

PROTOCOL = 2
ATTRIBUTE_DTYPES = {
    "atom": "<i4", "expert": "<f4", "fluctuation": "<f4", "mean_displacement": "<f4",
}  # fmt: skip


def pack_attributes(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Write an ``attributes`` record's arrays as npz, in the types of the protocol.

    Args:
        arrays: Arrays by the names of :data:`ATTRIBUTE_DTYPES`.

    Raises:
        InputError: If an array has no place in the protocol.
    """
    unknown = sorted(set(arrays) - set(ATTRIBUTE_DTYPES))
    if unknown:
        raise InputError(f"a record holds {sorted(ATTRIBUTE_DTYPES)}, got {unknown} as well")
    buffer = io.BytesIO()
    np.savez(buffer, **{k: np.asarray(v, ATTRIBUTE_DTYPES[k]) for k, v in arrays.items()})  # type: ignore[arg-type]
    return buffer.getvalue()


def record_line(fields: Mapping[str, Any], size: int = 0) -> bytes:
    """Line of JSON that opens a record of the stream; ``size`` bytes of npz follow it."""
    return json.dumps({**fields, "bytes": size}, allow_nan=False).encode() + b"\n"


def as_json(value: Any) -> Any:
    """Plain JSON values of numpy scalars and arrays; numbers that JSON lacks become null."""
    if isinstance(value, Mapping):
        return {str(key): as_json(entry) for key, entry in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [as_json(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | None) else str(value)
