"""Where on a cluster there is room for a worker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["GPU", "CPU"]


@dataclass(frozen=True, kw_only=True)
class Place:
    """Room for one worker on one computer of the cluster."""

    node: str
    """Ray's number of the computer; another one after each start of Ray there."""
    host: str
    """The computer's name."""
    kind: Kind
    """Whether it is a GPU, or processors alone."""
    number: int
    """Which one of the computer's."""

    @property
    def key(self) -> str:
        """What tells it from all others."""
        return f"{self.node}/{self.kind}/{self.number}"

    def __str__(self) -> str:
        """Name for people."""
        return f"{self.kind} {self.number} of {self.host}"


def kind_of(nodes: Sequence[Mapping[str, Any]]) -> Kind:
    """What a cluster computes with: its GPUs, if it has any."""
    return "GPU" if any(_count(node, "GPU") for node in nodes if node["Alive"]) else "CPU"


def places_on(nodes: Sequence[Mapping[str, Any]], kind: Kind, cpus: int) -> list[Place]:
    """Room for workers: on each GPU, or for each so many processors.

    Args:
        nodes: What ``ray.nodes()`` says.
        kind: What to compute with.
        cpus: Processors that a worker needs, also beside a GPU.

    Returns:
        All places; the first ones are on different computers.
    """
    places = [
        Place(node=node["NodeID"], host=node["NodeManagerHostname"], kind=kind, number=number)
        for node in nodes
        if node["Alive"]
        for number in range(_room(node, kind, cpus))
    ]
    return sorted(places, key=lambda place: (place.number, place.host, place.node))


def room_left(free: Mapping[str, float], kind: Kind, cpus: int) -> bool:
    """Whether a worker may find room in what is free.

    Args:
        free: What ``ray.available_resources()`` says, of all computers together.
        kind: What to compute with.
        cpus: Processors that a worker needs.
    """
    return free.get("CPU", 0) >= cpus and (kind == "CPU" or free.get("GPU", 0) >= 1)


def _room(node: Mapping[str, Any], kind: Kind, cpus: int) -> int:
    room = _count(node, "CPU") // cpus
    return room if kind == "CPU" else min(room, _count(node, "GPU"))


def _count(node: Mapping[str, Any], resource: str) -> int:
    return int(node["Resources"].get(resource, 0))
