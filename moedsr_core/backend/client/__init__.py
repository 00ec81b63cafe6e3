"""The client of moedsr's servers: standard library, numpy and requests only.

The plugin carries a copy, so nothing else of the core is imported, and Python 3.9 must do.
"""

from ..wire.frame_archive import unzigzag, zigzag
from ..wire.frames import FrameState
from ..wire.frames import decode as decode_frame
from ..wire.frames import encode as encode_frame
from .address import Address, Ways, is_loopback, plain_url
from .client import BackendClient
from .errors import BackendError, RefusedError, StoppedError, UnreachableError, UserError
from .fit import Needs, checked_health, misfit
from .follow import Follower
from .patience import Patience
from .records import Record, pack_request, read_records, stage_of
from .token_file import read_token, refuse_readable_by_others

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
    "is_loopback",
    "misfit",
    "pack_request",
    "plain_url",
    "read_records",
    "read_token",
    "refuse_readable_by_others",
    "stage_of",
    "unzigzag",
    "zigzag",
]
