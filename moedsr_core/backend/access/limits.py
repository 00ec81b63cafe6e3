"""How much one client may ask for."""

from __future__ import annotations

from dataclasses import dataclass, fields

from moedsr_core.backend.refusals import BusyError
from moedsr_core.choices import check_number
from moedsr_core.errors import InputError

_QUEUE_RETRY_S = 30
"""About how long a job takes, so how soon a full queue has room again [s]."""

_RANGES: dict[str, tuple[float, float]] = {
    "max_atoms": (1, 60_000),
    "max_frames": (1, 2000),
    "min_spacing": (0.3, 3.0),
    "max_body_mb": (1, 64),
    "max_queue": (1, 100_000),
    "max_queue_per_token": (1, 100_000),
    "rate_per_s": (0.1, 10_000.0),
    "rate_burst": (1, 100_000),
    "max_streams_per_token": (1, 10_000),
    "max_connections": (1, 100_000),
    "failures_per_minute": (1, 100_000),
    "header_timeout_s": (0.05, 600.0),
    "keep_alive_s": (0.05, 600.0),
    "min_body_kb_per_s": (0.0, 10_000.0),
    "write_timeout_s": (0.05, 3600.0),
}


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one client may ask of a server."""

    max_atoms: int = 60_000
    """Atoms of one job; the most that the core reads."""
    max_frames: int = 1000
    """Frames of one job; ten times the usual movie, which keeps a device busy for minutes."""
    min_spacing: float = 0.3
    """Finest mesh [Å]; the finest of the core. Time and memory grow with its inverse square."""
    max_body_mb: int = 16
    """Body of one request [MB]; more than twice what 60,000 atoms take."""
    max_queue: int = 1000
    """Jobs that wait, of all tokens together."""
    max_queue_per_token: int = 100
    """Jobs that wait, of one token."""
    rate_per_s: float = 20.0
    """Requests of one token per second, on average; a client that follows a job makes one."""
    rate_burst: int = 200
    """Requests of one token at once, after a pause."""
    max_streams_per_token: int = 32
    """Streams of one token at the same time."""
    max_connections: int = 500
    """Open connections; about half of the files that a process may usually have open."""
    failures_per_minute: int = 30
    """Failed authentications that one address is told of; then it is told to wait."""
    header_timeout_s: float = 10.0
    """How long the headers of a request, or a TLS handshake, may take [s]."""
    keep_alive_s: float = 20.0
    """How long an idle connection stays open [s]."""
    min_body_kb_per_s: float = 8.0
    """Slowest body, over ten seconds at a time [kB/s]; a poor mobile link brings more."""
    write_timeout_s: float = 30.0
    """How long a client may leave what was sent to it unread [s]."""

    def __post_init__(self) -> None:
        """Refuse values of the wrong kind or range."""
        for field in fields(Limits):
            whole = field.type in ("int", int)
            low, high = _RANGES[field.name]
            check_number(field.name, getattr(self, field.name), low, high, whole=whole)

    @property
    def max_body(self) -> int:
        """Body of one request [bytes]."""
        return self.max_body_mb * 2**20

    def refuse_large(self, *, atoms: int, frames: int, spacing: float) -> None:
        """Judge a job whose options have their defaults filled in.

        Raises:
            InputError: If it has too many atoms or frames, or its mesh is too fine [Å].
        """
        if atoms > self.max_atoms:
            raise InputError(
                f"this server takes up to {self.max_atoms:,} atoms, got {atoms:,}; "
                "select fewer chains"
            )
        if frames > self.max_frames:
            raise InputError(
                f"this server makes up to {self.max_frames:,} frames of a job, got {frames:,}; "
                "ask for fewer"
            )
        if spacing < self.min_spacing:
            raise InputError(
                f"this server meshes at {self.min_spacing:g} Å or coarser, got {spacing:g}; "
                "choose a larger spacing"
            )

    def refuse_full_queue(self, *, waiting: int, own: int) -> None:
        """Judge a job by those that wait already.

        Args:
            waiting: Jobs of all tokens.
            own: Those of the token that sends another.

        Raises:
            BusyError: If either is as many as may wait.
        """
        if own >= self.max_queue_per_token:
            raise BusyError(
                f"{own} of your jobs wait already, the most of one token; fetch or cancel one, "
                "or try later",
                _QUEUE_RETRY_S,
            )
        if waiting >= self.max_queue:
            raise BusyError(f"{waiting} jobs wait already; try again later", _QUEUE_RETRY_S)
