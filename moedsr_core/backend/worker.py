"""The process that computes: ``python -m moedsr_core.backend.worker --device D``.

It knows nothing of jobs, owners or disks: requests come in on standard input, packed results go
out on standard output, and it ends when its standard input does.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Protocol, runtime_checkable

from moedsr_core.backend.messages import (
    Message,
    private_stdin,
    private_stdout,
    read_message,
    write_message,
)
from moedsr_core.backend.wire.frames import encode
from moedsr_core.backend.wire.records import as_json, pack_attributes
from moedsr_core.backend.wire.request import read_request
from moedsr_core.errors import CancelledError, MoedsrError

log = logging.getLogger(__name__)

_ERROR_LENGTH = 500

Result = tuple[str, Any]
"""``("frame", bytes)``, ``("attributes", bytes)`` or ``("summary", dict)``."""


@runtime_checkable
class Core(Protocol):
    """What a worker does; :class:`WorkerCore` does it with the science."""

    def describe(self) -> dict[str, Any]:
        """Say what there is: ``device``, ``devices``, ``models``, ``digests``, ``cards``."""

    def check(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Resolve options."""

    def run(
        self,
        request: bytes,
        skip_frames: int,
        on_progress: Callable[[str, int], None],
        should_stop: Callable[[], bool],
    ) -> Iterator[Result]:
        """Compute one job."""


