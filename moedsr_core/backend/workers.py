"""What the jobs ask of those that compute them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable


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
