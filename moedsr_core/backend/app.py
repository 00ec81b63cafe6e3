"""The HTTP interface: routes, errors as sentences, and the token in front of everything."""

from __future__ import annotations

import asyncio
import hmac
import logging
import os
from typing import Annotated, Any, Protocol, runtime_checkable

from fastapi import APIRouter, FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from moedsr_core import __version__
from moedsr_core.backend.jobs import Job, JobQueue
from moedsr_core.backend.options import JobOptions
from moedsr_core.backend.stream import stream_job
from moedsr_core.backend.wire import MAX_BODY_BYTES, PROTOCOL, read_request
from moedsr_core.errors import CheckpointError, InputError, MoedsrError

log = logging.getLogger(__name__)

router = APIRouter(prefix="/v1")


@runtime_checkable
class Science(Protocol):
    """What the interface tells about the engine behind it."""

    def device(self) -> str:
        """Where jobs are computed unless they choose another place."""

    def models(self) -> list[dict[str, Any]]:
        """Entries of ``GET /v1/models``."""

    def check(self, options: JobOptions) -> None:
        """Raise InputError where a job's options cannot be computed."""


class TokenGate:
    """Answers 401 to every request without the bearer token, whatever its path."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._expected = b"Bearer " + token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] == "lifespan" or self._holds_token(scope):
            await self._app(scope, receive, send)
            return
        refusal = JSONResponse(
            {"detail": "this needs the backend's token, as Authorization: Bearer TOKEN"},
            status_code=401,
            headers={"WWW-Authenticate": "Bearer"},
        )
        await refusal(scope, receive, send)

    def _holds_token(self, scope: Scope) -> bool:
        given = next((v for k, v in scope["headers"] if k == b"authorization"), b"")
        return hmac.compare_digest(given, self._expected)


class FailureGate:
    """Answers 500 with one sentence where a route fails unforeseen; the log has the traceback.

    Starlette's own handler would end the connection as well, and with it the client's next call.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and answer it if that fails before an answer has begun."""
        begun = False

        async def noting_send(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, noting_send)
        except Exception as error:
            if begun:
                raise
            log.exception("%s %s failed", scope.get("method"), scope.get("path"))
            sentence = f"internal error: {type(error).__name__}; the backend's log has more"
            await _detail(500, sentence)(scope, receive, send)


def create_app(jobs: JobQueue, science: Science, token: str) -> FastAPI:
    """Application that serves one queue of jobs to holders of one token."""
    app = FastAPI(
        title="moedsr",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url="/v1/openapi.json",
    )
    app.state.jobs = jobs
    app.state.science = science
    app.include_router(router)
    app.add_middleware(FailureGate)
    app.add_middleware(TokenGate, token=token)
    app.add_exception_handler(InputError, _refuse_input)
    app.add_exception_handler(MoedsrError, _report_failure)
    app.add_exception_handler(CheckpointError, _report_failure)
    app.add_exception_handler(RequestValidationError, _refuse_parameter)
    app.add_exception_handler(ClientDisconnect, _forget)
    return app


@router.get("/health")
def health(request: Request) -> dict[str, Any]:
    """Say who answers."""
    return {
        "name": "moedsr",
        "version": __version__,
        "protocol": PROTOCOL,
        "device": request.app.state.science.device(),
        "pid": os.getpid(),
    }


@router.get("/models")
def models(request: Request) -> list[dict[str, Any]]:
    """List the models that can be chosen."""
    return request.app.state.science.models()


@router.post("/jobs", status_code=201)
async def create_job(request: Request) -> dict[str, Any]:
    """Queue a job from an npz body."""
    body = await _read_body(request)
    job = await asyncio.to_thread(_submit, request.app.state, body)
    return {"id": job.id, "state": job.state}


@router.get("/jobs")
async def list_jobs(request: Request) -> list[dict[str, Any]]:
    """States of all jobs, oldest first."""
    return [job.status() for job in request.app.state.jobs.jobs()]


@router.get("/jobs/{job_id}")
async def job_state(request: Request, job_id: str) -> dict[str, Any]:
    """State of one job."""
    return _job(request, job_id).status()


@router.get("/jobs/{job_id}/stream")
async def stream(
    request: Request, job_id: str, start: Annotated[int, Query(alias="from", ge=0)] = 0
) -> StreamingResponse:
    """Records of one job from frame ``from`` on, as they are made."""
    job = _job(request, job_id)
    if start > max(job.frames, 1):
        raise InputError(f"from must be from 0 to {job.frames}, got {start}")
    return StreamingResponse(stream_job(job, start), media_type="application/octet-stream")


@router.post("/jobs/{job_id}/cancel")
async def cancel_job(request: Request, job_id: str) -> dict[str, Any]:
    """Stop a job; what it has made stays readable."""
    job = _job(request, job_id)
    job.cancel()
    return job.status()


@router.delete("/jobs/{job_id}", status_code=204)
async def delete_job(request: Request, job_id: str) -> Response:
    """Cancel a job and delete all it made."""
    await asyncio.to_thread(request.app.state.jobs.delete, _job(request, job_id))
    return Response(status_code=204)


def _submit(state: Any, body: bytes) -> Job:
    job_request = read_request(body)
    state.science.check(job_request.options)
    return state.jobs.submit(job_request)


def _job(request: Request, job_id: str) -> Job:
    job = request.app.state.jobs.get(job_id)
    if job is None:
        raise HTTPException(404, f"there is no job {job_id[:40]!r}; it was deleted or never made")
    return job


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


def _detail(status: int, sentence: str) -> JSONResponse:
    return JSONResponse({"detail": sentence}, status_code=status)


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
