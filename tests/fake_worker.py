"""A worker process whose frames are numbers; ``python fake_worker.py [seconds a frame]``."""

from __future__ import annotations

import logging
import os
import sys
import time
from pathlib import Path

import numpy as np

from moedsr_core.backend.codec import encode_frame
from moedsr_core.backend.local_workers import LocalWorker
from moedsr_core.backend.wire import ATTRIBUTE_DTYPES, pack_arrays, read_request
from moedsr_core.backend.worker import serve
from moedsr_core.errors import CancelledError
from moedsr_core.predict_options import PredictOptions

FACES = np.array([[0, 1, 2]])


class NumberCore:
    """Makes frames of random numbers that depend on the seed alone.

    The model's name is what it is to suffer: ``dies`` ends the process at the third frame,
    ``prints`` writes to standard output, ``waits`` makes two frames and waits to be stopped.
    """

    def __init__(self, pause_s: float) -> None:
        self.pause_s = pause_s

    def describe(self) -> dict:
        return {
            "device": "cpu", "devices": ["cpu"], "models": [{"name": "waits", "default": False}],
            "digests": {}, "cards": {},
        }  # fmt: skip

    def check(self, options) -> dict:
        science = {name: value for name, value in options.items() if name != "kind"}
        return {"options": vars(PredictOptions(**science)) | {}, "device": "cpu", "digest": "0"}

    def run(self, request, skip_frames, on_progress, should_stop):
        options = read_request(request).options.full()
        random = np.random.default_rng(options.seed)
        on_progress("computing frames", options.frames)
        state = None
        for k in range(options.frames):
            if should_stop():
                raise CancelledError("stopped")
            if options.model == "dies" and k == 2:
                sys.stderr.write("killed by too much memory\n")
                sys.stderr.flush()
                sys.exit(9)
            while options.model == "waits" and k == 2 and not should_stop():
                time.sleep(0.02)
            if options.model == "prints":
                os.write(1, b"a library that prints\n")
            arrays = {
                "vertices": random.normal(size=(50, 3)),
                "normals": random.normal(size=(50, 3)),
                "displacement": random.normal(size=50),
                "faces": FACES,
            }
            data, state = encode_frame(arrays, state)
            if k >= skip_frames:
                time.sleep(self.pause_s)
                yield "frame", data
            if k == 0:
                yield "attributes", pack_arrays({"atom": np.arange(50)}, ATTRIBUTE_DTYPES)
        motion = {"fluctuation": np.arange(50.0), "mean_displacement": np.arange(50.0)}
        yield "attributes", pack_arrays(motion, ATTRIBUTE_DTYPES)
        yield "summary", {"frames": options.frames}


def fake_worker(pause_s: float = 0.0):
    """Makes workers that are processes of this file."""
    command = [sys.executable, str(Path(__file__).resolve()), str(pause_s)]
    return lambda device: LocalWorker(device, lambda device: command)


if __name__ == "__main__":
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
    sys.exit(serve(lambda: NumberCore(float(sys.argv[1]))))
