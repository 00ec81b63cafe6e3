"""Every route of the server, so that a new one cannot be forgotten."""

from __future__ import annotations

from moedsr_core.backend.access.front import Access
from moedsr_core.backend.app import create_app, router
from moedsr_core.backend.service import JobService

APP = create_app(object.__new__(JobService), Access(keys=None))
"""The application of ``moedsr serve``, without any jobs."""
ROUTES = sorted(
    (method, route.path)
    for route in [*router.routes, *(route for route in APP.routes if hasattr(route, "path"))]
    for method in route.methods
)
"""Method and path of each route."""
JOB_ROUTES = [(method, path) for method, path in ROUTES if "{job_id}" in path]


def filled(path: str, job: str = "0123456789abcdef") -> str:
    """A route's path with its blanks filled in."""
    return path.replace("{job_id}", job).replace("{name}", "default")