class WorkerCore:
    """The science on one device.

    Args:
        device: auto, cpu, mps, cuda or cuda:N.

    Raises:
        InputError: If there is no such device.
    """

    def __init__(self, device: str = "auto") -> None:
        from moedsr_core.backend.engine import CoreEngine  # takes seconds, and not every server

        self._engine = CoreEngine(device)
        self._engine.warm_up()

    def describe(self) -> dict[str, Any]:
        """Say what there is: the device, its siblings, and the models with hashes and cards."""
        engine = self._engine
        return {
            "device": engine.device(),
            "devices": engine.devices(),
            "models": engine.models(),
            "digests": engine.digests(),
            "cards": engine.cards(),
        }

    def check(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Resolve options.

        Args:
            options: ``kind`` and any options of the science.

        Returns:
            ``options`` without a gap, the ``device`` they mean here, and the model's ``digest``.

        Raises:
            InputError: If they cannot be computed here.
        """
        science = dict(options)
        return self._engine.resolve(science.pop("kind", "predict"), science)

    def run(
        self,
        request: bytes,
        skip_frames: int,
        on_progress: Callable[[str, int], None],
        should_stop: Callable[[], bool],
    ) -> Iterator[Result]:
        """Compute one job.

        Args:
            request: Body of the request.
            skip_frames: First frames that are computed and not yielded; somebody has them.
            on_progress: Called where a stage begins, with the frames that there will be.
            should_stop: Asked often; once it is true this ends with CancelledError.

        Yields:
            Frames and attributes, packed, in the order of the stream, then the summary.

        Raises:
            MoedsrError: If it cannot be computed.
            CancelledError: If it was stopped.
        """
        job = read_request(request)
        events = self._engine(job.structure, job.options, on_progress, should_stop)
        state, frame = None, 0
        for event in events:
            if event.kind == "frame":
                data, state = encode(event.data, state)
                if frame >= skip_frames:
                    yield "frame", data
                frame += 1
            elif event.kind == "attributes":
                yield "attributes", pack_attributes(event.data)
            else:
                yield "summary", as_json(event.data)


class Desk:
    """Carries out what it hears, and says what comes of it.

    Args:
        core: What does the work.
        hear: Waits for the next message of the server; None once that has ended.
        say: Says something to the server; waits while it has enough to listen to. OSError where
            it has ended.
    """

    def __init__(
        self,
        core: Core,
        hear: Callable[[], Message | None],
        say: Callable[[Mapping[str, Any], bytes], object],
    ) -> None:
        self._core, self._hear, self._send = core, hear, say
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._order: tuple[int, bytes] | None = None
        self._ordered = threading.Semaphore(0)
        self._told = ("", 0)

    def work(self) -> None:
        """Answer until the server ends, which ends this process."""
        self._say({"type": "ready", **self._core.describe()})
        threading.Thread(target=self._listen, name="moedsr-listen", daemon=True).start()
        while True:
            self._ordered.acquire()
            if self._order is None:
                return
            self._run(*self._order)

    def _listen(self) -> None:
        """Take messages while the main thread computes."""
        while (message := self._hear()) is not None:
            fields, data = message
            if fields["type"] == "check":
                self._check(fields)
            elif fields["type"] == "stop":
                self._stop.set()
            else:
                self._stop.clear()
                self._order = (int(fields["skip"]), data)
                self._ordered.release()
        os._exit(0)  # nobody listens, and a library may not heed a request to stop

    def _check(self, fields: dict[str, Any]) -> None:
        answer: dict[str, Any] = {"type": "checked", "number": fields["number"]}
        try:
            answer["resolved"] = self._core.check(fields["options"])
        except MoedsrError as error:
            answer["refused"] = str(error)
        except Exception as error:
            log.exception("options could not be checked")
            answer["refused"] = sentence(error)
        self._say(answer)

    def _run(self, skip: int, request: bytes) -> None:
        try:
            self._send_all(skip, request)
        except Exception as error:
            self._say(failure(error))
        else:
            self._say({"type": "done"})

    def _send_all(self, skip: int, request: bytes) -> None:
        frame, self._told = skip, ("", 0)
        for kind, data in self._core.run(request, skip, self._progress, self._stop.is_set):
            if self._stop.is_set():
                raise CancelledError("the job was stopped on request")
            if kind == "frame":
                self._say({"type": "frame", "index": frame}, data)
                frame += 1
            elif kind == "attributes":
                self._say({"type": "attributes"}, data)
            else:
                self._say({"type": "summary", "summary": data})

    def _progress(self, stage: str, frames: int) -> None:
        if (stage, frames) != self._told:
            self._told = stage, frames
            self._say({"type": "progress", "stage": stage, "frames": frames})

    def _say(self, fields: Mapping[str, Any], data: bytes = b"") -> None:
        try:
            with self._lock:
                self._send(fields, data)
        except OSError:
            os._exit(0)  # the server has ended


def failure(error: Exception) -> dict[str, Any]:
    """Message that ends a job which could not be computed; the log has the traceback."""
    if isinstance(error, CancelledError):
        return {"type": "cancelled"}
    if isinstance(error, MoedsrError):
        return {"type": "failed", "error": str(error)}
    log.error("a job failed", exc_info=error)
    return {"type": "failed", "error": sentence(error)}


def sentence(error: BaseException) -> str:
    """What an unforeseen failure is called to the user."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return (
            "the computer ran out of memory; use a larger spacing, fewer frames or a smaller "
            "selection"
        )
    text = " ".join(str(error).split())[:_ERROR_LENGTH]
    return f"internal error: {type(error).__name__}: {text}"


def serve(make_core: Callable[[], Core]) -> int:
    """Be a worker on this process's standard input and output.

    Args:
        make_core: Makes what does the work; may take its time, and may raise MoedsrError.

    Returns:
        The exit code.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's, which then ends us
    come_in, go_out = os.fdopen(private_stdin(), "rb"), os.fdopen(private_stdout(), "wb")
    try:
        core = make_core()
    except MoedsrError as error:
        write_message(go_out, {"type": "refused", "error": str(error)})
        return error.exit_code
    Desk(core, partial(read_message, come_in), partial(write_message, go_out)).work()
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a worker with the science; returns the exit code."""
    parser = argparse.ArgumentParser(prog="moedsr_core.backend.worker", description=__doc__)
    parser.add_argument("--device", default="auto", help="auto, cpu, mps, cuda or cuda:N")
    options = parser.parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
    return serve(lambda: WorkerCore(options.device))


if __name__ == "__main__":
    sys.exit(main())
