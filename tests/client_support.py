"""A client of a stand-in, and what a job gives it."""

from __future__ import annotations

from typing import Any

import numpy as np
from pymol_support import FakeBackend

from moedsr_core.backend.client import (
    Address,
    BackendClient,
    Follower,
    Patience,
    Record,
)

FRAMES = 6
QUICK = Patience(
    connect_s=2.0, silence_s=2.0, retries=2, first_wait_s=0.001, longest_wait_s=0.002, busy_s=1.0
)
ATOMS = {"coords": np.arange(12.0).reshape(4, 3), "elements": np.array(["C"] * 4)}
OPTIONS = {"kind": "predict", "frames": FRAMES}


def client_of(fake: FakeBackend, patience: Patience = QUICK, **more: Any) -> BackendClient:
    return BackendClient(Address(fake.url, **{"token": fake.token, **more}), patience)


def followed(fake: FakeBackend, job: str, patience: Patience = QUICK, **more: Any) -> list[Record]:
    client = client_of(fake, patience)
    return list(Follower(client.again, job, patience=patience, **more).records())


def lasting(records: list[Record]) -> list[Any]:
    """What a job gives however its stream went: all but signs of progress."""
    return [
        (record.kind, record.fields, {k: v.tobytes() for k, v in record.arrays.items()})
        for record in records
        if record.kind != "progress"
    ]


def starts(fake: FakeBackend) -> list[int]:
    return [int(line.split("=")[1]) for line in fake.requests if "stream" in line]
