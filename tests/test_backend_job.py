"""One job over a real socket: its stream, its state and its turn."""

from __future__ import annotations

import socket
import threading
import time

import numpy as np
from backend_support import DEADLINE_S, Client, fake_frame, port_of, wait_until

from moedsr_core.backend import stream
from moedsr_core.backend.wire.frames import decode

pytest_plugins = "backend_support"


def test_a_job_streams_its_frames_then_its_attributes_then_its_end(client):
    job = client.create(frames=3)
    with client.stream(job) as records:
        received = [(head, data) for head, data in records if head["type"] != "progress"]
    kinds = [head["type"] for head, _ in received]
    assert kinds == ["frame", "attributes", "frame", "frame", "attributes", "end"]
    assert [head["index"] for head, _ in received if "index" in head] == [0, 1, 2]
    assert all(head["bytes"] == len(data) for head, data in received)
    end = received[-1][0]
    assert (end["state"], end["error"]) == ("done", None)
    assert end["summary"]["frames"] == 3 and end["summary"]["seconds"] > 0


def test_frames_arrive_as_the_engine_made_them_and_faces_only_once(client):
    frames = client.frames(client.create(frames=3, seed=0))
    state = None
    for k, data in frames.items():
        last, (sent, state) = state, decode(data, state)
        for name, values in fake_frame(k).items():
            np.testing.assert_allclose(sent[name], values, atol=0.01, err_msg=name)
        assert last is None or state.faces is last.faces


def test_a_stream_resumed_in_mid_job_brings_the_same_bytes(client, science):
    science.hold = 4
    job = client.create(frames=6)
    first: dict[int, bytes] = {}
    with client.stream(job) as records:
        for head, data in records:
            if head["type"] == "frame":
                first[head["index"]] = data
            if len(first) == 4:
                break
    with client.stream(job, start=2) as records:
        head, data = next(r for r in records if r[0]["type"] == "frame")
        assert (head["index"], data) == (2, first[2])
        assert client.state(job)["state"] == "running"
        science.released.set()
        resumed = {h["index"]: d for h, d in records if h["type"] == "frame"}
    assert list(resumed) == [3, 4, 5]
    assert client.frames(job) == {**first, **resumed}


def test_a_resumed_stream_does_not_miss_the_attributes(client):
    job = client.create(frames=3)
    with client.stream(job, start=3) as records:
        kinds = [head["type"] for head, _ in records]
    assert [kind for kind in kinds if kind != "progress"] == ["attributes", "attributes", "end"]


def test_two_streams_of_one_job_at_once_bring_the_same(client, science):
    science.hold = 1
    job = client.create(frames=20)
    results: list[dict[int, bytes]] = []
    readers = [
        threading.Thread(target=lambda: results.append(Client(port_of(client)).frames(job)))
        for _ in range(2)
    ]
    for reader in readers:
        reader.start()
    wait_until(lambda: client.state(job)["frames_done"] == 1, "the first frame is made")
    science.released.set()
    for reader in readers:
        reader.join(DEADLINE_S)
    assert results[0] == results[1]
    assert list(results[0]) == list(range(20))


def test_a_waiting_stream_shows_signs_of_life(client, science, monkeypatch):
    assert stream.PULSE_S <= 1.0
    monkeypatch.setattr(stream, "PULSE_S", 0.01)
    science.hold = 1
    job = client.create(frames=3)
    with client.stream(job) as records:
        start, beats = time.monotonic(), 0
        while beats < 50:
            head, _ = next(records)
            beats += head["type"] == "progress" and head["frames_done"] == 1
        assert time.monotonic() - start < DEADLINE_S
    assert set(head) == {
        "type",
        "stage",
        "frames_done",
        "frames",
        "seconds_left",
        "queue_position",
        "bytes",
    }
    assert (head["stage"], head["frames_done"], head["frames"]) == ("frames", 1, 3)


def test_a_job_reports_all_fields_of_its_state(client, science):
    science.hold = 3
    job = client.create(frames=5)
    wait_until(lambda: client.state(job)["frames_done"] == 3, "three frames are made")
    state = client.state(job)
    assert set(state) == {
        "id", "state", "kind", "stage", "frames_done", "frames", "created", "age_s", "seconds",
        "seconds_left", "error", "summary", "queue_position", "options", "bytes",
    }  # fmt: skip
    assert state["kind"] == "predict" and state["options"]["frames"] == 5
    assert (state["id"], state["state"], state["stage"]) == (job, "running", "frames")
    assert state["frames"] == 5 and state["seconds"] > 0 and state["seconds_left"] >= 0
    science.released.set()
    assert client.end(job)["state"] == "done"
    listed = client("GET", "/jobs").json()
    assert [row | {"age_s": 0} for row in listed] == [client.state(job) | {"age_s": 0}]
    assert client.state(job)["seconds_left"] == 0


def test_jobs_run_one_at_a_time_in_the_order_of_arrival(client, science):
    science.hold = 1
    first, second = client.create(frames=2), client.create(frames=2)
    wait_until(lambda: client.state(first)["frames_done"] == 1, "the first job has begun")
    assert client.state(second)["state"] == "queued"
    assert client.state(second)["queue_position"] == 0
    with client.stream(second) as records:
        head = next(records)[0]
        assert (head["stage"], head["queue_position"], head["seconds_left"]) == ("queued", 0, None)
    science.released.set()
    assert client.end(second)["state"] == "done"
    assert client.state(first)["state"] == "done"


def test_a_surface_job_has_one_frame(client, science):
    job = client.create(kind="surface", frames=50)
    assert list(client.frames(job)) == [0]
    assert client.state(job)["frames"] == 1


def test_answers_do_not_wait_for_the_network_to_fill_a_packet(client, web):
    """An answer takes 0.045 s with Nagle's algorithm, 0.003 s without."""
    client.create(frames=1)
    connections = list(web[0].state.runner.server_state.connections)
    assert connections
    for connection in connections:
        accepted = connection.transport.get_extra_info("socket")
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
