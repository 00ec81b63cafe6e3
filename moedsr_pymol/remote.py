"""The client of servers, from the core that lies beside this package.

The plugin's zip carries a copy in its place: the folder ``remote``.
"""

from __future__ import annotations

from moedsr_core.backend.client import (
    Address,
    BackendClient,
    BackendError,
    Follower,
    FrameState,
    Needs,
    Patience,
    Record,
    RefusedError,
    StoppedError,
    UnreachableError,
    UserError,
    Ways,
    checked_health,
    decode_frame,
    encode_frame,
    plain_url,
    read_token,
    refuse_readable_by_others,
    stage_of,
    unzigzag,
    zigzag,
)

__all__ = [
    "Address",
    "BackendClient",
    "BackendError",
    "Follower",
    "FrameState",
    "Needs",
    "Patience",
    "Record",
    "RefusedError",
    "StoppedError",
    "UnreachableError",
    "UserError",
    "Ways",
    "checked_health",
    "decode_frame",
    "encode_frame",
    "plain_url",
    "read_token",
    "refuse_readable_by_others",
    "stage_of",
    "unzigzag",
    "zigzag",
]
