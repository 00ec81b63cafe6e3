"""The wire protocol: requests that come in (request), records that go out (records)."""

from moedsr_core.backend.wire.records import (
    ATTRIBUTE_DTYPES,
    FRAME_DTYPES,
    PROTOCOL,
    as_json,
    pack_arrays,
    record_line,
)
from moedsr_core.backend.wire.request import (
    MAX_BODY_BYTES,
    MAX_COORDINATE,
    MAX_NAME_LENGTH,
    REQUEST_ARRAYS,
    JobRequest,
    read_request,
)

__all__ = [
    "ATTRIBUTE_DTYPES",
    "FRAME_DTYPES",
    "MAX_BODY_BYTES",
    "MAX_COORDINATE",
    "MAX_NAME_LENGTH",
    "PROTOCOL",
    "REQUEST_ARRAYS",
    "JobRequest",
    "as_json",
    "pack_arrays",
    "read_request",
    "record_line",
]
