"""Calls to the jobs of a backend in this process."""

from __future__ import annotations

from backend_support import wait_until
from test_wire import body_of, options_of

from moedsr_core.backend.parts import Backend


def body(frames: int = 3, seed: int = 1, **more) -> bytes:
    return body_of(options=options_of(frames=frames, seed=seed, **more))


def create(backend: Backend, frames: int = 3, seed: int = 1, owner: str = "ann", **more) -> str:
    return backend.service.create(owner, body(frames, seed, **more))["id"]


def state(backend: Backend, job: str, owner: str = "ann") -> dict:
    return backend.service.status(owner, job)


def wait_for(backend: Backend, job: str, wanted: str = "done", owner: str = "ann") -> dict:
    wait_until(lambda: state(backend, job, owner)["state"] == wanted, f"the job is {wanted}")
    return state(backend, job, owner)


def records_of(backend: Backend, job: str, owner: str = "ann") -> list[bytes]:
    with backend.service.reading(owner, job) as live:
        return [live.spool.read(place) for place in range(live.job.records)]


def killed(backend: Backend) -> None:
    """Let go of the folder as a killed process does: nothing is written any more."""
    backend.service.store.close()
    backend.folder.close()


def finished(backend: Backend, *seeds: int) -> list[str]:
    jobs = [create(backend, seed=seed) for seed in seeds]
    for job in jobs:
        wait_for(backend, job)
    return jobs


def known(backend: Backend) -> list[str]:
    return [row["id"] for row in backend.service.statuses("ann")][::-1]


def age(backend: Backend, job: str, days: float) -> None:
    """Let a job be that much older."""
    database = backend.service.store._database
    database.execute("UPDATE jobs SET kept_s = kept_s + ? WHERE id = ?", (days * 86400, job))
