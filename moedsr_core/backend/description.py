"""What the interface says of itself in ``/v1/openapi.json``: the shape of each answer.

Answers are not made with these models, only described, so that a status costs no validation; a
test holds the two together.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

_NPZ = {"schema": {"type": "string", "format": "binary"}}


class Described(BaseModel):
    """An answer that holds these entries and no others."""

    model_config = ConfigDict(extra="forbid")


class Problem(Described):
    """Why a request was refused."""

    detail: str
    """One sentence: what was expected, what came, what to do."""


class JobStatus(Described):
    """One job."""

    id: str
    state: Literal["queued", "running", "done", "failed", "cancelled"]
    kind: Literal["predict", "surface"]
    stage: str
    frames_done: int
    frames: int
    created: float
    age_s: float
    seconds: float
    seconds_left: float | None
    error: str | None
    summary: dict[str, Any]
    queue_position: int | None
    options: dict[str, Any]
    bytes: int


class WorkerStatus(Described):
    """One process that computes."""

    device: str
    state: str
    error: str | None


class QueueLength(Described):
    """Jobs that are not finished."""

    waiting: int
    running: int


class Health(Described):
    """Who answers, and how busy it is."""

    name: Literal["moedsr"]
    version: str
    protocol: int
    device: str | None
    devices: list[str]
    workers: list[WorkerStatus]
    queue: QueueLength
    auth: bool
    pid: int


PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": sentence}
    for status, sentence in {
        400: "The request ended too early, or is none.",
        401: "The token is missing, wrong, expired or revoked.",
        403: "The token is not good for this.",
        404: "There is no such job or model, or it is another owner's.",
        405: "The path has no such method.",
        408: "The request came too slowly.",
        409: "The job has no result yet.",
        413: "The body is too large.",
        422: "A value is not right.",
        429: "Too much at once; Retry-After says when to come back.",
        500: "The server failed.",
        503: "The server is starting, or has too many connections.",
        507: "The server's disk is full.",
    }.items()
}
"""Every refusal is a :class:`Problem`."""

JOB_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "The npz archive of the protocol: atoms, and options as JSON.",
        "content": {"application/octet-stream": _NPZ},
    }
}
"""Body of ``POST /v1/jobs``, which is read by hand."""


def answers(model: Any, status: int = 200) -> dict[int | str, dict[str, Any]]:
    """Describe a route's good answer."""
    return {status: {"model": model}}


def binary(media_type: str = "application/octet-stream") -> dict[int | str, dict[str, Any]]:
    """Describe a route's good answer that is no JSON."""
    return {200: {"content": {media_type: _NPZ}}}
