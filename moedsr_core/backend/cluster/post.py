"""A worker on a computer of the cluster, whose messages are fetched by calls."""

from __future__ import annotations

import importlib
import logging
import os
import queue
import threading
from collections.abc import Callable, Mapping
from typing import Any

from moedsr_core.backend.messages import Message
from moedsr_core.backend.worker import Core, Desk, sentence
from moedsr_core.errors import MoedsrError
from moedsr_core.threads import SEARCH_THREADS

log = logging.getLogger(__name__)

AHEAD = 4
"""Messages that wait to be fetched; a worker that is faster waits itself."""
PATIENCE_S = 10.0
"""How long a call waits for a message [s]."""


class Post:
    """A desk in a thread of this process; what it hears and says goes through queues.

    Args:
        make_core: Makes what does the work, in that thread.
    """

    def __init__(self, make_core: Callable[[], Core]) -> None:
        self._make = make_core
        self._inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._outbox: queue.Queue[Message] = queue.Queue(AHEAD)
        threading.Thread(target=self._work, name="moedsr-desk", daemon=True).start()

    def say(self, fields: Mapping[str, Any], data: bytes) -> None:
        """Tell the desk something."""
        self._inbox.put((dict(fields), data))

    def hear(self) -> list[Message]:
        """What it says next: all that is there, or nothing where it is silent for some seconds."""
        messages: list[Message] = []
        try:
            messages.append(self._outbox.get(timeout=PATIENCE_S))
            while len(messages) < AHEAD:
                messages.append(self._outbox.get_nowait())
        except queue.Empty:
            pass
        return messages

    def _work(self) -> None:
        try:
            Desk(self._make(), self._inbox.get, self._put).work()
        except MoedsrError as error:
            self._put({"type": "refused", "error": str(error)})
        except BaseException as error:
            log.error("a worker has failed", exc_info=error)
            self._put({"type": "broken", "error": sentence(error)})

    def _put(self, fields: Mapping[str, Any], data: bytes = b"") -> None:
        self._outbox.put((dict(fields), data))


def open_post(core: str, device: str, cpus: int) -> Post:
    """Make this process a worker.

    Args:
        core: Module and name of what makes the core of a device, with a colon between.
        device: The device.
        cpus: How many threads it computes with.
    """
    for setting in ("OMP_NUM_THREADS", SEARCH_THREADS):
        os.environ[setting] = str(cpus)
    module, _, name = core.partition(":")
    return Post(lambda: getattr(importlib.import_module(module), name)(device))
