"""The real servers with fake workers, as processes that can be killed.

``python -m real_servers --parent-pipe --port 0`` is a local backend, and ``python -m real_servers
serve`` with the flags of ``moedsr serve`` one for a laboratory.
"""

from __future__ import annotations

import logging
import os
import sys

import tyro
from fake_worker import fake_worker

FRAME_S = float(os.environ.get("FAKE_FRAME_S", "0.02"))
"""How long a frame takes [s]."""


def main(arguments: list[str]) -> int:
    if arguments[:1] != ["serve"]:
        from moedsr_core.backend import server

        return server.main(arguments, fake_worker(FRAME_S))
    from moedsr_core.backend.commands import Serve
    from moedsr_core.backend.serve import serve

    serve(tyro.cli(Serve, args=arguments[1:]), fake_worker(FRAME_S))
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1:])
    logging.shutdown()
    os._exit(code)
