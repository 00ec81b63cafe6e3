"""Whether a server and a client understand each other, and who is to be updated if not."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from .address import Address
from .client import BackendClient
from .errors import BackendError


@dataclass(frozen=True)
class Needs:
    """Servers that a program works with.

    Attributes:
        program: What it calls itself: ``this plugin``.
        protocols: Lowest and highest version of the wire protocol.
        versions: Lowest version of moedsr, and the first that is too new.
    """

    program: str
    protocols: tuple[int, int]
    versions: tuple[str, str]


def checked_health(client: BackendClient, needs: Needs) -> dict[str, Any]:
    """Who answers.

    Raises:
        BackendError: If it is no server that this program works with.
    """
    health = client.health()
    problem = misfit(health, client.address, needs)
    if problem:
        raise BackendError(problem)
    return health


def misfit(health: dict[str, Any], address: Address, needs: Needs) -> str | None:
    """Why a server cannot be used, in one sentence, or None where it can.

    Args:
        health: Its answer to ``GET /v1/health``.
        address: Where it is.
        needs: What this program works with.
    """
    protocol, version = health.get("protocol"), str(health.get("version", ""))
    low, high = needs.protocols
    if not isinstance(protocol, int):
        return f"{address.url} does not say which protocol it speaks; update that server"
    if not low <= protocol <= high:
        ours = f"{low}" if low == high else f"{low} to {high}"
        return f"{address.url} speaks protocol {protocol}, {needs.program} {ours}; update " + (
            needs.program if protocol > high else "that server"
        )
    first, below = needs.versions
    numbers = version_numbers(version)
    if version_numbers(first) <= numbers < version_numbers(below):
        return None
    return (
        f"{address.url} is moedsr {version or 'of no known version'}, {needs.program} needs "
        f"{first} or later, below {below}; update "
        + (needs.program if numbers >= version_numbers(below) else "that server")
    )


def version_numbers(version: str) -> tuple[int, ...]:
    """Leading numbers of a version, so that versions compare (``"0.1.0.dev1"`` → 0, 1, 0)."""
    match = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in match.group().split(".")) if match else ()
