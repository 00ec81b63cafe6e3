"""Workers kept alive, and jobs handed to them: one thread for each worker."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from moedsr_core.backend.job_run import Run
from moedsr_core.backend.jobstore import Job
from moedsr_core.backend.service import JobService
from moedsr_core.backend.workers import Worker, WorkerDied
from moedsr_core.errors import BackendError, InputError

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
"""Pauses before a dead worker is replaced double from the first to the longest [s]."""
STARTS_BEFORE_FAILING = 3
"""Starts that may fail in a row before waiting jobs are told why they wait in vain."""
_TAKE_S = 0.5
_END_S = 2.0


class Slot:
    """A place for one worker, which is started, given jobs, and replaced where it ends.

    Args:
        place: What the worker is made for.
        make: Makes it.
        service: Where the jobs come from.
        on_ready: Called with its description whenever one is up.
        name: What to call it; its device by default.
    """

    def __init__(
        self,
        place: str,
        make: Callable[[str], Worker],
        service: JobService,
        on_ready: Callable[[dict[str, Any]], object],
        name: str | None = None,
    ) -> None:
        self.place, self.device, self.state = place, place, "starting"
        self.error: str | None = None
        self.description: dict[str, Any] | None = None
        self.refused: str | None = None
        """Why a worker can never be made here."""
        self.failed_starts = 0
        self.worker: Worker | None = None
        self.tried = threading.Event()
        """Whether a worker was up, or could not be made."""
        self._make, self._service, self._on_ready, self._name = make, service, on_ready, name
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"moedsr-{place}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    @property
    def name(self) -> str:
        """What it is called."""
        return self._name or self.device

    @property
    def is_up(self) -> bool:
        """Whether a worker is ready, or at work."""
        return self.state in ("idle", "busy")

    def close(self, seconds: float) -> None:
        """End the worker; a job that it runs is put back."""
        self._closing.set()
        if self.worker is not None:
            self.worker.close()
        if self._thread.ident is not None:
            self._thread.join(seconds)

    def _keep(self) -> None:
        pause = FIRST_PAUSE_S
        while not self._closing.is_set() and self.refused is None:
            began = time.monotonic()
            self._once()
            long_lived = time.monotonic() - began > 2 * LONGEST_PAUSE_S
            pause = FIRST_PAUSE_S if long_lived else min(2 * pause, LONGEST_PAUSE_S)
            if self.refused is None:
                self._closing.wait(pause)
        self.state = "down"

    def _once(self) -> None:
        """The life of one worker."""
        self.state = "starting"
        try:
            self.worker = self._make(self.place)
            if self._is_ready(self.worker):
                self._serve(self.worker)
        except BackendError as error:
            self._note_end(error)
        except Exception as error:
            log.exception("the slot of %s failed", self.name)
            self._note_end(error)
        finally:
            self.state = "down"
            if self.worker is not None:
                self.worker.close()

    def _is_ready(self, worker: Worker) -> bool:
        try:
            self.description = worker.describe()
        except InputError as error:
            self.refused = self.error = str(error)
            self.tried.set()
            return False
        self.device, self.failed_starts, self.error = self.description["device"], 0, None
        if self._name is None:
            self.place = self.device
        self.state = "idle"
        self._on_ready(self.description)
        self.tried.set()
        return True

    def _note_end(self, error: Exception) -> None:
        if self._closing.is_set():
            return
        self.failed_starts += not self.is_up
        self.tried.set()
        self.error = str(error)
        log.warning("worker on %s: %s", self.name, error)

    def _serve(self, worker: Worker) -> None:
        while not self._closing.is_set():
            live = self._service.take(self._accepts, worker.check, _TAKE_S)
            if live is not None:
                self.state = "busy"
                Run(self._service, live, worker).carry_out()
                self.state = "idle"
            if not worker.is_alive():
                raise WorkerDied("it ended")

    def _accepts(self, job: Job) -> bool:
        """Whether a job may run here: where it asks for a device, any other leaves it alone."""
        asked = str(job.options.get("device", "auto"))
        here = (self.description or {}).get("devices", [])
        return asked in ("auto", self.device) or asked not in here or asked == "cuda"


class WorkerPool:
    """All workers of a server.

    Args:
        service: Where the jobs come from.
        make: Makes a worker for a device.
        devices: What to make workers for; ``auto`` or ``cuda`` may turn out to be several.
        grow: Whether to use all devices of the kind that the first worker found.
    """

    def __init__(
        self,
        service: JobService,
        make: Callable[[str], Worker],
        devices: Sequence[str] = ("auto",),
        *,
        grow: bool = False,
    ) -> None:
        self._service, self._make, self._grow = service, make, grow
        self._lock = threading.Lock()
        self._slots = [self._slot(device) for device in devices]
        service.workers = self

    def start(self) -> None:
        """Begin to compute."""
        for slot in self._slots:
            slot.start()

    def refuse_absent(self) -> None:
        """Wait until it is known of each device whether it is there.

        Raises:
            InputError: If one is not.
        """
        for slot in list(self._slots):
            slot.tried.wait()
            if slot.refused is not None:
                raise InputError(slot.refused)

    @property
    def refused(self) -> str | None:
        """Why no worker can ever be made, where that is so."""
        reasons = [slot.refused for slot in self._slots]
        return reasons[0] if reasons and all(reasons) else None

    def check(self, options: Mapping[str, Any]) -> dict[str, Any] | None:
        """Resolve options; None while no worker is up.

        Raises:
            InputError: If they are refused.
        """
        for slot in self._up():
            try:
                if slot.worker is not None:
                    return slot.worker.check(options)
            except WorkerDied:
                continue
        return None

    def describe(self) -> dict[str, Any] | None:
        """What the workers said of themselves; None until one was up."""
        return next((slot.description for slot in self._slots if slot.description), None)

    def status(self) -> list[dict[str, Any]]:
        """Device and state of each worker."""
        return [
            {"device": slot.name, "state": slot.state, "error": slot.error} for slot in self._slots
        ]

    def tick(self) -> None:
        """Tell waiting jobs where there is no hope of a worker."""
        tries = [slot.failed_starts for slot in self._slots]
        tried = min(tries, default=0) >= STARTS_BEFORE_FAILING
        if not self._up() and (tried or self.refused):
            error = self._slots[0].error
            self._service.fail_waiting(f"the process that computes does not start: {error}")

    def forgive(self) -> None:
        """Forget the starts that failed, where it was not the worker's fault."""
        for slot in self._slots:
            slot.failed_starts = 0

    def have(self, places: Mapping[str, str]) -> None:
        """Have a worker at each of these places, and at no other; jobs that run there are put back.

        Args:
            places: Names to call them, by what workers are made for.
        """
        with self._lock:
            gone = [slot for slot in self._slots if slot.place not in places]
            kept = [slot for slot in self._slots if slot.place in places]
            there = {slot.place for slot in kept}
            new = [self._slot(place, name) for place, name in places.items() if place not in there]
            self._slots = kept + new
        for slot in gone:
            slot.close(_END_S)
        for slot in new:
            slot.start()

    def close(self, seconds: float) -> None:
        """End all workers; jobs that run are put back."""
        self._service.stop_taking()
        for slot in self._slots:
            slot.close(seconds)

    def _up(self) -> list[Slot]:
        return [slot for slot in self._slots if slot.is_up]

    def _slot(self, place: str, name: str | None = None) -> Slot:
        return Slot(place, self._make, self._service, self._note_ready, name)

    def _note_ready(self, description: dict[str, Any]) -> None:
        """Make workers for the other devices, once the first has told which there are."""
        with self._lock:
            if not self._grow:
                return
            self._grow = False
            used = {slot.device for slot in self._slots} | {description["device"]}
            new = [self._slot(device) for device in description["devices"] if device not in used]
            self._slots += new
        for slot in new:
            slot.start()
