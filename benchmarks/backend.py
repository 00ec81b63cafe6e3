"""What the backend costs beside a prediction in one's own process.

Run: ``python benchmarks/backend.py [FRAMES] [REPEATS] [FILE ...]``. The same frames are computed
both ways in turn, each time with another seed, models warm: by ``Prediction`` in this process, and
by a server with a worker, to the last byte of the stream. Seconds by the clock tell what a user
waits; on a busy machine the seconds of processor time of all processes involved tell more.
"""

from __future__ import annotations

import io
import json
import os
import platform
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import requests
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from moedsr_core.models.registry import LoadedModel, load_model  # noqa: E402
from moedsr_core.predict import Prediction, PredictOptions  # noqa: E402
from moedsr_core.structure import Structure  # noqa: E402
from moedsr_core.structure_io import read_structure  # noqa: E402

_NAMES = ("elements", "atom_names", "residue_names", "residue_ids", "chain_ids", "residue_index")


@dataclass(frozen=True)
class Cost:
    """What one prediction took."""

    seconds: float
    """By the clock."""
    processor_s: float
    """Of all processes involved [s]; NaN where the system does not tell."""


class Server:
    """A real server as a child process, and one connection to it."""

    def __init__(self, data: Path) -> None:
        token = secrets.token_hex(16)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "moedsr_core.backend.server", "--parent-pipe", "--port", "0",
             "--data", str(data)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT,
        )  # fmt: skip
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(token.encode() + b"\n")
        self.process.stdin.flush()
        port = json.loads(self.process.stdout.readline())["port"]
        self._url = f"http://127.0.0.1:{port}/v1"
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers["Authorization"] = f"Bearer {token}"

    def predict(self, structure: Structure, options: PredictOptions) -> int:
        """Have a prediction computed; bytes of its stream."""
        chosen = {"frames": options.frames, "spacing": options.spacing, "seed": options.seed}
        body = io.BytesIO()
        arrays = {name: getattr(structure, name) for name in ("coords", *_NAMES)}
        np.savez_compressed(body, options=np.array(json.dumps(chosen)), **arrays)
        created = self._session.post(f"{self._url}/jobs", data=body.getvalue())
        created.raise_for_status()
        url = f"{self._url}/jobs/{created.json()['id']}/stream"
        with self._session.get(url, stream=True) as reply:
            size, tail = 0, b""
            for chunk in reply.iter_content(chunk_size=None):
                size, tail = size + len(chunk), (tail + chunk)[-4096:]
        if b'"state": "done"' not in tail:
            raise RuntimeError(f"the job did not end well: {tail[-300:]!r}")
        return size

    def processor_s(self) -> float:
        """Processor time of the server and its worker so far [s]."""
        return sum(map(_processor_s, [self.process.pid, *_children(self.process.pid)]))

    def close(self) -> None:
        """End it."""
        assert self.process.stdin and self.process.stdout
        self._session.close()
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


@contextmanager
def serving() -> Iterator[Server]:
    """A server on a folder that is deleted afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder) / "data")
        try:
            yield server
        finally:
            server.close()


def compare(
    server: Server, structure: Structure, loaded: LoadedModel, frames: int, spacing: float,
    seeds: range,
) -> tuple[list[Cost], list[Cost]]:  # fmt: skip
    """Costs of the same predictions here and there, computed in turn."""
    here, there = [], []
    for seed in seeds:
        options = PredictOptions(frames=frames, spacing=spacing, seed=seed)

        def alone(options: PredictOptions = options) -> None:
            for _ in Prediction(structure, options, loaded).frames():
                pass

        def served(options: PredictOptions = options) -> None:
            server.predict(structure, options)

        both = [lambda: here.append(_cost(alone, time.process_time)),
                lambda: there.append(_cost(served, server.processor_s))]  # fmt: skip
        for turn in both if seed % 2 else reversed(both):
            turn()
    return here, there


def _cost(work: Callable[[], None], processor_s: Callable[[], float]) -> Cost:
    used, began = processor_s(), time.perf_counter()
    work()
    return Cost(time.perf_counter() - began, processor_s() - used)


def _processor_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return float("nan")
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _children(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    threads = path.parents[1].glob("*/children") if path.exists() else []
    return [int(child) for thread in threads for child in thread.read_text().split()]


def main(frames: int = 100, repeats: int = 3, *files: str) -> None:
    """Print a row for each structure."""
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.0f}, Python "
        f"{platform.python_version()}, torch {torch.__version__}, {torch.get_num_threads()} "
        f"thread(s); {frames} frames, spacing 0.7 Å, median of {repeats}"
    )
    loaded = load_model()
    with serving() as server:
        for name in files:
            structure = read_structure(Path(name))
            compare(server, structure, loaded, 2, 2.0, range(1))  # both are warm afterwards
            here, there = compare(server, structure, loaded, frames, 0.7, range(1, repeats + 1))
            print(f"{Path(name).stem}, {len(structure)} atoms", end="")
            for what in ("seconds", "processor_s"):
                pairs = [
                    (getattr(a, what), getattr(b, what)) for a, b in zip(here, there, strict=True)
                ]
                alone, served = (statistics.median(column) for column in zip(*pairs, strict=True))
                ratios = sorted(b / a for a, b in pairs)
                print(
                    f"; {what}: alone {alone:.1f}, served {served:.1f}, ratio "
                    f"{statistics.median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f})", end=""
                )  # fmt: skip
            print(flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]), *sys.argv[3:])
