"""Malformed requests, at random, on every endpoint of the server."""

from __future__ import annotations

import json
import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from bad_bodies import bad_body
from backend_support import Client, wait_until
from lab import Lab
from routes import APP, ROUTES, filled

schemathesis = pytest.importorskip("schemathesis", reason="needs moedsr's extra soak")
hypothesis = pytest.importorskip("hypothesis")

MB = 1 << 20
GROWTH = 32 * MB
"""What may be left in memory and database after any number of bad requests: buffers, and pages
of the database's log."""
SCHEMA = schemathesis.openapi.from_dict(APP.openapi())
OPERATIONS = [result.ok() for result in SCHEMA.get_all_operations()]


@contextmanager
def leaves_nothing(lab: Lab) -> Iterator[str]:
    """A finished job of a server which is the same afterwards, lives, and has logged no failure."""
    before, log, client = lab.footprint(), len(lab.log), lab.client()
    yield _finished_job(client)
    _finished_job(client)
    for row in client("GET", "/jobs").json():
        assert client("DELETE", f"/jobs/{row['id']}").status_code == 204
    wait_until(lambda: lab.footprint().entries == before.entries, "all files are gone")
    after = lab.footprint()
    assert after.memory - before.memory < GROWTH and after.disk - before.disk < GROWTH
    assert lab.process.poll() is None
    assert "Traceback" not in lab.log[log:] and " error " not in lab.log[log:]


def _finished_job(client: Client) -> str:
    job = client.create(frames=2)
    assert client.end(job)["state"] == "done"
    return job


def judge(status: int, content: bytes) -> None:
    """Refuse failures, and refusals that are no sentence."""
    assert status < 500, content
    assert b"Traceback" not in content and b"site-packages" not in content
    if status >= 400:
        answer = json.loads(content)
        assert list(answer) == ["detail"] and isinstance(answer["detail"], str)


def test_every_route_is_described():
    described = {(op.method.upper(), op.path) for op in OPERATIONS}
    assert described | {("GET", APP.openapi_url), ("HEAD", APP.openapi_url)} == set(ROUTES)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda op: f"{op.method} {op.path}")
def test_requests_made_from_the_description_are_answered(lab, operation, count):
    client, jobs = lab.client(), []

    @hypothesis.settings(
        max_examples=count(6, 1000), deadline=None, database=None,
        derandomize=not count(0, 1), phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )  # fmt: skip
    @hypothesis.given(case=_cases(operation), of_a_job=hypothesis.strategies.booleans())
    def ask(case, of_a_job):
        if of_a_job and "job_id" in case.path_parameters and case.method.upper() != "DELETE":
            case.path_parameters["job_id"] = jobs[0]
        answer = case.call(base_url=lab.url, session=client.session, timeout=60)
        judge(answer.status_code, answer.content)

    with leaves_nothing(lab) as job:
        jobs.append(job)
        ask()


def _cases(operation):
    modes = schemathesis.GenerationMode
    good = operation.as_strategy(generation_mode=modes.POSITIVE)
    if not operation.path_parameters and not operation.query and not operation.body:
        return good
    return good | operation.as_strategy(generation_mode=modes.NEGATIVE)


def test_damaged_bodies_are_refused_or_read(lab, count):
    client = lab.client()
    with leaves_nothing(lab):
        for number in range(count(60, 5000)):
            kind, body = bad_body(number)
            answer = client("POST", "/jobs", data=body)
            judge(answer.status_code, answer.content)
            assert answer.status_code in (201, 422), (number, kind, answer.text)


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_damaged_requests_are_answered_or_cut(lab, method, path, count):
    body = bad_body(0)[1]
    lines = [
        f"{method} {filled(path)}?from=0 HTTP/1.1", "Host: localhost",
        f"Authorization: Bearer {lab.token('ann')}", "Idempotency-Key: a",
        f"Content-Length: {len(body)}",
    ]  # fmt: skip
    whole = "\r\n".join(lines).encode() + b"\r\n\r\n" + body
    rng = random.Random(f"{method} {path}")
    with leaves_nothing(lab):
        for _ in range(count(5, 1000)):
            sent = _damaged(rng, whole)
            answer = _exchange(lab, sent)
            assert b"Traceback" not in answer and b"HTTP/1.1 5" not in answer, sent


def _damaged(rng: random.Random, whole: bytes) -> bytes:
    """A request with some bytes of its head changed, left out, or repeated."""
    sent = bytearray(whole)
    for _ in range(rng.choice((1, 2, 5))):
        place = rng.randrange(min(len(sent), 200))
        length = rng.choice((1, 1, 4, 20))
        piece = rng.choice((rng.randbytes(length), b"\0", b"%00", b"\r\n", b" ", b"9" * length,
                            b"..%2f", b"\xff", b"A" * 9000, bytes(sent[place : place + 40])))  # fmt: skip
        sent[place : place + rng.choice((0, length))] = piece
    return bytes(sent[: rng.randrange(1, len(sent))]) if rng.random() < 0.2 else bytes(sent)


def _exchange(lab: Lab, sent: bytes) -> bytes:
    """What comes back until the server has answered or closed; nothing more is sent."""
    with socket.create_connection(("127.0.0.1", lab.port), timeout=60) as client:
        got = b""
        try:
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)
            while piece := client.recv(65536):
                got += piece
        except ConnectionError:
            pass
        return got
