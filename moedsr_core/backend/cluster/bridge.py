"""The process between the server and one actor: it hands messages on, both ways.

``python -m moedsr_core.backend.cluster.bridge --address A --node N``. It speaks on its pipes like
the worker process of this computer, and ends with its standard input; the actor ends with it.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Sequence
from types import ModuleType
from typing import Any, BinaryIO, NoReturn

from moedsr_core import __version__
from moedsr_core.backend.cluster.actor import SCIENCE, actor_class
from moedsr_core.backend.messages import (
    private_stdin,
    private_stdout,
    read_message,
    write_message,
)
from moedsr_core.errors import BackendError, InputError, MoedsrError
from moedsr_core.ray_cluster import join

CALLS_AT_ONCE = 3
"""Calls that an actor answers at a time: begin, say and hear."""
_PATIENCE_S = 30.0
"""How long an actor may take to find its place before the log says so [s]."""
_END_S = 1.0
"""How long ending the actor may take [s]; Ray ends it in any case, once this process is gone."""


class Bridge:
    """Hands messages on between two pipes and an actor.

    Args:
        options: Where the actor is to be, and what it needs.
        come_in: Messages of the server.
        go_out: Messages to it.
    """

    def __init__(self, options: argparse.Namespace, come_in: BinaryIO, go_out: BinaryIO) -> None:
        self._options, self._in, self._out = options, come_in, go_out
        self._ray: ModuleType | None = None
        self._actor: Any = None
        threading.Thread(target=self._hand_in, name="moedsr-in", daemon=True).start()

    def work(self) -> NoReturn:
        """Make the actor, and hand on what it says, until it or the server ends.

        Raises:
            InputError: If it can never work there.
            BackendError: If the cluster cannot be joined, or the actor has ended.
        """
        self._ray, _ = join(self._options.address)
        try:
            self._begin()
            while True:
                for fields, data in self._ray.get(self._actor.hear.remote()):
                    self._hand_out(fields, data)
        except (self._ray.exceptions.RayError, ConnectionError) as error:
            raise BackendError(explain(error, self._options.host)) from error

    def _begin(self) -> None:
        ray, options = self._ray, self._options
        assert ray is not None
        place = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            options.node, soft=False
        )
        make = ray.remote(
            num_cpus=options.cpus, num_gpus=int(options.gpu), max_restarts=0,
            max_concurrency=CALLS_AT_ONCE, scheduling_strategy=place,
        )(actor_class())  # fmt: skip
        self._actor = make.remote()
        device = "cuda" if options.gpu else "cpu"
        begun = self._actor.begin.remote(__version__, options.core, device, options.cpus)
        if not ray.wait([begun], timeout=_PATIENCE_S)[0]:
            sys.stderr.write(f"still waiting for room on {options.host}; others may be using it\n")
        found = ray.get(begun)
        if found is not None:
            there = f"moedsr {found}" if found else "no moedsr"
            raise InputError(
                f"{options.host} of the Ray cluster has {there}, but this server is moedsr "
                f"{__version__}; install that on all computers of the cluster"
            )

    def _hand_in(self) -> None:
        while (message := read_message(self._in)) is not None:
            assert self._ray is not None
            try:
                self._ray.get(self._actor.say.remote(*message))
            except (self._ray.exceptions.RayError, ConnectionError):
                return  # it has ended, as the other thread hears
        threading.Timer(_END_S, os._exit, [0]).start()
        if self._ray is not None and self._actor is not None:
            self._ray.kill(self._actor)
        os._exit(0)

    def _hand_out(self, fields: dict[str, Any], data: bytes) -> None:
        if fields["type"] == "refused":
            raise InputError(fields["error"])
        if fields["type"] == "broken":
            raise BackendError(fields["error"])
        try:
            write_message(self._out, fields, data)
        except OSError:
            os._exit(0)  # the server has ended


def explain(error: Exception, host: str) -> str:
    """Why an actor is no more, in a sentence."""
    text = str(error)
    if "OutOfMemory" in type(error).__name__ or "memory monitor" in text:
        return f"{host} ran out of memory, and Ray ended the actor there"
    if "node" in text and ("died" in text or "dead" in text) and "worker process" not in text:
        return f"{host} has left the Ray cluster"
    if "actor" in text.lower():
        return f"the Ray actor on {host} has ended; Ray's logs on that computer may say why"
    return f"Ray failed: {' '.join(text.split())[:300]}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the process; returns the exit code."""
    parser = argparse.ArgumentParser(prog="moedsr_core.backend.cluster.bridge", description=__doc__)
    parser.add_argument("--address", required=True, help="of the cluster")
    parser.add_argument("--node", required=True, help="Ray's number of the computer")
    parser.add_argument("--host", required=True, help="its name")
    parser.add_argument("--gpu", action="store_true", help="compute on a GPU of it")
    parser.add_argument("--cpus", type=int, default=1, help="its processors to use")
    parser.add_argument("--core", default=SCIENCE, help="MODULE:NAME of what does the work")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's, which then ends us
    come_in, go_out = os.fdopen(private_stdin(), "rb"), os.fdopen(private_stdout(), "wb")
    try:
        Bridge(options, come_in, go_out).work()
    except InputError as error:
        write_message(go_out, {"type": "refused", "error": str(error)})
        return error.exit_code
    except MoedsrError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)
