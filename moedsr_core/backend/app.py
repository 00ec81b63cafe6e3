"""The HTTP interface: routes, and errors as sentences."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Protocol, runtime_checkable

from fastapi import APIRouter, FastAPI, Header, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, StreamingResponse
from starlette.background import BackgroundTask
from starlette.requests import ClientDisconnect

from moedsr_core import __version__
from moedsr_core.backend.description import (
    JOB_BODY,
    PROBLEMS,
    Health,
    JobStatus,
    answers,
    binary,
)
from moedsr_core.backend.live import LiveJob
from moedsr_core.backend.refusals import DiskFullError, Refusal, UnfinishedError, is_disk_full
from moedsr_core.backend.service import JobService
from moedsr_core.backend.stream import stream_job
from moedsr_core.backend.wire.records import PROTOCOL
from moedsr_core.backend.wire.request import MAX_BODY_BYTES
from moedsr_core.errors import CheckpointError, InputError, MoedsrError

log = logging.getLogger(__name__)

LOCAL = "local"
"""Owner of all jobs where nobody is told apart."""

router = APIRouter(prefix="/v1", responses=PROBLEMS)


@runtime_checkable
class Front(Protocol):
    """What stands in front of the routes."""

    def install(self, app: FastAPI) -> None:
        """Add middleware, which sets ``request.state.owner``, and handlers of its own errors."""


def create_app(service: JobService, access: Front | None = None) -> FastAPI:
    """Application that serves the jobs of a service.

    Args:
        service: The jobs.
        access: Who may use it, and whose requests they are; without, all are :data:`LOCAL`'s.
    """
    app = FastAPI(
        title="moedsr",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url="/v1/openapi.json",
    )
    app.state.service = service
    app.state.auth = access is not None
    app.include_router(router)
    app.add_exception_handler(Refusal, _answer_refusal)
    app.add_exception_handler(InputError, _refuse_input)
    app.add_exception_handler(MoedsrError, _report_failure)
    app.add_exception_handler(CheckpointError, _report_failure)
    app.add_exception_handler(RequestValidationError, _refuse_parameter)
    app.add_exception_handler(ClientDisconnect, _forget)
    if access is not None:
        access.install(app)
    return app


@router.get("/health", responses=answers(Health))
def health(request: Request) -> dict[str, Any]:
    """Say who answers, and how busy it is."""
    service = _service(request)
    description = service.workers.describe() or {}
    workers = service.workers.status()
    return {
        "name": "moedsr",
        "version": __version__,
        "protocol": PROTOCOL,
        "device": description.get("device"),
        "devices": [worker["device"] for worker in workers],
        "workers": workers,
        "queue": {"waiting": service.waiting(), "running": service.running()},
        "auth": request.app.state.auth,
        "pid": os.getpid(),
    }


@router.get("/models")
def models(request: Request) -> list[dict[str, Any]]:
    """List the models that can be chosen."""
    return _service(request).models()


@router.get("/models/{name}/card", response_class=PlainTextResponse)
def card(request: Request, name: str) -> Response:
    """Show what a model was trained on, and how good it is."""
    return PlainTextResponse(_service(request).card(name), media_type="text/markdown")


@router.post("/jobs", status_code=201, responses=answers(JobStatus, 201), openapi_extra=JOB_BODY)
async def create_job(
    request: Request,
    idempotency_key: Annotated[str | None, Header(max_length=128)] = None,
) -> dict[str, Any]:
    """Queue a job from an npz body."""
    body = await _read_body(request)
    return await asyncio.to_thread(_service(request).create, _owner(request), body, idempotency_key)


@router.get("/jobs", responses=answers(list[JobStatus]))
def list_jobs(request: Request) -> StreamingResponse:
    """Status of one's own jobs, newest first."""
    rows = _service(request).statuses(_owner(request))
    return StreamingResponse(_json_list(rows), media_type="application/json")


@router.get("/jobs/{job_id}", responses=answers(JobStatus))
def job_status(request: Request, job_id: str) -> dict[str, Any]:
    """Status of one job."""
    return _service(request).status(_owner(request), job_id)


