"""The process that tells where on a cluster there is room, once a second.

``python -m moedsr_core.backend.cluster.census --address A``; ends with its standard input.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict

from moedsr_core.backend.cluster.places import Kind, kind_of, places_on, room_left
from moedsr_core.backend.messages import private_stdin, private_stdout, write_message
from moedsr_core.errors import BackendError, MoedsrError
from moedsr_core.ray_cluster import join

PERIOD_S = 1.0
_KINDS: dict[str, Kind] = {"cpu": "CPU", "cuda": "GPU"}


def end_with(pipe: int) -> None:
    """End this process when a pipe closes, whatever it does."""

    def watch() -> None:
        with suppress(OSError):
            while os.read(pipe, 4096):
                pass
        os._exit(0)

    threading.Thread(target=watch, name="moedsr-end", daemon=True).start()


def tell(address: str, device: str, cpus: int, output: int) -> None:
    """Say where there is room, until nobody listens.

    Args:
        address: The cluster.
        device: ``auto``, ``cpu`` or ``cuda``; auto takes the GPUs of a cluster that has any now.
        cpus: Processors that a worker needs.
        output: Descriptor to write to.

    Raises:
        BackendError: If the cluster cannot be joined, or has gone.
    """
    ray, _ = join(address)
    kind = _KINDS.get(device) or kind_of(ray.nodes())
    with suppress(BrokenPipeError), os.fdopen(output, "wb") as file:
        while True:
            try:
                nodes, free = ray.nodes(), ray.available_resources()
            except (ray.exceptions.RayError, ConnectionError) as error:
                raise BackendError(f"the Ray cluster at {address!r} has gone") from error
            places = [asdict(place) for place in places_on(nodes, kind, cpus)]
            room = room_left(free, kind, cpus)
            write_message(file, {"type": "room", "places": places, "free": room, "kind": kind})
            time.sleep(PERIOD_S)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the process; returns the exit code."""
    parser = argparse.ArgumentParser(prog="moedsr_core.backend.cluster.census", description=__doc__)
    parser.add_argument("--address", required=True)
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--cpus", type=int, default=1)
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's, which then ends us
    end_with(private_stdin())
    try:
        tell(options.address, options.device, options.cpus, private_stdout())
    except MoedsrError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)
