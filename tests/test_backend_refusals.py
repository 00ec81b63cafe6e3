"""Who may ask the backend, and what it refuses, over a real socket."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import time

import pytest
import requests
from backend_support import DEADLINE_S, TOKEN, port_of, wait_until
from test_wire import BAD_BODIES, body_of, options_of

from moedsr_core.backend.service import JobService
from moedsr_core.backend.wire.request import MAX_BODY_BYTES

pytest_plugins = "backend_support"

ROUTES = [
    ("GET", "/health"), ("GET", "/models"), ("POST", "/jobs"), ("GET", "/jobs"),
    ("GET", "/jobs/ID"), ("GET", "/jobs/ID/stream"), ("GET", "/jobs/ID/result"),
    ("POST", "/jobs/ID/cancel"), ("DELETE", "/jobs/ID"), ("GET", "/openapi.json"),
    ("GET", "/no/such/route"),
]  # fmt: skip
WRONG = [None, "", "Bearer", "Bearer ", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", TOKEN,
         f"Basic {TOKEN}", "Bearer \xe9\xff"]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_no_route_answers_without_the_token(client, method, path):
    path = path.replace("ID", client.create())
    for header in WRONG:
        headers = {} if header is None else {"Authorization": header.encode("latin-1")}
        reply = requests.request(method, client.url + path, headers=headers, timeout=DEADLINE_S)
        assert reply.status_code == 401, header
        assert "token" in reply.json()["detail"] and TOKEN not in reply.text
    assert len(client("GET", "/jobs").json()) == 1


def test_health_and_models_answer_as_the_protocol_says(client):
    from moedsr_core import __version__

    assert client("GET", "/health").json() == {
        "name": "moedsr", "version": __version__, "protocol": 2, "device": "cpu",
        "devices": ["cpu"], "workers": [{"device": "cpu", "state": "idle", "error": None}],
        "queue": {"waiting": 0, "running": 0}, "auth": True, "pid": os.getpid(),
    }  # fmt: skip
    assert [model["name"] for model in client("GET", "/models").json()] == ["fake"]
    card = client("GET", "/models/fake/card")
    assert card.text == "# fake" and card.headers["Content-Type"].startswith("text/markdown")
    assert client("GET", "/models/other/card").status_code == 404
    assert "/v1/jobs/{job_id}/stream" in client("GET", "/openapi.json").json()["paths"]


def test_bad_bodies_are_answered_422_and_the_server_stays_well(client):
    refused = {"by the engine": lambda: body_of(options=options_of(model="nobody"))}
    for case, make in (BAD_BODIES | refused).items():
        reply = client("POST", "/jobs", data=make())
        assert reply.status_code == 422, case
        assert list(reply.json()) == ["detail"] and "\n" not in reply.json()["detail"]
    assert client("GET", "/jobs").json() == []
    assert client.end(client.create())["state"] == "done"


@pytest.mark.parametrize("announced", [MAX_BODY_BYTES + 1, 10**18])
def test_a_body_announced_too_large_is_refused_before_it_is_sent(client, announced):
    connection = http.client.HTTPConnection("127.0.0.1", port_of(client), timeout=DEADLINE_S)
    with contextlib.closing(connection):
        connection.putrequest("POST", "/v1/jobs")
        connection.putheader("Authorization", f"Bearer {TOKEN}")
        connection.putheader("Content-Length", str(announced))
        connection.endheaders()
        reply = connection.getresponse()
        assert reply.status == 413
        assert "at most 64 MB" in json.loads(reply.read())["detail"]
    assert client("GET", "/health").status_code == 200


def test_a_body_that_grows_too_large_without_saying_so_is_refused(client, monkeypatch):
    monkeypatch.setattr("moedsr_core.backend.app.MAX_BODY_BYTES", 2**20)
    reply = client("POST", "/jobs", data=iter([b"x" * 2**18] * 5))
    assert reply.status_code == 413
    assert client.end(client.create())["state"] == "done"


def test_a_client_that_leaves_in_mid_body_does_no_harm(client, caplog):
    with socket.create_connection(("127.0.0.1", port_of(client))) as half:
        head = f"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
        half.sendall((head + "Content-Length: 1000\r\n\r\nabc").encode())
        time.sleep(0.1)
    assert client.end(client.create())["state"] == "done"
    assert "Traceback" not in caplog.text


def test_a_reader_that_leaves_in_mid_stream_does_not_stop_the_job(client, science):
    science.hold = 2
    job = client.create(frames=4)
    with client.stream(job) as records:
        next(records)
    science.released.set()
    assert list(client.frames(job)) == [0, 1, 2, 3]


def test_a_reader_that_left_is_forgotten(client, science, backend):
    science.hold = 1
    job = client.create(frames=2)
    with client.stream(job) as records:
        next(records)
        assert backend.service._readers == {job: 1}
    wait_until(lambda: not backend.service._readers, "the stream is closed")
    assert client.state(job)["state"] == "running"


@pytest.mark.parametrize("start", ["6", "-1", "x", "1e3", "99999999999999999999"])
def test_a_stream_cannot_start_where_no_frame_will_be(client, start):
    job = client.create(frames=5)
    client.end(job)
    reply = client("GET", f"/jobs/{job}/stream?from={start}")
    assert reply.status_code == 422
    assert reply.json()["detail"].startswith("from ")


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/jobs/no"), ("GET", "/jobs/no/stream"), ("GET", "/jobs/no/result"),
     ("POST", "/jobs/no/cancel"), ("DELETE", "/jobs/no"), ("GET", "/jobs/..%2f..%2fetc")],
)  # fmt: skip
def test_an_unknown_job_is_404(client, method, path):
    reply = client(method, path)
    assert reply.status_code == 404 and isinstance(reply.json()["detail"], str)


def test_an_unforeseen_error_is_answered_without_its_text(client, science, monkeypatch):
    monkeypatch.setattr(JobService, "models", lambda self: 1 / 0)
    reply = client("GET", "/models")
    assert reply.status_code == 500
    assert "ZeroDivisionError" in reply.json()["detail"] and "division by" not in reply.text
    assert client("GET", "/health").status_code == 200
