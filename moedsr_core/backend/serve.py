"""A server for a laboratory: ``moedsr serve``. The parts are made here, and put together."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from contextlib import ExitStack
from types import FrameType

import uvicorn

from moedsr_core.backend.access.binding import Exposure, is_loopback, listen, resolve
from moedsr_core.backend.access.connections import GuardedServer, server_config
from moedsr_core.backend.access.front import Access
from moedsr_core.backend.access.job_watch import JobWatch
from moedsr_core.backend.access.limits import Limits
from moedsr_core.backend.access.logs import log_event, start_logging
from moedsr_core.backend.access.tls import Certificate
from moedsr_core.backend.access.tokens import DATABASE, TokenStore
from moedsr_core.backend.app import create_app
from moedsr_core.backend.cluster.actor import SCIENCE
from moedsr_core.backend.cluster.cluster import Cluster, ClusterOptions
from moedsr_core.backend.cluster.ray_workers import RayWorkers
from moedsr_core.backend.commands import Serve
from moedsr_core.backend.data_folder import DataFolder, refuse_unusable
from moedsr_core.backend.expiry import Keep
from moedsr_core.backend.local_workers import LocalWorker
from moedsr_core.backend.parts import Backend
from moedsr_core.backend.service import JobService
from moedsr_core.backend.wire.request import JobRequest
from moedsr_core.backend.workers import Worker
from moedsr_core.errors import InputError

_TICKS_PER_LOOK = 600
"""Ticks, of a tenth of a second, between looks at the certificate's files."""
_GRACE_S = 5
"""How long running answers may take when the server ends [s]."""


def serve(options: Serve, make: Callable[[str], Worker] = LocalWorker, core: str = SCIENCE) -> None:
    """Serve until a signal ends it; jobs that run then go on with the next server.

    Args:
        options: Where and for whom.
        make: Makes a worker for a device of this computer.
        core: Module and name of what does the work on a Ray cluster.

    What was typed is judged first, then whether anybody could get in.

    Raises:
        InputError: If the options do not fit together, a device is absent, or nobody could get in.
        BackendError: If the address or the data folder is another's, or no cluster answers.
    """
    address, limits = resolve(options.host), options.limits()
    certificate = _certificate(options)
    concerns = _exposure(options, address).concerns(
        insecure_no_tls=options.insecure_no_tls, insecure_no_tokens=options.insecure_no_tokens
    )
    concerns += certificate.concerns() if certificate else []
    refuse_unusable(options.data_dir)
    with ExitStack() as parts:
        cluster = None if options.ray is None else _cluster(options, core)
        if cluster is not None:
            parts.callback(cluster.close)
        tokens = None if options.no_token else parts.enter_context(_tokens(options))
        listener = parts.enter_context(listen(address, options.port))
        folder = DataFolder(options.data_dir)
        start_logging(options.log_format)
        for sentence in concerns:
            log_event("warning", level=logging.WARNING, reason=sentence)
        access = Access(keys=tokens, limits=limits, any_host=not is_loopback(address))
        service = _service(options, folder, limits, access, tokens)
        backend = _backend(options, folder, service, make, cluster)
        parts.callback(backend.close)
        backend.start()
        if cluster is None and set(options.devices) - {"auto", "cpu"}:
            backend.executor.refuse_absent()
        config = server_config(
            create_app(service, access), limits,
            proxies=options.proxy, timeout_graceful_shutdown=_GRACE_S,
        )  # fmt: skip
        _LabServer(config, limits, backend, certificate).run(sockets=[listener])
        log_event("ended")
        if backend.executor.refused:
            raise InputError(backend.executor.refused)


def _backend(
    options: Serve,
    folder: DataFolder,
    service: JobService,
    make: Callable[[str], Worker],
    cluster: Cluster | None,
) -> Backend:
    """Where the jobs are computed: on this computer or a cluster."""
    if cluster is not None:
        return Backend(folder, service, RayWorkers(service, cluster))
    grow = options.devices == ("auto",)
    return Backend.local(folder, service, options.devices, grow=grow, make=make)


def _cluster(options: Serve, core: str) -> Cluster:
    return Cluster(
        ClusterOptions(
            address=str(options.ray), device=options.devices[0], cpus=options.ray_cpus,
            most=options.ray_workers, core=core,
        )
    )  # fmt: skip


class _LabServer(GuardedServer):
    """Says when it listens, looks after its certificate, and ends in order."""

    def __init__(
        self,
        config: uvicorn.Config,
        limits: Limits,
        backend: Backend,
        certificate: Certificate | None,
    ) -> None:
        super().__init__(config, limits, certificate.context if certificate else None)
        self._backend, self._certificate = backend, certificate

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        name = f"[{host}]" if ":" in host else host
        scheme = "https" if self._certificate else "http"
        log_event("listening", address=f"{scheme}://{name}:{port}")

    async def on_tick(self, counter: int) -> bool:
        if self._certificate and counter % _TICKS_PER_LOOK == 0 and self._certificate.refresh():
            log_event("certificate renewed")
        useless = self._backend.executor.refused is not None
        return await super().on_tick(counter) or useless

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End in order; uvicorn would raise the signal again before the jobs are put back."""
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._backend.service.stop_taking()  # which ends the streams
        await super().shutdown(sockets)


def _certificate(options: Serve) -> Certificate | None:
    if options.tls_cert is None or options.tls_key is None:
        return None
    return Certificate(options.tls_cert, options.tls_key)


def _exposure(options: Serve, address: str) -> Exposure:
    return Exposure(
        loopback=is_loopback(address),
        tls=options.tls_cert is not None,
        tokens=not options.no_token,
    )


def _tokens(options: Serve) -> TokenStore:
    store = None
    if (options.data_dir / DATABASE).is_file():
        store = TokenStore(options.data_dir)
    if store is None or not store.has_valid():
        if store is not None:
            store.close()
        raise InputError(
            f"nobody has a valid token yet; make one with: moedsr token create NAME "
            f"--data-dir {options.data_dir}"
        )
    return store


def _service(
    options: Serve,
    folder: DataFolder,
    limits: Limits,
    access: Access,
    tokens: TokenStore | None,
) -> JobService:
    def admit(owner: str, request: JobRequest) -> None:
        limits.refuse_large(
            atoms=len(request.structure.coords),
            frames=request.options.n_frames,
            spacing=request.options.full().spacing,
        )
        limits.refuse_full_queue(waiting=service.waiting(), own=service.waiting(owner))

    keep = Keep(days=options.expire_after_days, gigabytes=options.keep_gb)
    service = JobService(
        folder, keep=keep, admit=admit, on_event=JobWatch(access.metrics), model_folders=False,
        expelled=frozenset if tokens is None else tokens.revoked,
    )  # fmt: skip
    access.metrics.watch(service)
    return service
