"""What the jobs ask of those that compute them, and what each of those does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

from moedsr_core.backend.messages import Message
from moedsr_core.errors import BackendError


@runtime_checkable
class Workers(Protocol):
    """What the service asks of those that compute."""

    def check(self, options: Mapping[str, Any]) -> dict[str, Any] | None:
        """Resolve options; None while no worker is up. Raises InputError where they are refused."""

    def describe(self) -> dict[str, Any] | None:
        """What the workers said of themselves; None until one is up."""

    def status(self) -> list[dict[str, Any]]:
        """Device and state of each."""


class NoWorkers:
    """None are there, or none yet."""

    def check(self, options: Mapping[str, Any]) -> dict[str, Any] | None:
        """Say that nobody can tell."""
        return None

    def describe(self) -> dict[str, Any] | None:
        """Say that nobody is up."""
        return None

    def status(self) -> list[dict[str, Any]]:
        """List none."""
        return []


class WorkerDied(BackendError):
    """A worker has ended without being told to."""


@runtime_checkable
class Worker(Protocol):
    """One place that computes, wherever it is. Made at once, ready later."""

    def describe(self) -> dict[str, Any]:
        """Wait until it is ready; what it says of itself.

        Raises:
            InputError: If it can never be, as on a device that is not there.
            WorkerDied: If it has ended.
        """

    def check(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Resolve options; at any time, also while it computes.

        Raises:
            InputError: If it refuses them.
            WorkerDied: If it has ended.
        """

    def run(self, request: bytes, skip_frames: int) -> Iterator[Message]:
        """Compute a job.

        Yields:
            ``progress``, ``frame``, ``attributes`` and ``summary``; at the end ``done``,
            ``failed`` or ``cancelled``.

        Raises:
            WorkerDied: If it has ended.
        """

    def stop(self) -> None:
        """Have the job end soon; from any thread."""

    def is_alive(self) -> bool:
        """Whether it has not ended."""

    def close(self) -> None:
        """End it."""