@router.get("/jobs/{job_id}/stream", response_class=StreamingResponse, responses=binary())
def stream(
    request: Request, job_id: str, start: Annotated[int, Query(alias="from", ge=0)] = 0
) -> StreamingResponse:
    """Records of one job from frame ``from`` on, as they are made."""
    service = _service(request)
    frames = service.status(_owner(request), job_id)["frames"]
    if start > max(frames, 1):
        raise InputError(f"from must be from 0 to {frames}, got {start}")
    reading = service.reading(_owner(request), job_id)
    records = _followed(reading, start, service)
    return StreamingResponse(records, media_type="application/octet-stream")


@router.get("/jobs/{job_id}/result", response_class=FileResponse, responses=binary())
def result(request: Request, job_id: str) -> FileResponse:
    """The whole result of a finished job, as the npz file that ``moedsr predict`` writes."""
    from moedsr_core.backend.result import write_result  # takes a second, and few ask for it

    service = _service(request)
    with service.reading(_owner(request), job_id) as live:
        if live.job.state != "done":
            raise UnfinishedError(
                f"job {job_id} is {live.job.state}, so there is no whole result; "
                f"GET /v1/jobs/{job_id}/stream gives the frames that there are"
            )
        path = _scratch(service)
        try:
            write_result(live.job, live.spool, path)
        except BaseException as error:
            path.unlink(missing_ok=True)
            raise (DiskFullError() if is_disk_full(error) else error) from error
    return FileResponse(
        path,
        media_type="application/octet-stream",
        filename=f"{job_id}.npz",
        background=BackgroundTask(path.unlink, missing_ok=True),
    )


@router.post("/jobs/{job_id}/cancel", responses=answers(JobStatus))
def cancel_job(request: Request, job_id: str) -> dict[str, Any]:
    """Stop a job; what it has made stays readable."""
    return _service(request).cancel(_owner(request), job_id)


@router.delete("/jobs/{job_id}", status_code=204)
def delete_job(request: Request, job_id: str) -> Response:
    """Cancel a job and delete all it made."""
    _service(request).delete(_owner(request), job_id)
    return Response(status_code=204)


def _service(request: Request) -> JobService:
    return request.app.state.service


def _owner(request: Request) -> str:
    return getattr(request.state, "owner", LOCAL)


async def _followed(
    reading: AbstractContextManager[LiveJob], start: int, service: JobService
) -> AsyncIterator[bytes]:
    with reading as live:
        place = partial(service.place, live.job.id)
        async for record in stream_job(live, start, lambda: service.closing, place):
            yield record


def _json_list(rows: Iterator[dict[str, Any]]) -> Iterator[bytes]:
    """JSON of a list that is not held in memory."""
    before = b"["
    for row in rows:
        yield before + json.dumps(row, allow_nan=False).encode()
        before = b",\n"
    yield b"[]" if before == b"[" else b"]"


def _scratch(service: JobService) -> Path:
    """An empty file in the data folder, which the next start removes if this one cannot."""
    try:
        handle, name = tempfile.mkstemp(suffix=".npz", dir=service.folder.scratch)
    except OSError as error:
        raise (DiskFullError() if is_disk_full(error) else error) from error
    os.close(handle)
    return Path(name)


async def _read_body(request: Request) -> bytes:
    """The whole body, unless it is, or says it is, too large."""
    announced = request.headers.get("content-length", "0")
    too_large = HTTPException(
        413, f"a request is at most {MAX_BODY_BYTES >> 20} MB long; select fewer atoms"
    )
    if not announced.isdecimal() or int(announced) > MAX_BODY_BYTES:
        raise too_large
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise too_large
    return bytes(body)


def _detail(status: int, sentence: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"detail": sentence}, status_code=status, headers=headers)


async def _answer_refusal(request: Request, error: Exception) -> Response:
    refusal = error if isinstance(error, Refusal) else Refusal(str(error))
    return _detail(refusal.status, str(refusal), refusal.headers)


async def _refuse_input(request: Request, error: Exception) -> Response:
    return _detail(422, str(error))


async def _report_failure(request: Request, error: Exception) -> Response:
    return _detail(500, str(error))


async def _refuse_parameter(request: Request, error: Exception) -> Response:
    problem = error.errors()[0] if isinstance(error, RequestValidationError) else {}
    where, what = problem.get("loc", ("request",))[-1], problem.get("msg", "cannot be read")
    return _detail(422, f"{where} is not right: {what}")


async def _forget(request: Request, error: Exception) -> Response:
    return _detail(400, "the request ended before its body was complete")
