"""The benchmark of the backend, tiny: frames of a formula, here and from a stand-in."""

from __future__ import annotations

import importlib.util
import math
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import requests
from pymol_support import FakeBackend
from synthetic_chain import chain

FRAMES = 3


@pytest.fixture
def script(monkeypatch):
    path = Path(__file__).resolve().parents[1] / "benchmarks" / "backend.py"
    monkeypatch.setattr(sys, "path", list(sys.path))  # to which the script adds
    spec = importlib.util.spec_from_file_location("benchmark_backend", path)
    script = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "benchmark_backend", script)
    spec.loader.exec_module(script)
    return script


def server_at(script, fake: FakeBackend):
    """The script's server, with a stand-in in the place of its process."""
    server = object.__new__(script.Server)
    server.process = SimpleNamespace(pid=os.getpid())
    server._url, server._session = f"{fake.url}/v1", requests.Session()
    server._session.headers["Authorization"] = f"Bearer {fake.token}"
    return server


def test_the_same_predictions_are_made_here_and_there_in_turn(script, monkeypatch):
    made: list[tuple[str, int, int]] = []

    class Prediction:
        def __init__(self, structure, options, loaded):
            self.options = options

        def frames(self):
            made.append(("here", self.options.seed, self.options.frames))
            return iter(range(FRAMES))

    monkeypatch.setattr(script, "Prediction", Prediction)
    with FakeBackend() as fake:
        server, create = server_at(script, fake), fake.create

        def noting_create(body: bytes) -> dict:
            status = create(body)
            options = fake.jobs[status["id"]]["options"]
            made.append(("there", options["seed"], options["frames"]))
            return status

        monkeypatch.setattr(fake, "create", noting_create)
        here, there = script.compare(server, chain(3), None, FRAMES, 1.0, range(1, 3))
        fake.behaviour["fails"] = "out of memory"
        with pytest.raises(RuntimeError, match="did not end well"):
            server.predict(chain(3), script.PredictOptions(frames=FRAMES))
        server._session.close()
    turns = [(1, "here"), (1, "there"), (2, "there"), (2, "here")]
    assert made[:4] == [(who, seed, FRAMES) for seed, who in turns]
    assert len(here) == len(there) == 2 and all(cost.seconds > 0 for cost in here + there)
    known = Path("/proc/self/stat").exists()
    assert all(known != math.isnan(cost.processor_s) for cost in there)
