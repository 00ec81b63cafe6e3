"""The real server with fake workers: ``python fake_server.py SECONDS ARGUMENTS``."""

from __future__ import annotations

import logging
import os
import sys

from fake_worker import fake_worker

from moedsr_core.backend.server import main

if __name__ == "__main__":
    code = main(sys.argv[2:], fake_worker(float(sys.argv[1])))
    logging.shutdown()
    os._exit(code)
